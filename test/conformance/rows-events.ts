// What a receiver of Shared Signals must do (SSF 1.0, CAEP 1.0, RFC 8417, RFC 8935).
import { of } from './cite.js'
import type { Row } from './row.js'

const receive = of('test/events/receive.test.ts')
const SESSIONS = 'SET-01, 06, 14: session-revoked: the session it names, of a user all tokens of before, of a token that alone'
const MEANINGS = 'SET-07 to SET-11: what means that a user must authenticate anew, and what means nothing'
const FAULTS = 'SET-02, SET-03, SET-05, SET-15: refused for one fault, in the words of RFC 8935, and nothing is revoked'

export const EVENT_ROWS: readonly Row[] = [
  {
    id: 'SET-01',
    requirement: 'An event that is pushed and taken is answered 202 without a body.',
    spec: 'RFC 8935 §2.2',
    tests: receive(SESSIONS),
  },
  {
    id: 'SET-02',
    requirement: 'One that is not taken is answered 400 with `err` and `description`.',
    spec: 'RFC 8935 §2.3, §2.4',
    tests: receive(FAULTS),
  },
  {
    id: 'SET-03',
    requirement:
      '`typ` is secevent+jwt, `iss` the transmitter, `aud` us; one event; no `sub`, no `exp`; `iat` not in the future.',
    spec: 'RFC 8417 §2.2, SSF 1.0 §4.1',
    tests: receive(FAULTS),
  },
  {
    id: 'SET-04',
    requirement: 'An event that comes again has no second effect.',
    spec: 'RFC 8417 §2.2, RFC 8935 §2',
    tests: receive('SET-04: heard once: told again it changes nothing, even after it was taken back'),
  },
  {
    id: 'SET-05',
    requirement: 'An event is never taken for an access token, nor a token for an event.',
    spec: 'RFC 8417 §4.5, RFC 8725 §3.11',
    tests: receive(FAULTS),
  },
  {
    id: 'SET-06',
    requirement: '`session-revoked`: tokens of the session or user are refused.',
    spec: 'CAEP 1.0 §3.1',
    tests: receive(SESSIONS),
  },
  {
    id: 'SET-07',
    requirement: '`credential-change`, but for `create`: the user must authenticate anew.',
    spec: 'CAEP 1.0 §3.3',
    tests: receive(MEANINGS),
  },
  {
    id: 'SET-08',
    requirement: '`assurance-level-change`, but for `increase`: the user must authenticate anew.',
    spec: 'CAEP 1.0 §3.4',
    tests: receive(MEANINGS),
  },
  {
    id: 'SET-09',
    requirement: '`token-claims-change`: tokens of before are refused.',
    spec: 'CAEP 1.0 §3.2',
    tests: receive(MEANINGS),
  },
  {
    id: 'SET-10',
    requirement: '`device-compliance-change` to not-compliant: tokens of before are refused.',
    spec: 'CAEP 1.0 §3.5',
    tests: receive(MEANINGS),
  },
  {
    id: 'SET-11',
    requirement: '`risk-level-change` to HIGH: the user must authenticate anew.',
    spec: 'CAEP 1.0 §3.8',
    tests: receive(MEANINGS),
  },
  {
    id: 'SET-12',
    requirement: '`session-established` and `session-presented` change nothing.',
    spec: 'CAEP 1.0 §3.6, §3.7',
    tests: receive(MEANINGS),
  },
  {
    id: 'SET-13',
    requirement: '`verification` and `stream-updated` are taken.',
    spec: 'SSF 1.0 §8.1.4, §8.1.5',
    tests: receive(MEANINGS),
  },
  {
    id: 'SET-14',
    requirement: 'All members of a complex subject must fit: of a user and a session, that session alone.',
    spec: 'SSF 1.0 §3',
    tests: receive(SESSIONS),
  },
  {
    id: 'SET-15',
    requirement: 'Who delivers is authenticated, and the receiver is no route.',
    spec: 'RFC 8935 §5; decision: admin listener',
    tests: receive(FAULTS),
  },
]
