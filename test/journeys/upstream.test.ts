// What the backend sees of a granted request, and what the client sees of the backend (contract §6).
import { createHash } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createLocalJWKSet, jwtVerify } from 'jose'
import t from 'tap'
import { clientKey, type Draft, makeDraft, printDraft } from '../support/draft.js'
import { sha256 } from '../support/jwt.js'
import { HOST, startLab } from '../support/lab.js'

const draft = (path: string, method = 'GET'): Draft => makeDraft({ host: HOST, path, method })

t.test('the assertion says who, what and how, and verifies with the published keys', async (t) => {
  const lab = await startLab({ store: 'memory' })
  t.teardown(() => lab.stop())
  const published = await lab.sendRaw(`GET /.well-known/holdfast-jwks.json HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`)
  const keys = createLocalJWKSet(JSON.parse(published.body))
  const assertion = async () => {
    const call = lab.calls.at(-1)
    const { payload, protectedHeader } = await jwtVerify(String(call?.headers['holdfast-assertion']), keys, {
      issuer: 'https://gateway.example.com',
      audience: 'cases',
      typ: 'holdfast+jwt',
      algorithms: ['ES256'],
    })
    return { payload, protectedHeader, call }
  }

  const posted = draft('/tenants/tenant-1/decision?a=1&b=%20', 'POST')
  posted.body = Buffer.from('{"decision":"close"}')
  const reply = await lab.send(posted)
  t.equal(reply.status, 200)
  const { payload, call } = await assertion()
  t.match(payload, {
    tier: 'sensitive_write',
    route: '/tenants/:tenant/decision',
    htm: 'POST',
    htu: 'https://api.example.com/tenants/tenant-1/decision',
    qsh: createHash('sha256').update('a=1&b=%20').digest('base64url'),
    target: '/tenants/tenant-1/decision?a=1&b=%20',
    bdh: sha256('{"decision":"close"}'),
    sub: 'user-1',
    client_id: 'client-1',
    scope: 'case.read case.write payments',
    acr: 'urn:example:aal2',
    tenant: 'tenant-1',
    token: { iss: 'https://as.example.com', jti: String(posted.token.claims.jti) },
    binding: { method: 'dpop', jkt: clientKey.jkt },
    txn: reply.header('x-request-id') ?? '',
  })
  t.equal(payload.auth_time, posted.token.claims.auth_time)
  t.equal(Number(payload.exp) - Number(payload.iat), 30)
  t.equal(payload.report_only, undefined)
  t.equal(call?.url, '/tenants/tenant-1/decision?a=1&b=%20', 'byte for byte')
  t.equal(call?.body.toString(), '{"decision":"close"}')
  t.equal(call?.headers['x-request-id'], payload.txn)

  const open = draft('/public')
  open.credentials = () => []
  await lab.send(open)
  const anonymous = (await assertion()).payload
  t.same([anonymous.sub, anonymous.client_id, anonymous.binding], [undefined, undefined, { method: 'none' }])

  const short = draft('/read/1')
  short.token.claims.exp = short.now + 5
  await lab.send(short)
  t.equal((await assertion()).payload.exp, short.now + 5, 'never past the token’s own end')
})

t.test('headers that only we may set do not pass, in any spelling', async (t) => {
  const lab = await startLab({ store: 'memory' })
  t.teardown(() => lab.stop())
  const spoofed = draft('/read/1')
  spoofed.headers = [
    ['X-Remote-User', 'admin'],
    ['X_REMOTE_USER', 'admin'],
    ['x-client-cert', 'MIIB'],
    ['X-Forwarded-Client-Cert', 'Hash=1'],
    ['X-Forwarded-For', '127.0.0.1'],
    ['Forwarded', 'for=127.0.0.1'],
    ['Holdfast-Assertion', 'forged'],
    ['HOLDFAST_ASSERTION', 'forged'],
    ['X-Original-URL', '/admin'],
    ['X-HTTP-Method-Override', 'DELETE'],
    ['Cookie', 'session=1'],
    ['traceparent', '00-00000000000000000000000000000001-0000000000000001-01'],
    ['Connection', 'close, Holdfast-Assertion, X-Request-Id, x-kept'],
    ['X-Kept', 'not kept: Connection named it'],
    ['X-Mine', 'kept'],
  ]
  const reply = await lab.send(spoofed)
  t.equal(reply.status, 200)
  const headers = lab.calls.at(-1)?.headers ?? {}
  const names =
    lab.calls
      .at(-1)
      ?.rawHeaders.filter((_, i) => i % 2 === 0)
      .map((name) => name.toLowerCase()) ?? []
  for (const name of [
    'x-remote-user',
    'x_remote_user',
    'x-client-cert',
    'x-forwarded-client-cert',
    'holdfast_assertion',
    'x-original-url',
    'x-http-method-override',
    'cookie',
    'authorization',
    'dpop',
    'x-kept',
  ]) {
    t.notOk(names.includes(name), name)
  }
  t.equal(names.filter((name) => name === 'holdfast-assertion').length, 1)
  t.match(headers['holdfast-assertion'], /^eyJ/)
  t.equal(headers['x-forwarded-for'], '127.0.0.1', 'the real peer')
  t.equal(headers['x-forwarded-proto'], 'https')
  t.match(headers.forwarded, /^for=127\.0\.0\.1;proto=https;host=/)
  t.match(headers.via, /holdfast/)
  t.notMatch(headers.traceparent, /0000000000000001-01$/)
  t.equal(headers['x-mine'], 'kept')
  t.equal(headers['x-request-id'], reply.header('x-request-id'))
})

