// New connections: what a handshake costs, with and without a client certificate, full and resumed.
import { join } from 'node:path'
import { hasNginx, type Server, startNginx } from '../peers.js'
import { replay } from '../replay.js'
import type { Contender, Scenario } from '../scenario.js'

export const handshakes: Scenario = {
  name: 'handshakes',
  title: 'New connections',
  about: `16 clients that connect (TLS 1.3), send one request to a public route and hang up. With a client certificate, judged in full (\`pki\`) or for its binding alone (\`pop_only\`); resumed
where the listener lets sessions be resumed, which one that judges certificates does not.`,
  reading: `Per connection, its one request included. **nginx** verifies the certificate against the same CA, looks at no request and signs nothing. A client pays more for a handshake than a server
does: connections a second are the generator's where it is near 1; read the CPU.`,
  columns: [
    { metric: 'cpu', title: 'CPU us a connection', digits: 0 },
    { metric: 'perSecond', title: 'connections/s', digits: 0 },
    { metric: 'p50', title: 'p50 ms', digits: 2 },
    { metric: 'p99', title: 'p99 ms', digits: 2 },
    { metric: 'resumedShare', title: 'resumed', digits: 2 },
    { metric: 'generator', title: 'generator', digits: 2 },
  ],
  isDefault: true,
  async open(place, skip) {
    const dialled = (name: string, server: Server, how: { certified: boolean; resumes: boolean }): Contender => ({
      name,
      warmUp: /^nginx/.test(name) ? 1 : 4_000,
      measure: async () => {
        const plan = {
          mode: 'handshakes',
          server,
          path: '/public',
          connections: 16,
          requests: [{}],
          expect: 200,
          ...how,
        } as const
        const { resumed, ...sample } = await replay(place, plan)
        return { ...sample, resumedShare: resumed / sample.answered }
      },
    })
    const contenders: Contender[] = []
    for (const variant of place.variants) {
      const name = (what: string) => `holdfast${variant.label}, ${what}`
      const plain = await place.holdfast(variant)
      contenders.push(
        dialled(name('no certificate, full'), plain, { certified: false, resumes: false }),
        dialled(name('no certificate, resumed'), plain, { certified: false, resumes: true }),
      )
      const popOnly = await place.holdfast(variant, { clientCertificates: 'pop_only' })
      contenders.push(
        dialled(name('pop_only, full'), popOnly, { certified: true, resumes: false }),
        dialled(name('pop_only, resumed'), popOnly, { certified: true, resumes: true }),
      )
      const pki = await place.holdfast(variant, { clientCertificates: 'pki' })
      contenders.push(dialled(name('pki, full'), pki, { certified: true, resumes: false }))
    }
    if (!hasNginx()) skip('nginx is left out: the package nginx is not installed')
    else {
      const clientCa = join(place.root, 'client-ca.crt')
      const server = place.keep(await startNginx(place.root, place.upstreamPort, { clientCa }))
      contenders.push(
        dialled('nginx ssl_verify_client, full', server, { certified: true, resumes: false }),
        dialled('nginx ssl_verify_client, resumed', server, { certified: true, resumes: true }),
      )
    }
    return contenders
  },
}
