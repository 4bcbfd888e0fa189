// The catalogue: what good requests look like, and everything that is changed about them. Values are JSON text, so that `1e400` is one.
import fc from 'fast-check'
import { CLIENT_KEYS, type ClientKeyName, ISSUER_KEYS } from './keys.js'
import { TEXTS } from './members.js'
import { type Base, type Jwt, type Lines, type Mutation, NOW, ORIGIN, type Part, type Segment } from './requests.js'
import { SPELLINGS } from './spellings.js'

const json = (...values: readonly unknown[]): readonly string[] => values.map((value) => JSON.stringify(value))
const TIMES = [
  ...json(
    NOW,
    NOW - 1,
    NOW + 1,
    NOW + 9,
    NOW + 10,
    NOW + 11,
    NOW + 10.5,
    NOW - 59,
    NOW - 60,
    NOW - 61,
    NOW - 60.5,
    NOW - 71,
    NOW - 300,
    NOW - 301,
  ),
  ...json(NOW + 240, NOW + 599, NOW + 601, NOW + 1e7, NOW + 0.4, -NOW, 0, -0, String(NOW), new Date(NOW * 1000).toISOString(), [
    NOW,
  ]),
  ...['1e308', '1e400', '-1e400', '9007199254740993', '1.8e9', '18000000000e-1', '0x6B49D200', '00', '+1'],
]
const ODD = [
  ...json(null, true, false, 0, '', ' ', 'x', [], [null], {}, '\u0000', 'é', '__proto__'),
  '"\\ud800"',
  '{"toString":1}',
  'undefined',
  'NaN',
]
const TYPES = json(
  'at+jwt',
  'AT+JWT',
  'application/at+jwt',
  'application/AT+JWT',
  'at+jwt ',
  'application/application/at+jwt',
  'JWT',
  'jwt',
  'dpop+jwt',
)
const PROOF_TYPES = json('DPoP+JWT', 'application/dpop+jwt', 'dpop+jwt ', 'at+jwt', 'JWT', 'jwt', 'dpop')
const AUDIENCES = json(
  [ORIGIN],
  ['x', ORIGIN],
  [ORIGIN, 7],
  [[ORIGIN]],
  `${ORIGIN}/`,
  ORIGIN.toUpperCase(),
  { 0: ORIGIN },
  ['x'],
  'https://other.example',
)
const ISSUERS = json(
  'https://as.example.com/',
  'https://AS.example.com',
  'https://as2.example.com',
  ['https://as.example.com'],
  '',
)
const otherJkt = CLIENT_KEYS['another P-256'].jkt
const CONFIRMATIONS = json(
  otherJkt,
  `${otherJkt}=`,
  otherJkt.toLowerCase(),
  otherJkt.slice(1),
  [otherJkt],
  'A'.repeat(43),
  'B'.repeat(43),
  'x'.repeat(4096),
)
const HTUS = json(
  `${ORIGIN}/a/../read/1`,
  `${ORIGIN}:443/read/1`,
  `HTTPS://API.EXAMPLE.COM/read/1?q#f`,
  `${ORIGIN}/re%61d/%31`,
  `${ORIGIN}/READ/1`,
  `${ORIGIN}//read/1`,
  `${ORIGIN}/read/1/`,
  `${ORIGIN}\\read\\1`,
  `${ORIGIN}/read/\t1`,
  ` ${ORIGIN}/read/1`,
  'https:api.example.com/read/1',
  'https:\\\\api.example.com/read/1',
  'https://user@api.example.com/read/1',
  'https://@api.example.com/read/1',
  'https://api.example.com:0443/read/1',
  'https://api.example.com./read/1',
  'https://%61pi.example.com/read/1',
  'https://ａpi.example.com/read/1',
  'http://api.example.com/read/1',
  `${ORIGIN}/read/1;x`,
  `${ORIGIN}/r%c3%a9ad/1`,
  '/read/1',
  ORIGIN,
)

