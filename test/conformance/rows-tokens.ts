// What RFC 9068, 8725, 6750, 9470 and 9728 demand of tokens, errors, step-up and metadata (AT, BRR, STP, PRM), with the certificates' rows.
import { denies, of } from './cite.js'
import type { Row } from './row.js'
import { CERTIFICATE_ROWS } from './rows-certificates.js'

const table = of('test/verify/denials.test.ts')
const grants = of('test/journeys/grants.test.ts')
const tokens = of('test/conformance/tokens.test.ts')
const issuers = of('test/keys/issuers.test.ts')
const jwks = of('test/keys/jwks.test.ts')
const challenges = of('test/verify/challenge.test.ts')
const metadata = of('test/journeys/metadata.test.ts')
const advisories = of('test/regressions/advisories-issuers.test.ts')
const outages = of('test/journeys/outages.test.ts')
const cache = of('test/journeys/cache.test.ts')
const precedence = of('test/verify/precedence.test.ts')
const resource = of('test/conformance/resource.test.ts')
const clients = of('test/journeys/oauth4webapi.test.ts')

const TOKEN_ROWS_AT: readonly Row[] = [
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
      ...table(...denies('token_type', 'a proof', 'our own assertion')),
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
    tests: table(
      ...denies('token_algorithm', 'none', 'noNE', 'HS256 keyed with the public key', 'RS256 on a tier that has not listed it'),
    ),
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
    requirement: 'Of several keys with one `kid` the one that fits is taken.',
    spec: 'FAPI 2.0 §5.4.3',
    tests: [...tokens('takes of two keys with one kid the one that fits'), ...jwks('selects by kid, then by what fits')],
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
    tests: table(...denies('token_expired', 'expired a second ago'), ...denies('token_claim', 'exp missing', 'exp is a string')),
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
    requirement: '`iss`, `exp`, `aud`, `sub`, `client_id`, `iat` and `jti` are there, of their types.',
    spec: 'RFC 9068 §2.2',
    tests: table(...denies('token_claim', 'iat missing', 'aud missing', 'sub missing', 'client_id missing', 'jti missing')),
  },
  {
    id: 'AT-16',
    requirement: 'An encrypted token is no token, so nothing is decrypted or unpacked.',
    spec: 'RFC 8725 §3.13, contract §4',
    tests: [
      ...table(...denies('token_malformed', 'five parts, a JWE')),
      ...advisories('CVE-2026-29000: a token wrapped in encryption is no token'),
    ],
  },
  {
    id: 'AT-17',
    requirement: 'Compact serialisation alone, of legal characters.',
    spec: 'RFC 8725 §3.14',
    tests: [
      ...table(...denies('token_malformed', 'two parts', 'padding', 'spare bits in the signature')),
      ...tokens('denies token_malformed: a token in any other spelling than its own'),
    ],
  },
  {
    id: 'AT-18',
    requirement: 'Header and claims are UTF-8.',
    spec: 'RFC 8725 §3.7',
    tests: table(...denies('token_malformed', 'payload is not UTF-8')),
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
    requirement: 'A revoked token is refused within a stated time.',
    spec: 'FAPI 2.0 §5.3.4',
    not: 'Tokens are judged by what they say and by their issuer’s keys; there is no introspection in this version. `token_max_ttl` bounds how long a revoked one lives.',
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
    tests: of('test/journeys/reload.test.ts')(
      'a stricter tier holds for a token that was accepted before, on connections that are open',
    ),
  },
  {
    id: 'AT-24',
    requirement: 'Tokens are neither logged nor stored.',
    spec: 'RFC 9700 §4.9.3',
    tests: [
      ...tokens('a token is in no record of the replay store and in no line of the log'),
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

const ERROR_ROWS: readonly Row[] = [
  {
    id: 'BRR-01',
    requirement: 'The scheme has no case.',
    spec: 'RFC 6750 §2.1, RFC 9110 §11.1',
    tests: grants('grants bearer in odd letters', 'grants the scheme in odd letters'),
  },
  {
    id: 'BRR-02',
    requirement: 'A token in a form body is not looked for.',
    spec: 'RFC 6750 §2.2, contract §4',
    tests: resource('a token in a form is not looked for: the body is the upstream’s'),
  },
  {
    id: 'BRR-03',
    requirement: 'A token in the query is refused, however it is escaped, and beside right credentials as well.',
    spec: 'RFC 6750 §2.3, FAPI 2.0 §5.3.4',
    tests: table(...denies('credentials_in_query', 'token in the query as well', 'escaped')),
  },
  {
    id: 'BRR-04',
    requirement: 'Without credentials: a challenge without error.',
    spec: 'RFC 6750 §3.1',
    read: 'RFC 6750 §3.1',
    tests: challenges('no credentials: every scheme the tier takes, and no error'),
  },
  {
    id: 'BRR-05',
    requirement: '`invalid_request` is 400, `invalid_token` 401, `insufficient_scope` 403 with `scope`.',
    spec: 'RFC 6750 §3.1',
    read: 'RFC 6750 §3.1',
    tests: [
      ...challenges('says what would have been enough'),
      ...table(...denies('scope_missing', 'one of two scopes')),
      ...table(...denies('credentials_repeated', 'the same line twice')),
    ],
  },
  {
    id: 'BRR-06',
    requirement: 'Challenges keep to the allowed characters, and no parameter stands twice, whatever came in.',
    spec: 'RFC 6750 §3',
    read: 'RFC 6750 §3',
    tests: tokens('every challenge keeps to the characters and forms of RFC 6750 §3'),
  },
  {
    id: 'BRR-07',
    requirement: '`Bearer` always has a parameter: `realm`.',
    spec: 'RFC 6750 §3, contract §4 (C3)',
    tests: [
      ...tokens('every challenge keeps to the characters and forms of RFC 6750 §3'),
      ...challenges('no credentials: every scheme the tier takes, and no error'),
    ],
  },
  {
    id: 'BRR-08',
    requirement: 'Wrong scope is 403; what a token may do is not told before its key is proven.',
    spec: 'RFC 6750 §3.1, contract §4',
    tests: [
      ...table(...denies('scope_missing', 'no scope')),
      ...precedence('of two faults the one that stands earlier in the contract is answered'),
    ],
  },
  {
    id: 'BRR-09',
    requirement: 'Refusals are `no-store`, and so is every answer that carries a nonce; the rest is the upstream’s to say.',
    spec: 'RFC 9111 §3.5, RFC 9449 §8.2',
    read: 'RFC 9111 §3.5',
    tests: tokens('every challenge keeps to the characters and forms of RFC 6750 §3'),
  },
  {
    id: 'BRR-10',
    requirement: 'A challenge of the upstream never reaches the client: its 401 is 502.',
    spec: 'contract §4 (C15)',
    tests: tokens('an upstream’s 401 is 502 here, and its challenge stays inside'),
  },
]

const STEP_UP_ROWS: readonly Row[] = [
  {
    id: 'STP-01',
    requirement: 'Too weak a login is 401 with `insufficient_user_authentication`.',
    spec: 'RFC 9470 §3',
    tests: table(...denies('authentication_weak', 'a weaker acr')),
  },
  {
    id: 'STP-02',
    requirement: '`acr_values` is a list with spaces, in the order of the configuration.',
    spec: 'RFC 9470 §3',
    tests: challenges('says what would have been enough'),
  },
  {
    id: 'STP-03',
    requirement: '`max_age` is a whole number of seconds.',
    spec: 'RFC 9470 §3',
    tests: challenges('says what would have been enough'),
  },
  {
    id: 'STP-04',
    requirement: 'What a step-up would have to reach stands in one challenge.',
    spec: 'RFC 9470 §3',
    tests: [...challenges('says what would have been enough'), ...clients('refuses with challenges that the library reads')],
  },
  {
    id: 'STP-05',
    requirement: 'It works under the DPoP scheme as well.',
    spec: 'RFC 9470 §3',
    tests: of('test/journeys/openid-client.test.ts')('refuses an old authentication with a challenge that says what to do'),
  },
  {
    id: 'STP-06',
    requirement: '`auth_time` counts, not `iat`: a fresh token of an old login is old.',
    spec: 'RFC 9470 §6.1',
    tests: [
      ...tokens('denies authentication_old: a fresh token of an old login, and auth_time that is no time'),
      ...table(...denies('authentication_old', 'an old login')),
    ],
  },
  {
    id: 'STP-07',
    requirement: 'A claim that is not there does not satisfy.',
    spec: 'contract §4',
    tests: table(...denies('authentication_old', 'auth_time missing'), ...denies('user_required', 'neither acr nor auth_time')),
  },
  {
    id: 'STP-08',
    requirement: '`auth_time` ahead of now, or no time at all, does not satisfy.',
    spec: 'contract §4',
    tests: [
      ...table(...denies('authentication_old', 'auth_time ahead')),
      ...tokens('denies authentication_old: a fresh token of an old login, and auth_time that is no time'),
    ],
  },
  {
    id: 'STP-09',
    requirement: '`acr` is compared as it stands: no level implies another.',
    spec: 'RFC 9470 §2',
    tests: table(...denies('authentication_weak', 'acr longer than ours', 'a weaker acr')),
  },
  {
    id: 'STP-10',
    requirement: 'What would be enough is told only to those whose token and key hold.',
    spec: 'RFC 9470 §9, contract §4 (C14)',
    tests: tokens('a step-up challenge is told to nobody whose token does not hold'),
  },
  {
    id: 'STP-11',
    requirement: 'A machine’s token on a step-up route is 403: there is no user to step up.',
    spec: 'contract §4',
    tests: tokens('denies user_required: a token without a user is no user, whatever its sub'),
  },
  {
    id: 'STP-12',
    requirement: 'An age within `auth_max_age` passes, one beyond it does not.',
    spec: 'RFC 9470 §3',
    tests: [
      ...grants('grants authentication of 14 minutes and 55 seconds ago'),
      ...tokens('denies authentication_old: a fresh token of an old login, and auth_time that is no time'),
    ],
  },
]

const METADATA_ROWS: readonly Row[] = [
  {
    id: 'PRM-01',
    requirement: 'One document, of the origin, at the well-known path; anything beside or below it is 404.',
    spec: 'RFC 9728 §3.1, contract §4 (C11)',
    tests: metadata('GET and HEAD, and nothing beside or below'),
  },
  {
    id: 'PRM-02',
    requirement: '`resource` is the origin without a final slash, and the path is built from that.',
    spec: 'RFC 9728 §3.1',
    tests: metadata('protected resource metadata of the origin that Host names'),
  },
  {
    id: 'PRM-03',
    requirement: 'A query of the resource identifier is kept behind the well-known part.',
    spec: 'RFC 9728 §3',
    not: 'The only resource identifier is the origin, which has no query.',
  },
  {
    id: 'PRM-04',
    requirement: 'GET and HEAD answer 200 with JSON to anyone; other methods 405.',
    spec: 'RFC 9728 §3.1, §3.2',
    tests: metadata('GET and HEAD, and nothing beside or below'),
  },
  {
    id: 'PRM-05',
    requirement: '`resource` is, character for character, the identifier the address was built from.',
    spec: 'RFC 9728 §3.3, §6',
    tests: metadata('protected resource metadata of the origin that Host names'),
  },
  {
    id: 'PRM-06',
    requirement: 'A client that follows `resource_metadata` finds the document of the origin it called.',
    spec: 'RFC 9728 §3.3, contract §4 (C11)',
    tests: clients('grants a client that knows nothing but the URL: challenge, metadata, authorization server, token'),
  },
  {
    id: 'PRM-07',
    requirement: '`resource_metadata` stands in every challenge, Bearer and DPoP.',
    spec: 'RFC 9728 §5.1',
    tests: metadata('every challenge leads to it'),
  },
  {
    id: 'PRM-08',
    requirement: 'The document says what is enforced.',
    spec: 'RFC 9728 §2, contract §8',
    tests: metadata('protected resource metadata of the origin that Host names'),
  },
  {
    id: 'PRM-09',
    requirement: 'It says how long it may be cached.',
    spec: 'RFC 9728 §7.10',
    tests: metadata('protected resource metadata of the origin that Host names'),
  },
  {
    id: 'PRM-10',
    requirement: 'It never repeats Host or any other header.',
    spec: 'RFC 9728 §7.3',
    tests: [
      ...metadata('protected resource metadata of the origin that Host names'),
      ...of('test/conformance/headers.test.ts')('documents of our own are the same, whatever stands in the request'),
    ],
  },
  {
    id: 'PRM-11',
    requirement: '`signed_metadata`, where it is used, overrides the rest.',
    spec: 'RFC 9728 §2',
    not: 'It is optional, and not offered.',
  },
  {
    id: 'PRM-12',
    requirement: 'Whoever fetches metadata guards against being sent elsewhere.',
    spec: 'RFC 9728 §7.7',
    tests: of('test/keys/fetch.test.ts')('refuses forbidden places, named or resolved', 'follows no redirect'),
  },
]

export const TOKEN_ROWS: readonly Row[] = [
  ...CERTIFICATE_ROWS,
  ...TOKEN_ROWS_AT,
  ...ERROR_ROWS,
  ...STEP_UP_ROWS,
  ...METADATA_ROWS,
]
