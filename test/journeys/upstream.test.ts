// What the backend sees of a granted request, and what the client sees of the backend (contract §6).
import { createHash } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createLocalJWKSet, jwtVerify } from 'jose'
import t from 'tap'
import { clientKey, type Draft, makeDraft, printDraft } from '../support/draft.js'
import { sha256 } from '../support/jwt.js'
import { bearer, boundTwice, certificateBound, anonymous as withoutCredentials } from '../support/kinds.js'
import { HOST, type Lab, type LabYaml, startLab } from '../support/lab.js'

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

/** An upstream whose own paths begin elsewhere, and routes that are moved. */
const moved = (parts: LabYaml): LabYaml => {
  const port = /127\.0\.0\.1:(\d+)/.exec(parts.upstreams ?? '')?.[1]
  const route = (path: string, more: string) =>
    `  - { path: '${path}', methods: [GET, POST], tier: bound_read, issuers: [https://as.example.com], ${more} }\n`
  return {
    ...parts,
    upstreams: `
  cases: { url: 'http://127.0.0.1:${port}', audience: cases }
  based: { url: 'http://127.0.0.1:${port}/base', audience: based }
  trusting: { url: 'http://127.0.0.1:${port}', audience: trusting, preserve_host: true, pass_token: true, pass_headers: [cookie, x-api-key],
    client_cert: true, set_headers: { X-Remote-User: token.sub, X-Tenant-Id: token.tenant_id, X-Roles: token.roles } }`,
    routes: `${parts.routes}
${route('/files/*', 'upstream: based, strip_prefix: /files, add_prefix: /v2/store')}${route('/all/*', 'upstream: cases, strip_prefix: /all')}${route('/plain/*', 'upstream: based')}${route('/trusting', 'upstream: trusting')}`,
  }
}

/** The claims of the assertion that the upstream got last; its signature is the business of the first test. */
const claimsOf = (lab: Lab): Record<string, unknown> => {
  const [, payload = ''] = String(lab.calls.at(-1)?.headers['holdfast-assertion']).split('.')
  return JSON.parse(Buffer.from(payload, 'base64url').toString())
}

t.test('the assertion has these members and no others, for each kind of grant', async (t) => {
  const lab = await startLab({ store: 'memory', yaml: moved })
  t.teardown(() => lab.stop())
  const certificate = { certificate: 'client' } as const
  const x5t = lab.thumbprint('client')
  const always = ['aud', 'binding', 'exp', 'htm', 'htu', 'iat', 'iss', 'jti', 'route', 'target', 'tier', 'txn']
  const ofToken = ['acr', 'auth_time', 'client_id', 'scope', 'sub', 'token']
  const posted = draft('/tenants/tenant-1/decision?', 'POST')
  posted.body = Buffer.from('x')
  const machine = bearer(draft('/profile'))
  for (const name of ['scope', 'acr', 'auth_time']) delete machine.token.claims[name]
  const rows: [Draft, { binding: object; more: string[]; target?: string }][] = [
    [withoutCredentials(draft('/public')), { binding: { method: 'none' }, more: [] }],
    [draft('/public?x'), { binding: { method: 'none' }, more: ['qsh'] }],
    [machine, { binding: { method: 'none' }, more: ['client_id', 'sub', 'token'] }],
    [bearer(draft('/profile')), { binding: { method: 'none' }, more: ofToken }],
    [draft('/profile'), { binding: { method: 'dpop', jkt: clientKey.jkt }, more: ofToken }],
    [certificateBound(draft('/mtls'), x5t), { binding: { method: 'mtls', 'x5t#S256': x5t }, more: ofToken }],
    [boundTwice(draft('/both'), x5t), { binding: { method: 'both', jkt: clientKey.jkt, 'x5t#S256': x5t }, more: ofToken }],
    [posted, { binding: { method: 'dpop', jkt: clientKey.jkt }, more: [...ofToken, 'tenant', 'bdh', 'qsh'] }],
    [
      draft('/tenants/tenant-1/decision', 'POST'),
      { binding: { method: 'dpop', jkt: clientKey.jkt }, more: [...ofToken, 'tenant'] },
    ],
    [
      draft('/files/a%20b/%7ec?q=/files/'),
      {
        binding: { method: 'dpop', jkt: clientKey.jkt },
        more: [...ofToken, 'qsh'],
        target: '/base/v2/store/a%20b/%7ec?q=/files/',
      },
    ],
  ]
  const ids = new Set<unknown>()
  for (const [request, { binding, more, target }] of rows) {
    const reply = await lab.send(request, certificate)
    t.equal(reply.status, 200, `${request.target} ${reply.body}`)
    const claims = claimsOf(lab)
    t.same(Object.keys(claims).sort(), [...always, ...more].sort(), request.target)
    t.same(claims.binding, binding)
    t.equal(claims.target, target ?? request.target)
    t.equal(claims.target, lab.calls.at(-1)?.url, 'what was sent')
    t.equal(claims.htu, `https://${HOST}${request.target.split('?')[0]}`)
    t.equal(claims.txn, reply.header('x-request-id'))
    ids.add(claims.jti)
  }
  t.equal(ids.size, rows.length)
})

