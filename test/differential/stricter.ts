// Where we refuse what jose or oauth4webapi grants, by class, each with its reason and an example that the test holds it to.
// A row looks at what is on the wire beside our reason, so that it can't hide a refusal for another cause.
import type { Reason } from '../../src/verify/reasons.js'
import type { Base, Mutation, Part, Wire } from './requests.js'
import { NOW } from './requests.js'
import { type ReadJwt, readProof, readToken } from './wire.js'

export type Example = { readonly base?: Partial<Base>; readonly mutations: readonly Mutation[] }

export type Stricter = {
  readonly name: string
  readonly why: string
  readonly spec: string
  readonly example: Example
  readonly reasons: readonly Reason[]
  matches(read: Read): boolean
}

export type Read = { readonly wire: Wire; readonly token: ReadJwt; readonly proof: ReadJwt }

export const readWire = (wire: Wire): Read => ({ wire, token: readToken(wire), proof: readProof(wire) })

const set = (part: Part, member: string, value: unknown): Example => ({
  mutations: [
    {
      op: 'set',
      part,
      member,
      value: typeof value === 'string' && value.startsWith('=') ? value.slice(1) : JSON.stringify(value),
    },
  ],
})
const either =
  (is: (jwt: ReadJwt) => boolean) =>
  ({ token, proof }: Read): boolean =>
    is(token) || is(proof)

const isNumberOf = (value: unknown, from: number, to: number): boolean =>
  typeof value === 'number' && value >= from && value <= to
const isInfinite = (value: unknown): boolean => value === Number.POSITIVE_INFINITY || value === Number.NEGATIVE_INFINITY
const isStrings = (value: unknown): boolean =>
  typeof value === 'string' || (Array.isArray(value) && value.every((one) => typeof one === 'string'))

