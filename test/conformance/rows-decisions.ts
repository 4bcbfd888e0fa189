// What the AuthZEN Authorization API 1.0 demands of whoever asks for decisions (AZ), and RFC 9396 of whoever judges by details (RAR).
import { denies, of } from './cite.js'
import type { Row } from './row.js'

const decisions = of('test/pdp/decisions.test.ts')
const outages = of('test/pdp/outages.test.ts')
const published = of('test/pdp/published.test.ts')
const details = of('test/journeys/authorization-details.test.ts')
const asked = 'asks who, what and under which circumstances, all of it from the token and the route'

export const DECISION_ROWS: readonly Row[] = [
  {
    id: 'AZ-01',
    requirement: 'The question is a POST of JSON with subject, action, resource and context.',
    spec: 'AuthZEN 1.0 §6.1, §10.1',
    tests: [...decisions(asked), ...published('§6.1.1 the question of the first example')],
  },
  {
    id: 'AZ-02',
    requirement: 'A decision comes with status 200; a denial is 403 for the client, and no fault of its token.',
    spec: 'AuthZEN 1.0 §5.5, §10.1',
    tests: decisions(...denies('decision_denied', 'decision is false', 'whatever stands beside it')),
  },
  {
    id: 'AZ-03',
    requirement: 'What is no such answer permits nothing, and a 401 of the policy decision point never becomes the client’s.',
    spec: 'AuthZEN 1.0 §10.1',
    tests: [
      ...decisions(
        ...denies(
          'decision_unavailable',
          'status 400',
          'status 401',
          'status 403',
          'status 500',
          'decision is "true"',
          'no JSON',
        ),
        'the operator is told whose fault a 401 is',
      ),
      ...outages(
        'denies decision_unavailable: one that is silent, at once after the first time-out, and it recovers by itself',
        'denies decision_unavailable: one that resets the connection',
      ),
    ],
  },
  {
    id: 'AZ-04',
    requirement: '`X-Request-ID` is sent; an answer that has another is told of.',
    spec: 'AuthZEN 1.0 §10.1',
    tests: decisions(
      asked,
      'an answer with an X-Request-ID of its own is one; the operator is told, and the decision is called so',
    ),
  },
  {
    id: 'AZ-05',
    requirement: 'Several resources are one question, answered in their order; a result that is missing is a denial.',
    spec: 'AuthZEN 1.0 §7',
    tests: [
      ...decisions(
        'several resources are one question, and all must be permitted',
        ...denies(
          'decision_denied',
          'the last of three',
          'the last is missing',
          'all are missing',
          'a decision beside the list counts for nothing',
        ),
      ),
      ...published('§7.1.1 subject, action and context once for all, resources one by one, in their order'),
    ],
  },
  {
    id: 'AZ-06',
    requirement: 'Metadata is between host and path, and counts only if it is of this very policy decision point.',
    spec: 'AuthZEN 1.0 §9.2',
    tests: [
      ...published('§9.2 where the metadata is'),
      ...outages(
        'endpoints are those of the metadata, which stands between host and path',
        'denies decision_unavailable: metadata of another policy decision point, and it recovers',
        'denies decision_unavailable: metadata with a slash more, and it recovers',
      ),
    ],
  },
  {
    id: 'AZ-07',
    requirement: 'The way there is confidential, and we authenticate.',
    spec: 'AuthZEN 1.0 §11',
    tests: [
      ...decisions(asked),
      ...outages('denies decision_unavailable: a link-local address'),
      ...of('test/pdp/channel.test.ts')('TLS: both sides are verified, and a certificate that is replaced is taken by a reload'),
    ],
  },
  {
    id: 'AZ-08',
    requirement: 'Nothing of a question comes from a header: subject from the token, action and resource from route and path.',
    spec: 'decision',
    tests: decisions(
      asked,
      'a route that says nothing more asks for its method and its path',
      'a token of a client alone asks for the client',
    ),
  },
  {
    id: 'AZ-09',
    requirement: 'A denial becomes a step-up only where that is configured, well-formed and would help.',
    spec: 'decision',
    tests: decisions(
      'a denial that asks for a better authentication is a challenge for one',
      'denies decision_denied: no step-up, one that is fulfilled would be asked for in circles',
      'denies decision_denied: no step-up, classes that could break out of the challenge',
    ),
  },
  {
    id: 'AZ-10',
    requirement: 'Decisions are kept only where that is configured, for the same question to the letter.',
    spec: 'decision',
    tests: outages(
      'nothing is kept unless `cache` says so',
      'with `cache` an answer serves for the same question, and for no other',
    ),
  },
  {
    id: 'RAR-01',
    requirement: '`authorization_details` are judged by type, actions and places.',
    spec: 'RFC 9396 §9',
    tests: details(
      'grants a detail with all actions, for this place',
      ...denies(
        'authorization_details_missing',
        'no details',
        'an action less',
        'its actions in two details',
        'for another place',
      ),
    ),
  },
  {
    id: 'RAR-02',
    requirement: 'A type that is not known here permits nothing, and malformed details are none.',
    spec: 'RFC 9396 §2',
    tests: details(
      ...denies('authorization_details_missing', 'another type', 'its type in other case'),
      ...denies('token_claim', 'details that are text', 'a detail without type'),
    ),
  },
  {
    id: 'RAR-03',
    requirement: 'Malformed or unknown details in an authorization request are `invalid_authorization_details`.',
    spec: 'RFC 9396 §5',
    not: 'It is for authorization servers; Holdfast is in front of none.',
  },
]
