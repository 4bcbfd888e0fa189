// Certificates that others believed: in a header that anyone can write, of a session that began elsewhere, with names that read
// differently to different readers. Three listeners, one for each way to treat client certificates.
import type { ConnectionOptions } from 'node:tls'
import t from 'tap'
import { removedHeadersMarkdown } from '../../src/verify/reserved-headers.js'
import { type Credential, makeCertificate } from '../support/certs.js'
import { type Draft, printDraft } from '../support/draft.js'
import { exchange } from '../support/http.js'
import { anonymous, boundTwice, certificateBound } from '../support/kinds.js'
import { HOST, startLab } from '../support/lab.js'
import { openRaw } from '../support/raw.js'
import { changed, grants, ISSUER, pairsOf, reasonOf, refuses } from './attack.js'

const MODES = ['pki', 'off', 'pop_only'] as const
const lab = await startLab({
  store: 'memory',
  yaml: (parts) => {
    const url = /url: '([^']+)'/.exec(parts.upstreams ?? '')?.[1]
    const pair = 'key: server.key, cert: server.crt'
    return {
      ...parts,
      listen: `
  - { host: 127.0.0.1, port: 8443, tls: { ${pair}, client_certificates: pki, client_ca: client-ca.crt } }
  - { host: 127.0.0.1, port: 8444, tls: { ${pair} } }
  - { host: 127.0.0.1, port: 8445, tls: { ${pair}, client_certificates: pop_only } }`,
      upstreams: `
  cases: { url: '${url}', audience: cases }
  legacy: { url: '${url}', client_cert: true, set_headers: { X-Cert: certificate, X-Remote-User: token.sub } }`,
      routes: `${parts.routes}
  - { path: /legacy, methods: [GET], tier: bound_read, upstream: legacy, ${ISSUER} }`,
    }
  },
})
t.teardown(() => lab.stop())
const portOf = (mode: (typeof MODES)[number]) => Number(lab.gateway.addresses[MODES.indexOf(mode)]?.split(':').at(-1))
const victim = lab.certificates.clients.client
const bytesOf = (draft: Draft) => printDraft(draft)
const sendTo = (mode: (typeof MODES)[number], draft: Draft, options: Omit<ConnectionOptions, 'port'> = {}) =>
  exchange(bytesOf(draft), { port: portOf(mode), servername: HOST, ...options })

/** The victim's certificate as each proxy would write it. */
const der = Buffer.from(victim.cert.replace(/-----[^-]+-----|\s/g, ''), 'base64')
const IN_HEADERS: readonly [name: string, value: string][] = [
  ['Client-Cert', `:${der.toString('base64')}:`],
  [
    'X-Forwarded-Client-Cert',
    `Hash=${Buffer.from(victim.x5tS256, 'base64url').toString('hex')};Cert="${encodeURIComponent(victim.cert)}"`,
  ],
  ['ssl-client-cert', encodeURIComponent(victim.cert)],
  ['X-SSL-Client-Cert', victim.cert.replaceAll('\n', ' ').trim()],
  ['X-SSL-Client-Verify', 'SUCCESS'],
  ['X-Forwarded-Tls-Client-Cert', der.toString('base64')],
  ['X-Amzn-Mtls-Clientcert', encodeURIComponent(victim.cert)],
  ['X-ARR-ClientCert', der.toString('base64')],
  ['X-Client-Cert-Sha256-Fingerprint', victim.x5tS256],
]

t.test('Kong, Gravitee, PingGateway: a real certificate in a header proves nothing', async (t) => {
  const stolen = () =>
    changed((draft) => {
      certificateBound(draft, victim.x5tS256)
      draft.headers = [...IN_HEADERS]
    }, '/mtls')
  await refuses(t, lab, stolen(), 'certificate_missing', 'to whoever has no certificate')
  await refuses(t, lab, stolen(), 'certificate_mismatch', 'nor to whoever has one', { certificate: 'other' })
  for (const mode of MODES) t.equal(reasonOf(await sendTo(mode, stolen())), 'certificate_missing', mode)
  const both = changed((draft) => {
    boundTwice(draft, victim.x5tS256)
    draft.headers = [...IN_HEADERS]
  }, '/both')
  await refuses(t, lab, both, 'certificate_missing', 'nor beside a good proof')
  await grants(t, lab, certificateBound(changed(undefined, '/mtls'), victim.x5tS256), 'the victim itself', {
    certificate: 'client',
  })
})