t.test('what the backend says of itself stays inside', async (t) => {
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    if (request.url === '/read/401') {
      response.writeHead(401, { 'WWW-Authenticate': 'NTLM' })
    } else {
      response.writeHead(302, {
        Location: `http://${request.headers.host}/read/2`,
        'Set-Cookie': 'a=b',
        'X-Accel-Redirect': '/internal',
        'DPoP-Nonce': 'theirs',
        Connection: 'X-Secret',
        'X-Secret': '1',
        'Client-Cert': ':AA==:',
        'Holdfast-Decision': 'allowed: case is open',
        'X-Theirs': 'passes',
      })
    }
    response.end('body')
  }
  const lab = await startLab({ store: 'memory', upstream: answer })
  t.teardown(() => lab.stop())
  const hidden = await lab.send(draft('/read/401'))
  t.equal(hidden.status, 502)
  t.equal(JSON.parse(hidden.body).reason, 'upstream_invalid')
  t.same(hidden.headers('www-authenticate'), [])
  const reply = await lab.send(draft('/read/1'))
  t.equal(reply.status, 302)
  t.equal(reply.header('location'), 'https://api.example.com/read/2')
  for (const name of ['set-cookie', 'x-accel-redirect', 'dpop-nonce', 'x-secret', 'client-cert', 'holdfast-decision']) {
    t.equal(reply.header(name), undefined, name)
  }
  t.equal(reply.header('x-theirs'), 'passes')
  const event = await lab.refusal(reply.header('x-request-id') ?? '')
  t.match(event, { decision: 'permit', domain_decision: 'allowed: case is open', upstream_status: 302 })
})

t.test('a WebSocket is judged on its handshake, and ends with its token', async (t) => {
  const lab = await startLab({
    store: 'memory',
    yaml: (parts) => ({
      ...parts,
      routes: `${parts.routes}  - { path: /events, methods: [GET], tier: bound_read, upstream: cases, websocket: true, issuers: [https://as.example.com] }\n`,
    }),
    upstream: (_, response) => void response.end('plain'),
    upgrade: (request, socket) => {
      const accept = createHash('sha1')
        .update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
        .digest('base64')
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
      )
      socket.on('data', (chunk: Buffer) => socket.write(chunk))
      socket.on('error', () => undefined)
    },
  })
  t.teardown(() => lab.stop())
  const handshake: Draft['headers'] = [
    ['Connection', 'Upgrade'],
    ['Upgrade', 'websocket'],
    ['Sec-WebSocket-Key', 'dGhlIHNhbXBsZSBub25jZQ=='],
    ['Sec-WebSocket-Version', '13'],
  ]
  const refused = draft('/events')
  refused.headers = handshake
  refused.proof = null
  t.equal((await lab.send(refused)).status, 401)
  const plain = draft('/read/1')
  plain.headers = handshake
  t.equal((await lab.send(plain)).status, 200, 'elsewhere an Upgrade is a plain request')

  const granted = draft('/events')
  granted.headers = handshake
  granted.token.claims.exp = granted.now + 3
  const client = await lab.open()
  t.teardown(() => client.close())
  client.send(printDraft(granted))
  t.equal((await client.response()).status, 101)
  client.send(Buffer.from([0x81, 0x82, 1, 2, 3, 4, 0x69, 0x6b]))
  const rest = await client.ended(6000)
  const bytes = Buffer.from(rest, 'latin1')
  t.same(bytes.subarray(0, 8), Buffer.from([0x81, 0x82, 1, 2, 3, 4, 0x69, 0x6b]), 'echoed')
  t.same(bytes.subarray(8), Buffer.from([0x88, 0x02, 0x03, 0xf0]), 'close 1008, when the token ended')
})
