import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type tls from 'node:tls'
import t from 'tap'
import type { Listener } from '../../src/config/config.js'
import { plainAddress } from '../../src/edge/peer.js'
import type { EdgeExchange } from '../../src/edge/server.js'
import type { PeerCertificate } from '../../src/verify/types.js'
import { type Credential, hoursFromNow, makeCa, makeCertificate, makeCrl, type Wanted } from '../support/certs.js'
import { echo, openTestEdge, type TestEdge } from '../support/edge.js'
import { ask, openRaw } from '../support/raw.js'

const GET = 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'

const ca = await makeCa('Client CA')
const intermediate = await makeCa('Client intermediate', { ca })
const foreign = await makeCa('Foreign CA')
const client = (wanted: Wanted = {}) => makeCertificate({ ca, ekus: ['client'], ...wanted })
const valid = await client()

/** What the edge says of a client with this certificate. */
async function seenAs(
  { port, seen }: TestEdge,
  { cert, key }: Pick<Credential, 'cert' | 'key'>,
  options: tls.ConnectionOptions = {},
) {
  await ask(port, GET, { cert, key, ...options })
  return seen.at(-1)?.connection.peer.certificate ?? null
}

const pki = (listener: Partial<Listener> = {}): Partial<Listener> => ({
  client_certificates: 'pki',
  client_ca: ca.cert,
  ...listener,
})

t.test('pki: the certificate zoo, without revocation lists', async (t) => {
  const edge = await openTestEdge({ listener: pki() })
  t.teardown(edge.close)

  const proven = await seenAs(edge, valid)
  t.match(proven, {
    x5tS256: valid.x5tS256,
    invalid: null,
    judged: true,
    subject: 'CN=client',
  } satisfies Partial<PeerCertificate>)
  t.ok(Math.abs((proven?.notBefore ?? 0) - (Date.now() / 1000 - 3600)) < 60, 'dates are epoch seconds')
  t.ok(Math.abs((proven?.notAfter ?? 0) - (Date.now() / 1000 + 3600)) < 60)
  t.equal(await seenAs(edge, (await client({ chain: [ca] })).issued).then((c) => c?.invalid), null)

  const good: Record<string, Credential> = {
    'through an intermediate': await client({ ca: intermediate, chain: [intermediate] }),
    'without extended key usage': await client({ ekus: [] }),
    'for clients and servers': await client({ ekus: ['server', 'client'] }),
    'with P-384': await client({ keyType: 'P-384' }),
    'with RSA of 2048 bits': await client({ keyType: 'RSA 2048' }),
    'with Ed25519': await client({ keyType: 'Ed25519' }),
    'with names': await client({ names: ['client.example', '192.0.2.1'] }),
  }
  for (const [why, credential] of Object.entries(good)) {
    t.match(await seenAs(edge, credential), { x5tS256: credential.x5tS256, invalid: null }, why)
  }

  const weakCa = await makeCa('Client CA', { keyType: 'P-256 with SHA-1' })
  const bad: Record<string, readonly [Credential, RegExp]> = {
    'self-signed': [await makeCertificate({ ekus: ['client'] }), /SELF_SIGNED/],
    'of another CA': [await client({ ca: foreign }), /UNABLE_TO_GET_ISSUER_CERT|UNABLE_TO_VERIFY/],
    'of another CA that comes with it': [await client({ ca: foreign, chain: [foreign] }), /SELF_SIGNED/],
    'of another CA with the name of ours': [await client({ ca: await makeCa('Client CA') }), /./],
    expired: [await client({ notBefore: hoursFromNow(-3), notAfter: hoursFromNow(-1) }), /EXPIRED/],
    'not valid yet': [await client({ notBefore: hoursFromNow(1), notAfter: hoursFromNow(2) }), /NOT_YET_VALID/],
    'for servers only': [await client({ ekus: ['server'] }), /INVALID_PURPOSE/],
    'a CA': [await client({ isCa: true }), /LEAF_IS_CA|INVALID_PURPOSE/],
    'a CA that may do all': [await client({ isCa: true, ekus: ['client', 'server'] }), /LEAF_IS_CA|INVALID_PURPOSE/],
    'our CA itself': [ca, /./],
    'of a missing intermediate': [await client({ ca: intermediate }), /UNABLE_TO_GET_ISSUER_CERT|UNABLE_TO_VERIFY/],
    'of a client of ours': [await client({ ca: valid, chain: [valid] }), /INVALID_CA|INVALID_PURPOSE|UNSPECIFIED|CERT/],
    'signed with SHA-1': [await client({ ca: await sha1(ca) }), /MD_TOO_WEAK|UNSPECIFIED/],
    'of an intermediate signed with SHA-1': [await client({ ca: weakCa, chain: [weakCa] }), /./],
    'with a NUL in a name': [await client({ names: ['good.example\0.evil.example'] }), /NUL/],
    'with a NUL in its subject': [await client({ subject: 'CN=good\0evil' }), /NUL/],
  }
  for (const [why, [credential, invalid]] of Object.entries(bad)) {
    const { x5tS256 } = credential
    // The client's own TLS library must be talked into some of them.
    const lax = { ciphers: 'DEFAULT@SECLEVEL=0' }
    t.match(await seenAs(edge, credential, lax), { x5tS256, judged: true, invalid }, `${why}: ${invalid}`)
    t.match(await seenAs(edge, credential, { ...lax, maxVersion: 'TLSv1.2' }), { x5tS256, invalid }, `${why}, in TLS 1.2`)
  }
  await ask(edge.port, GET)
  t.equal(edge.seen.at(-1)?.connection.peer.certificate, null, 'none')
})

