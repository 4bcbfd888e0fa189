// What RFC 9449 demands at the resource, §6 and §7 (USE), and of nonces, §8 and §9 (NON).
import { denies, of } from './cite.js'
import type { Row } from './row.js'

const table = of('test/verify/denials.test.ts')
const grants = of('test/journeys/grants.test.ts')
const resource = of('test/conformance/resource.test.ts')
const challenge = of('test/verify/challenge.test.ts')
const parsing = of('test/verify/parsing.test.ts')
const cors = of('test/journeys/cors.test.ts')
const pages = of('test/journeys/cors-browser.test.ts')
const browser = of('test/examples/browser.test.ts')

const USE: readonly Row[] = [
  {
    id: 'USE-01',
    requirement: 'The scheme `DPoP` is matched without case, with one space or more behind it.',
    spec: 'RFC 9449 §7.1',
    read: 'RFC 9449 §7.1',
    tests: grants(
      'grants the scheme in small letters',
      'grants the scheme in odd letters',
      'grants several spaces behind the scheme',
    ),
  },
  {
    id: 'USE-02',
    requirement:
      'A request without credentials is answered with the challenges that the tier can take, with `algs` and without error.',
    spec: 'RFC 9449 §7.1, §7.2; RFC 6750 §3.1',
    read: 'RFC 9449 §7.1, §7.2; RFC 6750 §3.1',
    tests: [
      ...table('denies credentials_missing: no Authorization'),
      ...challenge('no credentials: every scheme the tier takes, and no error'),
    ],
  },
  {
    id: 'USE-03',
    requirement: 'A scheme that is not served counts as no credentials.',
    spec: 'RFC 6750 §3.1',
    read: 'RFC 6750 §3.1',
    tests: table(...denies('credentials_missing', 'scheme Basic', 'scheme Negotiate')),
  },
  {
    id: 'USE-04',
    requirement:
      'A DPoP-bound token sent as Bearer is refused, with its proof and without; the error stands in the Bearer challenge.',
    spec: 'RFC 9449 §7.2',
    read: 'RFC 9449 §7.2',
    tests: [
      ...table(...denies('scheme_downgraded', 'a bound token as Bearer, with its proof', 'a bound token as Bearer, alone')),
      ...challenge('the error stands in the challenge of the scheme that was used'),
      ...of('test/journeys/cache.test.ts')('a bound token that is known is still no bearer token'),
    ],
  },
  {
    id: 'USE-05',
    requirement: 'Scheme DPoP without a proof is refused with 401 `invalid_dpop_proof`.',
    spec: 'RFC 9449 §7.1; decision: contract §4 (C2)',
    read: 'RFC 9449 §7.1',
    tests: table('denies proof_missing: no DPoP header'),
  },
  {
    id: 'USE-06',
    requirement: 'A token without `jkt` sent as DPoP is refused, also one that is bound to a certificate.',
    spec: 'RFC 9449 §7.1',
    read: 'RFC 9449 §7.1',
    tests: table(...denies('scheme_mismatch', 'an unbound token as DPoP', 'a certificate-bound token as DPoP')),
  },
  {
    id: 'USE-07',
    requirement: 'Two methods at once are refused with 400, and every challenge says `invalid_request`.',
    spec: 'RFC 9449 §7.2 (figure 19); RFC 6750 §2, §3.1',
    read: 'RFC 9449 §7.2; RFC 6750 §2, §3.1',
    tests: [
      ...table('denies credentials_repeated: Bearer behind DPoP'),
      ...resource('denies credentials_repeated: two methods in either order, told in every challenge'),
      ...challenge('two methods at once: the error in every challenge (RFC 9449 §7.2)'),
    ],
  },
  {
    id: 'USE-08',
    requirement: 'A second Authorization line is seen in every position, though Node hides it.',
    spec: 'decision: contract §4 (`credentials_repeated`)',
    tests: [
      ...resource('denies credentials_repeated: two methods in either order, told in every challenge'),
      ...table('denies credentials_repeated: the same line twice'),
      ...of('test/edge/server.test.ts')('hides no header line that may be there, and never that there was one too many'),
    ],
  },
  {
    id: 'USE-09',
    requirement:
      'A token in the query is refused, beside one in the header and alone; a form is never read for tokens (both are optional to support).',
    spec: 'RFC 6750 §2, §2.2, §2.3, §3.1; decision: contract §4 (`credentials_in_query`)',
    read: 'RFC 6750 §2, §2.2, §2.3, §3.1',
    tests: [
      ...table(...denies('credentials_in_query', 'token in the query as well', 'escaped')),
      ...resource('a token in a form is not looked for: the body is the upstream’s'),
    ],
  },
  {
    id: 'USE-10',
    requirement: 'Credentials that are not a scheme and one token68 are refused with 400 `invalid_request`.',
    spec: 'RFC 9449 §7.1; RFC 6750 §2.1, §3.1',
    read: 'RFC 9449 §7.1; RFC 6750 §2.1, §3.1',
    tests: table(
      ...denies(
        'credentials_malformed',
        'scheme without token',
        'two tokens',
        'quotes',
        'a token without scheme',
        'empty Authorization',
      ),
    ),
  },
  {
    id: 'USE-11',
    requirement: 'A challenge may come with other answers than 401: 403 `insufficient_scope` has one.',
    spec: 'RFC 9449 §7.1; RFC 6750 §3',
    read: 'RFC 9449 §7.1; RFC 6750 §3',
    tests: [...table('denies scope_missing: one of two scopes'), ...challenge('says what would have been enough')],
  },
  {
    id: 'USE-12',
    requirement: '`algs` is a quoted, space-separated list, and exactly the algorithms in it are taken.',
    spec: 'RFC 9449 §7.1',
    read: 'RFC 9449 §7.1',
    tests: resource('the algorithms that the challenge lists are those that are taken'),
  },
  {
    id: 'USE-13',
    requirement:
      'The scheme is never used between client and proxy: no `Proxy-Authenticate`, and `Proxy-Authorization` holds no credentials.',
    spec: 'RFC 9449 §7.1',
    read: 'RFC 9449 §7.1',
    tests: [
      ...table('denies credentials_missing: token in Proxy-Authorization'),
      ...resource('a challenge is never for a proxy'),
    ],
  },
  {
    id: 'USE-14',
    requirement:
      'Where browsers call from other origins, `WWW-Authenticate` and `DPoP-Nonce` are exposed and preflights pass without credentials.',
    spec: 'RFC 9449 §7.1, §8',
    read: 'RFC 9449 §7.1, §8',
    tests: [
      ...cors(
        'a preflight is answered from the routes, without credentials',
        'a refusal can be read: status, reason, challenge, nonce',
        'to a page of another origin nothing is said',
      ),
      ...browser('a page whose key no script can read calls through the gateway, in a browser'),
      ...pages('pages of other origins read and send what they may and no more, in a browser'),
    ],
  },
  {
    id: 'USE-15',
    requirement:
      'Each challenge is a line of its own with quoted values, and `Bearer` is never without a parameter: it has `realm`.',
    spec: 'RFC 6750 §3; RFC 9449 §7.2; decision: contract §4 (C3)',
    read: 'RFC 6750 §3; RFC 9449 §7.2',
    tests: challenge(
      'no credentials: every scheme the tier takes, and no error',
      'every reason: the form of RFC 9457, and nothing private',
    ),
  },
  {
    id: 'USE-16',
    requirement:
      'A proof beside an unbound bearer token is ignored where bearer tokens are taken, and binds nothing where they are not.',
    spec: 'decision: contract §3',
    tests: [
      ...grants('grants something in DPoP beside an unbound bearer token'),
      ...resource('denies token_unbound: a proof beside an unbound bearer token binds nothing'),
    ],
  },
  {
    id: 'USE-17',
    requirement: 'What the gateway sends to the upstream a second time is not judged or recorded a second time.',
    spec: 'RFC 9449 §7.3; decision: contract §6',
    read: 'RFC 9449 §7.3',
    tests: [
      ...resource('a second try at the upstream is not a second use of the proof'),
      ...of('test/upstream/forward.test.ts')('a GET whose reused connection closed in silence'),
    ],
  },
  {
    id: 'USE-18',
    requirement:
      'Whether a token is bound is known for certain: from its `cnf`, in every tier; of an opaque token its issuer’s answer says so.',
    spec: 'RFC 9449 §6, §6.1, §6.2',
    read: 'RFC 9449 §6, §6.1, §6.2',
    tests: [
      ...table('denies scheme_downgraded: a bound token as Bearer, alone', 'denies token_malformed: an opaque token'),
      ...of('test/introspection/opaque.test.ts')(
        ...denies('scheme_downgraded', 'bound to a key, and sent as Bearer'),
        ...denies('binding_unsupported', 'token_type DPoP without cnf'),
      ),
      ...resource('denies binding_unsupported: a token that is bound in a way unknown here is no bearer token'),
    ],
  },
  {
    id: 'USE-19',
    requirement:
      'All known members of `cnf` are proven; an unknown, empty or malformed `cnf` is refused (RFC 7800 would have unknown members ignored).',
    spec: 'RFC 7800 §3.1; decision: contract §4 (C13)',
    tests: [
      ...table(
        ...denies('binding_unsupported', 'an unknown member beside ours', 'cnf is empty', 'cnf is null', 'cnf is a string'),
      ),
      ...table('denies certificate_mismatch: bound to another certificate'),
      ...resource('denies binding_unsupported: a token that is bound in a way unknown here is no bearer token'),
    ],
  },
  {
    id: 'USE-20',
    requirement: 'Token and proof end at the gateway: the upstream sees neither, unless it is configured to get the token.',
    spec: 'RFC 9700 §4.9; decision: contract §6',
    tests: [
      ...grants('grants sensitive_read with DPoP', 'grants low_user with a bearer token'),
      ...of('test/upstream/headers.test.ts')('Authorization and DPoP pass with pass_token alone'),
    ],
  },
]

