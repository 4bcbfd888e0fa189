// Was this token revoked, or something it hangs on: its key, its certificate, its client, its subject, its session, its issuer?
// Judged on every request that brings a token, on every tier, once the key is proven (FAPI 2.0 §5.3.4 (3)). Costs seven look-ups, and none
// while nothing is revoked. Does not know where the list comes from: that is src/revocations/.

import { isTime } from './json.js'
import type { Policy } from './policy.js'
import type { Seconds } from './scalars.js'
import type { AccessToken, InboundRequest } from './types.js'
import { type Denial, deny } from './verdict.js'

/**
 * What can be revoked. Those of `SCOPED` are an issuer's: the same `sub` of another issuer is somebody else. `authentication` is of a
 * `sub` too, and asks for a step-up: its tokens pass again when the user has authenticated since (RFC 9470).
 */
export const KINDS = ['token', 'session', 'subject', 'client', 'jkt', 'certificate', 'issuer', 'authentication'] as const
export type Kind = (typeof KINDS)[number]

/** What is revoked of a key, a client, ... Times are epoch seconds. */
export type Terms = {
  /** `none`: it was revoked and is no longer; kept for a while, so that no older list brings it back. */
  readonly effect: 'refuse' | 'none'
  /** Tokens with an `iat` (of an `authentication`: an `auth_time`, or none) before this; null: all. */
  readonly issued_before: Seconds | null
  /** null: for ever. */
  readonly until: Seconds | null
  /** When it was revoked, by whom and why. */
  readonly at: Seconds
  readonly by: string
  readonly reason: string
}

export type RevocationList = {
  /** Entries, those without effect included. */
  readonly size: number
  /** `scope`: the issuer where the kind is an issuer's, else ''. */
  termsOf(kind: Kind, scope: string, value: string): Terms | undefined
}

/** What judging needs from outside. */
export type Revocations = {
  readonly list: () => RevocationList
  /** Is the list older than `revocations.max_stale`? */
  readonly isStale: () => boolean
}

/** What a token is judged by besides itself. */
export type Sender = { readonly token: AccessToken; readonly inbound: Pick<InboundRequest, 'peer'> }

/** `detail` says by what kind of entry. A list that is too old refuses where the tier would rather be closed than wrong (`replay_outage`). */
export function judgeRevocations(sender: Sender, policy: Policy, now: Seconds, revocations: Revocations): Denial | null {
  const kind = revokedBy(sender, now, revocations.list())
  if (kind === 'authentication')
    return deny('authentication_old', `by ${kind}`, { maxAge: ageDemanded(sender, now, revocations.list()) })
  if (kind !== null) return deny('token_revoked', `by ${kind}`)
  return policy.replay_outage === 'closed' && revocations.isStale() ? deny('revocations_unavailable') : null
}

/** The first kind of entry that revokes this token; null: none does. */
export function revokedBy({ token, inbound }: Sender, now: Seconds, list: RevocationList): Kind | null {
  if (list.size === 0) return null
  const { issuer, confirmation, claims } = token
  const scope = issuer.issuer
  const isRevoked = (kind: Kind, of: string, value: unknown, from: unknown = token.iat): boolean => {
    const terms = typeof value === 'string' ? list.termsOf(kind, of, value) : undefined
    return terms !== undefined && applies(terms, from, now)
  }
  if (isRevoked('token', scope, token.jti)) return 'token'
  if (isRevoked('session', scope, claims.sid)) return 'session'
  if (isRevoked('subject', scope, token.subject)) return 'subject'
  if (isRevoked('client', scope, token.clientId)) return 'client'
  if (isRevoked('jkt', '', confirmation?.jkt)) return 'jkt'
  // Also one that was shown beside a token that is not bound to it: whoever has its key is not to be served.
  if (isRevoked('certificate', '', inbound.peer.certificate?.x5tS256 ?? confirmation?.x5tS256)) return 'certificate'
  if (isRevoked('issuer', '', scope)) return 'issuer'
  return isRevoked('authentication', scope, token.subject, claims.auth_time) ? 'authentication' : null
}

export const isOver = ({ until }: Terms, now: Seconds): boolean => until !== null && now >= until

/** A time that is missing, or none, is before every other. */
const applies = (terms: Terms, from: unknown, now: Seconds): boolean =>
  terms.effect === 'refuse' &&
  !isOver(terms, now) &&
  (terms.issued_before === null || !isTime(from) || from < terms.issued_before)

/** How old an authentication may be at most to be newer than what is asked for: `max_age` of RFC 9470 §3. */
function ageDemanded({ token }: Sender, now: Seconds, list: RevocationList): Seconds {
  const since = list.termsOf('authentication', token.issuer.issuer, token.subject ?? '')?.issued_before ?? now
  return Math.max(0, Math.floor(now - since))
}

const EMPTY: RevocationList = { size: 0, termsOf: () => undefined }

/** Where there is no list: one process without Redis. */
export const NOTHING_REVOKED: Revocations = { list: () => EMPTY, isStale: () => false }
