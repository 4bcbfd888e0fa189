// Client certificates on the whole gateway, where the tests of the edge alone do not reach: what a chain may do wrong, which listener a
// request came through, dates that pass and lists that change while a client is there, and what backends are told (RFC 8705, RFC 9440).
import { execFile } from 'node:child_process'
import { webcrypto } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ConnectionOptions } from 'node:tls'
import t from 'tap'
import { type Issued, loadX509, P256, privatePem } from '../../src/cli/x509.js'
import { ISSUER, pairsOf, reasonOf } from '../regressions/attack.js'
import { type Credential, hoursFromNow, makeCa, makeCertificate, makeCrl } from '../support/certs.js'
import { type Draft, makeDraft, printDraft } from '../support/draft.js'
import { exchange } from '../support/http.js'
import { anonymous, bearer, certificateBound } from '../support/kinds.js'
import { HOST, type LabYaml, startLab } from '../support/lab.js'
import { openRaw } from '../support/raw.js'

const MTLS_HOST = 'mtls.example.com'
const MODES = ['off', 'pki', 'pop_only'] as const
type Mode = (typeof MODES)[number]

/** `api.` asks for no certificate, `mtls.` does, side by side (contract §2 Listeners). */
const sideBySide = (parts: LabYaml): LabYaml => {
  const url = /url: '([^']+)'/.exec(parts.upstreams ?? '')?.[1]
  const pair = 'key: server.key, cert: server.crt'
  const both = `origins: [https://${MTLS_HOST}]`
  return {
    ...parts,
    public_origins: `[https://${HOST}, https://${MTLS_HOST}]`,
    listen: `
  - { host: 127.0.0.1, port: 8443, origins: [https://${HOST}], tls: { ${pair} } }
  - { host: 127.0.0.1, port: 8444, ${both}, tls: { ${pair}, client_certificates: pki, client_ca: client-ca.crt } }
  - { host: 127.0.0.1, port: 8445, ${both}, tls: { ${pair}, client_certificates: pop_only } }`,
    upstreams: `
  cases: { url: '${url}', audience: cases }
  legacy: { url: '${url}', client_cert: true }`,
    routes: `${parts.routes}
  - { path: /legacy, methods: [GET], tier: bound_read, upstream: legacy, ${ISSUER} }`,
  }
}

const lab = await startLab({ store: 'memory', yaml: sideBySide })
t.teardown(() => lab.stop())
const { clientCa, clients } = lab.certificates

const portOf = (mode: Mode): number => Number(lab.gateway.addresses[MODES.indexOf(mode)]?.split(':').at(-1))
const hostOf = (mode: Mode): string => (mode === 'off' ? HOST : MTLS_HOST)
type Pair = Pick<Credential, 'cert' | 'key'>
type Connection = Omit<ConnectionOptions, 'port'>

const request = (mode: Mode, path = '/mtls'): Draft => makeDraft({ host: hostOf(mode), path })
const send = (mode: Mode, draft: Draft, more: Connection = {}) =>
  exchange(printDraft(draft), { port: portOf(mode), servername: hostOf(mode), ...more })
const pairOf = ({ cert, key }: Pair): Pair => ({ cert, key })
/** A token that is bound to this very certificate, over a connection that has it. */
const own = async (mode: Mode, credential: Credential, more: Connection = {}): Promise<string> =>
  reasonOf(await send(mode, certificateBound(request(mode), credential.x5tS256), { ...pairOf(credential), ...more }))

t.test('denies certificate_mismatch and certificate_missing: 401, with the error in the Bearer challenge', async (t) => {
  const bound = (path?: string) => certificateBound(request('pki', path), clients.client.x5tS256)
  for (const path of ['/mtls', '/read/1', '/profile']) {
    const replies = {
      certificate_mismatch: await send('pki', bound(path), pairOf(clients.other)),
      certificate_missing: await send('pki', bound(path)),
    }
    for (const [reason, reply] of Object.entries(replies)) {
      t.equal(reply.status, 401)
      t.equal(reasonOf(reply), reason, path)
      for (const challenge of reply.headers('www-authenticate'))
        t.equal(/ error="invalid_token"/.test(challenge), challenge.startsWith('Bearer '), challenge)
    }
  }
  t.equal(reasonOf(await send('off', certificateBound(request('off'), clients.client.x5tS256))), 'certificate_missing')
})

type X509 = Awaited<ReturnType<typeof loadX509>>
type Extensions = (x509: X509) => InstanceType<X509['Extension']>[]

