// What is said in the audit log when this process begins or ends to refuse something for being revoked: contract §7. Who and why is the
// operator's text, as it was kept with the entry.

import type { Kind, Terms } from '../verify/revocations.js'
import type { Seconds } from '../verify/scalars.js'
import type { AuditEvent } from './types.js'

/** `terms` null: its time was over, and it was taken out. `scope`: the issuer it belongs to, or ''. */
export type RevocationChange = {
  readonly kind: Kind
  readonly scope: string
  readonly value: string
  readonly terms: Terms | null
}

export function revocationEvent({ kind, scope, value, terms }: RevocationChange, now: Seconds): AuditEvent {
  return {
    event_type: 'revocation',
    time: timeOf(now),
    change: terms === null ? 'ended' : terms.effect === 'none' ? 'unrevoked' : 'revoked',
    revoked_kind: kind,
    revoked_value: value,
    token_issuer: scope === '' ? undefined : scope,
    issued_before: timeOrNone(terms?.issued_before),
    until: timeOrNone(terms?.until),
    by: terms?.by,
    why: terms?.reason,
  }
}

/** The whole list was read anew: at the start, and after Redis was away for long. */
export const revocationsLoaded = (entries: number, now: Seconds): AuditEvent => ({
  event_type: 'revocation',
  time: timeOf(now),
  change: 'loaded',
  entries,
})

const timeOf = (time: Seconds): string => new Date(time * 1000).toISOString()
const timeOrNone = (time: Seconds | null | undefined): string | undefined =>
  time === null || time === undefined ? undefined : timeOf(time)