t.test('paths are moved by whole segments, and otherwise come as they were sent', async (t) => {
  const lab = await startLab({ store: 'memory', yaml: moved })
  t.teardown(() => lab.stop())
  for (const [target, url] of [
    ['/files/x', '/base/v2/store/x'],
    ['/fil%65s/x/', '/base/v2/store/x/'],
    ['/files/a/b?c=d&c=%2F', '/base/v2/store/a/b?c=d&c=%2F'],
    ['/all/files/%C3%a9', '/files/%C3%a9'],
    ['/plain/x', '/base/plain/x'],
  ] as const) {
    const reply = await lab.send(draft(target))
    t.equal(reply.status, 200, `${target} ${reply.body}`)
    t.equal(lab.calls.at(-1)?.url, url)
  }
  const calls = lab.upstreamCalls()
  const beside = ['/files', '/files/', '/filesx', '/Files/x']
  const tricks = ['/files/../x', '/files/%2e%2e/x', '/files/..%2fx', '/files//x', '/files/..\\x', '/files/x;y', '/files/%00']
  for (const target of beside) t.equal(JSON.parse((await lab.send(draft(target))).body).reason, 'route_unknown', target)
  for (const target of tricks) t.equal(JSON.parse((await lab.send(draft(target))).body).reason, 'target_malformed', target)
  t.equal(lab.upstreamCalls(), calls)
})

t.test('forty names that only we may set, in every spelling, duplicates and trailers: none passes, on any tier', async (t) => {
  const lab = await startLab({ store: 'memory' })
  t.teardown(() => lab.stop())
  const names = [
    'Client-Cert Client-Cert-Chain X-Forwarded-Client-Cert X-Forwarded-Tls-Client-Cert-Info ssl-client-verify X-SSL-Client-S-DN',
    'X-Amzn-Mtls-Clientcert CloudFront-Viewer-Cert-Sha256 X-ARR-ClientCert X-Client-Cert-Present Remote-User Remote-Groups X-Remote-User',
    'X-Remote-Extra-Scopes X-Forwarded-User X-Forwarded-Email X-Auth-Request-User X-Auth-Request-Anything X-Consumer-ID X-Userinfo',
    'X-User-Id X-Roles X-Tenant-Id X-Goog-Iap-Jwt-Assertion X-Amzn-Oidc-Data X-MS-CLIENT-PRINCIPAL X-WEBAUTH-USER X-JWT-Assertion',
    'SM-USER OIDC-CLAIM-sub Txn-Token Holdfast-Assertion Holdfast-Anything X-Real-IP True-Client-IP X-Original-URL X-Rewrite-URL',
    'X-HTTP-Method-Override X-Middleware-Subrequest X-Envoy-Original-Path X-Forwarded-Prefix Proxy X-Api-Key X-B3-TraceId Early-Data',
  ].flatMap((line) => line.split(' '))
  t.ok(names.length >= 40)
  const spellings = names.flatMap((name) => [
    name,
    name.toUpperCase().replaceAll('-', '_'),
    name.toLowerCase().replace('-', '_'),
    name.replaceAll('-', '.'),
  ])
  for (const make of [() => draft('/read/1', 'POST'), () => withoutCredentials(draft('/public', 'POST'))]) {
    // A hundred header lines are the limit, so in portions; each name before and behind the credentials.
    for (let from = 0; from < spellings.length; from += 40) {
      const portion = spellings.slice(from, from + 40)
      const request = make()
      const { credentials } = request
      request.credentials = (lines) => [
        ...portion.map((name): [string, string] => [name, 'spoofed-before']),
        ...credentials(lines),
      ]
      request.headers = [
        ...portion.map((name): [string, string] => [name, 'spoofed-behind']),
        ['Connection', 'holdfast-assertion, X-REQUEST-ID, forwarded, via, x-forwarded-for, traceparent, host'],
        ['Transfer-Encoding', 'chunked'],
      ]
      const trailers = 'X-Remote-User: spoofed-trailer\r\nAuthorization: spoofed-trailer\r\nX-New: spoofed-trailer\r\n'
      const reply = await lab.sendRaw(Buffer.concat([printDraft(request), Buffer.from(`2\r\n{}\r\n0\r\n${trailers}\r\n`)]))
      t.equal(reply.status, 200, reply.body)
      const call = lab.calls.at(-1)
      t.notMatch(call?.rawHeaders.join('\n'), /spoofed/)
      t.equal(call?.body.toString(), '{}')
      t.same(call?.trailers, [])
      for (const ours of ['holdfast-assertion', 'x-request-id', 'forwarded', 'via', 'x-forwarded-for', 'traceparent', 'host']) {
        const lines = call?.rawHeaders.filter((name, i) => i % 2 === 0 && name.toLowerCase() === ours)
        t.equal(lines?.length, 1, `${ours}, named by Connection, is there once`)
      }
    }
  }
})

