// What passes in each direction (contract §6; RFC 9110 §7.6.1, RFC 7239, RFC 9440).
import fc from 'fast-check'
import t from 'tap'
import { requestHeaders, responseHeaders } from '../../src/upstream/headers.js'
import { normalName, RESERVED_HEADERS } from '../../src/verify/reserved-headers.js'
import type { Upstream } from '../../src/verify/types.js'
import { Denial } from '../../src/verify/verdict.js'
import {
  type Change,
  certificate,
  INTERACTION,
  makeGrant,
  makeRoute,
  makeToken,
  makeUpstream,
  ORIGIN,
} from '../support/granted.js'

const own = { assertionHeader: 'Holdfast-Assertion', assertion: 'the.signed.assertion', isTraced: false }

const pairs = (flat: readonly string[]): [string, string][] => {
  const list: [string, string][] = []
  for (let i = 0; i < flat.length; i += 2) list.push([flat[i] ?? '', flat[i + 1] ?? ''])
  return list
}
/** Every value under a name, in whatever spelling a backend folds into it. */
const values = (flat: readonly string[], name: string): string[] =>
  pairs(flat).flatMap(([other, value]) => (normalName(other) === normalName(name) ? [value] : []))

function forward(rawHeaders: readonly string[], change: Change = {}, assertionHeader = own.assertionHeader) {
  const granted = makeGrant({ ...change, inbound: { rawHeaders, ...change.inbound } })
  const judged = requestHeaders(granted.evidence.inbound, granted, { ...own, assertionHeader })
  if (judged instanceof Denial) throw new Error(`denied: ${judged.reason} ${judged.detail}`)
  return judged
}

function denied(rawHeaders: readonly string[], change: Change = {}): string | undefined {
  const granted = makeGrant(change)
  const judged = requestHeaders({ ...granted.evidence.inbound, rawHeaders }, granted, own)
  return judged instanceof Denial ? judged.reason : undefined
}

t.test('adds ours, each once', async (t) => {
  const { headers, removed } = forward([])
  t.same(removed, [])
  // Of the request's id and the assertion's: W3C Trace Context §3.2, neither all zeros.
  const trace = '00-a7a0c4c24c564a0b9d0d5b8b8b6f8e01-b6a10f6f2c9d7e32-00'
  t.same(pairs(headers), [
    ['Holdfast-Assertion', 'the.signed.assertion'],
    ['Host', 'cases.internal:8443'],
    ['X-Request-Id', 'a7a0c4c2-4c56-4a0b-9d0d-5b8b8b6f8e01'],
    ['Forwarded', 'for=192.0.2.7;proto=https;host=api.example.com'],
    ['X-Forwarded-For', '192.0.2.7'],
    ['X-Forwarded-Proto', 'https'],
    ['X-Forwarded-Host', 'api.example.com'],
    ['Via', '1.1 holdfast'],
    ['traceparent', trace],
  ])
})

t.test('passes what is the client’s to say, in its order and spelling', async (t) => {
  const raw = [
    'Accept',
    '*/*',
    'accept',
    'a/b',
    'Content-Type',
    'text/plain',
    'User-Agent',
    'x',
    'If-None-Match',
    '"e"',
    'Range',
    'bytes=0-',
    'X-CSRF-Token',
    't',
    'X-Note',
    'caf\xe9',
  ]
  t.same(forward(raw).headers.slice(0, raw.length), raw)
  t.same(forward(raw).removed, [])
})

