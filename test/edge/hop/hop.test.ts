// A hop that is heard, and one that no longer is.
import t from 'tap'
import { createCertificateReader } from '../../../src/edge/hop/certificate.js'
import { createHop } from '../../../src/edge/hop/hop.js'
import { Denial } from '../../../src/verify/verdict.js'
import { hoursFromNow, makeCa, makeCertificate, makeOddCertificate } from '../../support/certs.js'
import { openTestEdge } from '../../support/edge.js'

t.test('denies hop_untrusted: its certificate has ended, or is not good yet, on a connection that stayed', async (t) => {
  const edge = await openTestEdge()
  t.teardown(edge.close)
  const behind = {
    hop: { ca: '', names: ['hop'] },
    certificate: 'none',
    address: 'none',
    host: 'same',
    removed_prefix: '',
  } as const
  const hop = createHop({ ...edge.listener, behind })
  const certificate = {
    x5tS256: '',
    der: new Uint8Array(),
    invalid: null,
    notBefore: 1000,
    notAfter: 2000,
    judged: true,
    subject: '',
  }
  const connection = { peer: { address: '192.0.2.1', port: 1, certificate }, servername: null, stranger: null }
  const at = (receivedAt: number) => hop?.clientOf(connection, { rawHeaders: [], receivedAt })
  t.same(at(1000), {
    head: { peer: { address: '', port: 0, certificate: null }, servername: null, removedPrefix: '' },
    host: null,
  })
  t.same(at(2000), at(1000))
  for (const now of [999, 2001]) {
    const denial = at(now)
    t.match(denial, { reason: 'hop_untrusted', detail: 'dates' })
    t.ok(denial instanceof Denial)
  }
})

t.test('what was remembered of a certificate is found anew when its dates are over: a CA that was renewed', async (t) => {
  const edge = await openTestEdge()
  t.teardown(edge.close)
  const renewed = await makeCa('Client CA', { notAfter: hoursFromNow(9) })
  const old = await makeOddCertificate({ subject: 'CN=Client CA', isCa: true, keys: renewed.issued.keys })
  const client = await makeCertificate({ ca: renewed, ekus: ['client'], notAfter: hoursFromNow(5) })
  const behind = { hop: 'socket', certificate: 'client_cert', address: 'none', host: 'same', removed_prefix: '' } as const
  const client_ca = old.cert + renewed.cert
  const read = createCertificateReader({ ...edge.listener, behind, client_certificates: 'pki', client_ca })
  const der = client.cert.replace(/-----[^-]*-----|\s/g, '')
  const now = Date.now() / 1000
  /** In whole hours from now, how long it is good by what is known then. */
  const endAt = (hours: number) => {
    const { invalid, notAfter } = read(['Client-Cert', `:${der}:`], now + hours * 3600) ?? {}
    return [invalid, Math.round(((notAfter ?? 0) - now) / 3600)]
  }
  t.same(
    [0, 0, 2, 2].map(endAt),
    [1, 1, 5, 5].map((end) => [null, end]),
  )
})
