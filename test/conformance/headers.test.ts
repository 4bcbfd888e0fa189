// SPF-00 to SPF-08: each name that only we may set, on every way that a header can take to the upstream or back: header lines before and
// behind others, `Connection`, trailers, WebSocket handshakes and their answers, public, proven and refused requests.
import { createHash } from 'node:crypto'
import t, { type Test } from 'tap'
import { RESERVED_HEADERS } from '../../src/verify/reserved-headers.js'
import { type Draft, makeDraft, printDraft } from '../support/draft.js'
import { anonymous, bearer } from '../support/kinds.js'
import { HOST, startLab } from '../support/lab.js'

const MARK = 'spoofed'
/** Whole names, and a member of each family; that none is missing from the list is shown in test/verify/reserved-headers.test.ts. */
const NAMES = Object.values(RESERVED_HEADERS)
  .flatMap((lines) => lines.flatMap((line) => line.split(' ')))
  .map((name) => name.replace('*', 'Any-Member'))
/** Names that frame or route the message itself, whose values have rules of their own. */
const OWN_RULES = /^(?:connection|transfer-encoding|upgrade|expect|authorization|dpop)$/i
const names = NAMES.filter((name) => !OWN_RULES.test(name))
const spellings = (name: string): readonly string[] => [
  name,
  name.toLowerCase().replaceAll('-', '_'),
  name.toUpperCase(),
  name.replaceAll('-', '.'),
  name.replace('-', '_'),
]