t.test('HTTP-36, HTTP-37: the real peer and the Host that was served', async (t) => {
  const raw = [
    'X-Forwarded-For',
    '203.0.113.1',
    'Forwarded',
    'for=203.0.113.1',
    'X-Forwarded-Host',
    'evil',
    'X-Forwarded-Proto',
    'http',
    'Via',
    '1.0 x',
  ]
  const peer = { address: '2001:db8::7', port: 1, certificate: null }
  const { headers, removed } = forward(raw, { inbound: { peer, host: 'api.example.com:8443' } })
  t.same(values(headers, 'forwarded'), ['for="[2001:db8::7]";proto=https;host="api.example.com:8443"'])
  t.same(values(headers, 'x-forwarded-for'), ['2001:db8::7'])
  t.same(values(headers, 'x-forwarded-host'), ['api.example.com:8443'])
  t.same(values(headers, 'x-forwarded-proto'), ['https'])
  t.same(values(headers, 'via'), ['1.1 holdfast'])
  t.same(removed, ['x-forwarded-for', 'forwarded', 'x-forwarded-host', 'x-forwarded-proto', 'via'])
  const zoned = forward([], { inbound: { peer: { ...peer, address: 'fe80::1%eth0' } } }).headers
  t.match(values(zoned, 'forwarded')[0], 'for="[fe80::1]";')
  const nameless = forward([], { inbound: { peer: { ...peer, address: '' } } }).headers
  t.match(values(nameless, 'forwarded')[0], 'for=unknown;')
})

t.test('preserve_host keeps the public Host', async (t) => {
  t.same(values(forward(['Host', 'evil']).headers, 'host'), ['cases.internal:8443'])
  t.same(values(forward(['Host', 'evil'], { upstream: { preserve_host: true } }).headers, 'host'), ['api.example.com'])
  t.same(values(forward([], { upstream: { url: new URL('https://h') } }).headers, 'host'), ['h'])
})

t.test('the interaction id is the one that was read, never a line of the client', async (t) => {
  const raw = ['X-FAPI-Interaction-Id', INTERACTION, 'x_fapi_interaction_id', 'junk']
  t.same(values(forward(raw, { inbound: { interactionId: INTERACTION } }).headers, 'x-fapi-interaction-id'), [INTERACTION])
  t.same(values(forward(raw).headers, 'x-fapi-interaction-id'), [])
})

/** Every name and prefix of the list. */
const reserved = Object.values(RESERVED_HEADERS).flatMap((lines) => lines.flatMap((line) => line.split(' ')))
const MARK = 'from-the-client'

t.test('SPF-01 to SPF-04: no reserved name passes, in any spelling, however often', async () => {
  const spelt = fc
    .tuple(
      fc.constantFrom(...reserved),
      fc.string({ unit: fc.constantFrom(...'az09'), minLength: 1, maxLength: 5 }),
      fc.constantFrom('-', '_', '.'),
    )
    .chain(([name, suffix, dash]) => {
      const text = name.replace('*', suffix).replaceAll(/[-_]/g, dash)
      return fc.constantFrom(text, text.toLowerCase(), text.toUpperCase())
    })
  fc.assert(
    fc.property(fc.array(spelt, { minLength: 1, maxLength: 8 }), fc.boolean(), (names, isPublic) => {
      const raw = ['Accept', 'first', ...names.flatMap((name) => [name, MARK]), 'Accept', 'last']
      const change: Change = isPublic ? { evidence: { token: null, proof: null, scheme: null } } : {}
      const { headers, removed } = forward(raw, change)
      const told = new Set(removed)
      return (
        !headers.includes(MARK) &&
        headers[1] === 'first' &&
        headers[3] === 'last' &&
        names.every((name) => told.has(name.toLowerCase()) || ['authorization', 'dpop'].includes(normalName(name)))
      )
    }),
    { numRuns: 500 },
  )
})

t.test('SPF-07: no inbound copy of the assertion header, whatever it is called', async (t) => {
  for (const name of ['Holdfast-Assertion', 'Legacy-Token', 'X-Identity']) {
    const raw = [name, MARK, name.toUpperCase(), MARK, name.replaceAll('-', '_'), MARK, name.replaceAll('-', '.'), MARK]
    const { headers, removed } = forward(raw, { upstream: { pass_headers: ['cookie'] } }, name)
    t.same(values(headers, name), ['the.signed.assertion'], name)
    t.equal(removed[0], name.toLowerCase())
  }
})

