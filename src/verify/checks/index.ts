// The checks, in the order of contract §4: cheap comparisons before the signature of the proof, and nothing about what a
// token may do before its key is proven. Both lists stop at the first Denial.
import { authentication } from './authentication.js'
import { authorizationDetails } from './authorization-details.js'
import { binding } from './binding.js'
import { certificate } from './certificate.js'
import { client } from './client.js'
import { proofAge } from './proof-age.js'
import { proofKey } from './proof-key.js'
import { proofMethod } from './proof-method.js'
import { proofNonce } from './proof-nonce.js'
import { proofTarget } from './proof-target.js'
import { proofToken } from './proof-token.js'
import { registration } from './registration.js'
import { scheme } from './scheme.js'
import { scope } from './scope.js'
import { tenant } from './tenant.js'
import { tokenLifetime } from './token-lifetime.js'

/** Judged when the token is verified, before the proof is read. */
export const TOKEN_CHECKS = [scheme, binding, certificate] as const satisfies readonly unknown[]

/** Judged when the proof is read, before its signature is. */
export const PROOF_CHECKS = [
  proofKey,
  proofToken,
  proofMethod,
  proofTarget,
  proofNonce,
  proofAge,
] as const satisfies readonly unknown[]

/** Judged when the key is proven. */
export const ROUTE_CHECKS = [
  tokenLifetime,
  registration,
  scope,
  authorizationDetails,
  client,
  tenant,
  authentication,
] as const satisfies readonly unknown[]
