// Headers that spoke for a client in other gateways, paths that gateway and upstream read in two ways, and bytes behind an Upgrade.
import { posix } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { RESERVED_HEADERS } from '../../src/verify/reserved-headers.js'
import { type Draft, printDraft } from '../support/draft.js'
import { openRawUpstream } from '../support/front.js'
import { anonymous } from '../support/kinds.js'
import { HOST, startLab } from '../support/lab.js'
import { casesOf, changed, grants, ISSUER, pairsOf, reasonOf, refuses } from './attack.js'

const refusing = await openRawUpstream(({ socket }) => {
  // Late, so that what came behind the handshake has had its time.
  setTimeout(() => socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno'), 60)
})
const lab = await startLab({
  store: 'memory',
  yaml: (parts) => {
    const url = /url: '([^']+)'/.exec(parts.upstreams ?? '')?.[1]
    return {
      ...parts,
      upstreams: `
  cases: { url: '${url}', audience: cases }
  refusing: { url: '${refusing.url}' }
  legacy: { url: '${url}', set_headers: { x-remote-USER: token.sub, X-REAL-ip: gateway, x_department: token.department } }`,
      routes: `${parts.routes}
  - { path: /legacy, methods: [GET], tier: bound_read, upstream: legacy, ${ISSUER} }
  - { path: '/files/*', methods: [GET], tier: bound_read, upstream: cases, ${ISSUER} }
  - { path: /ws, methods: [GET], tier: public, upstream: refusing, websocket: true }`,
    }
  },
})
t.teardown(async () => {
  await lab.stop()
  refusing.close()
})
const withHeaders = (headers: Draft['headers'], path?: string, method?: string) =>
  changed(
    (draft) => {
      draft.headers = headers
    },
    path,
    method,
  )
const arrived = () => pairsOf(lab.calls.at(-1)?.rawHeaders ?? [])
/** The environment that a CGI or WSGI application sees: names folded, values of the same name joined (RFC 3875 §4.1.18). */
function environment(): Record<string, string> {
  const seen: Record<string, string> = {}
  for (const [name, value] of arrived()) {
    const variable = `HTTP_${name.toUpperCase().replace(/[^A-Z0-9]/g, '_')}`
    seen[variable] = variable in seen ? `${seen[variable]}, ${value}` : value
  }
  return seen
}

t.test('CVE-2025-64484: no spelling of a reserved header reaches a CGI application', async (t) => {
  const names = Object.values(RESERVED_HEADERS).flatMap((lines) => lines.join(' ').split(' '))
  const spelt = names
    .map((name) => name.replace('*', 'Any'))
    .flatMap((name) => [
      ...casesOf(name),
      name.replaceAll('-', '_'),
      name.replaceAll('-', '_').toUpperCase(),
      name.replace(/[-_]/, '.'),
    ])
    // Those two are framing: with nonsense in them the whole request is refused.
    .filter((name) => !/^(?:transfer-encoding|expect)$/i.test(name))
  for (let i = 0; i < spelt.length; i += 90) {
    const spoofs = spelt.slice(i, i + 90).map((name): [string, string] => [name, 'spoofed'])
    const reply = await lab.send({ ...anonymous(changed(undefined, '/public')), headers: spoofs })
    t.equal(reply.status, 200, `${spoofs[0]?.[0]} and so on`)
    for (const [variable, value] of Object.entries(environment())) t.notMatch(value, /spoofed/, variable)
  }
  const user = withHeaders(
    ['X_Remote_User', 'x-remote_user', 'X.Remote.User', 'X-REMOTE-USER', 'X-Remote-User'].map((name) => [name, 'admin']),
    '/legacy',
  )
  await grants(t, lab, user)
  t.equal(environment().HTTP_X_REMOTE_USER, 'user-1', 'the operator’s is the only one')
})

t.test('CVE-2026-29054: Connection deletes no header of the proxy, in whatever case it names it', async (t) => {
  for (const name of [
    'X-Real-IP',
    'X-Remote-User',
    'X-Forwarded-For',
    'X-Forwarded-Proto',
    'X-Forwarded-Host',
    'Holdfast-Assertion',
  ]) {
    for (const spelt of casesOf(name)) {
      for (const value of [spelt, `close, ${spelt}`, `${spelt} ,keep-alive`, `,,${spelt}`]) {
        await grants(t, lab, withHeaders([['Connection', value]], '/legacy'), `Connection: ${value}`)
        t.equal(arrived().filter(([one]) => one.toLowerCase() === name.toLowerCase()).length, 1, `${name} is there`)
      }
    }
  }
})