t.test('HTTP-15 to HTTP-18: Connection takes away the client’s headers, never ours', async (t) => {
  const ours = pairs(forward([], { inbound: { interactionId: INTERACTION } }).headers).map(([name]) => name)
  const raw = [
    'connection',
    ` close, X-Foo ,${ours.join(',')}`,
    'X-Foo',
    MARK,
    'CONNECTION',
    'x-bar',
    'X-Bar',
    MARK,
    'X-Baz',
    'stays',
    'TE',
    'trailers',
    'Keep-Alive',
    'x',
    'Upgrade',
    'h2c',
    'HTTP2-Settings',
    'x',
  ]
  const { headers } = forward(raw, { inbound: { interactionId: INTERACTION } })
  t.same(
    pairs(headers).map(([name]) => name),
    ['X-Baz', ...ours],
  )
  t.notOk(headers.includes(MARK))
  const late = forward(['X-Foo', MARK, 'Connection', 'x-foo']).headers
  t.notOk(late.includes(MARK), 'nominated after it was sent')
})

t.test('framing and handshakes are the forwarder’s', async (t) => {
  const names = [
    'Content-Length',
    'content_length',
    'Transfer-Encoding',
    'Host',
    'Expect',
    'Upgrade',
    'Sec-WebSocket-Key',
    'Sec-WebSocket-Protocol',
    'sec_websocket_version',
  ]
  t.notOk(forward(names.flatMap((name) => [name, MARK])).headers.includes(MARK))
})

t.test('Authorization and DPoP pass with pass_token alone', async (t) => {
  const raw = ['Authorization', 'DPoP x', 'DPoP', 'proof', 'authorization_', MARK, 'Proxy-Authorization', MARK]
  const { headers, removed } = forward(raw)
  t.same(values(headers, 'authorization').concat(values(headers, 'dpop')), [])
  t.same(removed, ['proxy-authorization'])
  const passed = forward(raw, { upstream: { pass_token: true } }).headers
  t.same(values(passed, 'authorization'), ['DPoP x'])
  t.same(values(passed, 'dpop'), ['proof'])
})

t.test('pass_headers: the listed spelling only, cookies in one line', async (t) => {
  const raw = ['Cookie', 'a=1', 'X-Api-Key', 'k', 'X_API_KEY', MARK, 'cookie', 'b=2', 'Tracestate', 's', 'baggage', MARK]
  const { headers, removed } = forward(raw, { upstream: { pass_headers: ['cookie', 'x-api-key', 'tracestate'] } })
  t.same(values(headers, 'cookie'), ['a=1; b=2'])
  t.same(values(headers, 'x-api-key'), ['k'])
  t.same(values(headers, 'tracestate'), ['s'])
  t.notOk(headers.includes(MARK))
  t.same(removed, ['x_api_key', 'baggage'])
})

t.test('CC-01, CC-08, CC-11: Client-Cert when it is wanted and was proven', async (t) => {
  const value = `:${Buffer.from(certificate.der).toString('base64')}:`
  const raw = ['Client-Cert', ':Zm9yZ2Vk:', 'client_cert', ':Zm9yZ2Vk:']
  t.same(values(forward(raw, { upstream: { client_cert: true }, evidence: { certificate } }).headers, 'client-cert'), [value])
  t.same(values(forward(raw, { upstream: { client_cert: true } }).headers, 'client-cert'), [])
  t.same(values(forward(raw, { evidence: { certificate } }).headers, 'client-cert'), [])
})

const setting = (set_headers: Record<string, string>, claims: Record<string, unknown> = {}): Change => ({
  upstream: { set_headers },
  evidence: { token: makeToken({ claims: { sub: 'user-1', ...claims } }), tenant: 'tenant-1', certificate },
})

t.test('set_headers: from what was proven, or fixed', async (t) => {
  const sources = {
    'X-Remote-User': 'token.sub',
    'X-App': 'client_id',
    'X-Tenant-Id': 'tenant',
    'X-Cert': 'certificate',
    Authorization: 'Basic Zm9v',
    'X-Level': 'token.level',
    'X-Admin': 'token.admin',
    'X-Groups': 'token.groups',
  }
  const raw = ['x_remote_user', MARK, 'X-App', MARK, 'Authorization', 'DPoP x']
  const { headers, removed } = forward(raw, setting(sources, { level: 3, admin: false, groups: ['a', 'b c'] }))
  t.same(pairs(headers).slice(-8), [
    ['X-Remote-User', 'user-1'],
    ['X-App', 'client-1'],
    ['X-Tenant-Id', 'tenant-1'],
    ['X-Cert', `:${Buffer.from(certificate.der).toString('base64')}:`],
    ['Authorization', 'Basic Zm9v'],
    ['X-Level', '3'],
    ['X-Admin', 'false'],
    ['X-Groups', 'a,b c'],
  ])
  t.notOk(headers.includes(MARK))
  t.same(removed, ['x_remote_user'], 'a name that is not reserved is not told of')
})