t.test(
  'CVE-2026-46579: every header that speaks of a certificate is removed, on every listener, and plain HTTP is none',
  async (t) => {
    const [, block = ''] = /certificate[^\n]*\n([\s\S]*?)(?:\n#|$)/i.exec(removedHeadersMarkdown()) ?? []
    const names = [...block.matchAll(/^- `([^`]+)`/gm)].map(([, name = '']) => name.replace('*', 'Any'))
    t.ok(names.length >= 20, `${names.length} names`)
    for (const name of IN_HEADERS.map(([name]) => name.toLowerCase()))
      t.ok(
        names.some((listed) => listed.toLowerCase() === name || listed.endsWith('Any')),
        `${name} is of a listed family`,
      )
    const spoofs = [...IN_HEADERS.map(([name]) => name), ...names].flatMap((name) => [name, name.replaceAll('-', '_')])
    for (const mode of MODES) {
      const before = lab.calls.length
      for (let i = 0; i < spoofs.length; i += 80) {
        const draft = anonymous(changed(undefined, '/public'))
        draft.headers = spoofs.slice(i, i + 80).map((name): [string, string] => [name, 'spoofed'])
        t.equal((await sendTo(mode, draft)).status, 200)
      }
      const arrived = lab.calls.slice(before).flatMap(({ rawHeaders }) => pairsOf(rawHeaders))
      t.same(
        arrived.filter(([, value]) => value === 'spoofed'),
        [],
        mode,
      )
      t.equal(await plainAnswer(portOf(mode)), '', `${mode}: not a word to plain HTTP`)
    }
  },
)

/** What comes back when HTTP is spoken to a TLS port, but for a TLS alert. */
async function plainAnswer(port: number): Promise<string> {
  const { connect } = await import('node:net')
  return new Promise((resolve) => {
    let text = ''
    const socket = connect(port, '127.0.0.1', () =>
      socket.write(`GET /public HTTP/1.1\r\nHost: ${HOST}\r\nX-SSL-Client-Verify: SUCCESS\r\n\r\n`),
    )
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
    })
    socket.on('error', () => undefined)
    socket.on('close', () => resolve(text.includes('HTTP/') ? text : ''))
  })
}

t.test('CVE-2025-23419: a session of one listener is no certificate on another', async (t) => {
  const { cert, key } = victim
  for (const maxVersion of ['TLSv1.3', 'TLSv1.2'] as const) {
    for (const from of MODES) {
      const sessions = await sessionsOf(portOf(from), { maxVersion, cert, key })
      t.ok(sessions.length > 0, `${maxVersion} ${from}: it gives sessions`)
      // Back to the same listener too, where verdicts hang on the certificate.
      for (const to of MODES.filter((mode) => mode !== from || mode === 'pki')) {
        for (const session of sessions) {
          for (const servername of [HOST, 'localhost']) {
            const client = await openRaw(portOf(to), { maxVersion, session, servername })
            client.send(bytesOf(certificateBound(changed(undefined, '/mtls'), victim.x5tS256)))
            const { status, body } = await client.response()
            t.equal(client.socket.isSessionReused(), false, `${maxVersion} ${from} to ${to}`)
            const reason = servername === HOST ? 'certificate_missing' : 'host_unknown'
            t.equal(reasonOf({ status, body: body.toString() }), reason)
            client.close()
          }
        }
      }
    }
  }
})

/** Sessions that a server gives to a client. */
async function sessionsOf(port: number, options: ConnectionOptions): Promise<Buffer[]> {
  const sessions: Buffer[] = []
  const client = await openRaw(port, { servername: HOST, ...options })
  client.socket.on('session', (session) => sessions.push(session))
  client.send(bytesOf(anonymous(changed(undefined, '/public'))))
  // Tickets of TLS 1.3 come before the answer.
  await client.response()
  const last = client.socket.getSession()
  client.close()
  return last === undefined ? sessions : [...sessions, last]
}

const ofOurCa = (subject: string, names: readonly string[] = []): Promise<Credential> =>
  makeCertificate({ ca: lab.certificates.clientCa, ekus: ['client'], subject, names })

t.test('CVE-2025-66220: a certificate with a NUL in a name is refused, though a CA of ours signed it', async (t) => {
  const zoo = {
    'in a DNS name': await ofOurCa('CN=client-1', ['client-1.example\0.evil.example']),
    'at the end of one': await ofOurCa('CN=client-1', ['client-1.example\0']),
    'in its subject': await ofOurCa('CN=client-1\0evil'),
  }
  for (const [why, credential] of Object.entries(zoo)) {
    const before = lab.upstreamCalls()
    const reply = await sendTo('pki', certificateBound(changed(undefined, '/mtls'), credential.x5tS256), credential)
    t.equal(reasonOf(reply), 'certificate_invalid', why)
    t.equal(lab.upstreamCalls(), before)
  }
})

t.test('GHSA-w5w5-487h-qv8q: no text of a certificate reaches a header raw, nor splits a line', async (t) => {
  const injection = '\r\nX-Injected: 1\r\n\r\nGET /public?split HTTP/1.1\r\nHost: x'
  const zoo = {
    subject: await ofOurCa(`CN=client-1${injection}`),
    names: await ofOurCa('CN=client-1', [`a.example${injection}`]),
  }
  for (const [why, credential] of Object.entries(zoo)) {
    const before = lab.calls.length
    const reply = await sendTo('pki', certificateBound(changed(undefined, '/legacy'), credential.x5tS256), credential)
    t.equal(reasonOf(reply), 'granted', `${why}: it is odd, but of our CA, and nothing of it is read`)
    const calls = lab.calls.slice(before)
    t.same(
      calls.map(({ url }) => url),
      ['/legacy'],
      'one request arrived',
    )
    const headers = pairsOf(calls[0]?.rawHeaders ?? [])
    t.notOk(
      headers.some(([name, value]) => /injected/i.test(`${name}${value}`)),
      'without what was injected',
    )
    for (const name of ['Client-Cert', 'X-Cert'])
      t.same(
        headers.filter(([one]) => one === name).map(([, value]) => /^:[A-Za-z0-9+/=]+:$/.test(value)),
        [true],
        `${name} is base64`,
      )
  }
  // Each line of the audit file is JSON, else this throws.
  t.ok(lab.events().length > 0)
})
