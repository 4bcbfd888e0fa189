// Is this a security event of that transmitter, for us? RFC 8417, SSF 1.0 §4.1, CAEP Interoperability Profile §2. What it is refused for is
// told in the words of RFC 8935 §2.4. Does not check: who delivered it, whether it was heard before, what it means.

import type { EventSettings } from '../config/config.js'
import { isJsonObject, isText, isTime } from '../verify/json.js'
import { readJws } from '../verify/jws.js'
import type { Seconds } from '../verify/scalars.js'
import { isAllowed, isSigned } from '../verify/signatures.js'
import type { Issuer, JsonObject, KeysFor } from '../verify/types.js'

/** One event, verified. */
export type SecurityEvent = {
  readonly issuer: string
  readonly jti: string
  readonly iat: Seconds
  /** URI of its type. */
  readonly type: string
  readonly event: JsonObject
  /** RFC 9493; null: it has none. */
  readonly subject: JsonObject | null
}

/** RFC 8935 §2.4. `unavailable` is ours: the keys or the list can't be had now, so the transmitter must try again. */
export type SetError = {
  readonly err:
    | 'invalid_request'
    | 'invalid_key'
    | 'invalid_issuer'
    | 'invalid_audience'
    | 'authentication_failed'
    | 'access_denied'
    | 'unavailable'
  readonly description: string
}

export type Transmitter = { readonly issuer: Issuer; readonly settings: EventSettings }

/** How far ahead of ours the clock of a transmitter may be. */
const SKEW: Seconds = 60

const TYP = /^(?:application\/)?secevent\+jwt$/i

/** A token of another kind is never taken for one, nor one for a token: `typ` keeps them apart (RFC 8725 §3.11). */
export async function readSet(
  text: string,
  { issuer, settings }: Transmitter,
  { keysFor, now }: { readonly keysFor: KeysFor; readonly now: Seconds },
): Promise<SecurityEvent | SetError> {
  const jws = readJws(text)
  if (jws === null) return refuse('invalid_request', 'it is no signed JWT')
  const { typ, alg, kid } = jws.header
  if (typeof typ !== 'string' || !TYP.test(typ)) return refuse('invalid_request', 'typ is not secevent+jwt')
  const { iss, aud, iat, jti, events, sub_id = null } = jws.payload
  if (iss !== issuer.issuer) return refuse('invalid_issuer', 'iss is not the transmitter that delivered it')
  if (!isAllowed(alg, settings.algorithms)) return refuse('invalid_key', 'alg is not accepted from this transmitter')
  const keys = await keysFor(issuer, { kid: typeof kid === 'string' ? kid : null, alg })
  if (keys === 'unavailable') return refuse('unavailable', 'the keys of the transmitter are unavailable')
  if (!keys.some(({ key }) => isSigned(alg, key, jws.signed, jws.signature)))
    return refuse('invalid_key', 'it is not signed by a key of the transmitter')
  const audience = typeof aud === 'string' ? [aud] : Array.isArray(aud) ? aud : []
  if (!audience.some((one) => settings.audience.includes(one))) return refuse('invalid_audience', 'aud is not this receiver')
  if (!isText(jti)) return refuse('invalid_request', 'jti is missing')
  if (!isTime(iat) || iat > now + SKEW) return refuse('invalid_request', 'iat is missing or in the future')
  if ('sub' in jws.payload || 'exp' in jws.payload) return refuse('invalid_request', 'sub and exp are not for events')
  const [found, ...more] = isJsonObject(events) ? Object.entries(events) : []
  if (found === undefined || more.length > 0 || !isJsonObject(found[1])) return refuse('invalid_request', 'expected one event')
  if (sub_id !== null && !isJsonObject(sub_id)) return refuse('invalid_request', 'sub_id is no object')
  return { issuer: issuer.issuer, jti, iat, type: found[0], event: found[1], subject: sub_id }
}

const refuse = (err: SetError['err'], description: string): SetError => ({ err, description })
