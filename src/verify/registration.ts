// What the registry says of an OAuth client, and how well that is known. A token does not show how it was obtained: that a client
// authenticates strongly, pushes its requests (PAR, RFC 9126) and signs them (RFC 9101) is `declared` where the registry alone says
// so, and `proven` where the issuer asserts it of this token, in a claim named by its `evidence`.

import type { CertificateTrust } from './certificate-trust.js'
import type { Seconds } from './scalars.js'
import type { AccessToken, Issuer } from './types.js'

/** From application to end. Tokens of `testing` and `active` clients are taken, of no others. */
export const CLIENT_STATUSES = ['draft', 'approved', 'testing', 'active', 'suspended'] as const
export type ClientStatus = (typeof CLIENT_STATUSES)[number]

/** `token_endpoint_auth_method`: RFC 7591 §2, RFC 8705 §2, OpenID Connect Core §9. */
export const AUTH_METHODS = [
  'private_key_jwt',
  'tls_client_auth',
  'self_signed_tls_client_auth',
  'client_secret_jwt',
  'client_secret_basic',
  'client_secret_post',
  'none',
] as const
export type AuthMethod = (typeof AUTH_METHODS)[number]

/** Those that prove possession of a private key: FAPI 2.0 §5.3.2.1 (6). */
const STRONG_METHODS: readonly unknown[] = ['private_key_jwt', 'tls_client_auth', 'self_signed_tls_client_auth']

/** What a tier may demand of how a client gets its tokens. */
export const QUALITIES = ['client_auth', 'par', 'request_object'] as const
export type Quality = (typeof QUALITIES)[number]

/** Names of claims in which an issuer asserts a quality. */
export type EvidenceClaims = { readonly [Q in Quality]?: string | undefined }

/** A client as `clients` has it, as far as requests are judged by it; resolved at load. null: not limited. */
export type Registration = {
  readonly status: ClientStatus
  /** From when on its tokens are refused, and for what; null: there is no such time. */
  readonly end: { readonly at: Seconds; readonly why: 'expired' | 'rotation' } | null
  /** Names of the tiers that are not above its highest. */
  readonly tiers: ReadonlySet<string>
  readonly scopes: ReadonlySet<string> | null
  readonly audiences: ReadonlySet<string> | null
  /** Paths of routes, as written in routes.yaml. */
  readonly routes: ReadonlySet<string> | null
  readonly tenants: ReadonlySet<string> | null
  readonly authMethod: AuthMethod
  /** Qualities that the registry declares. */
  readonly declared: ReadonlySet<Quality>
  readonly certificate: CertificateTrust | null
}

/** The clients of one issuer, by `client_id`: another issuer may give the same one to somebody else. */
export type Registry = ReadonlyMap<string, Registration>

/** Why tokens of this client are not taken now; null: they are. */
export function whyInactive({ status, end }: Registration, now: Seconds): string | null {
  if (status !== 'active' && status !== 'testing') return status
  return end !== null && now >= end.at ? end.why : null
}

/** Of a token that was granted before the registry was changed: is its client served no longer, or gone from it? */
export function isDismissed({ issuer, clientId }: AccessToken, issuers: readonly Issuer[], now: Seconds): boolean {
  const registry = issuers.find((one) => one.issuer === issuer.issuer)?.registry
  if (registry === undefined) return false
  const registration = registry.get(clientId)
  return registration === undefined ? issuer.registry?.has(clientId) === true : whyInactive(registration, now) !== null
}

/** What a registration declares of how its client gets tokens. */
export function declaredOf(client: {
  readonly token_endpoint_auth_method: AuthMethod
  readonly require_pushed_authorization_requests: boolean
  readonly require_signed_request_object: boolean
  readonly grant_types: readonly string[]
}): ReadonlySet<Quality> {
  const { grant_types } = client
  // Without a user there is no authorization request that could be pushed or signed.
  const asksNobody = grant_types.length > 0 && grant_types.every((grant) => grant === 'client_credentials')
  const declared: Quality[] = []
  if (STRONG_METHODS.includes(client.token_endpoint_auth_method)) declared.push('client_auth')
  if (client.require_pushed_authorization_requests || asksNobody) declared.push('par')
  if (client.require_signed_request_object || asksNobody) declared.push('request_object')
  return new Set(declared)
}

export type Standing = 'proven' | 'declared' | 'contradicted' | 'missing'

/** How well a quality is known of a token. What its issuer asserts counts for more than the registry, either way. */
export function standingOf(quality: Quality, registration: Registration, { issuer, claims }: AccessToken): Standing {
  const name = issuer.evidence?.[quality]
  const asserted = name === undefined ? undefined : claims[name]
  if (asserted === undefined) return registration.declared.has(quality) ? 'declared' : 'missing'
  const isProven =
    quality === 'client_auth' ? asserted === registration.authMethod && STRONG_METHODS.includes(asserted) : asserted === true
  return isProven ? 'proven' : 'contradicted'
}

/** Of a token that was granted: is all that its tier demanded of the client proven? null: nothing was. */
export function evidenceOf(token: AccessToken, demanded: readonly Quality[] | null): 'proven' | 'declared' | null {
  const registration = token.issuer.registry?.get(token.clientId)
  if (registration === undefined || !demanded || demanded.length === 0) return null
  return demanded.every((quality) => standingOf(quality, registration, token) === 'proven') ? 'proven' : 'declared'
}