t.test('set_headers: without a value there is no header, the client’s least of all', async (t) => {
  const sources = {
    'X-Remote-User': 'token.sub',
    'X-App': 'client_id',
    'X-Email': 'token.email',
    'X-Cert': 'certificate',
    'X-Tenant': 'tenant',
    'X-Proto': 'token.__proto__',
  }
  const raw = Object.keys(sources).flatMap((name) => [name, MARK, name.toLowerCase().replaceAll('-', '_'), MARK])
  const anonymous = forward(raw, {
    upstream: { set_headers: sources },
    evidence: { token: null, proof: null, scheme: null },
  }).headers
  for (const name of Object.keys(sources)) t.same(values(anonymous, name), [], name)
  const { headers } = forward(raw, {
    upstream: { set_headers: sources },
    evidence: { token: makeToken({ clientId: '', claims: { sub: 'u', email: null } }) },
  })
  for (const name of ['X-App', 'X-Email', 'X-Cert', 'X-Tenant', 'X-Proto']) t.same(values(headers, name), [], name)
  t.same(values(headers, 'X-Remote-User'), ['u'])
})

t.test('set_headers: denies upstream_invalid for a value that is not visible ASCII', async (t) => {
  for (const sub of [
    'Zoë',
    'a\r\nX-Admin: 1',
    'a\n',
    ' a',
    'a ',
    '\ta',
    'a\u0000',
    'a\u007f',
    { a: 1 },
    ['a,b'],
    ['a', ''],
    ['é'],
    [1],
  ]) {
    t.equal(denied([], setting({ 'X-Remote-User': 'token.sub' }, { sub })), 'upstream_invalid', JSON.stringify(sub))
  }
  t.equal(denied([], setting({ 'X-Remote-User': 'token.sub' }, { sub: 'a b\tc' })), undefined, 'spaces inside')
})

t.test('set_headers: where it is a name of ours, the operator’s value alone', async (t) => {
  const { headers } = forward([], setting({ 'X-Forwarded-Proto': 'http', X_Forwarded_Host: 'legacy.internal' }))
  t.same(values(headers, 'x-forwarded-proto'), ['http'])
  t.same(values(headers, 'x-forwarded-host'), ['legacy.internal'])
})

t.test('denies what the parser should never have let through', async (t) => {
  for (const raw of [
    ['X-A', 'a\r\nb'],
    ['X-A', 'a\n'],
    ['X-A', 'a\u0000'],
    ['X-A', '\u0100'],
    ['X A', 'a'],
    ['', 'a'],
    ['X-A\r\nX-B', 'a'],
    ['X-É', 'a'],
  ]) {
    t.equal(denied(raw), 'request_malformed', JSON.stringify(raw))
  }
})

// The way back.

const AT = { origin: ORIGIN, base: ORIGIN }
const answer = (raw: readonly string[], upstream: Partial<Upstream> = {}, ours: readonly string[] = []) =>
  responseHeaders(raw, {
    route: makeRoute({ upstream: makeUpstream(upstream) }),
    target: AT,
    assertionHeader: 'X-Identity',
    own: ours,
  })

t.test('an answer passes, from strings or from bytes', async (t) => {
  const raw = [
    'Content-Type',
    'text/plain',
    'Content-Length',
    '12',
    'Server',
    'x',
    'X-Powered-By',
    'y',
    'ETag',
    '"e"',
    'X-Note',
    'caf\xe9',
    'Link',
    '<a>',
    'link',
    '<b>',
    'Date',
    'D',
  ]
  const expected = { headers: raw, domainDecision: null, contentLength: 12 }
  t.same(answer(raw), expected)
  const bytes = raw.map((text) => Buffer.from(text, 'latin1'))
  t.same(responseHeaders(bytes, { route: makeRoute(), target: AT, assertionHeader: 'X-Identity', own: [] }), expected)
  t.same(answer([]), { headers: [], domainDecision: null, contentLength: null })
})

