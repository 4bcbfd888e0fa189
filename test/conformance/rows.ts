// All rows, and how many each topic has: a row that is dropped is noticed here.
import type { Topic } from '../../scripts/conformance-page.js'
import type { Row } from './row.js'
import { DECISION_ROWS } from './rows-decisions.js'
import { DPOP_ROWS } from './rows-dpop.js'
import { EVENT_ROWS } from './rows-events.js'
import { HTTP_ROWS } from './rows-http.js'
import { TOKEN_ROWS } from './rows-tokens.js'

/** In the order of the page. */
export const TOPICS: readonly Topic[] = [
  { prefix: 'DPOP', title: 'DPoP proofs (RFC 9449 §4)', first: 1, count: 30 },
  { prefix: 'HTU', title: 'the target that a proof names (RFC 9449 §4.3, RFC 3986 §6.2)', first: 1, count: 13 },
  { prefix: 'USE', title: 'DPoP at the resource (RFC 9449 §6 and §7)', first: 1, count: 20 },
  { prefix: 'NON', title: 'nonces (RFC 9449 §8 and §9)', first: 1, count: 16 },
  { prefix: 'JTI', title: 'replay, time and the store of used proofs (RFC 9449 §11)', first: 1, count: 20 },
  { prefix: 'MTLS', title: 'certificate-bound tokens (RFC 8705)', first: 1, count: 23 },
  { prefix: 'CC', title: 'the Client-Cert header (RFC 9440)', first: 1, count: 11 },
  { prefix: 'AT', title: 'access tokens (RFC 9068, RFC 8725)', first: 1, count: 26 },
  { prefix: 'INT', title: 'introspection of opaque tokens (RFC 7662, RFC 9701)', first: 1, count: 12 },
  { prefix: 'BRR', title: 'bearer rules and errors (RFC 6750)', first: 1, count: 10 },
  { prefix: 'STP', title: 'step-up (RFC 9470)', first: 1, count: 12 },
  { prefix: 'PRM', title: 'protected resource metadata (RFC 9728)', first: 1, count: 12 },
  { prefix: 'FAPI', title: 'FAPI 2.0 Security Profile', first: 1, count: 16 },
  { prefix: 'XFAPI', title: 'x-fapi headers', first: 1, count: 7 },
  { prefix: 'HTTP', title: 'an HTTP gateway (RFC 9110, RFC 9112)', first: 1, count: 43 },
  { prefix: 'SPF', title: 'headers that a client could spoof', first: 0, count: 9 },
  { prefix: 'PD', title: 'problem documents (RFC 9457)', first: 1, count: 10 },
  { prefix: 'SET', title: 'security events (SSF 1.0, CAEP 1.0, RFC 8935)', first: 1, count: 15 },
  { prefix: 'AZ', title: 'policy decisions (AuthZEN Authorization API 1.0)', first: 1, count: 10 },
  { prefix: 'RAR', title: 'rich authorization requests (RFC 9396)', first: 1, count: 3 },
]

export const ROWS: readonly Row[] = [...DPOP_ROWS, ...TOKEN_ROWS, ...HTTP_ROWS, ...EVENT_ROWS, ...DECISION_ROWS]
