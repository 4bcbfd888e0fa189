// Envoy asks by gRPC (contract §10): `envoy.service.auth.v3.Authorization/Check`, by a real client of gRPC on real sockets. Envoy itself:
// decision-api-peers.test.ts.
import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { connect } from 'node:net'
import type { MessageInitShape } from '@bufbuild/protobuf'
import { Code, ConnectError, type Transport } from '@connectrpc/connect'
import { createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node'
import t from 'tap'
import { type CheckResponse, checkMethod, type HeaderOption } from '../../src/decision-api/envoy-protocol.js'
import { ask, authRequest, type Client, clientOf, portOf, printQuestion, startDeciding } from '../support/asking.js'
import { makeCa, makeCertificate } from '../support/certs.js'
import type { Draft } from '../support/draft.js'
import { makePlace, serve, waitFor } from '../support/fleet.js'
import { exchangeOn } from '../support/http.js'
import { sha256 } from '../support/jwt.js'
import { HOST, type Lab, startLab } from '../support/lab.js'
import { openRaw } from '../support/raw.js'
import { freePort } from '../support/redis.js'

const method = checkMethod()

type Http = Record<string, unknown>
type Told = { readonly http?: Http; readonly headers?: Readonly<Record<string, string>> }

/** What Envoy says of a request: headers of one name in one, in lower case. The host is the one that it tells apart. */
function httpOf({ draft, lines, body }: Client, { http, headers = {} }: Told = {}): Http {
  const merged = new Map<string, string>([
    [':authority', draft.host],
    [':path', draft.target],
    ['host', 'elsewhere.example.com'],
    ['x-forwarded-for', '192.0.2.1'],
  ])
  for (const [name, value] of [...lines, ...Object.entries(headers)]) {
    const lower = name.toLowerCase()
    merged.set(lower, merged.has(lower) ? `${merged.get(lower)},${value}` : value)
  }
  return {
    id: '1',
    method: draft.method,
    path: draft.target,
    host: draft.host,
    scheme: 'https',
    headers: [...merged].map(([key, value]) => ({ key, value })),
    rawBody: body,
    ...http,
  }
}

const transportOf = (lab: Lab): Transport => createGrpcTransport({ baseUrl: `http://127.0.0.1:${portOf(lab)}` })

async function check(transport: Transport, http: Http | undefined): Promise<CheckResponse> {
  const init = { attributes: { request: http === undefined ? {} : { http } } } as MessageInitShape<typeof method.input>
  const { message } = await transport.unary(method, undefined, 10_000, undefined, init)
  return message as unknown as CheckResponse
}

const headerOf = (options: readonly HeaderOption[] | undefined, name: string): readonly string[] =>
  (options ?? []).filter(({ header }) => header.key.toLowerCase() === name).map(({ header }) => header.value)
const refusalOf = ({ deniedResponse }: CheckResponse): unknown =>
  deniedResponse && [deniedResponse.status.code, JSON.parse(deniedResponse.body).reason]

t.test('what may pass: headers to set and to remove, and those for the client', async (t) => {
  const lab = await startDeciding({
    upstreams: `{ cases: { url: 'http://127.0.0.1:1', audience: cases, set_headers: { X-Remote-User: token.sub, X-Left-Out: token.none } } }`,
  })
  t.teardown(() => lab.stop())
  const client = clientOf({ path: '/read/7?a=b' }, (draft) => {
    draft.headers = [
      ['X-Remote-User', 'admin'],
      ['X_Remote_User', 'admin'],
      ['X-Left-Out', 'admin'],
      ['Holdfast-Assertion', 'forged'],
      ['X-Real-IP', '6.6.6.6'],
      ['Cookie', 'a=b'],
      ['X-Custom', 'stays'],
      ['TE', 'trailers'],
      ['X-Forwarded-Proto', 'https'],
    ]
  })
  const { okResponse, status } = await check(transportOf(lab), httpOf(client))
  t.equal(status.code, 0)
  const set = okResponse?.headers
  t.strictSame(headerOf(set, 'x-remote-user'), ['user-1'])
  t.match(headerOf(set, 'holdfast-assertion'), [/^eyJ/])
  t.ok(
    set?.every(({ appendAction }) => appendAction === 2),
    'in place of what stands there',
  )
  t.strictSame(
    [...(okResponse?.headersToRemove ?? [])].sort(),
    ['authorization', 'cookie', 'dpop', 'x-left-out', 'x-real-ip', 'x_remote_user'],
    'but not what is set, nor what is Envoy’s own',
  )
  const [id] = headerOf(okResponse?.responseHeadersToAdd, 'x-request-id')
  t.strictSame(headerOf(set, 'x-request-id'), [id])
  t.match(await lab.refusal(id ?? ''), { decision: 'permit', route: '/read/:id', client_address: '192.0.2.1', path: '/read/7' })
})

t.test('a refusal is that of a request that comes to us', async (t) => {
  const lab = await startDeciding()
  t.teardown(() => lab.stop())
  const transport = transportOf(lab)
  const rows: readonly (readonly [status: number, reason: string, change: (draft: Draft) => void, told?: Told])[] = [
    [401, 'credentials_missing', (draft) => (draft.credentials = () => [])],
    [401, 'proof_missing', (draft) => (draft.proof = null)],
    [401, 'proof_target', (draft) => (draft.target = '/read/8')],
    [403, 'scope_missing', (draft) => (draft.token.claims.scope = 'case.read')],
    [404, 'route_unknown', (draft) => (draft.target = '/nothing')],
    [421, 'host_unknown', (draft) => (draft.host = 'elsewhere.example.com')],
    [401, 'proof_repeated', (draft) => (draft.credentials = twice('DPoP'))],
    [400, 'credentials_malformed', (draft) => (draft.credentials = twice('Authorization'))],
    [400, 'request_malformed', () => undefined, { http: { scheme: 'http' } }],
    [400, 'request_malformed', () => undefined, { http: { host: '' } }],
    [400, 'request_malformed', () => undefined, { http: { method: '' } }],
    [400, 'request_malformed', () => undefined, { http: { path: '' } }],
    [400, 'request_malformed', () => undefined, { http: { headers: [] } }],
  ]
  for (const [status, reason, change, told] of rows) {
    const answer = await check(transport, httpOf(clientOf({ path: '/read/7' }, change), told))
    t.strictSame(refusalOf(answer), [status, reason])
    t.equal(answer.status.code, status === 401 ? Code.Unauthenticated : Code.PermissionDenied)
    const headers = answer.deniedResponse?.headers
    t.strictSame(headerOf(headers, 'cache-control'), ['no-store'])
    t.match(await lab.refusal(headerOf(headers, 'x-request-id')[0] ?? ''), { decision: 'deny', reason })
  }
  const lines = clientOf({ path: '/read/7' }, (draft) => (draft.credentials = twice('Authorization'))).lines
  const raw = { headerMap: { headers: lines.map(([key, value]) => ({ key: key.toLowerCase(), rawValue: Buffer.from(value) })) } }
  const told = httpOf(clientOf({ path: '/read/7' }), { http: raw })
  t.strictSame(refusalOf(await check(transport, told)), [400, 'request_malformed'], 'the raw lines alone are read')
  raw.headerMap.headers.push({ key: 'x-forwarded-for', rawValue: Buffer.from('192.0.2.1') })
  t.strictSame(refusalOf(await check(transport, told)), [400, 'credentials_repeated'])
  t.strictSame(refusalOf(await check(transport, undefined)), [400, 'request_malformed'])
  const missing = await check(transport, httpOf(clientOf({ path: '/read/7' }, (draft) => (draft.credentials = () => []))))
  t.match(headerOf(missing.deniedResponse?.headers, 'www-authenticate'), [/^DPoP /, /^Bearer /])
})

const twice =
  (name: string): Draft['credentials'] =>
  ({ authorization, dpop }) =>
    [['Authorization', authorization] as [string, string], ['DPoP', dpop ?? ''] as [string, string]].flatMap((line) =>
      line[0] === name ? [line, line] : [line],
    )

t.test('a proof is spent, but the same request of Envoy’s is the same decision', async (t) => {
  const lab = await startDeciding()
  t.teardown(() => lab.stop())
  const transport = transportOf(lab)
  const client = clientOf({ path: '/read/7' })
  for (const [id, refusal] of [
    ['7', undefined],
    ['7', undefined],
    ['8', [401, 'proof_replayed']],
    ['', [401, 'proof_replayed']],
  ] as const)
    t.strictSame(refusalOf(await check(transport, httpOf(client, { http: { id } }))), refusal, id)
  t.equal((await ask(lab, authRequest(client))).status, 401)
})

t.test('bodies: whole, cut off, none, too large', async (t) => {
  const lab = await startDeciding()
  t.teardown(() => lab.stop())
  const transport = transportOf(lab)
  const path = '/tenants/tenant-1/decision'
  const post = (bytes: Buffer) => clientOf({ path, method: 'POST' }, (draft) => (draft.body = bytes))
  const bdh = ({ okResponse }: CheckResponse): unknown =>
    JSON.parse(Buffer.from(headerOf(okResponse?.headers, 'holdfast-assertion')[0]?.split('.')[1] ?? '', 'base64url').toString())
      .bdh
  const bytes = Buffer.from([0, 255, 1])
  const whole = { headers: { 'x-envoy-auth-partial-body': 'false' } }
  t.equal(bdh(await check(transport, httpOf(post(bytes), whole))), sha256(bytes))
  const text = { ...whole, http: { rawBody: Buffer.alloc(0), body: '{"ü":1}' } }
  t.equal(bdh(await check(transport, httpOf(post(bytes), text))), sha256(Buffer.from('{"ü":1}')))
  const empty = { headers: { 'content-length': '0' }, http: { rawBody: Buffer.alloc(0) } }
  t.equal(bdh(await check(transport, httpOf(post(bytes), empty))), undefined)
  const parts: readonly Told[] = [
    {},
    { http: { rawBody: Buffer.alloc(0) } },
    { headers: { 'x-envoy-auth-partial-body': 'true' } },
    { headers: { 'x-envoy-auth-partial-body': 'true', 'content-length': '0' } },
    { ...whole, http: { rawBody: Buffer.alloc(0) } },
    { headers: { 'content-length': '3' } },
  ]
  for (const told of parts) t.strictSame(refusalOf(await check(transport, httpOf(post(bytes), told))), [403, 'body_unavailable'])
  const lines = [...post(bytes).lines, ['x-envoy-auth-partial-body', 'false'], ['x-envoy-auth-partial-body', 'true']]
  const twice = { headerMap: { headers: lines.map(([key = '', value]) => ({ key: key.toLowerCase(), value })) } }
  twice.headerMap.headers.push({ key: 'x-forwarded-for', value: '192.0.2.1' })
  const marked = await check(transport, httpOf(post(bytes), { http: twice }))
  t.strictSame(refusalOf(marked), [403, 'body_unavailable'], 'two marks are none')
  const large = Buffer.alloc(1024 * 1024 + 1)
  t.strictSame(refusalOf(await check(transport, httpOf(post(large), whole))), [413, 'body_too_large'])
  const error = await check(transport, httpOf(post(Buffer.alloc(2 * 1024 * 1024)), whole)).catch(ConnectError.from)
  t.match(error, { code: Code.ResourceExhausted }, 'what no route takes is not read')
})

t.test('HTTP/1.1 and gRPC share the port, however the first bytes come; all else of HTTP/2 is not served', async (t) => {
  const lab = await startDeciding()
  t.teardown(() => lab.stop())
  const session = connectHttp2(`http://127.0.0.1:${portOf(lab)}`)
  t.teardown(() => session.destroy())
  for (const path of ['/', '/auth-request', '/envoy.service.auth.v3.Authorization/Other']) {
    const stream = session.request({ ':path': path, ':method': 'POST', 'content-type': 'application/grpc' })
    const [headers] = await once(stream, 'response')
    t.not(headers[':status'], 200, path)
    stream.close()
  }
  const slow = connect(portOf(lab), '127.0.0.1')
  t.teardown(() => slow.destroy())
  const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u0004\0\0\0\0\0'
  let received = Buffer.alloc(0)
  slow.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk])
  })
  for (const byte of preface) await new Promise((resolve) => slow.write(Buffer.from(byte, 'latin1'), resolve))
  await waitFor('settings', () => received.length > 9 && received[3] === 4)
  const other = connect(portOf(lab), '127.0.0.1')
  t.teardown(() => other.destroy())
  let text = ''
  other.on('data', (chunk) => {
    text += chunk
  })
  other.write('P')
  other.write('OST /auth-request HTTP/1.1\r\n\r\n')
  await waitFor('an answer', () => text.includes('HTTP/1.1 403'))
})