t.test('CVE-2026-33433: a configured header is the only one of its name, however either side spells it', async (t) => {
  const copies = [...casesOf('X-Remote-User'), ...casesOf('X-Real-Ip'), 'X_Remote_User', 'X-Department', 'x-department']
  const spoofed = withHeaders(
    copies.map((name) => [name, 'admin']),
    '/legacy',
  )
  spoofed.token.claims.department = 'north'
  await grants(t, lab, spoofed)
  const { HTTP_X_REMOTE_USER, HTTP_X_REAL_IP, HTTP_X_DEPARTMENT } = environment()
  t.same([HTTP_X_REMOTE_USER, HTTP_X_REAL_IP, HTTP_X_DEPARTMENT], ['user-1', 'gateway', 'north'])
})

t.test('Kong 3.14: without the claim there is no header, the client’s least of all', async (t) => {
  for (const value of [undefined, null, '']) {
    const spoofed = withHeaders(
      [...casesOf('X-Department'), 'x_department', 'X_DEPARTMENT'].map((name) => [name, 'admin']),
      '/legacy',
    )
    spoofed.token.claims.department = value
    await grants(t, lab, spoofed, `the claim is ${value}`)
    t.equal(environment().HTTP_X_DEPARTMENT, undefined)
  }
})

const REWRITES = [
  ...[
    'x-envoy-original-path',
    'x-envoy-original-dst-host',
    'x-envoy-internal',
    'x-envoy-decorator-operation',
    'x-envoy-anything',
  ],
  ...[
    'X-Original-URL',
    'X-Original-URI',
    'X-Original-Path',
    'X-Rewrite-URL',
    'X-Forwarded-Uri',
    'X-Forwarded-Path',
    'Request-Uri',
  ],
]
const METHODS = ['X-HTTP-Method-Override', 'X-HTTP-Method', 'X-Method-Override', 'X-Forwarded-Method', 'X-Original-Method']
const spoofing = (path: string): Draft['headers'] => [
  ...REWRITES.map((name): [string, string] => [name, path]),
  ...METHODS.map((name): [string, string] => [name, 'GET']),
]

t.test('CVE-2023-27487, CVE-2024-45806: no header moves the path that is judged, nor reaches the upstream', async (t) => {
  const reply = await lab.send({ ...anonymous(changed(undefined, '/profile')), headers: spoofing('/public') })
  t.equal(reasonOf(reply), 'credentials_missing', 'what needs a token does, whatever path the headers claim')
  const poor = withHeaders(spoofing('/public'), '/partner')
  poor.token.claims.client_id = 'client-2'
  await refuses(t, lab, poor, 'client_not_allowed', 'the route is that of the request line')
  await grants(t, lab, withHeaders(spoofing('/admin')), 'an honest request beside them')
  const names = arrived().map(([name]) => name.toLowerCase())
  for (const name of [...REWRITES, ...METHODS]) t.notOk(names.includes(name.toLowerCase()), name)
  t.equal(lab.calls.at(-1)?.url, '/read/1')
})

t.test('CVE-2026-40575: a forwarded method or URI decides nothing, and nobody may ask for a decision here', async (t) => {
  for (const path of ['/read/1', '/profile', '/nonce']) {
    const bare = anonymous(withHeaders(spoofing('/public'), path))
    await refuses(t, lab, bare, 'credentials_missing', path)
  }
  await refuses(
    t,
    lab,
    withHeaders(spoofing('/public'), '/read/1', 'DELETE'),
    'method_not_allowed',
    'a method is that of the request line',
  )
  for (const path of ['/auth-request', '/forward-auth', '/ext-authz/public', '/envoy.service.auth.v3.Authorization/Check'])
    await refuses(t, lab, anonymous(withHeaders(spoofing('/public'), path)), 'route_unknown', path)
})

