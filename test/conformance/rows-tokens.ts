// What RFC 9068 and 8725 demand of access tokens (AT), with the rows of certificates and of what a client is told.
import { denies, of } from './cite.js'
import type { Row } from './row.js'
import { ANSWER_ROWS } from './rows-answers.js'
import { CERTIFICATE_ROWS } from './rows-certificates.js'
import { INTROSPECTION_ROWS } from './rows-introspection.js'

const table = of('test/verify/denials.test.ts')
const grants = of('test/journeys/grants.test.ts')
const tokens = of('test/conformance/tokens.test.ts')
const issuers = of('test/keys/issuers.test.ts')
const jwks = of('test/keys/jwks.test.ts')
const challenges = of('test/verify/challenge.test.ts')
const advisories = of('test/regressions/advisories-issuers.test.ts')
const outages = of('test/journeys/outages.test.ts')
const cache = of('test/journeys/cache.test.ts')
const kinds = of('test/conformance/token-kinds.test.ts')

const ACCESS_TOKEN_ROWS: readonly Row[] = [
  {
    id: 'AT-01',
    requirement: '`typ` is `at+jwt` or `application/at+jwt`, in any case.',
    spec: 'RFC 9068 §4',
    tests: grants('grants typ in any case and with application/'),
  },
  {
    id: 'AT-02',
    requirement: 'Any other `typ`, and none, is refused, but for an issuer that is configured as legacy.',
    spec: 'RFC 9068 §4, RFC 8725 §3.11',
    tests: [
      ...table(...denies('token_type', 'typ JWT', 'no typ')),
      ...tokens('denies token_type: JWTs of every other kind, though the same issuer signed them'),
    ],
  },
  {
    id: 'AT-03',
    requirement:
      'ID tokens, request objects, client assertions, security events, proofs and our own assertion are no access tokens.',
    spec: 'RFC 8725 §2.8, §3.12',
    tests: [
      ...kinds(
        'denies JWTs that the issuer signed for something else, of a legacy issuer too',
        'denies token_issuer: the assertion that a backend got from us, sent back as a token',
      ),
      ...tokens('denies token_type: JWTs of every other kind, though the same issuer signed them'),
    ],
  },
  {
    id: 'AT-04',
    requirement: '`iss` is compared exactly, and a key speaks for its own issuer alone.',
    spec: 'RFC 9068 §4, RFC 8725 §3.8',
    tests: [
      ...table(...denies('token_issuer', 'a trailing slash')),
      ...tokens('denies token_signature: a token of one issuer under the key of another that has the same kid'),
      ...issuers('keeps issuers apart'),
    ],
  },
  {
    id: 'AT-05',
    requirement: '`aud` holds our identifier, exactly, alone or in a list.',
    spec: 'RFC 9068 §4, RFC 8725 §3.9',
    tests: [
      ...table(...denies('token_audience', 'another audience', 'a prefix of ours')),
      ...tokens('denies token_audience: ours in other case, with a slash, and with something behind it'),
      ...grants('grants a list of audiences'),
    ],
  },
  {
    id: 'AT-06',
    requirement: 'Algorithms are an allow-list, compared with case; never `none`, never a MAC.',
    spec: 'RFC 9068 §4, RFC 8725 §3.1',
    tests: [
      ...table(...denies('token_algorithm', 'none', 'noNE', 'RS256 on a tier that has not listed it')),
      ...kinds('denies token_algorithm: a MAC keyed with what is public of the issuer’s key'),
    ],
  },
  {
    id: 'AT-07',
    requirement: 'A key that is published for one algorithm or use is not taken for another.',
    spec: 'RFC 8725 §3.1',
    tests: [
      ...tokens('denies token_signature: a key that is published for another algorithm or use'),
      ...jwks('honours the alg of a key'),
    ],
  },
  {
    id: 'AT-08',
    requirement: 'Of several keys with one `kid` the one that fits is taken, of the same type too.',
    spec: 'FAPI 2.0 §5.4.3',
    tests: [
      ...tokens('takes of two keys with one kid the one that fits'),
      ...kinds('takes of two keys with one kid and type the one that signed'),
    ],
  },
  {
    id: 'AT-09',
    requirement: 'Without `kid`: only when exactly one key fits.',
    spec: 'contract §2',
    tests: [...grants('grants a token without kid, of which one key fits'), ...jwks('without kid takes the only key that fits')],
  },
  {
    id: 'AT-10',
    requirement: 'Unknown `kid`s cost at most one fetch in 30 s, however many come and however many workers there are.',
    spec: 'RFC 8725 §2.9, contract §4',
    tests: [
      ...issuers('an unknown kid: one fetch for all who ask, then unavailable for 30 s'),
      ...of('test/journeys/processes.test.ts')(
        'two workers: one of them all fetches the keys, and a storm of unknown kids makes one fetch more at most',
      ),
    ],
  },
  {
    id: 'AT-11',
    requirement: 'Keys that a token brings or names (`jwk`, `jku`, `x5u`, `x5c`) are neither used nor fetched.',
    spec: 'RFC 8725 §3.10',
    tests: advisories('CVE-2018-0114, OWASP cheat sheet PR 2317: keys that a token brings are neither used nor fetched'),
  },
  {
    id: 'AT-12',
    requirement: '`kid` is the attacker’s word: no path, query or prototype in it does anything.',
    spec: 'RFC 8725 §3.10',
    tests: tokens('denies token_signature: a kid that is a path, a query, a prototype or a key'),
  },
  {
    id: 'AT-13',
    requirement: '`exp` is required, a number, and ahead, without leeway.',
    spec: 'RFC 9068 §4, contract §3',
    tests: [
      ...table(...denies('token_expired', 'expired a second ago'), ...denies('token_claim', 'exp missing', 'exp is a string')),
      ...kinds('denies token_claim: a required claim of another type, and exp in milliseconds'),
    ],
  },
  {
    id: 'AT-14',
    requirement: '`nbf` and `iat` may be up to `clock_skew` ahead, not more.',
    spec: 'FAPI 2.0 §5.3.2.1, contract §3',
    tests: [
      ...table(...denies('token_not_yet_valid', 'nbf a minute ahead', 'iat a minute ahead')),
      ...grants('grants a token with iat and nbf 9 s ahead'),
    ],
  },
  {
    id: 'AT-15',
    requirement:
      '`iss`, `exp`, `aud`, `sub`, `client_id`, `iat` and `jti` are there, of their types (of an issuer that is configured as legacy: `iss`, `exp`, `aud` and `iat`).',
    spec: 'RFC 9068 §2.2, contract §2',
    read: 'RFC 9068 §2.2 (as in its last draft of May 2021)',
    tests: [
      ...table(
        ...denies('token_issuer', 'no issuer'),
        ...denies('token_claim', 'exp missing', 'iat missing', 'aud missing', 'sub missing', 'client_id missing', 'jti missing'),
      ),
      ...kinds('denies token_claim: a required claim of another type, and exp in milliseconds'),
    ],
  },
  {
    id: 'AT-16',
    requirement: 'An encrypted token is no token, so nothing is decrypted or unpacked.',
    spec: 'RFC 8725 §3.13, contract §4',
    tests: [
      ...kinds('denies token_malformed: encrypted tokens, whatever work they ask for'),
      ...advisories('CVE-2026-29000: a token wrapped in encryption is no token'),
    ],
  },
  {
    id: 'AT-17',
    requirement: 'Compact serialisation alone, of legal characters.',
    spec: 'RFC 8725 §3.14',
    tests: [
      ...table(...denies('token_malformed', 'two parts', 'padding', 'spare bits in the signature')),
      ...kinds('denies credentials_malformed and token_malformed: the JSON serialisations, open or wrapped'),
    ],
  },
  {
    id: 'AT-18',
    requirement: 'Header and claims are UTF-8.',
    spec: 'RFC 8725 §3.7',
    tests: kinds('denies token_malformed: a signed token whose text is not UTF-8'),
  },
  {
    id: 'AT-19',
    requirement: 'Every failure above is `invalid_token` with 401.',
    spec: 'RFC 9068 §4',
    tests: challenges(
      'the error stands in the challenge of the scheme that was used',
      'every reason: the form of RFC 9457, and nothing private',
    ),
  },
  {
    id: 'AT-20',
    requirement: 'A client’s own token is not taken for a user’s.',
    spec: 'RFC 9700 §4.15',
    tests: [
      ...tokens('denies user_required: a token without a user is no user, whatever its sub'),
      ...table(...denies('user_required', 'a client alone')),
    ],
  },
  {
    id: 'AT-21',
    requirement:
      'A revoked token is refused within a stated time, where its issuer is asked (`introspection`); `token_max_ttl` bounds it elsewhere.',
    spec: 'FAPI 2.0 §5.3.4',
    tests: [
      ...of('test/introspection/revocation.test.ts')(
        'denies token_inactive: a token that is revoked, within the stated delay, and then at every request',
        'denies token_inactive at once where the tier has introspect: always, and elsewhere from then on',
      ),
      ...table('denies token_revoked: its jti', 'denies token_revoked: its subject, issued before'),
      ...of('test/revocations/kill-switch.test.ts')(
        'while both serve 1,000 requests a second: refused at the other gateway within a second',
      ),
    ],
  },
  {
    id: 'AT-22',
    requirement: 'An issuer that is silent: known keys serve on for a stated time; then 503, not 401.',
    spec: 'contract §9',
    tests: [
      ...outages('denies keys_unavailable: the issuer is silent, and 503 turns into 200 when it is back'),
      ...issuers('serves the last keys for jwks_max_stale when the issuer is silent'),
    ],
  },
  {
    id: 'AT-23',
    requirement: 'Algorithms change by configuration alone.',
    spec: 'RFC 8725 §3.2',
    tests: kinds('an algorithm goes and comes by configuration alone, for tokens that are known and connections that are open'),
  },
  {
    id: 'AT-24',
    requirement: 'Tokens are neither logged nor stored.',
    spec: 'RFC 9700 §4.9.3',
    tests: [
      ...kinds('no token, no part of one and no hash of one is in the replay store, in the audit file or in the log'),
      ...of('test/audit/event.test.ts')('no token, proof or key material in any event'),
    ],
  },
  {
    id: 'AT-25',
    requirement: 'A token that differs in one character is another token, for hashes and caches too.',
    spec: 'decision',
    tests: cache('a token that is nearly the same is another'),
  },
  {
    id: 'AT-26',
    requirement: 'Tokens over `credential_bytes` are refused before anything is read of them.',
    spec: 'contract §4',
    tests: table(...denies('credentials_malformed', 'over the size limit')),
  },
]

export const TOKEN_ROWS: readonly Row[] = [...CERTIFICATE_ROWS, ...ACCESS_TOKEN_ROWS, ...INTROSPECTION_ROWS, ...ANSWER_ROWS]