t.test('HTTP-28, SPF-06: withholds what is not the client’s to see', async (t) => {
  const blocks = (['certificate', 'identity', 'addressing', 'hop'] as const).flatMap((block) =>
    RESERVED_HEADERS[block].flatMap((line) => line.split(' ')),
  )
  const names = [
    ...blocks,
    'WWW-Authenticate',
    'DPoP-Nonce',
    'DPOP_NONCE',
    'Set-Cookie',
    'Set-Cookie2',
    'X-Identity',
    'x_identity',
    'x_accel_redirect',
  ]
  for (const name of names) t.same(answer([name.replace('*', 'x'), MARK]).headers, [], name)
  const raw = ['Connection', 'close, X-Secret', 'X-Secret', MARK, 'Keep-Alive', 'x', 'Trailer', 'x', 'X-Stays', 'a']
  t.same(answer(raw).headers, ['X-Stays', 'a'])
  t.same(answer(['X-Secret', MARK, 'connection', 'x-secret']).headers, [])
})

t.test('cookies pass where they are passed inwards, challenges with the token', async (t) => {
  const cookies = ['Set-Cookie', 'a=1', 'Set-Cookie', 'b=2']
  t.same(answer(cookies, { pass_headers: ['cookie'] }).headers, cookies)
  t.same(answer(['WWW-Authenticate', 'DPoP'], { pass_token: true }).headers, ['WWW-Authenticate', 'DPoP'])
  t.same(answer(['DPoP-Nonce', 'n'], { pass_token: true }).headers, [], 'nonces are ours alone')
})

t.test('ours replace the upstream’s, and no Connection takes them away', async (t) => {
  const ours = ['X-Request-Id', 'r', 'Cache-Control', 'no-store', 'DPoP-Nonce', 'n', 'Date', 'D']
  const raw = [
    'x-request-id',
    'theirs',
    'X_Request_Id',
    'theirs',
    'cache-control',
    'public',
    'DATE',
    'theirs',
    'Connection',
    'x-request-id, dpop-nonce',
    'A',
    'b',
  ]
  t.same(answer(raw, {}, ours).headers, ['A', 'b', ...ours])
})

t.test('Location is mapped; a Vary that names the certificate becomes `*`', async (t) => {
  t.same(answer(['location', 'https://cases.internal:8443/a']).headers, ['location', `${ORIGIN}/a`])
  for (const vary of ['Client-Cert', 'Accept, client-cert', 'CLIENT-CERT-CHAIN,Origin'])
    t.same(answer(['Vary', vary]).headers, ['Vary', '*'], vary)
  for (const vary of ['Accept', 'X-Client-Cert', 'Client-Cert-Foo', '*'])
    t.same(answer(['Vary', vary]).headers, ['Vary', vary], vary)
})

t.test('the backend’s own decision goes to the audit event, not to the client', async (t) => {
  const decide = (...texts: string[]) => answer(texts.flatMap((text) => ['Holdfast-Decision', text]))
  t.same(decide('permit; rule=4'), { headers: [], domainDecision: 'permit; rule=4', contentLength: null })
  t.equal(decide('a'.repeat(512)).domainDecision?.length, 512)
  for (const texts of [['a'.repeat(513)], [''], [' a'], ['caf\xe9'], ['a', 'b'], []])
    t.same(decide(...texts), { headers: [], domainDecision: null, contentLength: null })
})

t.test('never passes on what Node would refuse to write, and only one length', async (t) => {
  t.same(answer(['X-A', 'a\r\nb', 'X B', 'c', '', 'd', 'X-C', 'e', 'X-D']).headers, ['X-C', 'e'])
  t.same(answer(['Content-Length', '5', 'content-length', '6']), {
    headers: ['Content-Length', '5'],
    domainDecision: null,
    contentLength: 5,
  })
  for (const length of ['-1', '+5', '0x5', '5, 5', '', '1'.repeat(16)])
    t.same(answer(['Content-Length', length]), { headers: [], domainDecision: null, contentLength: null }, length)
})