t.test('a backend that can not be changed gets the headers it trusts, from the token alone', async (t) => {
  const lab = await startLab({ store: 'memory', yaml: moved })
  t.teardown(() => lab.stop())
  const x5t = lab.thumbprint('client')
  const request = boundTwice(draft('/trusting'), x5t)
  request.headers = [
    ['X-Remote-User', 'admin'],
    ['x_tenant_id', 'tenant-2'],
    ['X-Roles', 'admin'],
    ['Client-Cert', ':AA==:'],
    ['Cookie', 'a=1'],
    ['Cookie', 'b=2'],
    ['X-Api-Key', 'key'],
  ]
  t.equal((await lab.send(request, { certificate: 'client' })).status, 200)
  const headers = lab.calls.at(-1)?.headers ?? {}
  t.match(headers, { 'x-remote-user': 'user-1', 'x-tenant-id': 'tenant-1', cookie: 'a=1; b=2', 'x-api-key': 'key', host: HOST })
  t.match(headers.authorization, /^DPoP /)
  t.match(headers.dpop, /^eyJ/)
  t.notOk('x-roles' in headers, 'a claim that is not there is no header')
  t.notOk('x_tenant_id' in headers)
  const der = Buffer.from(String(headers['client-cert']).replaceAll(':', ''), 'base64')
  t.equal(sha256(der), x5t)
  const broken = draft('/trusting')
  broken.token.claims.sub = 'user\u00e9'
  t.equal(JSON.parse((await lab.send(broken)).body).reason, 'upstream_invalid', 'never repaired')
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

t.test('a Location of the backend is one of ours again', async (t) => {
  const rows: readonly [location: string, seen: string][] = [
    ['/base/v2/store/new?x#y', '/files/new?x#y'],
    ['http://BACKEND/base/v2/store/new', `https://${HOST}/files/new`],
    ['http://BACKEND/elsewhere', `https://${HOST}/elsewhere`],
    ['https://other.example.com/base/v2/store/new', 'https://other.example.com/base/v2/store/new'],
    ['new', 'new'],
  ]
  const lab = await startLab({
    store: 'memory',
    yaml: moved,
    upstream: (request, response) => {
      const [location] = rows[Number(request.url?.split('/').at(-1))] ?? ['']
      response.writeHead(201, { Location: location.replace('BACKEND', String(request.headers.host)) }).end()
    },
  })
  t.teardown(() => lab.stop())
  for (const [index, [location, seen]] of rows.entries()) {
    t.equal((await lab.send(draft(`/files/${index}`))).header('location'), seen, location)
  }
})

t.test('a WebSocket is judged on its handshake, and ends with its token', async (t) => {
  const lab = await startLab({
    store: 'memory',
    yaml: (parts) => ({
      ...parts,
      routes: `${parts.routes}  - { path: /events, methods: [GET], tier: bound_read, upstream: cases, websocket: true, issuers: [https://as.example.com] }\n`,
    }),
    upstream: (request, response) => {
      t.notMatch(Object.keys(request.headers).join(), /sec-websocket|upgrade/)
      response.end('plain')
    },
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

  const staying = draft('/events')
  staying.headers = handshake
  const last = await lab.open()
  t.teardown(() => last.close())
  last.send(printDraft(staying))
  t.equal((await last.response()).status, 101)
  await Promise.all([
    lab.gateway.drain(),
    last.ended().then((said) => t.same(Buffer.from(said, 'latin1'), Buffer.from([0x88, 0x02, 0x03, 0xe9]), '1001: going away')),
  ])
})