/** For each part: its members, and what each may be set to besides the odd values that any may. */
const VALUES: Readonly<Record<Part, Readonly<Record<string, readonly string[]>>>> = {
  'token.header': {
    typ: TYPES,
    kid: json('es', 'ps', 'ed', 'ES', 'none', 7, 'constructor'),
    crit: json(['b64'], ['exp'], []),
    b64: json(true, false),
    jwk: json(CLIENT_KEYS.es.jwk),
    jku: json('https://evil.example/jwks'),
    x5c: json(['AAAA']),
    zip: json('DEF'),
    cty: json('JWT'),
    ['__proto__']: json({ alg: 'none' }, null),
    constructor: json('x'),
  },
  'token.claims': {
    iss: ISSUERS,
    aud: AUDIENCES,
    sub: json('client-1'),
    client_id: json(['client-1']),
    jti: json('x'.repeat(3000)),
    iat: TIMES,
    exp: TIMES,
    nbf: TIMES,
    scope: json('a b', ['a', 'b'], [7], ' '),
    cnf: json({}, [], null, 'x', { jkt: '' }),
    acr: [],
    ['__proto__']: json({ aud: ORIGIN }, null),
    constructor: json('x'),
  },
  'token.cnf': {
    jkt: CONFIRMATIONS,
    'x5t#S256': CONFIRMATIONS,
    'kc-jkt-type': json('DPoP', 'dpop'),
    kid: json('x'),
    jwk: json(CLIENT_KEYS.es.jwk),
    jku: json('https://evil.example/jwks'),
    'x5t#s256': CONFIRMATIONS,
    ['__proto__']: json({ jkt: otherJkt }),
  },
  'proof.header': {
    typ: PROOF_TYPES,
    kid: json('es'),
    crit: json(['b64'], ['exp'], []),
    b64: json(true, false),
    jwk: json(ISSUER_KEYS.es.jwk, JSON.stringify(CLIENT_KEYS.es.jwk), [CLIENT_KEYS.es.jwk]),
    jku: json('https://evil.example/jwks'),
    x5c: json(['AAAA']),
    ['__proto__']: json({ typ: 'dpop+jwt' }, null),
  },
  'proof.claims': {
    jti: json('x'.repeat(2000), 'a\nb', ['proof-1'], 7),
    htm: json('get', 'Get', 'POST', 'HEAD', ['GET']),
    htu: HTUS,
    iat: TIMES,
    ath: json('x'.repeat(43), '', ['x']),
    nonce: json('x', 7),
    exp: TIMES,
    nbf: TIMES,
    iss: json('x'),
    aud: json('https://other.example', 7),
    ['__proto__']: json({ htm: 'GET' }),
  },
  'proof.jwk': {
    kty: json('EC', 'RSA', 'OKP', 'oct', 'ec', 'constructor'),
    crv: json('P-256', 'P-384', 'Ed25519', 'X25519', 'p-256', 'secp256k1'),
    x: json('AA', CLIENT_KEYS['another P-256'].jwk.x),
    y: json('AA'),
    n: json('AQAB'),
    e: json('Aw', 'AQ', 'AQAB'),
    d: json('AQAB', ISSUER_KEYS.es.privateKey.export({ format: 'jwk' }).d),
    p: json('AQAB'),
    k: json('AQAB'),
    oth: json([]),
    priv: json('AQAB'),
    use: json('sig', 'enc', 'SIG'),
    key_ops: json(['verify'], ['sign'], ['verify', 'verify'], ['sign', 'verify'], ['verify', 7], 'verify'),
    alg: json('ES256', 'PS256', 'RS256', 'EdDSA', 'Ed25519', 'ES384'),
    ext: json(true, false),
    kid: json('x', 7),
    x5c: json(['AAAA']),
    ['__proto__']: json({ kty: 'EC' }, null),
  },
}
/** Where more can go wrong, more is changed. */
const PARTS: readonly Part[] = (Object.keys(VALUES) as Part[]).flatMap((part) =>
  part === 'token.cnf' ? [part] : [part, part, part],
)
const ALGORITHMS = [
  'none',
  'None',
  'HS256',
  'RS256',
  'RS512',
  'PS256',
  'PS384',
  'ES256',
  'ES384',
  'ES256K',
  'EdDSA',
  'Ed25519',
  'Ed448',
  'es256',
  '',
  'toString',
]
const LINES: readonly Lines[] = [
  'Bearer',
  'DPoP',
  'lower case',
  'two spaces',
  'a tab',
  'two tokens',
  'two authorizations',
  'no authorization',
  'no scheme',
  'Basic',
  'no proof',
  'a proof',
  'empty proof',
  'two proofs',
  'the same proof twice',
  'proofs in one line',
  'proof with a comma',
  'padded proof',
]
const TARGETS = [
  '/read/1',
  '/read/2',
  '/read/1?x=y',
  '/r%65ad/1',
  '/read/%31',
  '/read/1?access_token=x',
  '/read//1',
  '/read/%2e%2e/1',
  '/read/1;x',
  '/read/%7e',
  '/caf%C3%A9',
  '/a%2cb',
  '/',
]

