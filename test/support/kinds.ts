// The kinds of honest requests: each turns the draft of a DPoP request into one that proves itself in another way.
import type { Draft } from './draft.js'

/** No credentials at all, for public routes. */
export function anonymous(draft: Draft): Draft {
  draft.credentials = () => []
  draft.proof = null
  return draft
}

/** A plain bearer token, not bound. */
export function bearer(draft: Draft): Draft {
  draft.scheme = 'Bearer'
  delete draft.token.claims.cnf
  draft.proof = null
  return draft
}

/** A token bound to a certificate alone. */
export function certificateBound(draft: Draft, x5tS256: string): Draft {
  bearer(draft).token.claims.cnf = { 'x5t#S256': x5tS256 }
  return draft
}

/** A token bound to the proof's key and to a certificate. */
export function boundTwice(draft: Draft, x5tS256: string): Draft {
  draft.token.claims.cnf = { ...(draft.token.claims.cnf as object), 'x5t#S256': x5tS256 }
  return draft
}
