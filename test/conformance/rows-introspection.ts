// What RFC 7662 and 9701 demand of whoever asks about a token, and of what is made of the answer (INT).
import { denies, of } from './cite.js'
import type { Row } from './row.js'

const opaque = of('test/introspection/opaque.test.ts')
const questions = of('test/introspection/questions.test.ts')
const revocation = of('test/introspection/revocation.test.ts')

export const INTROSPECTION_ROWS: readonly Row[] = [
  {
    id: 'INT-01',
    requirement: 'The question is a POST of a form with `token`, and says who asks: by an assertion, a certificate or a secret.',
    spec: 'RFC 7662 §2.1',
    tests: [
      ...opaque('asks as RFC 7662 has it, and what it is told is what the upstream and the audit log are told'),
      ...revocation('every way of authenticating'),
    ],
  },
  {
    id: 'INT-02',
    requirement: 'Only `active: true` counts, a boolean; what says neither true nor false is no answer.',
    spec: 'RFC 7662 §2.2',
    tests: opaque(
      ...denies('token_inactive', 'active is false'),
      ...denies('introspection_unavailable', 'active is "true"', 'active is 1', 'no active', 'active twice', 'no JSON'),
    ),
  },
  {
    id: 'INT-03',
    requirement: 'Why a token is not active is not told, and not guessed.',
    spec: 'RFC 7662 §2.2',
    tests: opaque(...denies('token_inactive', 'whatever stands beside it')),
  },
  {
    id: 'INT-04',
    requirement:
      'Issuer, audience, times, scope, kind and `cnf` of an answer are judged as the claims of a JWT are, though it says `active: true`.',
    spec: 'RFC 7662 §4, RFC 9449 §6.2, RFC 8705 §3.2',
    tests: opaque(
      ...denies('token_issuer', 'another issuer'),
      ...denies('token_audience', 'another audience'),
      ...denies('token_claim', 'no audience', 'no exp'),
      ...denies('token_expired', 'it ended, and the issuer calls it active'),
      ...denies('token_not_yet_valid', 'nbf ahead'),
      ...denies('scope_missing', 'a scope less'),
      ...denies('token_type', 'a refresh token', 'an ID token'),
      ...denies('binding_unsupported', 'cnf with another member', 'token_type DPoP without cnf'),
      ...denies('token_lifetime', 'it lives too long'),
    ),
  },
  {
    id: 'INT-05',
    requirement: 'No proof is sent along; the binding is judged here.',
    spec: 'RFC 9449 §6.2',
    tests: [
      ...opaque(
        'asks as RFC 7662 has it, and what it is told is what the upstream and the audit log are told',
        ...denies('proof_key', 'bound to another key'),
      ),
      ...revocation('grants an opaque token that is bound to a DPoP key, and refuses it without that key'),
    ],
  },
  {
    id: 'INT-06',
    requirement: 'Answers serve for a stated time at most and not beyond the token’s end, inactive ones for a short one.',
    spec: 'RFC 7662 §4',
    tests: [
      ...revocation('denies token_inactive: a token that is revoked, within the stated delay, and then at every request'),
      ...questions(
        'an answer serves for `cache`, an inactive one for `negative_cache`',
        'what was answered is judged anew: by the route, and by the time',
        'an answer to an older question does not undo a newer one',
      ),
    ],
  },
  {
    id: 'INT-07',
    requirement: 'An issuer that is silent or wrong is 503, not 401.',
    spec: 'contract §9',
    tests: [
      ...questions(
        'denies introspection_unavailable: an issuer that is silent; what is kept serves on, and it recovers by itself',
        'denies introspection_unavailable: an issuer that is out of service; what is kept serves on, and it recovers by itself',
      ),
      ...opaque(...denies('introspection_unavailable', 'status 500', 'status 401', 'a redirect', 'larger than 64 KiB')),
    ],
  },
  {
    id: 'INT-08',
    requirement:
      'Where signed answers are demanded they are asked for, and have their media type, `typ`, `iss`, `aud`, a fresh `iat`, a listed algorithm and a signature of the issuer.',
    spec: 'RFC 9701 §4, §5',
    tests: [
      ...opaque(
        'where signed answers are demanded',
        ...denies(
          'introspection_unavailable',
          'not signed',
          'alg none',
          'typ JWT',
          'signed by someone else',
          'another iss',
          'for another client',
          'an old one',
        ),
      ),
      ...revocation('grants an opaque token that is bound to a DPoP key, and refuses it without that key'),
    ],
  },
  {
    id: 'INT-09',
    requirement: 'A signed answer is no access token.',
    spec: 'RFC 9701 §8.1',
    tests: opaque('denies token_type: the signed answer itself, sent as a token'),
  },
  {
    id: 'INT-10',
    requirement: 'An answer of one issuer is none of another, and one configuration’s none of the next.',
    spec: 'RFC 7662 §4',
    tests: questions('an answer of one issuer is none of another', 'what one configuration was told another does not know'),
  },
  {
    id: 'INT-11',
    requirement: 'Invented tokens cost a bounded number of questions, and keep out nobody whose token is known.',
    spec: 'RFC 7662 §4',
    tests: questions(
      'denies introspection_unavailable: more inventions at once than half of `concurrency`, and known tokens go on',
      'requests with one token wait for one question',
    ),
  },
  {
    id: 'INT-12',
    requirement: 'A tier may have its issuer asked about every request, JWTs included, once the key is proven.',
    spec: 'FAPI 2.0 §5.3.4 (3)',
    tests: questions('where the tier has `introspect: always` its issuer is asked about a JWT too, on every request'),
  },
]
