// Has a caller proven anything? What a refusal is worth in the audit log hangs on it (contract §7): a good token alone proves
// nothing where it is bound, because it may be stolen.

import type { Reason } from '../verify/reasons.js'
import type { Refused } from '../verify/types.js'
import type { Grant } from '../verify/verdict.js'

/** Refusals after the token was verified that say: its holder was not seen. A replayed proof may be anyone's. */
const NOT_PROVEN: ReadonlySet<Reason> = new Set<Reason>([
  'binding_unsupported',
  'scheme_downgraded',
  'scheme_mismatch',
  'token_unbound',
  'binding_insufficient',
  'certificate_missing',
  'certificate_invalid',
  'certificate_mismatch',
  'proof_missing',
  'proof_repeated',
  'proof_malformed',
  'proof_type',
  'proof_algorithm',
  'proof_private_key',
  'proof_claim',
  'proof_key',
  'proof_token',
  'proof_method',
  'proof_target',
  'nonce_missing',
  'nonce_stale',
  'proof_too_old',
  'proof_in_future',
  'proof_signature',
  'proof_replayed',
])

/** Has the caller shown a good token, and what the token is bound to? */
export function hasProven(verdict: Grant | Refused): boolean {
  if (!('denial' in verdict)) return verdict.evidence.token !== null
  return verdict.found.token !== null && !NOT_PROVEN.has(verdict.denial.reason)
}
