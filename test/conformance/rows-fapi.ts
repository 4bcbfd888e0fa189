// What FAPI 2.0 demands of a resource server (FAPI), and the headers that FAPI 1.0 Part 1 §6.2 speaks of (XFAPI).
import { denies, of } from './cite.js'
import type { Row } from './row.js'

const table = of('test/verify/denials.test.ts')
const http = of('test/conformance/http.test.ts')
const resource = of('test/conformance/resource.test.ts')
const grants = of('test/journeys/grants.test.ts')
const edge = of('test/edge/server.test.ts')
const fetching = of('test/keys/fetch.test.ts')

const FAPI: readonly Row[] = [
  {
    id: 'FAPI-01',
    requirement: 'A token is taken from Authorization alone, in the scheme Bearer or DPoP, and refused in the query.',
    spec: 'FAPI 2.0 §5.3.4 (1, 2)',
    tests: [
      ...table('denies credentials_in_query: token in the query as well', 'denies credentials_in_query: escaped'),
      ...resource('a token in a form is not looked for: the body is the upstream’s'),
    ],
  },
  {
    id: 'FAPI-02',
    requirement:
      'Signature and expiry of a token are checked, and that it is not revoked; its life is bounded, and a key that is gone takes its tokens with it.',
    spec: 'FAPI 2.0 §5.3.4 (3); decision: contract §3',
    tests: [
      ...table(
        'denies token_signature: a flipped bit',
        'denies token_expired: expired a second ago',
        'denies token_lifetime: lives an hour',
        'denies token_revoked: its jti',
      ),
      ...of('test/journeys/reload.test.ts')('a key that is gone takes its tokens with it'),
    ],
  },
  {
    id: 'FAPI-03',
    requirement: 'A token that does not cover the route’s scopes is refused with 403 `insufficient_scope`.',
    spec: 'FAPI 2.0 §5.3.4 (4); RFC 6750 §3.1',
    tests: table(...denies('scope_missing', 'one of two scopes', 'no scope')),
  },
  {
    id: 'FAPI-04',
    requirement:
      'On tiers that demand a binding a token that is not sender-constrained, or not proven to be the sender’s, is refused.',
    spec: 'FAPI 2.0 §5.3.4 (5)',
    tests: [
      ...table('denies token_unbound: an unbound token', 'denies proof_key: a stranger’s proof for a stolen token'),
      ...resource('denies token_unbound: a proof beside an unbound bearer token binds nothing'),
    ],
  },
  {
    id: 'FAPI-05',
    requirement: 'Proofs are signed with PS256, ES256 or EdDSA, and tokens too unless a tier lists more; `none` is never taken.',
    spec: 'FAPI 2.0 §5.4.1 (1)',
    tests: [
      ...resource('the algorithms that the challenge lists are those that are taken'),
      ...table('denies token_algorithm: none', 'denies token_algorithm: RS256 on a tier that has not listed it'),
    ],
  },
  {
    id: 'FAPI-06',
    requirement: 'RSA keys have 2048 bits or more and elliptic curves are P-256 or Ed25519, of proofs and of issuers.',
    spec: 'FAPI 2.0 §5.4.1 (2 to 4)',
    tests: [
      ...table('denies proof_malformed: an RSA key of 1024 bits', 'denies proof_malformed: a P-384 key for ES256'),
      ...of('test/keys/jwks.test.ts')('skips keys that can never verify a token'),
    ],
  },
  {
    id: 'FAPI-07',
    requirement: 'Issuer keys come over TLS that is verified, and of several keys the `kid` names one.',
    spec: 'FAPI 2.0 §5.4.2, §5.4.3',
    tests: [
      ...fetching('verifies TLS, by the CA of the issuer'),
      ...of('test/keys/addresses.test.ts')('takes https to anywhere else and http to loopback'),
      ...of('test/keys/jwks.test.ts')('selects by kid, then by what fits'),
    ],
  },
  {
    id: 'FAPI-08',
    requirement: 'There is no plaintext listener for the API, and TLS is 1.2 or newer.',
    spec: 'FAPI 2.0 §5.2.1; BCP 195',
    tests: edge(
      'TLS is 1.3, or 1.2 with ECDHE and AES-GCM, and HTTP/1.1 alone',
      'a slow handshake and a plain HTTP request are closed without a word',
    ),
  },
  {
    id: 'FAPI-09',
    requirement: 'TLS 1.3 is preferred, and TLS 1.2 has the recommended suites alone.',
    spec: 'FAPI 2.0 §5.2.2',
    tests: edge('TLS is 1.3, or 1.2 with ECDHE and AES-GCM, and HTTP/1.1 alone', 'renegotiation is not to be had'),
  },
  {
    id: 'FAPI-10',
    requirement: 'An authorization endpoint for browsers sends HSTS and no CORS headers.',
    spec: 'FAPI 2.0 §5.2.3',
    not: 'The gateway has no endpoint for browsers: it stands before resources, not before an authorization endpoint.',
  },
  {
    id: 'FAPI-11',
    requirement: 'The certificates of issuers and upstreams are verified, always.',
    spec: 'FAPI 2.0 §5.2.1 (5); RFC 9525',
    tests: [
      ...of('test/upstream/pools.test.ts')('verifies the upstream, always'),
      ...fetching('verifies TLS, by the CA of the issuer'),
      ...of('test/replay/redis.test.ts')('TLS: the certificate is verified, ours is shown'),
    ],
  },
  {
    id: 'FAPI-12',
    requirement: 'Times up to ten seconds ahead are taken and those a minute ahead refused, in tokens and in proofs.',
    spec: 'FAPI 2.0 §5.3.2.1 (13)',
    tests: [
      ...grants('grants a proof of 9 s ahead', 'grants a token with iat and nbf 9 s ahead'),
      ...table(
        'denies proof_in_future: a quarter of a minute ahead',
        'denies token_not_yet_valid: nbf a minute ahead',
        'denies token_not_yet_valid: iat a minute ahead',
      ),
    ],
  },
  {
    id: 'FAPI-13',
    requirement: 'Against replay a proof is used once, nonces can be demanded, and so can mutual TLS.',
    spec: 'FAPI 2.0 §6.2',
    tests: [
      ...table('denies proof_replayed: the same proof again', 'denies nonce_missing: no nonce where one is demanded'),
      ...table('denies binding_insufficient: DPoP where mtls is demanded'),
    ],
  },
  {
    id: 'FAPI-14',
    requirement: 'A route trusts the issuers it names: a token of another issuer that the gateway knows is refused.',
    spec: 'FAPI 2.0 §6.3',
    tests: table('denies token_issuer: an issuer that this route does not trust'),
  },
  {
    id: 'FAPI-15',
    requirement: 'Every answer has a Date: the upstream’s own, or the gateway’s where there is none.',
    spec: 'RFC 9110 §6.6.1; FAPI 1.0 Part 1 §6.2.1',
    tests: http('an answer has a date: the upstream’s, or ours where it gives none'),
  },
  {
    id: 'FAPI-16',
    requirement: 'Whatever Accept says, and an IPv6 address of the customer, changes nothing.',
    spec: 'FAPI 1.0 Part 1 §6.2.1',
    tests: http('grants whatever Accept and the headers of FAPI say, and makes nothing of them'),
  },
]