/** Three readings of one path, each as of a kind of upstream: a browser's URL, a web server's file, a servlet container's name. */
const READINGS: Readonly<Record<string, (path: string) => string>> = {
  'WHATWG URL': (path) => decode(new URL(path, 'http://upstream.internal').pathname),
  'a web server': (path) => posix.normalize(decode(path.split(/[?#]/, 1)[0] ?? '')).replaceAll('\\', '/'),
  'a servlet container': (path) => {
    const segments = path.split('/').map((segment) => decode(segment.split(';', 1)[0] ?? ''))
    return posix.normalize(segments.join('/'))
  },
}
/** As lax decoders do it: byte for byte, overlong UTF-8 included. */
function decode(text: string): string {
  const bytes = text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  return bytes.replace(/[\xc0\xc1]([\x80-\xbf])/g, (pair) =>
    String.fromCharCode(((pair.charCodeAt(0) & 3) << 6) | (pair.charCodeAt(1) & 63)),
  )
}

const ODD = [
  ...['..', '.', '%2e', '%2e%2e', '.%2E', '...', '..a', '', '%2f', '%2F..', '%5c', '\\', '\\..', '%5C..%5c', '..%2f..'],
  ...[
    ';',
    '..;',
    '..;x',
    ';..',
    'a;b',
    '%3b',
    '..%3B',
    'a;/../b',
    '%00',
    '%0a',
    '%09',
    '%7f',
    '%c0%af',
    '%c0%ae%c0%ae',
    '%e0%80%af',
  ],
  ...[
    '%252e%252e',
    '%252f',
    '%70',
    '%7E',
    'a%20b',
    'a+b',
    '%e9',
    '%C3%A9',
    '@',
    ':',
    'http:',
    '%',
    '%zz',
    '%2',
    '#',
    '#/..',
    '%23',
    '%3f',
  ],
]

t.test(
  'GHSA-p224-6x5r-fjpm, CVE-2026-42274, CVE-2026-15573, CVE-2026-0976: what is granted reads the same to every upstream',
  async (t) => {
    const client = await lab.open()
    t.teardown(() => client.close())
    let [granted, refused] = [0, 0]
    for (const odd of ODD) {
      for (const path of [
        `/files/${odd}`,
        `/files/${odd}/x`,
        `/files/x/${odd}/y`,
        `/files/x${odd}`,
        `/${odd}/files/x`,
        `/files/x/${odd}/`,
      ]) {
        const before = lab.upstreamCalls()
        client.send(printDraft(changed(undefined, path)))
        const { status, body } = await client.response()
        const reason = reasonOf({ status, body: body.toString() })
        if (reason !== 'granted') {
          refused += 1
          t.match(reason, /^(?:target_malformed|request_malformed|route_unknown|proof_target)$/, path)
          t.equal(lab.upstreamCalls(), before, path)
          continue
        }
        granted += 1
        const sent = lab.calls.at(-1)?.url ?? ''
        t.equal(sent, path, 'it arrives as it was sent')
        for (const [reader, read] of Object.entries(READINGS)) {
          const seen = read(sent)
          t.equal(seen, decode(path), `${path} to ${reader}`)
          t.ok(seen.startsWith('/files/'), 'and is on the route that was judged')
        }
      }
    }
    t.ok(granted > 40 && refused > 100, `${granted} granted, ${refused} refused`)
  },
)

t.test('CVE-2025-64763, CVE-2026-2833: what is sent behind an Upgrade stays here until the upstream has agreed', async (t) => {
  const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n'
  const head = `GET /ws HTTP/1.1\r\nHost: ${HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${key}\r\n`
  const second = `GET /ws?smuggled HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`
  for (const [together, behind] of [
    [true, second],
    [false, second],
    [true, '\x81\x02hi'],
  ] as const) {
    const before = refusing.hits.length
    const client = await lab.open()
    client.send(together ? head + behind : head)
    if (!together) {
      await sleep(20)
      client.send(behind)
    }
    t.equal((await client.response()).status, 403)
    t.equal(await client.ended(), '', 'one answer, and the connection ends')
    const hits = refusing.hits.slice(before)
    t.equal(hits.length, 1, 'the upstream saw one request')
    t.notMatch(hits[0]?.head, /smuggled/)
  }
  const tunnel = await lab.sendRaw(`CONNECT ${HOST}:443 HTTP/1.1\r\nHost: ${HOST}\r\n\r\n${second}`)
  t.ok(tunnel.status >= 400, `CONNECT is not served: ${reasonOf(tunnel)}`)
  for (const upgrade of ['h2c', 'foo', 'TLS/1.0']) {
    const before = lab.upstreamCalls()
    const lines = `Connection: Upgrade\r\nUpgrade: ${upgrade}\r\n\r\n`
    const client = await lab.open()
    client.send(`GET /public HTTP/1.1\r\nHost: ${HOST}\r\n${lines}GET /public?smuggled HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`)
    t.equal((await client.response()).status, 200)
    t.equal(await client.ended(), '', `${upgrade}: nothing behind it is served`)
    t.equal(lab.upstreamCalls(), before + 1)
  }
})