/** A certificate with just these extensions, which the house's own profiles do not have. */
async function special(subject: string, ca: Credential, extensions: Extensions, chain: readonly Credential[] = []) {
  const x509 = await loadX509()
  const keys = (await webcrypto.subtle.generateKey(P256, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair
  const certificate = await x509.X509CertificateGenerator.create({
    subject,
    issuer: ca.issued.subject,
    notBefore: hoursFromNow(-1),
    notAfter: hoursFromNow(1),
    publicKey: keys.publicKey,
    signingKey: ca.issued.keys.privateKey,
    signingAlgorithm: { ...P256 },
    extensions: extensions(x509),
  })
  const issued: Issued = {
    subject,
    cert: `${certificate.toString('pem')}\n`,
    key: privatePem(keys.privateKey),
    keys,
    algorithm: P256,
  }
  const x5tS256 = Buffer.from(await webcrypto.subtle.digest('SHA-256', certificate.rawData)).toString('base64url')
  const cert = [issued, ...chain].map((one) => one.cert).join('')
  return { ...clients.client, cert, key: issued.key, x5tS256, issued } satisfies Credential
}
const CA_USAGE = (x509: X509) => new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true)
const caOf = (name: string, ca: Credential, pathLength?: number, more: Extensions = () => []) =>
  special(`CN=${name}`, ca, (x509) => [new x509.BasicConstraintsExtension(true, pathLength, true), CA_USAGE(x509), ...more(x509)])
/** RFC 5280 §4.2.1.10: only names below client.example are permitted. */
const permitted = (name: string): Buffer => {
  const dns = Buffer.concat([Buffer.from([0x82, name.length]), Buffer.from(name)])
  const wrap = (tag: number, inside: Buffer) => Buffer.concat([Buffer.from([tag, inside.length]), inside])
  return wrap(0x30, wrap(0xa0, wrap(0x30, dns)))
}

t.test('denies certificate_invalid: chains that are longer, wider or older than their CAs allow', async (t) => {
  const leaf = (ca: Credential, chain: readonly Credential[], names: readonly string[] = []) =>
    makeCertificate({ ca, chain, names, ekus: ['client'] })
  const short = await caOf('No CA below', clientCa, 0)
  const below = await caOf('One below all the same', short)
  const narrow = await caOf('Names of ours', clientCa, undefined, (x509) => [
    new x509.Extension('2.5.29.30', true, permitted('client.example')),
  ])
  const forServers = await caOf('For servers', clientCa, undefined, (x509) => [
    new x509.ExtendedKeyUsageExtension(['1.3.6.1.5.5.7.3.1']),
  ])
  const past = await makeCa('Past', { ca: clientCa, notAfter: hoursFromNow(-0.5) })
  const signsNothing = await special('CN=May not sign', clientCa, (x509) => [
    new x509.BasicConstraintsExtension(true, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
  ])
  const unknown: Extensions = (x509) => [new x509.Extension('1.3.6.1.4.1.55555.1', true, Buffer.from([5, 0]))]
  const good = {
    'one CA below, as allowed': await leaf(short, [short]),
    'a permitted name': await leaf(narrow, [narrow], ['one.client.example']),
  }
  for (const [why, credential] of Object.entries(good)) t.equal(await own('pki', credential), 'granted', why)
  const bad = {
    'path length': await leaf(below, [below, short]),
    'name constraints': await leaf(narrow, [narrow], ['one.client.example', 'evil.example']),
    'usage of the CA': await leaf(forServers, [forServers]),
    'dates of the CA': await leaf(past, [past]),
    'key usage of the CA': await leaf(signsNothing, [signsNothing]),
    'a critical extension that nobody knows': await special('CN=client', clientCa, unknown),
    'the same subject of another CA with the same name': await makeCertificate({
      ca: await makeCa('Test client CA'),
      subject: 'CN=client-1',
      ekus: ['client'],
    }),
  }
  const calls = lab.upstreamCalls()
  for (const [why, credential] of Object.entries(bad)) t.equal(await own('pki', credential), 'certificate_invalid', why)
  t.equal(lab.upstreamCalls(), calls, 'the upstream is not asked')
  for (const [why, credential] of Object.entries(bad)) t.equal(await own('pop_only', credential), 'granted', `pop_only: ${why}`)
})

t.test(
  'denies certificate_mismatch: with pop_only anyone’s certificate is a certificate, and none but one is the right one',
  async (t) => {
    const victim = clients.selfSigned
    t.equal(await own('pop_only', victim), 'granted')
    const namesake = await makeCertificate({ subject: 'CN=client-1', ekus: ['client'] })
    for (const thief of [namesake, clients.client, clients.untrusted]) {
      const stolen = certificateBound(request('pop_only'), victim.x5tS256)
      t.equal(reasonOf(await send('pop_only', stolen, pairOf(thief))), 'certificate_mismatch')
    }
  },
)

t.test('denies token_unbound: no certificate makes up for a token that is not bound', async (t) => {
  for (const mode of ['pki', 'pop_only'] as const) {
    for (const path of ['/mtls', '/both', '/read/1'])
      t.equal(reasonOf(await send(mode, bearer(request(mode, path)), pairOf(clients.client))), 'token_unbound', `${mode} ${path}`)
    const dpop = request(mode)
    t.equal(
      reasonOf(await send(mode, dpop, pairOf(clients.client))),
      'binding_insufficient',
      `${mode}: nor for the other binding`,
    )
  }
})

t.test('denies host_unknown: a request that came through the listener or under the name of another', async (t) => {
  const calls = lab.upstreamCalls()
  const ask = async (mode: Mode, host: string, servername: string | undefined) => {
    const draft = makeDraft({ host, path: '/public' })
    const reply = await exchange(printDraft(anonymous(draft)), {
      port: portOf(mode),
      ...pairOf(clients.client),
      ...(servername === undefined ? {} : { servername }),
    })
    return reply.status
  }
  for (const mode of MODES) {
    const mine = hostOf(mode)
    const theirs = mine === HOST ? MTLS_HOST : HOST
    t.equal(await ask(mode, mine, mine), 200, `${mode}: both are its own`)
    t.equal(await ask(mode, mine.toUpperCase(), mine.toUpperCase()), 200, `${mode}: in any case`)
    t.equal(await ask(mode, mine, undefined), 200, `${mode}: no SNI, Host decides`)
    for (const [host, servername] of [
      [theirs, mine],
      [mine, theirs],
      [theirs, theirs],
      [theirs, undefined],
      [mine, `${mine}.`],
      [mine, 'unknown.example'],
    ] as const)
      t.equal(await ask(mode, host, servername), 421, `${mode}: Host ${host}, SNI ${servername}`)
  }
  t.equal(lab.upstreamCalls(), calls + 3 * MODES.length)
})

t.test('denies certificate_invalid: a certificate that expires under an open connection', async (t) => {
  // Dates of certificates have whole seconds.
  const end = new Date(Math.ceil(Date.now() / 1000) * 1000 + 2000)
  const brief = await makeCertificate({ ca: clientCa, ekus: ['client'], notAfter: end })
  const open = await Promise.all(
    (['pki', 'pop_only'] as const).map(async (mode) => {
      const client = await openRaw(portOf(mode), { servername: MTLS_HOST, ...pairOf(brief) })
      t.teardown(() => client.close())
      const ask = async () => {
        client.send(printDraft(certificateBound(request(mode), brief.x5tS256)))
        const { status, body } = await client.response()
        return reasonOf({ status, body: body.toString() })
      }
      return { mode, ask }
    }),
  )
  for (const { mode, ask } of open) t.equal(await ask(), 'granted', `${mode}, while it is valid`)
  await sleep(end.getTime() - Date.now() + 20)
  for (const { mode, ask } of open)
    t.equal(await ask(), mode === 'pki' ? 'certificate_invalid' : 'granted', `${mode}: dates are judged there or not at all`)
})

/** Whatever a server gives for coming back with. */
async function sessionsOf(mode: Mode, options: ConnectionOptions): Promise<readonly Buffer[]> {
  const client = await openRaw(portOf(mode), { servername: hostOf(mode), ...options })
  const sessions: Buffer[] = []
  client.socket.on('session', (session) => sessions.push(session))
  client.send(printDraft(anonymous(request(mode, '/public'))))
  await client.response()
  const last = client.socket.getSession()
  client.close()
  return last === undefined ? sessions : [...sessions, last]
}

t.test('denies certificate_invalid: a session from before the revocation brings nothing back', async (t) => {
  const revoked = await makeCertificate({ ca: clientCa, ekus: ['client'] })
  const versions = ['TLSv1.3', 'TLSv1.2'] as const
  const before = await Promise.all(versions.map((maxVersion) => sessionsOf('pki', { maxVersion, ...pairOf(revoked) })))
  t.equal(await own('pki', revoked), 'granted')
  lab.write('clients.crl', await makeCrl(clientCa, [revoked]))
  const withList = (parts: LabYaml) => ({
    ...parts,
    listen: parts.listen?.replace('client_ca: client-ca.crt', 'client_ca: client-ca.crt, crl: [clients.crl]') ?? '',
  })
  await lab.reload(withList)
  t.teardown(() => lab.reload((parts) => parts))
  for (const [i, maxVersion] of versions.entries()) {
    for (const session of before[i] ?? []) {
      t.equal(await own('pki', revoked, { maxVersion, session }), 'certificate_invalid', `${maxVersion}, with the certificate`)
      const bare = certificateBound(request('pki'), revoked.x5tS256)
      t.equal(reasonOf(await send('pki', bare, { maxVersion, session })), 'certificate_missing', `${maxVersion}, without`)
    }
  }
  t.equal(await own('pki', clients.client), 'granted', 'others of the CA go on')
})

/** What openssl s_client tells of the sessions that it gets. */
function sessionsTold(mode: Mode): Promise<string> {
  const given = ['s_client', '-connect', `127.0.0.1:${portOf(mode)}`, '-servername', hostOf(mode), '-tls1_3', '-ign_eof']
  return new Promise((resolve) => {
    const child = execFile('openssl', given, { timeout: 5000 }, (_, stdout) => resolve(stdout))
    child.stdin?.on('error', () => undefined)
    child.stdin?.end(`GET /public HTTP/1.1\r\nHost: ${hostOf(mode)}\r\nConnection: close\r\n\r\n`)
  })
}

const hasOpenssl = await new Promise<boolean>((resolve) => execFile('openssl', ['version'], (error) => resolve(error === null)))

t.test('no session allows early data (RFC 8446 §4.6.1)', { skip: hasOpenssl ? false : 'openssl is not installed' }, async (t) => {
  for (const mode of MODES) {
    const allowed = [...(await sessionsTold(mode)).matchAll(/Max Early Data: (\d+)/g)].map(([, bytes]) => bytes)
    t.ok(allowed.length > 0, `${mode}: there are sessions`)
    t.same([...new Set(allowed)], ['0'], mode)
  }
})

t.test('tells a backend of the proven certificate alone, once, whatever the client says of it', async (t) => {
  const der = Buffer.from(clients.client.cert.replace(/-----[^-]+-----|\s/g, ''), 'base64').toString('base64')
  const spoofs: [string, string][] = [
    ['Client-Cert', ':Zm9yZ2Vk:'],
    ['client-cert', ':Zm9yZ2Vk:, :Zm9yZ2Vk:'],
    ['Client_Cert', ':Zm9yZ2Vk:'],
    ['Client-Cert-Chain', ':Zm9yZ2Vk:'],
  ]
  const told = async (mode: Mode, draft: Draft, credential?: Credential) => {
    draft.headers = [...draft.headers, ...spoofs]
    const calls = lab.upstreamCalls()
    t.equal(reasonOf(await send(mode, draft, credential === undefined ? {} : pairOf(credential))), 'granted')
    t.equal(lab.upstreamCalls(), calls + 1)
    const lines = pairsOf(lab.calls.at(-1)?.rawHeaders ?? [])
    return lines.filter(([name]) => /^client.cert/i.test(name))
  }
  for (const mode of ['pki', 'pop_only'] as const) {
    const bound = certificateBound(request(mode, '/legacy'), clients.client.x5tS256)
    t.same(await told(mode, bound, clients.client), [['Client-Cert', `:${der}:`]], `${mode}: one byte sequence, on one line`)
    t.same(
      await told(mode, request(mode, '/legacy'), clients.client),
      [],
      `${mode}: presented, and not what the token is bound to`,
    )
    const elsewhere = certificateBound(request(mode), clients.client.x5tS256)
    t.same(await told(mode, elsewhere, clients.client), [], `${mode}: an upstream that did not ask for it`)
  }
  t.same(await told('off', request('off', '/legacy')), [], 'where there are no certificates')
  t.same(await told('off', anonymous(request('off', '/public'))), [], 'nor on a public route')
})

t.test('an answer brings no certificate back, and one that varies by certificate is not stored', async (t) => {
  const answers = ['Client-Cert', 'Accept, client-cert', 'Client-Cert-Chain']
  const varied = await startLab({
    store: 'memory',
    upstream: ({ url }, response) => {
      const vary = answers[Number(url?.split('/').at(-1))] ?? ''
      response.writeHead(200, { Vary: vary, 'Client-Cert': ':AA==:', 'Client-Cert-Chain': ':AA==:' }).end()
    },
  })
  t.teardown(() => varied.stop())
  for (const i of answers.keys()) {
    const reply = await varied.send(makeDraft({ host: HOST, path: `/read/${i}` }))
    t.same(reply.headers('vary'), ['*'])
    t.same([...reply.headers('client-cert'), ...reply.headers('client-cert-chain')], [])
  }
})