t.test('by mutual TLS it is chosen in the handshake, and a stranger has no answer', async (t) => {
  const ca = await makeCa('Hops CA')
  const certify = (name: string) => makeCertificate({ ca, names: [name], ekus: ['client'] })
  const [envoy, other] = await Promise.all([certify('envoy.internal'), certify('other.internal')])
  const client = await makeCertificate({ ekus: ['client'] })
  const decisionApi = (name: string): string =>
    `{ hop: { ca: hops.crt, names: [${name}] }, address: forwarded_for, tls: { key: server.key, cert: server.crt }, certificate: xfcc, client_certificates: pop_only }`
  const lab = await startLab({
    store: 'memory',
    files: { 'hops.crt': ca.cert },
    yaml: (defaults) => ({ ...defaults, decision_api: decisionApi('envoy.internal') }),
  })
  t.teardown(() => lab.stop())
  const as = ({ cert, key }: { cert: string; key: string }) =>
    createGrpcTransport({
      baseUrl: `https://127.0.0.1:${portOf(lab)}`,
      nodeOptions: { cert, key, servername: HOST, rejectUnauthorized: false },
    })
  const open = as(envoy)
  t.equal((await check(open, httpOf(clientOf({ path: '/read/7' })))).status.code, 0)
  t.strictSame(refusalOf(await check(as(other), httpOf(clientOf({ path: '/read/7' })))), [403, 'hop_untrusted'])
  const http1 = await openRaw(portOf(lab), { ...envoy, servername: HOST, ALPNProtocols: ['http/1.1'] })
  t.equal((await exchangeOn(http1, printQuestion(authRequest(clientOf({ path: '/read/7' }))))).status, 200)

  const bound = () =>
    clientOf({ path: '/mtls' }, (draft) => {
      Object.assign(draft, { scheme: 'Bearer', proof: null })
      draft.token.claims.cnf = { 'x5t#S256': client.x5tS256 }
    })
  const xfcc = { headers: { 'x-forwarded-client-cert': `Cert="${encodeURIComponent(client.cert)}"` } }
  t.equal((await check(open, httpOf(bound(), xfcc))).status.code, 0, 'a certificate that Envoy tells of')
  t.strictSame(refusalOf(await check(open, httpOf(bound()))), [401, 'certificate_missing'])

  await lab.reload((defaults) => ({ ...defaults, decision_api: decisionApi('other.internal') }))
  // A question that crosses the goodbye has none.
  const isRefused = () =>
    check(open, httpOf(clientOf({ path: '/read/7' }))).then(
      (answer) => refusalOf(answer) !== undefined,
      () => false,
    )
  await waitFor('another name in force on connections that were there', isRefused)
  t.equal((await check(as(other), httpOf(clientOf({ path: '/read/7' })))).status.code, 0)
})

