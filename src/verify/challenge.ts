// What is a client told of a refusal? One Denial and what was presented -> status, headers, body (contract §4; RFC 6750 §3,
// RFC 9449 §7.1 and §7.2, RFC 9470 §3, RFC 9728 §5.1, RFC 9457). Nothing of the request is repeated, and no detail is told.

import type { Policy } from './policy.js'
import { type OAuthError, type Reason, reasonRow } from './reasons.js'
import { algNames } from './signatures.js'
import type { Scheme } from './types.js'
import type { Denial, Hints } from './verdict.js'

/** Where a refusal happened. Without a policy no route was found yet, so there is nothing to challenge for. */
export type RefusalContext = {
  readonly requestId: string
  readonly interactionId: string
  /** Host in lower case, with its port where that is not 443. */
  readonly host: string
  /** Public origin of the metadata document. */
  readonly origin: string
  readonly policy: Policy | null
  /** The scheme of ours that was used, if any. */
  readonly scheme: Scheme | null
  /** A fresh nonce, on routes that demand them (RFC 9449 §11.3). */
  readonly nonce: string | null
  /** By these a page of another origin may read it; flat, empty where there is none. */
  readonly cors: readonly string[]
}

export type Refusal = {
  readonly status: number
  /** [name, value, name, value, ...] */
  readonly headers: readonly string[]
  readonly body: string
}

/** The whole HTTP form of a refusal, but for `Date` and `Connection`. */
export function refusal(denial: Denial, context: RefusalContext): Refusal {
  const { status, title } = reasonRow(denial.reason)
  const body = JSON.stringify({
    type: `urn:holdfast:reason:${denial.reason}`,
    title,
    status,
    reason: denial.reason,
    request_id: context.requestId,
  })
  const headers = ['Content-Type', 'application/problem+json', 'Content-Length', String(Buffer.byteLength(body))]
  headers.push('Cache-Control', 'no-store', 'X-Request-Id', context.requestId, 'x-fapi-interaction-id', context.interactionId)
  if (denial.hints.retryAfter !== undefined) headers.push('Retry-After', String(Math.max(1, Math.ceil(denial.hints.retryAfter))))
  else if (status === 503) headers.push('Retry-After', '1')
  if (denial.hints.allow !== undefined) headers.push('Allow', denial.hints.allow.join(', '))
  for (const challenge of challenges(denial, context)) headers.push('WWW-Authenticate', challenge)
  if (context.nonce !== null) headers.push('DPoP-Nonce', context.nonce)
  headers.push(...context.cors)
  return { status, headers, body }
}

/** Which schemes can this tier accept (contract §4)? */
const OFFERS: Readonly<Record<Policy['binding'], readonly Scheme[]>> = {
  none: ['DPoP', 'Bearer'],
  any: ['DPoP', 'Bearer'],
  dpop: ['DPoP'],
  mtls: ['Bearer'],
  both: ['DPoP'],
}

/** Sent more than once, or where no scheme applies: the error then stands in every challenge (RFC 9449 §7.2). */
const IN_EVERY_CHALLENGE: ReadonlySet<Reason> = new Set<Reason>(['credentials_repeated', 'credentials_in_query'])

function challenges({ reason, hints }: Denial, context: RefusalContext): readonly string[] {
  const { error, title } = reasonRow(reason)
  const { policy } = context
  if (error === undefined || policy === null) return []
  const used = schemeAtFault(reason, error, context.scheme)
  const offered = OFFERS[policy.binding]
  const schemes = used === null || offered.includes(used) ? offered : [used, ...offered]
  return schemes.map((scheme) => {
    const parameters = scheme === 'Bearer' ? [quoted('realm', context.host)] : []
    if (error !== null && (used === null || used === scheme)) {
      parameters.push(quoted('error', error), quoted('error_description', title), ...demands(reason, policy, hints))
    }
    if (scheme === 'DPoP') parameters.push(quoted('algs', algNames(policy.proof_algorithms).join(' ')))
    parameters.push(quoted('resource_metadata', `${context.origin}/.well-known/oauth-protected-resource`))
    return `${scheme} ${parameters.join(', ')}`
  })
}

/** The scheme whose challenge carries the error; null: every one does. */
function schemeAtFault(reason: Reason, error: OAuthError | null, used: Scheme | null): Scheme | null {
  if (IN_EVERY_CHALLENGE.has(reason)) return null
  return error === 'invalid_dpop_proof' || error === 'use_dpop_nonce' ? 'DPoP' : used
}

/** What would have been enough (RFC 6750 §3 `scope`, RFC 9470 §3 `acr_values` and `max_age`). */
function demands(reason: Reason, policy: Policy, { maxAge, acrValues }: Hints): readonly string[] {
  if (reason === 'scope_missing') return [quoted('scope', policy.scopes?.join(' ') ?? '')]
  if (reason !== 'authentication_weak' && reason !== 'authentication_old') return []
  const classes = acrValues ?? policy.acr_values
  const acr = classes === null ? [] : [quoted('acr_values', classes.join(' '))]
  const ages = [policy.auth_max_age, maxAge].filter((age) => typeof age === 'number')
  return ages.length === 0 ? acr : [...acr, quoted('max_age', String(Math.floor(Math.min(...ages))))]
}

/** Values are ours or checked at load to hold neither quotes nor backslashes, so nothing needs escaping. */
const quoted = (name: string, value: string): string => `${name}="${value}"`
