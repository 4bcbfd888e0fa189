// What RFC 6750, 9470 and 9728 demand of what a client is told: errors, step-up and metadata (BRR, STP, PRM).
import { denies, of } from './cite.js'
import type { Row } from './row.js'

const table = of('test/verify/denials.test.ts')
const grants = of('test/journeys/grants.test.ts')
const tokens = of('test/conformance/tokens.test.ts')
const challenges = of('test/verify/challenge.test.ts')
const metadata = of('test/journeys/metadata.test.ts')
const precedence = of('test/verify/precedence.test.ts')
const resource = of('test/conformance/resource.test.ts')
const kinds = of('test/conformance/token-kinds.test.ts')
const truth = of('test/conformance/metadata.test.ts')
const clients = of('test/journeys/oauth4webapi.test.ts')

const ERROR_ROWS: readonly Row[] = [
  {
    id: 'BRR-01',
    requirement: 'The scheme has no case.',
    spec: 'RFC 6750 §2.1, RFC 9110 §11.1',
    read: 'RFC 6750 §2.1',
    tests: grants('grants bearer in odd letters', 'grants the scheme in odd letters'),
  },
  {
    id: 'BRR-02',
    requirement: 'A token in a form body is not looked for (a resource server may).',
    spec: 'RFC 6750 §2.2, contract §4',
    read: 'RFC 6750 §2.2',
    tests: resource('a token in a form is not looked for: the body is the upstream’s'),
  },
  {
    id: 'BRR-03',
    requirement:
      'A token in the query is refused, however it is escaped, and beside right credentials as well (a resource server may take it; FAPI 2.0 forbids it); neither refusal nor event repeats it.',
    spec: 'RFC 6750 §2.3, FAPI 2.0 §5.3.4',
    read: 'RFC 6750 §2.3',
    tests: [
      ...table(...denies('credentials_in_query', 'token in the query as well', 'escaped')),
      ...kinds('no token, no part of one and no hash of one is in the replay store, in the audit file or in the log'),
    ],
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
    tests: [
      ...tokens('every challenge keeps to the characters and forms of RFC 6750 §3'),
      ...challenges('every reason: the form of RFC 9457, and nothing private'),
    ],
  },
  {
    id: 'BRR-07',
    requirement: '`Bearer` always has a parameter: `realm`.',
    spec: 'RFC 6750 §3, contract §4 (C3)',
    read: 'RFC 6750 §3',
    tests: [
      ...tokens('every challenge keeps to the characters and forms of RFC 6750 §3'),
      ...challenges('no credentials: every scheme the tier takes, and no error'),
    ],
  },
  {
    id: 'BRR-08',
    requirement: 'Wrong scope is 403; what a token may do is not told before its key is proven.',
    spec: 'RFC 6750 §3.1, contract §4',
    read: 'RFC 6750 §3.1',
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
    tests: [...tokens('every challenge keeps to the characters and forms of RFC 6750 §3'), ...grants('the nonce dance')],
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
    requirement: '`acr_values` is a list with spaces, best first, as configured.',
    spec: 'RFC 9470 §3',
    read: 'RFC 9470 §3',
    tests: [
      ...kinds('one challenge tells what login would do, best first, and only to whom everything else holds'),
      ...challenges('says what would have been enough'),
    ],
  },
  {
    id: 'STP-03',
    requirement: '`max_age` is a whole number of seconds.',
    spec: 'RFC 9470 §3',
    read: 'RFC 9470 §3',
    tests: challenges('says what would have been enough'),
  },
  {
    id: 'STP-04',
    requirement: 'What a step-up would have to reach stands in one challenge.',
    spec: 'RFC 9470 §3',
    read: 'RFC 9470 §3',
    tests: [
      ...kinds('one challenge tells what login would do, best first, and only to whom everything else holds'),
      ...clients('refuses with challenges that the library reads'),
    ],
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
      ...kinds('denies authentication_old: an auth_time that is no time'),
    ],
  },
  {
    id: 'STP-09',
    requirement: '`acr` is compared as it stands: no level implies another.',
    spec: 'RFC 9470 §2',
    tests: [
      ...table(...denies('authentication_weak', 'acr longer than ours', 'a weaker acr')),
      ...kinds('denies authentication_weak: acr in another form than one of the listed values'),
    ],
  },
  {
    id: 'STP-10',
    requirement: 'What would be enough is told only to those whose token and key hold.',
    spec: 'RFC 9470 §9, contract §4 (C14)',
    tests: [
      ...kinds('one challenge tells what login would do, best first, and only to whom everything else holds'),
      ...tokens('a step-up challenge is told to nobody whose token does not hold'),
    ],
  },
  {
    id: 'STP-11',
    requirement: 'A machine’s token on a step-up route is 403: there is no user to step up.',
    spec: 'contract §4',
    tests: [
      ...kinds('a machine is told that no login will do'),
      ...tokens('denies user_required: a token without a user is no user, whatever its sub'),
    ],
  },
  {
    id: 'STP-12',
    requirement: 'An age within `auth_max_age` passes, one beyond it does not.',
    spec: 'RFC 9470 §3',
    read: 'RFC 9470 §3',
    tests: [
      ...kinds('the edge of auth_max_age: an age of just that passes, the least bit more does not'),
      ...grants('grants authentication of 14 minutes and 55 seconds ago'),
    ],
  },
]