/** What the upstream was given with a handshake, flat. */
let handshakes: string[][] = []
/** More lines of its 101. */
let accepted = ''
const lab = await startLab({
  store: 'memory',
  yaml: (parts) => ({
    ...parts,
    limits: '{ header_count: 600, header_bytes: 64KiB }',
    tiers: `${parts.tiers}  open: { extends: public, rate_limit: off }\n`,
    routes: `${parts.routes?.replaceAll('tier: public', 'tier: open')}
  - { path: /socket, methods: [GET], tier: bound_read, upstream: cases, websocket: true, issuers: [https://as.example.com] }`,
  }),
  upgrade: (request, socket) => {
    handshakes.push(request.rawHeaders)
    const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`
    const accept = createHash('sha1').update(key).digest('base64')
    const head = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n'
    socket.end(`${head}Sec-WebSocket-Accept: ${accept}\r\n${accepted}\r\n`)
  },
})
t.teardown(() => lab.stop())

const draft = (path: string, method = 'GET') => makeDraft({ host: HOST, path, method })
const ROUTES: Readonly<Record<string, () => Draft>> = {
  'a public route': () => anonymous(draft('/public', 'POST')),
  'a bearer token': () => bearer(draft('/profile', 'POST')),
  'a proof': () => draft('/read/1', 'POST'),
  'a body that is held': () => draft('/tenants/tenant-1/decision', 'POST'),
}
const OURS = [
  'holdfast-assertion',
  'x-request-id',
  'forwarded',
  'via',
  'x-forwarded-for',
  'x-forwarded-host',
  'traceparent',
  'host',
]
const KEPT: [string, string] = ['X-Kept', 'yes']

/** Nothing of the client's under a reserved name, ours each once, and what is the client's own as it was. */
function checkForwarded(t: Test, raw: readonly string[]): void {
  t.notMatch(raw.join('\n'), MARK)
  const lower = raw.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase())
  for (const ours of OURS) t.equal(lower.filter((name) => name === ours).length, 1, `${ours} is there once`)
  t.equal(raw[raw.indexOf('X-Kept') + 1], 'yes', 'what is not reserved passes')
}

/** In portions that fit into the limits of a head. */
function* portions(all: readonly string[]): Generator<readonly string[]> {
  for (let from = 0; from < all.length; from += 250) yield all.slice(from, from + 250)
}

for (const [where, make] of Object.entries(ROUTES)) {
  t.test(`drops every reserved name in every spelling, twice, on ${where}`, async (t) => {
    for (const portion of portions(names.flatMap(spellings))) {
      const request = make()
      const { credentials } = request
      request.credentials = (lines) => [...portion.map((name): [string, string] => [name, MARK]), ...credentials(lines)]
      request.headers = [KEPT, ...portion.map((name, i): [string, string] => [name, ['', `${MARK}, b`, MARK][i % 3] ?? ''])]
      request.body = Buffer.from('{}')
      const reply = await lab.send(request)
      t.equal(reply.status, 200, reply.body)
      checkForwarded(t, lab.calls.at(-1)?.rawHeaders ?? [])
    }
  })
  t.test(`drops what Connection names, but nothing of ours, on ${where}`, async (t) => {
    for (const portion of portions(names)) {
      const request = make()
      request.headers = [
        KEPT,
        ['X-Named', MARK],
        ['Connection', `x-named, ${portion.join(', ')}`],
        ['Connection', `${OURS.join(', ')}, content-length, authorization, dpop`],
        ...portion.map((name): [string, string] => [name, MARK]),
      ]
      request.body = Buffer.from('{}')
      const reply = await lab.send(request)
      t.equal(reply.status, 200, reply.body)
      checkForwarded(t, lab.calls.at(-1)?.rawHeaders ?? [])
      t.equal(lab.calls.at(-1)?.body.toString(), '{}', 'the body and its length are not to be named away')
    }
  })
  t.test(`drops trailers, on ${where}`, async (t) => {
    for (const portion of portions([...names, 'Authorization', 'DPoP', 'X-Harmless'])) {
      const request = make()
      request.headers = [KEPT, ['Trailer', portion.slice(0, 20).join(', ')], ['Transfer-Encoding', 'chunked']]
      const trailers = portion.map((name) => `${name}: ${MARK}\r\n`).join('')
      const reply = await lab.sendRaw(Buffer.concat([printDraft(request), Buffer.from(`2\r\n{}\r\n0\r\n${trailers}\r\n`)]))
      t.equal(reply.status, 200, reply.body)
      const call = lab.calls.at(-1)
      checkForwarded(t, call?.rawHeaders ?? [])
      t.strictSame([call?.trailers, call?.body.toString()], [[], '{}'])
    }
  })
}

/** A WebSocket handshake. Its answer ends the tunnel at once. */
async function shake(lines: readonly [string, string][]): Promise<string> {
  const request = draft('/socket')
  request.headers = [
    KEPT,
    ['Connection', 'Upgrade, Holdfast-Assertion, x-request-id, sec-websocket-key'],
    ['Upgrade', 'websocket'],
    ['Sec-WebSocket-Version', '13'],
    ['Sec-WebSocket-Key', `${'A'.repeat(22)}==`],
    ...lines,
  ]
  const client = await lab.open()
  client.send(printDraft(request))
  const text = await client.ended()
  client.close()
  return text
}

t.test('drops every reserved name of a WebSocket handshake', async (t) => {
  handshakes = []
  for (const portion of portions(names.flatMap(spellings))) {
    t.match(await shake(portion.map((name) => [name, MARK])), /^HTTP\/1\.1 101 /)
    checkForwarded(t, handshakes.at(-1) ?? [])
  }
  t.ok(handshakes.length > 3)
})

t.test('drops every name that is not the upstream’s to say, of the answer to a handshake too', async (t) => {
  const withheld = (['certificate', 'identity', 'addressing'] as const)
    .flatMap((block) => RESERVED_HEADERS[block].flatMap((line) => line.split(' ')))
    .map((name) => name.replace('*', 'Any'))
  for (const portion of portions([...withheld, 'DPoP-Nonce', 'WWW-Authenticate', 'Set-Cookie', 'Holdfast_Assertion'])) {
    accepted = `${portion.map((name) => `${name}: ${MARK}\r\n`).join('')}X-Theirs: passes\r\n`
    const text = await shake([])
    t.match(text, /^HTTP\/1\.1 101 [\s\S]*X-Theirs: passes/)
    t.notMatch(text, MARK)
  }
  accepted = ''
})

t.test('a refused request says nothing of them, to the upstream or to the client', async (t) => {
  const calls = lab.upstreamCalls()
  const refusals: Readonly<Record<string, () => Draft>> = {
    credentials_missing: () => anonymous(draft('/read/1')),
    route_unknown: () => anonymous(draft('/nothing')),
    method_not_allowed: () => anonymous(draft('/public', 'DELETE')),
    target_malformed: () => anonymous(draft('/public/..')),
    token_unbound: () => bearer(draft('/read/1')),
  }
  for (const [reason, make] of Object.entries(refusals)) {
    for (const portion of portions(names)) {
      const request = make()
      request.headers = portion.map((name) => [name, MARK])
      const reply = await lab.send(request)
      t.equal(JSON.parse(reply.body).reason, reason)
      t.notMatch(reply.text, MARK)
    }
  }
  t.equal(lab.upstreamCalls(), calls)
})

t.test('documents of our own are the same, whatever stands in the request', async (t) => {
  for (const path of ['/.well-known/oauth-protected-resource', '/.well-known/holdfast-jwks.json']) {
    const plain = await lab.send(anonymous(draft(path)))
    const request = anonymous(draft(path))
    request.headers = names.slice(0, 90).map((name) => [name, MARK])
    const reply = await lab.send(request)
    t.strictSame([reply.status, reply.body], [200, plain.body])
    t.notMatch(reply.text, MARK)
  }
})

t.test('the audit event tells which names were removed', async (t) => {
  const request = draft('/read/1')
  request.headers = [
    ['X_Remote_User', MARK],
    ['Holdfast-Assertion', MARK],
    ['x-envoy-anything', MARK],
    ['Accept', '*/*'],
  ]
  const reply = await lab.send(request)
  const event = await lab.refusal(reply.header('x-request-id') ?? '')
  t.strictSame(event?.removed, ['x_remote_user', 'holdfast-assertion', 'x-envoy-anything'])
  t.notMatch(JSON.stringify(event), MARK)
})