const NON: readonly Row[] = [
  {
    id: 'NON-01',
    requirement: 'A nonce is asked for with 401, `error="use_dpop_nonce"` in the DPoP challenge, and `DPoP-Nonce`.',
    spec: 'RFC 9449 §9',
    read: 'RFC 9449 §9',
    tests: [
      ...table('denies nonce_missing: no nonce where one is demanded'),
      ...challenge('a nonce goes out with the refusal that asks for it'),
    ],
  },
  {
    id: 'NON-02',
    requirement: 'The same request with a new proof that has the nonce is granted.',
    spec: 'RFC 9449 §8, §9',
    read: 'RFC 9449 §8, §9',
    tests: grants('the nonce dance'),
  },
  {
    id: 'NON-03',
    requirement: 'A nonce that is not ours, or too old, is answered with the same error and a fresh one.',
    spec: 'RFC 9449 §8, §9',
    read: 'RFC 9449 §8, §9',
    tests: [
      ...table(...denies('nonce_stale', 'a nonce of someone else', 'a nonce that is a number')),
      ...resource('denies nonce_stale: a nonce of ours that is over a minute old, with a fresh one'),
    ],
  },
  {
    id: 'NON-04',
    requirement: '`use_dpop_nonce` never comes without a nonce.',
    spec: 'RFC 9449 §8, §9',
    read: 'RFC 9449 §8, §9',
    tests: table('denies nonce_missing: no nonce where one is demanded', 'denies nonce_stale: a nonce of someone else'),
  },
  {
    id: 'NON-05',
    requirement: 'There is one `DPoP-Nonce` and it is ours; the upstream’s is dropped.',
    spec: 'RFC 9449 §8',
    read: 'RFC 9449 §8',
    tests: [
      ...resource('one DPoP-Nonce, ours, whatever the upstream says; good at another gateway with the same secret'),
      ...of('test/journeys/upstream.test.ts')('what the backend says of itself stays inside'),
    ],
  },
  {
    id: 'NON-06',
    requirement: 'A nonce is of the characters that the syntax allows, one at least.',
    spec: 'RFC 9449 §8.1',
    read: 'RFC 9449 §8.1',
    tests: resource('a thousand nonces are of the characters that RFC 9449 §8.1 allows'),
  },
  {
    id: 'NON-07',
    requirement: 'Nonces cannot be guessed, made or changed by others.',
    spec: 'RFC 9449 §8, §11.2',
    read: 'RFC 9449 §8, §11.2',
    tests: [
      ...parsing('nonces carry their time and cannot be made by others'),
      ...table('denies nonce_stale: a nonce of someone else'),
    ],
  },
  {
    id: 'NON-08',
    requirement: 'A nonce that was replaced goes on being taken while it is young: there is a window of recent ones.',
    spec: 'RFC 9449 §8, §8.2',
    read: 'RFC 9449 §8, §8.2',
    tests: [
      ...grants('the nonce dance'),
      ...resource('denies nonce_stale: a nonce of ours that is over a minute old, with a fresh one'),
    ],
  },
  {
    id: 'NON-09',
    requirement: 'Answers with a nonce are not stored by caches, 2xx too.',
    spec: 'RFC 9449 §8.2',
    read: 'RFC 9449 §8.2',
    tests: grants('the nonce dance'),
  },
  {
    id: 'NON-10',
    requirement:
      'Routes that do not demand nonces never hand one out; those that do accept no proof without (until the date of `report_only_until`, where one is set).',
    spec: 'RFC 9449 §11.3; decision: contract §4 (challenges), §5',
    read: 'RFC 9449 §11.3',
    tests: [...grants('the nonce dance'), ...table('denies nonce_missing: no nonce where one is demanded')],
  },
  {
    id: 'NON-11',
    requirement: 'A nonce is ignored where none is demanded, and good on every route that demands one.',
    spec: 'decision: contract §4 (challenges)',
    tests: grants('grants a nonce where none is asked for', 'the nonce dance'),
  },
  {
    id: 'NON-12',
    requirement: 'A nonce may be used for many proofs; each proof, by its `jti`, once.',
    spec: 'RFC 9449 §11.1',
    read: 'RFC 9449 §11.1',
    tests: grants('the nonce dance'),
  },
  {
    id: 'NON-13',
    requirement: 'With a good nonce `iat` may be an hour off either way, and no more: the nonce’s own time must be young.',
    spec: 'RFC 9449 §4.3 (11), §11.1; decision: contract §4 (C5)',
    read: 'RFC 9449 §4.3, §11.1',
    tests: [...grants('the nonce dance'), ...table('denies proof_too_old: more than an hour off, though the nonce is good')],
  },
  {
    id: 'NON-14',
    requirement: 'A refusal for want of a nonce records nothing: the same `jti` may come again with it.',
    spec: 'decision: contract §4 (order)',
    tests: resource('a refusal for want of a nonce does not burn the jti'),
  },
  {
    id: 'NON-15',
    requirement: 'At the endpoints of an authorization server the error is 400 and JSON, not a challenge.',
    spec: 'RFC 9449 §8',
    read: 'RFC 9449 §8',
    not: 'The gateway is no authorization server and stands in front of none (contract §11).',
  },
  {
    id: 'NON-16',
    requirement: 'A nonce is good at every gateway with the same secret, and a new secret leaves those of the previous one good.',
    spec: 'decision: contract §2 (`dpop`)',
    tests: [
      ...resource('one DPoP-Nonce, ours, whatever the upstream says; good at another gateway with the same secret'),
      ...of('test/journeys/reload.test.ts')('assertion keys and nonce secrets change without anyone noticing'),
    ],
  },
]

export const RESOURCE_ROWS: readonly Row[] = [...USE, ...NON]