/** The same CA, signing with SHA-1. */
async function sha1(credential: Credential): Promise<Credential> {
  return { ...credential, issued: { ...credential.issued, algorithm: { ...credential.issued.algorithm, hash: 'SHA-1' } } }
}

t.test('pki: a key that is too small does not pass', async (t) => {
  const edge = await openTestEdge({ listener: pki() })
  t.teardown(edge.close)
  const small = await client({ keyType: 'RSA 1024' })
  t.match(await seenAs(edge, small, { ciphers: 'DEFAULT@SECLEVEL=0' }), { x5tS256: small.x5tS256, invalid: /./ })
})

t.test('pki: revocation', async (t) => {
  const revoked = await client()
  const below = await client({ ca: intermediate, chain: [intermediate] })
  const invalidUnder = async (crl: readonly string[], credential: Credential) => {
    const edge = await openTestEdge({ listener: pki({ crl }) })
    const certificate = await seenAs(edge, credential)
    await edge.close()
    return certificate?.invalid
  }
  const own = await makeCrl(ca, [revoked])
  t.equal(await invalidUnder([own], valid), null, 'one that is not on the list')
  t.equal(await invalidUnder([own], revoked), 'CERT_REVOKED')
  t.equal(await invalidUnder([await makeCrl(ca, [], hoursFromNow(-1))], valid), 'CRL_HAS_EXPIRED', 'a list that is out of date')
  t.match(await invalidUnder([await makeCrl(foreign, [])], valid), /UNABLE_TO_GET_CRL/, "another CA's list")
  t.match(await invalidUnder([own], below), /UNABLE_TO_GET_CRL/, 'an intermediate without list')
  t.equal(await invalidUnder([own, await makeCrl(intermediate)], below), null, 'a list for each CA')
  t.equal(await invalidUnder([own, await makeCrl(intermediate, [below])], below), 'CERT_REVOKED')
  t.equal(
    await invalidUnder([await makeCrl(ca, [intermediate]), await makeCrl(intermediate)], below),
    'CERT_REVOKED',
    'its CA is revoked',
  )
})

t.test('pop_only: whatever certificate, its possession is what counts', async (t) => {
  const edge = await openTestEdge({ listener: { client_certificates: 'pop_only' } })
  t.teardown(edge.close)
  const zoo = {
    'self-signed': await makeCertificate(),
    'of any CA': await client({ ca: foreign }),
    expired: await makeCertificate({ notBefore: hoursFromNow(-3), notAfter: hoursFromNow(-1) }),
    'for servers': await makeCertificate({ ekus: ['server'] }),
  }
  for (const [why, credential] of Object.entries(zoo)) {
    t.match(await seenAs(edge, credential), { x5tS256: credential.x5tS256, invalid: null, judged: false }, why)
  }
  const { x5tS256 } = valid
  await t.rejects(seenAs(edge, { cert: valid.cert, key: (await client()).key }), 'not with the key of another')
  t.match(await seenAs(edge, await client({ ca: intermediate, chain: [intermediate, valid] })), { invalid: null })
  t.not(edge.seen.at(-1)?.connection.peer.certificate?.x5tS256, x5tS256, 'the leaf alone counts, not what is sent along')
})

t.test('off: no certificate is asked for', async (t) => {
  const edge = await openTestEdge()
  t.teardown(edge.close)
  t.equal(await seenAs(edge, valid), null)
})

/** Sessions that the server gave to a client. */
async function sessionsOf(port: number, options: tls.ConnectionOptions): Promise<readonly Buffer[]> {
  const sessions: Buffer[] = []
  const first = await openRaw(port, options)
  first.socket.on('session', (session) => sessions.push(session))
  first.send(GET)
  await first.response()
  await sleep(50)
  const session = first.socket.getSession()
  if (session !== undefined) sessions.push(session)
  first.close()
  return sessions
}

async function isResumed(port: number, options: tls.ConnectionOptions): Promise<boolean> {
  const sessions = await sessionsOf(port, options)
  for (const session of sessions) {
    const again = await openRaw(port, { ...options, session })
    again.send(GET)
    await again.response()
    const resumed = again.socket.isSessionReused()
    again.close()
    if (resumed) return true
  }
  return false
}

