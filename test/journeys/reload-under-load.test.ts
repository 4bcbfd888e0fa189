// Fifty reloads of every kind under load: no request fails, on connections that were there before and on new ones, with one process
// and with two.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { startCallers } from '../support/callers.js'
import { makeAssertionKey } from '../support/certificates.js'
import { makeCa, makeServer } from '../support/certs.js'
import { issuerKey, makeDraft, printDraft } from '../support/draft.js'
import { HOST, makePlace, serve, waitFor } from '../support/fleet.js'
import { makeKey } from '../support/jwt.js'

const RELOADS = 50

for (const workers of [1, 2]) {
  t.test(`with ${workers === 1 ? 'one process' : 'two workers'}`, async (t) => {
    const place = await makePlace(t)
    const ca = await makeCa('Another test CA')
    const servers = [await makeServer(ca, [HOST]), await makeServer(ca, [HOST])]
    place.ca += ca.cert
    const gateway = await serve(t, place, { workers })
    const text = readFileSync(gateway.file, 'utf8')
    const write = (name: string, content: string): void => writeFileSync(join(place.folder, name), content)
    const changes: readonly ((i: number) => void)[] = [
      (i) => writeFileSync(gateway.file, `${text}  - { path: /added-${i}, methods: [GET], tier: open, upstream: u }\n`),
      (i) => {
        const { key, cert } = servers[i % 2] ?? {}
        write('server.key', key ?? '')
        write('server.crt', cert ?? '')
      },
      () => write('assertion.key', makeAssertionKey()),
      (i) => {
        const jwks = [issuerKey, makeKey()].map(({ jwk }, j) => ({ ...jwk, kid: j === 0 ? 'issuer-1' : `issuer-${i}` }))
        write('issuer.jwks', JSON.stringify({ keys: jwks }))
      },
      (i) =>
        writeFileSync(gateway.file, text.replace('drain: 5s', `drain: 5s\ndpop: { nonce_secret: '${String(i).repeat(32)}' }`)),
    ]
    const callers = startCallers(t, [gateway], {
      kept: 4,
      fresh: 2,
      request: () => printDraft(makeDraft({ host: HOST, path: '/pay' })),
    })
    for (let i = 1; i <= RELOADS; i++) {
      const before = callers.count()
      changes[i % changes.length]?.(i)
      gateway.child.kill('SIGHUP')
      await gateway.until(/"reloaded"/, i)
      await waitFor('answers on', () => callers.count() > before)
    }
    await callers.stop()
    t.same(callers.failures, [])
    t.same([...callers.answers.keys()], [200], `${callers.count()} requests`)
    t.ok(callers.count() >= RELOADS)
    const metrics = await (await fetch(`http://127.0.0.1:${gateway.admin}/metrics`)).text()
    t.match(metrics, new RegExp(`^holdfast_reloads_total\\{result="taken"\\} ${RELOADS}$`, 'm'), 'of the whole gateway')
    t.match(metrics, /^holdfast_reloads_total\{result="refused"\} 0$/m)
    t.match(metrics, /^holdfast_config_last_reload_successful 1$/m)
    const [, takenAt] = /^holdfast_config_last_reload_success_timestamp_seconds ([\d.]+)$/m.exec(metrics) ?? []
    t.ok(Math.abs(Number(takenAt) - Date.now() / 1000) < 60, 'just now')
  })
}

t.test('a SIGHUP that comes while it starts is heeded when it can be', async (t) => {
  const place = await makePlace(t)
  for (const workers of [1, 2]) {
    const gateway = await serve(t, place, { workers }, true)
    // Bit 0 of what it catches: from then on the kernel no longer ends it (proc(5)).
    const catches = (): boolean => {
      const status = readFileSync(`/proc/${gateway.child.pid}/status`, 'utf8')
      return (Number.parseInt(/^SigCgt:\s*(\w+)/m.exec(status)?.[1]?.slice(-1) ?? '0', 16) & 1) === 1
    }
    await waitFor('it catches SIGHUP', catches)
    t.notMatch(gateway.said(), /accepting requests/, 'long before it accepts requests')
    gateway.child.kill('SIGHUP')
    await gateway.until(/"accepting requests"/)
    await gateway.until(/"reloaded"/)
    gateway.child.kill('SIGTERM')
    t.equal(await gateway.ended, 0)
  }
})