const XFAPI: readonly Row[] = [
  {
    id: 'XFAPI-01',
    requirement: 'Every answer has one `x-fapi-interaction-id`: the client’s where it sent one, else a fresh UUID; refusals too.',
    spec: 'FAPI 1.0 Part 1 §6.2.1; decision: contract §4',
    tests: http('grants: a UUID is echoed and reaches the upstream', 'denies: a UUID is echoed in refusals too'),
  },
  {
    id: 'XFAPI-02',
    requirement: 'The interaction id is logged.',
    spec: 'FAPI 1.0 Part 1 §6.2.1',
    not: 'The audit event names a request by the gateway’s own id; the client’s is echoed and forwarded, but not written down.',
  },
  {
    id: 'XFAPI-03',
    requirement: 'An interaction id that is no UUID is not reflected and not forwarded, but replaced.',
    spec: 'decision: contract §4',
    tests: http('drops what is no UUID, or not one, and makes one'),
  },
  {
    id: 'XFAPI-04',
    requirement: 'A request with `x-fapi-customer-ip-address` is served, of IPv4 and of IPv6.',
    spec: 'FAPI 1.0 Part 1 §6.2.1',
    tests: http('grants whatever Accept and the headers of FAPI say, and makes nothing of them'),
  },
  {
    id: 'XFAPI-05',
    requirement: 'An answer has a Date, and keeps its media type and character set.',
    spec: 'FAPI 1.0 Part 1 §6.2.1',
    tests: http(
      'an answer has a date: the upstream’s, or ours where it gives none',
      'grants whatever Accept and the headers of FAPI say, and makes nothing of them',
    ),
  },
  {
    id: 'XFAPI-06',
    requirement: '`x-fapi-end-user-present` decides nothing, whether it is there or not.',
    spec: 'FAPI 2.0 Implementation Advice',
    tests: http('grants whatever Accept and the headers of FAPI say, and makes nothing of them'),
  },
  {
    id: 'XFAPI-07',
    requirement: 'What a client says of its customer passes as it came and never becomes an address of the peer.',
    spec: 'FAPI 2.0 Implementation Advice; decision: contract §6',
    tests: http('grants whatever Accept and the headers of FAPI say, and makes nothing of them'),
  },
]

export const FAPI_ROWS: readonly Row[] = [...FAPI, ...XFAPI]