t.test('sessions', async (t) => {
  const { cert, key } = valid
  for (const maxVersion of ['TLSv1.3', 'TLSv1.2'] as const) {
    const judging = await openTestEdge({ listener: pki() })
    t.teardown(judging.close)
    t.equal(await isResumed(judging.port, { maxVersion, cert, key }), false, `${maxVersion}: never resumed in pki`)
    t.equal(await isResumed(judging.port, { maxVersion }), false, `${maxVersion}: nor without certificate`)

    const edge = await openTestEdge({ listener: { client_certificates: 'pop_only' } })
    t.teardown(edge.close)
    t.equal(await isResumed(edge.port, { maxVersion, cert, key }), true, `${maxVersion}: resumed in pop_only`)
    t.equal(edge.seen.at(-1)?.connection.peer.certificate?.x5tS256, valid.x5tS256, `${maxVersion}: with the certificate it had`)

    const other = await openTestEdge({ listener: { client_certificates: 'pop_only' } })
    t.teardown(other.close)
    const [session] = await sessionsOf(edge.port, { maxVersion, cert, key })
    const stranger = await openRaw(other.port, { maxVersion, ...(session === undefined ? {} : { session }) })
    t.equal(stranger.socket.isSessionReused(), false, `${maxVersion}: not by another listener`)
    stranger.close()
  }
})

t.test('a session of pop_only is worth nothing once the listener is pki', async (t) => {
  const { cert, key } = await makeCertificate()
  for (const maxVersion of ['TLSv1.3', 'TLSv1.2'] as const) {
    const { edge, port, seen, listener, close } = await openTestEdge({ listener: { client_certificates: 'pop_only' } })
    t.teardown(close)
    const sessions = await sessionsOf(port, { maxVersion, cert, key })
    edge.setTls({ ...listener, ...pki() })
    for (const session of sessions) {
      await ask(port, GET, { maxVersion, session, cert, key })
      t.match(seen.at(-1)?.connection.peer.certificate, { judged: true, invalid: /SELF_SIGNED/ })
    }
  }
})

const connected = (port: number): Promise<net.Socket> =>
  new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1', () => resolve(socket)).on('error', reject)
  })

t.test('a reload of CA or CRL', async (t) => {
  const { cert, key } = valid
  const begun: EdgeExchange[] = []
  const edge = await openTestEdge({
    listener: pki(),
    handle: (exchange) => void (exchange.rawTarget === '/slow' ? begun.push(exchange) : echo(exchange)),
  })
  t.teardown(edge.close)
  const idle = await openRaw(edge.port, { cert, key })
  const busy = await openRaw(edge.port, { cert, key })
  const bare = await openRaw(edge.port)
  busy.send(GET.replace('/', '/slow'))
  const shaking = await Promise.all([edge, edge].map(({ port }) => connected(port)))
  while (edge.edge.counts().open < 5) await sleep(5)

  edge.edge.setTls({ ...edge.listener, crl: [await makeCrl(ca, [valid])] })
  edge.edge.closeCertified()
  t.equal(await idle.ended(1000), '', 'ends what is idle and presented a certificate')
  if (begun[0] !== undefined) echo(begun[0])
  t.equal((await busy.response()).header('connection'), 'close', 'ends what is busy after its answer')
  t.equal(await busy.ended(1000), '')
  bare.send(GET)
  t.equal((await bare.response()).status, 200, 'leaves those without certificate alone')
  bare.close()
  const [certified, plain] = await Promise.all([
    openRaw(edge.port, { socket: shaking[0], cert, key }),
    openRaw(edge.port, { socket: shaking[1] }),
  ])
  certified?.send(GET)
  t.equal(
    await certified?.ended(),
    '',
    'ends what presented one in a handshake that was under way, and would be judged by what was',
  )
  plain?.send(GET)
  t.equal((await plain?.response())?.status, 200, 'and leaves other handshakes alone')
  plain?.close()
  t.match(await seenAs(edge, valid), { invalid: 'CERT_REVOKED' }, 'judges new handshakes anew')
})

t.test('another `client_certificates` holds for new connections, and ends those that presented one', async (t) => {
  const edge = await openTestEdge()
  t.teardown(edge.close)
  const { cert, key } = await makeCertificate()
  t.equal(await seenAs(edge, { cert, key }), null)
  const popOnly = { ...edge.listener, client_certificates: 'pop_only' } as const
  edge.edge.setTls(popOnly)
  t.match(await seenAs(edge, { cert, key }), { judged: false, invalid: null })
  const open = await openRaw(edge.port, { cert, key })
  open.send(GET)
  await open.response()
  edge.edge.setTls({ ...popOnly, tls: popOnly.tls && { ...popOnly.tls } })
  open.send(GET)
  t.equal((await open.response()).status, 200, 'not when only keys are new')
  edge.edge.setTls({ ...popOnly, ...pki() })
  t.equal(await open.ended(1000), '')
  t.match(await seenAs(edge, { cert, key }), { judged: true, invalid: /SELF_SIGNED/ })
})

t.test('plainAddress', async (t) => {
  t.equal(plainAddress('::ffff:192.0.2.1'), '192.0.2.1')
  t.equal(plainAddress('::ffff:1'), '::ffff:1')
  t.equal(plainAddress('2001:db8::1'), '2001:db8::1')
  t.equal(plainAddress(undefined), '')
})