export const bases: fc.Arbitrary<Base> = fc
  .record({
    binding: fc.constantFrom('dpop', 'dpop', 'dpop', 'dpop', 'dpop', 'none', 'mtls', 'both'),
    issuerKey: fc.constantFrom('es', 'es', 'ps', 'ed'),
    clientKey: fc.constantFrom('es', 'es', 'ed', 'ps'),
    hasKid: fc.boolean(),
    method: fc.constantFrom('GET', 'POST', 'HEAD', 'PATCH'),
    target: fc.constantFrom('/read/1', '/read/1', '/read/1?x=y', '/', '/a%2Cb', '/caf%C3%A9/%20'),
    age: fc.constantFrom(0, 1, 100, 300, -9, -10),
    life: fc.constantFrom(1, 2, 100, 300),
    proofAge: fc.constantFrom(0, 1, 59, 60, -9, -10),
    extra: fc.constantFrom<Readonly<Record<string, unknown>>>(
      {},
      {},
      { scope: 'a b' },
      { nbf: NOW - 5 },
      { nbf: NOW + 10 },
      { aud: ['x', ORIGIN] },
      { acr: 'x', auth_time: NOW, realm_access: { roles: ['a'] }, name: 'é' },
    ),
  })
  // A token ends after it began.
  .filter(({ age, life }) => life > -age)

const member = fc
  .constantFrom(...PARTS)
  .chain((part) => fc.record({ part: fc.constant(part), member: fc.constantFrom(...Object.keys(VALUES[part])) }))
const withValue = member.chain(({ part, member }) =>
  fc.record({
    part: fc.constant(part),
    member: fc.constant(member),
    value: fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom(...(VALUES[part][member]?.length ? VALUES[part][member] : ODD)) },
      { weight: 1, arbitrary: fc.constantFrom(...ODD) },
    ),
  }),
)
const jwt = fc.constantFrom<Jwt[]>('token', 'proof')
const segment = fc.constantFrom<Segment[]>(0, 1, 2)
const clientKey = fc.constantFrom(...(Object.keys(CLIENT_KEYS) as ClientKeyName[]))
const at = fc.nat({ max: 700 })
const op = <T extends string>(name: T) => fc.constant(name)

export const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  { weight: 14, arbitrary: withValue.map((value) => ({ op: 'set' as const, ...value })) },
  {
    weight: 3,
    arbitrary: fc
      .tuple(fc.constantFrom('remove' as const, 'escape' as const, 'upper' as const), member)
      .map(([op, value]) => ({ op, ...value })),
  },
  {
    weight: 3,
    arbitrary: fc.tuple(withValue, fc.boolean()).map(([value, first]) => ({ op: 'repeat' as const, ...value, first })),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      op: op('text'),
      jwt,
      segment: fc.constantFrom<(0 | 1)[]>(0, 1),
      text: fc.constantFrom(...Object.keys(TEXTS)),
    }),
  },
  { weight: 3, arbitrary: fc.record({ op: op('alg'), jwt, alg: fc.constantFrom(...ALGORITHMS), signsAsNamed: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ op: op('key'), jwt, key: clientKey, rebind: fc.boolean() }) },
  { weight: 5, arbitrary: fc.record({ op: op('spell'), jwt, segment, how: fc.constantFrom(...SPELLINGS), at }) },
  {
    weight: 2,
    arbitrary: fc.record({
      op: op('coordinate'),
      member: fc.constantFrom<('x' | 'y' | 'n' | 'e')[]>('x', 'y', 'n', 'e'),
      how: fc.constantFrom(...SPELLINGS),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      op: op('segment'),
      jwt,
      segment,
      from: fc.constantFrom('other jwt' as const, 'unmutated' as const, 'nothing' as const),
    }),
  },
  { weight: 3, arbitrary: fc.record({ op: op('lines'), how: fc.constantFrom(...LINES) }) },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom('GET', 'POST', 'PURGE')
      .map((value) => ({ op: 'request' as const, what: 'method' as const, value })),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(...TARGETS).map((value) => ({ op: 'request' as const, what: 'target' as const, value })),
  },
)

export const mutations: fc.Arbitrary<readonly Mutation[]> = fc.oneof(
  { weight: 1, arbitrary: fc.constant([]) },
  { weight: 8, arbitrary: fc.array(mutation, { minLength: 1, maxLength: 1 }) },
  { weight: 6, arbitrary: fc.array(mutation, { minLength: 2, maxLength: 3 }) },
)