const METADATA_ROWS: readonly Row[] = [
  {
    id: 'PRM-01',
    requirement: 'One document, of the origin, at the well-known path; anything beside or below it is 404.',
    spec: 'RFC 9728 §3.1, contract §4 (C11)',
    read: 'RFC 9728 §3, §3.1',
    tests: metadata('GET and HEAD, and nothing beside or below'),
  },
  {
    id: 'PRM-02',
    requirement: '`resource` is the origin without a final slash, and the path is built from that.',
    spec: 'RFC 9728 §3.1',
    read: 'RFC 9728 §3.1',
    tests: metadata('protected resource metadata of the origin that Host names'),
  },
  {
    id: 'PRM-03',
    requirement: 'A query of the resource identifier is kept behind the well-known part.',
    spec: 'RFC 9728 §3',
    read: 'RFC 9728 §1.2, §3',
    not: 'The only resource identifier is the origin, which has no query.',
  },
  {
    id: 'PRM-04',
    requirement: 'GET and HEAD answer 200 with JSON to anyone, without members that have no value; other methods 405.',
    spec: 'RFC 9728 §3.1, §3.2',
    read: 'RFC 9728 §3.1, §3.2',
    tests: [...metadata('GET and HEAD, and nothing beside or below'), ...truth('members without a value are left out')],
  },
  {
    id: 'PRM-05',
    requirement: '`resource` is, character for character, the identifier the address was built from.',
    spec: 'RFC 9728 §3.3, §6',
    read: 'RFC 9728 §3.3, §6',
    tests: metadata('protected resource metadata of the origin that Host names'),
  },
  {
    id: 'PRM-06',
    requirement:
      '`resource_metadata` leads to the document of the origin that was called, whatever its path; a client that demands, as §3.3 does, that `resource` is the URL it requested can use it for the origin itself alone.',
    spec: 'RFC 9728 §3.3, contract §4 (C11)',
    read: 'RFC 9728 §3.3',
    tests: [
      ...clients('grants a client that knows nothing but the URL: challenge, metadata, authorization server, token'),
      ...truth('resource_metadata stands in every challenge, and leads to the document of the origin that was called'),
    ],
  },
  {
    id: 'PRM-07',
    requirement: '`resource_metadata` stands in every challenge, Bearer and DPoP.',
    spec: 'RFC 9728 §5.1',
    read: 'RFC 9728 §5.1',
    tests: [
      ...truth('resource_metadata stands in every challenge, and leads to the document of the origin that was called'),
      ...metadata('every challenge leads to it'),
    ],
  },
  {
    id: 'PRM-08',
    requirement: 'The document says what is enforced, member by member, and follows it at a reload.',
    spec: 'RFC 9728 §2, contract §8',
    read: 'RFC 9728 §2',
    tests: [
      ...truth(
        'authorization_servers: whose tokens are taken, and nobody else’s',
        'dpop_signing_alg_values_supported: what some route takes, and nothing else',
        'dpop_bound_access_tokens_required: true exactly where no other token is taken',
        'tls_client_certificate_bound_access_tokens: true exactly where they can be used',
        'scopes_supported: every scope that a route demands; bearer_methods_supported: the header, and no other place',
        'the document follows the policy at a reload',
      ),
    ],
  },
  {
    id: 'PRM-09',
    requirement: 'It says how long it may be cached.',
    spec: 'RFC 9728 §7.10',
    read: 'RFC 9728 §7.10',
    tests: metadata('protected resource metadata of the origin that Host names'),
  },
  {
    id: 'PRM-10',
    requirement: 'It never repeats Host or any other header.',
    spec: 'contract §4, §8',
    tests: [
      ...metadata('protected resource metadata of the origin that Host names'),
      ...of('test/conformance/headers.test.ts')('documents of our own are the same, whatever stands in the request'),
    ],
  },
  {
    id: 'PRM-11',
    requirement: '`signed_metadata`, where it is used, overrides the rest.',
    spec: 'RFC 9728 §2.2',
    read: 'RFC 9728 §2.2',
    not: 'It is optional, and not offered.',
  },
  {
    id: 'PRM-12',
    requirement: 'Whoever fetches metadata guards against being sent elsewhere.',
    spec: 'RFC 9728 §7.7',
    read: 'RFC 9728 §7.7',
    tests: of('test/keys/fetch.test.ts')('refuses forbidden places, named or resolved', 'follows no redirect'),
  },
]

export const ANSWER_ROWS: readonly Row[] = [...ERROR_ROWS, ...STEP_UP_ROWS, ...METADATA_ROWS]
