// What does an event mean for tokens? CAEP 1.0 -> entries of the list of revocations. Where an event says less than tokens can tell apart,
// more is refused than it says, never less: of a user on one device, the user.

import type { Target } from '../revocations/entry.js'
import { isJsonObject, isText, isTime } from '../verify/json.js'
import type { Seconds } from '../verify/scalars.js'
import type { JsonObject } from '../verify/types.js'
import type { SecurityEvent, SetError } from './set.js'

/** What is to be revoked; `issued_before` null: all of it. */
export type Consequence = { readonly target: Target; readonly issued_before: Seconds | null }

const CAEP = 'https://schemas.openid.net/secevent/caep/event-type/'
const SSF = 'https://schemas.openid.net/secevent/ssf/event-type/'

/** `refuse`: the tokens of now; `authenticate`: until the user has authenticated since. */
type Meaning = 'refuse' | 'authenticate' | 'nothing'

const MEANINGS: Readonly<Record<string, (event: JsonObject) => Meaning>> = {
  [`${CAEP}session-revoked`]: () => 'refuse',
  [`${CAEP}credential-change`]: ({ change_type }) => (change_type === 'create' ? 'nothing' : 'authenticate'),
  [`${CAEP}assurance-level-change`]: ({ change_direction }) => (change_direction === 'increase' ? 'nothing' : 'authenticate'),
  [`${CAEP}token-claims-change`]: () => 'refuse',
  [`${CAEP}device-compliance-change`]: ({ current_status }) => (current_status === 'compliant' ? 'nothing' : 'refuse'),
  [`${CAEP}risk-level-change`]: ({ current_level }) => (current_level === 'HIGH' ? 'authenticate' : 'nothing'),
  [`${CAEP}session-established`]: () => 'nothing',
  [`${CAEP}session-presented`]: () => 'nothing',
  [`${SSF}verification`]: () => 'nothing',
  [`${SSF}stream-updated`]: () => 'nothing',
}

/** The last part of the name of an event that is known here; null: of another kind. */
export const shortName = (type: string): string | null =>
  Object.hasOwn(MEANINGS, type) ? type.slice(type.lastIndexOf('/') + 1) : null

/** null: it changes nothing; 'unmatched': it would, but names nobody that tokens name. */
export function consequenceOf(event: SecurityEvent, now: Seconds): Consequence | SetError | 'unmatched' | null {
  const meaning = Object.hasOwn(MEANINGS, event.type) ? MEANINGS[event.type]?.(event.event) : 'nothing'
  if (meaning === undefined || meaning === 'nothing') return null
  const named = readSubject(event.subject, event.issuer)
  if (named === 'foreign') return { err: 'access_denied', description: 'a transmitter speaks for subjects of its own alone' }
  const { session, token, user } = named
  // Compared with `iat` and `auth_time`, which are by the clock of who sent it: that may be ahead of ours, by as much as was let pass.
  const since = Math.min(timeOf(event), Math.max(now, event.iat))
  const of = (target: Target, issued_before: Seconds | null): Consequence => ({ target, issued_before })
  const scope = event.issuer
  if (meaning === 'authenticate' && user !== null) return of({ kind: 'authentication', scope, value: user }, since)
  // Members of a complex subject all apply (SSF 1.0 §3): a session says more than its user.
  if (session !== null) return of({ kind: 'session', scope, value: session }, null)
  if (token !== null) return of({ kind: 'token', scope, value: token }, null)
  return user === null ? 'unmatched' : of({ kind: 'subject', scope, value: user }, since)
}

/** When it happened: in seconds, or in milliseconds as drafts of CAEP had it. */
function timeOf({ event: { event_timestamp: at }, iat }: SecurityEvent): Seconds {
  if (!isTime(at)) return iat
  return at > 1e11 ? at / 1000 : at
}

type Named = { readonly session: string | null; readonly token: string | null; readonly user: string | null }
const NOBODY: Named = { session: null, token: null, user: null }

/** RFC 9493, and `complex` of SSF 1.0 §3. 'foreign': it is another issuer's. */
function readSubject(subject: JsonObject | null, issuer: string): Named | 'foreign' {
  if (subject === null) return NOBODY
  const { format, iss, sub, jti, id } = subject
  if (format === 'iss_sub' || format === 'jwt_id') {
    if (iss !== issuer) return 'foreign'
    return { session: null, token: format === 'jwt_id' ? text(jti) : null, user: format === 'iss_sub' ? text(sub) : null }
  }
  if (format === 'opaque') return { ...NOBODY, user: text(id) }
  if (format !== 'complex') return NOBODY
  const user = isJsonObject(subject.user) ? readSubject(subject.user, issuer) : NOBODY
  const session = isJsonObject(subject.session) ? readSession(subject.session, issuer) : null
  if (user === 'foreign' || session === 'foreign') return 'foreign'
  return { session, token: null, user: user.user }
}

/** A session is named by its `sid`. */
function readSession({ format, id, iss, sub }: JsonObject, issuer: string): string | null | 'foreign' {
  if (format === 'opaque') return text(id)
  if (format !== 'iss_sub') return null
  return iss === issuer ? text(sub) : 'foreign'
}

const text = (value: unknown): string | null => (isText(value) ? value : null)
