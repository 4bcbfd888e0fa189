// What does the upstream get in place of the token? A JWT for this request alone, signed by us (contract §6).
// Everything in it was proven: it is made from a Grant and from nothing that a header said. Does not send it.

import type { SigningKey } from '../keys/signing.js'
import { passedDetails } from '../verify/authorization-details.js'
import { provenBinding } from '../verify/confirmation.js'
import { sha256 } from '../verify/hashes.js'
import type { Seconds } from '../verify/scalars.js'
import type { Evidence, JsonObject } from '../verify/types.js'
import type { Grant } from '../verify/verdict.js'

export type AssertionContext = {
  /** `iss`. */
  readonly issuer: string
  readonly ttl: Seconds
  readonly key: SigningKey
  readonly now: Seconds
  /** Path and query exactly as they go to the upstream. */
  readonly target: string
  /** Unique; another one for a second attempt, whose `txn` stays the same. */
  readonly jti: string
}

/** Signs the assertion, in compact form. It never outlives the token: `exp` is now + ttl, or the token's own `exp`. */
export function signAssertion(grant: Grant, context: AssertionContext): string {
  const signed = `${headerOf(context.key)}.${Buffer.from(JSON.stringify(claimsOf(grant, context))).toString('base64url')}`
  return `${signed}.${context.key.sign(signed)}`
}

const HEADERS = new WeakMap<SigningKey, string>()

/** Encoded once for each key. */
function headerOf(key: SigningKey): string {
  const known = HEADERS.get(key)
  if (known !== undefined) return known
  const header = Buffer.from(JSON.stringify({ alg: 'ES256', typ: 'holdfast+jwt', kid: key.kid })).toString('base64url')
  HEADERS.set(key, header)
  return header
}

/** Members that do not apply are undefined, which JSON leaves out: absent, never null or empty. */
function claimsOf({ evidence, route, body }: Grant, { issuer, ttl, now, target, jti }: AssertionContext): JsonObject {
  const { inbound, token } = evidence
  const { query } = inbound.target
  return {
    iss: issuer,
    aud: route.upstream.audience,
    iat: Math.floor(now),
    exp: Math.floor(token === null ? now + ttl : Math.min(now + ttl, token.exp)),
    jti,
    txn: inbound.requestId,
    tier: route.tier,
    route: route.path,
    htm: inbound.method,
    htu: inbound.target.base + inbound.target.rawPath,
    qsh: query === null ? undefined : sha256(query),
    target,
    bdh: body?.digest ?? undefined,
    sub: token?.subject ?? undefined,
    client_id: token?.clientId || undefined,
    scope: token?.scope.join(' ') || undefined,
    authorization_details: token === null ? undefined : passedDetails(token, route.policy.authorization_details),
    acr: typeof token?.claims.acr === 'string' ? token.claims.acr : undefined,
    auth_time: typeof token?.claims.auth_time === 'number' ? token.claims.auth_time : undefined,
    tenant: evidence.tenant ?? undefined,
    token: token === null ? undefined : { iss: token.issuer.issuer, jti: token.jti ?? undefined },
    binding: provenBinding(evidence),
    decision: decisionClaim(evidence),
    report_only: evidence.reported.length > 0 ? true : undefined,
  }
}

/** What the policy decision point called its decision, and the policy it came from. */
const decisionClaim = ({ decision }: Evidence): JsonObject | undefined =>
  decision === undefined ? undefined : { id: decision.id, policy: decision.policyVersion ?? undefined }