export const STRICTER: readonly Stricter[] = [
  {
    name: 'base64url in another spelling',
    why: 'Padding, spare bits, spaces and the alphabet of base64 give one token many texts, and one hash each: no cache, log or replay record could tell they are the same.',
    spec: 'RFC 7515 §2, draft rfc8725bis §3.14',
    example: { mutations: [{ op: 'spell', jwt: 'token', segment: 2, how: 'padding', at: 0 }] },
    reasons: ['token_malformed', 'proof_malformed', 'credentials_malformed'],
    matches: either(({ isCanonical }) => !isCanonical),
  },
  {
    name: 'a member twice',
    why: 'Some readers take the first and some the last: two of them would see two tokens.',
    spec: 'RFC 7515 §4, RFC 7519 §4',
    example: { mutations: [{ op: 'repeat', part: 'token.claims', member: 'sub', value: '"admin"', first: true }] },
    reasons: ['token_malformed', 'proof_malformed'],
    matches: either(({ repeats }) => repeats),
  },
  {
    name: 'crit or b64',
    why: 'We implement no extension, and `b64` without `crit` is no JWT to a reader that knows it.',
    spec: 'RFC 7515 §4.1.11, RFC 7797 §7',
    example: set('token.header', 'b64', true),
    reasons: ['token_malformed', 'proof_malformed'],
    matches: either(({ header }) => 'crit' in header || 'b64' in header),
  },
  {
    name: 'not UTF-8, or a byte order mark',
    why: 'A decoder that puts U+FFFD in place of what it cannot read makes one text of many.',
    spec: 'RFC 7519 §3, RFC 8259 §8.1',
    example: { mutations: [{ op: 'text', jwt: 'token', segment: 1, text: 'byte order mark' }] },
    reasons: ['token_malformed', 'proof_malformed'],
    matches: either(({ isUtf8 }) => !isUtf8),
  },
  {
    name: 'too long',
    why: 'Tokens and proofs have a size limit, so that what is read before it is believed stays cheap.',
    spec: 'contract §4, `credential_bytes` and `proof_bytes`',
    example: set('proof.claims', 'jti', 'x'.repeat(7000)),
    reasons: ['proof_malformed', 'credentials_malformed'],
    matches: either(({ text }) => text.length > 8192),
  },
  {
    name: 'the type of a proof in another spelling',
    why: 'No client writes it so, and one spelling is one less to audit.',
    spec: 'RFC 9449 §4.3 (4)',
    example: set('proof.header', 'typ', 'application/dpop+jwt'),
    reasons: ['proof_type'],
    matches: ({ proof }) => /^(?:application\/)?dpop\+jwt$/i.test(String(proof.header.typ)),
  },
  {
    name: 'a private member of any key type in the jwk',
    why: 'Others look at `d` alone, and only where the key type has one.',
    spec: 'RFC 9449 §4.3 (7)',
    example: set('proof.jwk', 'k', 'AQAB'),
    reasons: ['proof_private_key'],
    matches: ({ proof }) => ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv'].some((member) => member in proof.jwk),
  },
  {
    name: 'an RSA key with an exponent other than 65537',
    why: 'Other exponents have no honest use, and large ones make each verification ours to pay for.',
    spec: 'docs/decisions.md, RFC 8725 §3.5',
    example: { base: { clientKey: 'ps' }, mutations: [{ op: 'key', jwt: 'proof', key: 'RSA with e = 3', rebind: true }] },
    reasons: ['proof_malformed'],
    matches: ({ proof }) => proof.jwk.kty === 'RSA' && proof.jwk.e !== 'AQAB',
  },
  {
    name: 'a jwk that says it is for something else',
    why: 'oauth4webapi does not look at `use` and `key_ops`, jose takes `key_ops` for what the key may do and not for what it must say.',
    spec: 'RFC 7517 §4.2, §4.3',
    example: set('proof.jwk', 'use', 'enc'),
    reasons: ['proof_malformed'],
    matches: ({ proof: { jwk, header } }) =>
      ('use' in jwk && jwk.use !== 'sig') ||
      ('key_ops' in jwk && !(Array.isArray(jwk.key_ops) && jwk.key_ops.includes('verify'))) ||
      ('alg' in jwk && jwk.alg !== header.alg),
  },
  {
    name: 'a token that ends before it begins',
    why: 'An issuer that writes it is confused about one of the two.',
    spec: 'RFC 9068 §2.2, contract §4 `token_claim`',
    example: { base: { age: -10, life: 5 }, mutations: [] },
    reasons: ['token_claim'],
    matches: ({ token: { claims } }) => Number(claims.exp) < Number(claims.iat),
  },
  {
    name: 'sub, client_id or jti that says nothing',
    why: 'Rules, rates and audit name callers by them; the empty string is no name.',
    spec: 'RFC 9068 §2.2',
    example: set('token.claims', 'client_id', ''),
    reasons: ['token_claim'],
    matches: ({ token: { claims } }) => [claims.sub, claims.client_id, claims.jti].includes(''),
  },
  {
    name: 'scope or aud of the wrong type',
    why: 'Others look for our audience in a list of anything, and at no scope at all.',
    spec: 'RFC 7519 §4.1.3, RFC 8693 §4.2',
    example: set('token.claims', 'scope', 7),
    reasons: ['token_claim'],
    matches: ({ token: { claims } }) => !isStrings(claims.aud) || ('scope' in claims && !isStrings(claims.scope)),
  },
  {
    name: 'a time beyond all times',
    why: 'JSON has `1e400`, which JavaScript reads as Infinity: a token that never ends.',
    spec: 'RFC 7519 §2',
    example: set('token.claims', 'exp', '=1e400'),
    reasons: ['token_claim', 'proof_claim'],
    matches: either(({ claims }) => [claims.exp, claims.iat, claims.nbf].some(isInfinite)),
  },
  {
    name: 'a proof whose jti says nothing',
    why: 'All such proofs of a key would be one.',
    spec: 'RFC 9449 §4.2',
    example: set('proof.claims', 'jti', ''),
    reasons: ['proof_claim'],
    matches: ({ proof: { claims } }) => claims.jti === '',
  },
  {
    name: 'expired, within the skew of others',
    why: '`exp` has no leeway: a token lives while now < exp.',
    spec: 'contract §3, RFC 7519 §4.1.4',
    example: set('token.claims', 'exp', NOW),
    reasons: ['token_expired'],
    matches: ({ token: { claims } }) => isNumberOf(claims.exp, NOW - 10, NOW),
  },
  {
    name: 'issued in the future',
    why: 'Others do not look at the `iat` of a token; one from the future is forged, or its issuer has no clock.',
    spec: 'RFC 7519 §4.1.6, contract §3',
    example: { base: { life: 300 }, mutations: [{ op: 'set', part: 'token.claims', member: 'iat', value: String(NOW + 11) }] },
    reasons: ['token_not_yet_valid'],
    matches: ({ token: { claims } }) => Number(claims.iat) > NOW + 10,
  },
  {
    name: 'lives longer than the tier allows',
    why: 'The tier demands tokens that are worth little when stolen; others have no such setting.',
    spec: 'RFC 9449 §11.2, contract §3 `token_max_ttl`',
    example: set('token.claims', 'exp', NOW + 1e7),
    reasons: ['token_lifetime'],
    matches: ({ token: { claims } }) => Number(claims.exp) - Number(claims.iat) > 600,
  },
  {
    name: 'bound in a way that is not implemented',
    why: 'A token with an unknown, malformed or empty confirmation is bound to something: taken as a bearer token it would be a downgrade.',
    spec: 'RFC 7800 §3.1',
    example: set('token.cnf', 'kid', 'x'),
    reasons: ['binding_unsupported'],
    matches: ({ token: { claims } }) => 'cnf' in claims,
  },
  {
    name: 'a token in the query',
    why: 'Others do not look there; URLs are logged.',
    spec: 'RFC 6750 §2.3',
    example: { mutations: [{ op: 'request', what: 'target', value: '/read/1?access_token=x' }] },
    reasons: ['credentials_in_query'],
    matches: ({ wire }) => wire.target.includes('access_token'),
  },
  {
    name: 'a path that is not canonical',
    why: 'Others judge proofs, not routes: an upstream could read such a path in a second way.',
    spec: 'RFC 3986 §6.2.2, contract §4 `target_malformed`',
    example: { mutations: [{ op: 'request', what: 'target', value: '/read//1' }] },
    reasons: ['target_malformed'],
    matches: ({ wire }) => /\/\/|\/%2e|\/;|\/\.{1,2}(?:\/|$)/i.test(wire.target),
  },
  {
    name: 'a proof older or newer than the tier takes',
    why: 'oauth4webapi takes 300 s either way, jose adds its tolerance to the age.',
    spec: 'RFC 9449 §4.3 (11), §11.1',
    example: set('proof.claims', 'iat', NOW - 61),
    reasons: ['proof_too_old', 'proof_in_future'],
    matches: ({ proof: { claims } }) =>
      isNumberOf(claims.iat, NOW - 300, NOW - 60.001) || isNumberOf(claims.iat, NOW + 10.001, NOW + 300),
  },
  {
    name: 'a proof whose exp is past, within the skew of others',
    why: '`exp` has no leeway, in a proof neither.',
    spec: 'contract §3, RFC 7519 §4.1.4',
    example: set('proof.claims', 'exp', NOW - 1),
    reasons: ['proof_too_old'],
    matches: ({ proof: { claims } }) => isNumberOf(claims.exp, NOW - 10, NOW),
  },
  {
    name: 'an htu that only a browser repairs',
    why: 'oauth4webapi compares what the WHATWG parser makes of it: backslashes, tabs and full-width letters included.',
    spec: 'RFC 9449 §4.3 (9), RFC 3986 §6.2.2',
    example: set('proof.claims', 'htu', 'https:\\\\api.example.com\\read\\1'),
    reasons: ['proof_target'],
    matches: ({ proof: { claims } }) =>
      typeof claims.htu === 'string' &&
      !/^https:\/\/[a-z0-9.:]+\/[\x21-\x5b\x5d-\x7e]*$/i.test(claims.htu.replace(':0443', '\\')),
  },
]
