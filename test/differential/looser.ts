// Where jose or oauth4webapi refuses what we grant, by class, each with its reason and an example. What both refuse we must not grant, unless
// the two refuse for reasons that both stand here.

import type { Example, Read } from './stricter.js'

export type Looser = {
  readonly name: string
  readonly why: string
  readonly spec: string
  /** Who refuses, and what it says then. */
  readonly by: Readonly<Partial<Record<'jose' | 'oauth4webapi', RegExp>>>
  readonly example: Example
  matches(read: Read): boolean
}

const set = (part: 'token.cnf' | 'proof.claims' | 'proof.jwk', member: string, value: unknown): Example => ({
  mutations: [{ op: 'set', part, member, value: JSON.stringify(value) }],
})
const confirmation = ({ token: { claims } }: Read): object =>
  typeof claims.cnf === 'object' && claims.cnf !== null ? claims.cnf : {}

export const LOOSER: readonly Looser[] = [
  {
    name: 'bound to a certificate',
    why: 'oauth4webapi does not implement certificate-bound tokens.',
    spec: 'RFC 8705 §3',
    by: { oauth4webapi: /confirmation/i },
    example: { base: { binding: 'mtls' }, mutations: [] },
    matches: (read) => 'x5t#S256' in confirmation(read),
  },
  {
    name: 'kc-jkt-type beside jkt',
    why: 'Keycloak 26 writes `"kc-jkt-type": "DPoP"`, which says what `jkt` is and binds nothing of its own; every other value is refused.',
    spec: 'docs/decisions.md',
    by: { oauth4webapi: /confirmation/i },
    example: set('token.cnf', 'kc-jkt-type', 'DPoP'),
    matches: (read) => 'kc-jkt-type' in confirmation(read),
  },
  {
    name: 'a DPoP header beside a token that is not bound',
    why: 'It is removed and proves nothing, so nothing depends on it: a client may use one way for all requests.',
    spec: 'contract §3',
    by: { oauth4webapi: /"cnf" \(confirmation\) claim missing/ },
    example: { base: { binding: 'none' }, mutations: [{ op: 'lines', how: 'a proof' }] },
    matches: (read) => !('cnf' in read.token.claims) && read.wire.dpop.length > 0,
  },
  {
    name: 'htu and target equal by RFC 3986',
    why: 'The WHATWG parser keeps the escapes of unreserved characters, which RFC 3986 §6.2.2.2 decodes.',
    spec: 'RFC 9449 §4.3 (9)',
    by: { oauth4webapi: /htu mismatch/ },
    example: set('proof.claims', 'htu', 'https://api.example.com/re%61d/1'),
    matches: ({ wire, proof }) => /%[2-7][0-9a-f]/i.test(wire.target + proof.claims.htu),
  },
  {
    name: 'iss or aud in a proof',
    why: 'A proof has neither by RFC 9449 §4.2, so what stands there is not understood and ignored; oauth4webapi checks their types.',
    spec: 'RFC 9449 §4.2, RFC 7519 §4',
    by: { oauth4webapi: /"(?:aud|iss)" \(.*claim type/ },
    example: set('proof.claims', 'aud', 7),
    matches: ({ proof: { claims } }) => 'aud' in claims || 'iss' in claims,
  },
  {
    name: 'the form of ext and key_ops in the jwk',
    why: 'jose wants `ext` to be a boolean and `key_ops` a list of different strings; to us `key_ops` must hold `verify`, and `ext` says nothing to a verifier.',
    spec: 'RFC 7517 §4.3',
    by: { jose: /Invalid Embedded JWK|Unsupported key usage|key_ops/, oauth4webapi: /ext/ },
    example: set('proof.jwk', 'key_ops', ['verify', 'verify']),
    matches: ({ proof: { jwk } }) => 'ext' in jwk || 'key_ops' in jwk,
  },
  {
    name: 'an object in a member of another key type',
    why: 'An EC key with `"n": {"toString": 1}`: WebCrypto reads every member it knows as a string, and throws. We read those of the key type alone, and the thumbprint is of nothing else.',
    spec: 'RFC 7517 §4, RFC 7638 §3.2',
    by: { jose: /object to primitive/, oauth4webapi: /object to primitive/ },
    example: set('proof.jwk', 'n', { toString: 1 }),
    matches: ({ proof: { jwk } }) => ['crv', 'x', 'y', 'n', 'e'].some((name) => typeof jwk[name] === 'object'),
  },
]