t.test('workers: connections are given out as any, and whichever is asked again knows the request', async (t) => {
  const place = await makePlace(t)
  const port = await freePort()
  const gateway = await serve(t, place, {
    workers: 2,
    more: `decision_api: { port: ${port}, hop: loopback, address: forwarded_for }\n`,
  })
  const client = clientOf({ path: '/pay' })
  const served = new Set<number>()
  const isServedByBoth = async (): Promise<boolean> => {
    // A connection of its own.
    const sessions = new Http2SessionManager(`http://127.0.0.1:${port}`)
    const transport = createGrpcTransport({ baseUrl: `http://127.0.0.1:${port}`, sessionManager: sessions })
    const { okResponse } = await check(transport, httpOf(client))
    sessions.abort()
    const [id] = headerOf(okResponse?.headers, 'x-request-id')
    t.match(id, /./, 'may pass')
    served.add(await gateway.workerOf(id))
    return served.size === 2
  }
  await waitFor('both workers', isServedByBoth)
  gateway.child.kill('SIGTERM')
  t.equal(await gateway.ended, 0)
})

t.test('a drain answers what was asked, then says goodbye', async (t) => {
  const lab = await startDeciding({ drain: '4s' })
  const session = connectHttp2(`http://127.0.0.1:${portOf(lab)}`)
  await once(session, 'remoteSettings')
  const farewell = once(session, 'goaway')
  const closed = once(session, 'close')
  const stopped = lab.stop()
  await farewell
  await closed
  await stopped
  t.pass('the session ended before the gateway did')
})

t.test('a drain does not wait for who says nothing', async (t) => {
  const lab = await startDeciding({ drain: '100s', limits: '{ headers: 100s }' })
  const silent = connect(portOf(lab), '127.0.0.1')
  const ended = once(silent.resume(), 'close')
  await once(silent, 'connect')
  const { body } = await ask(lab, authRequest(clientOf({ path: '/read/7' })))
  t.equal(body, '')
  const began = performance.now()
  await lab.stop()
  await ended
  t.ok(performance.now() - began < 60_000)
})
