// Which refusals exist, and what a client is told of each.
// One row a reason: status, OAuth error, the fixed public sentence, the section that demands it (contract §4). Every other
// place that needs to know about refusals (challenges, audit events, docs/reasons.md, the tests) reads this table.

/** The `error` of a challenge: RFC 6750 §3.1, RFC 9449 §7.1 and §9, RFC 9470 §3. */
export type OAuthError =
  | 'invalid_request'
  | 'invalid_token'
  | 'insufficient_scope'
  | 'invalid_dpop_proof'
  | 'use_dpop_nonce'
  | 'insufficient_user_authentication'

export type ReasonRow = {
  readonly status: number
  /** `null`: a challenge without error; absent: no challenge at all. */
  readonly error?: OAuthError | null
  /** The public sentence: RFC 9457 `title` and RFC 6750 `error_description`. Never says anything of the request. */
  readonly title: string
  readonly spec: string
}

const token = { status: 401, error: 'invalid_token' } as const
const proof = { status: 401, error: 'invalid_dpop_proof' } as const
const nonce = { status: 401, error: 'use_dpop_nonce' } as const
const stepUp = { status: 401, error: 'insufficient_user_authentication' } as const
const request = { status: 400, error: 'invalid_request' } as const

export const REASONS = {
  // What the connection and the message are
  hop_untrusted: { status: 403, title: 'Only the proxy in front of the gateway may connect here.', spec: 'contract §10' },
  request_malformed: {
    status: 400,
    title: 'The request breaks HTTP in a way that a gateway must not repair.',
    spec: 'RFC 9112 §2.2',
  },
  request_timeout: { status: 408, title: 'The request did not arrive in time.', spec: 'RFC 9110 §15.5.9' },
  headers_too_large: { status: 431, title: 'The header section is too large.', spec: 'RFC 6585 §5' },
  target_too_long: { status: 414, title: 'The request target is too long.', spec: 'RFC 9110 §15.5.15' },
  expectation_failed: { status: 417, title: 'The expectation cannot be met.', spec: 'RFC 9110 §10.1.1' },
  overloaded: {
    status: 503,
    title: 'The gateway is at its limit; try again shortly with a new proof.',
    spec: 'RFC 9110 §15.6.4',
  },
  host_unknown: { status: 421, title: 'This host is not served here.', spec: 'RFC 9110 §7.4' },
  target_malformed: { status: 400, title: 'The request target is not in canonical form.', spec: 'RFC 3986 §6.2.2' },
  route_unknown: { status: 404, title: 'No such resource.', spec: 'RFC 9110 §15.5.5' },
  method_not_allowed: { status: 405, title: 'The resource does not allow this method.', spec: 'RFC 9110 §15.5.6' },
  body_too_large: { status: 413, title: 'The body is too large.', spec: 'RFC 9110 §15.5.14' },

  // Credentials
  credentials_in_query: { ...request, title: 'An access token must not be sent in the query.', spec: 'RFC 6750 §2.3' },
  credentials_repeated: { ...request, title: 'Multiple methods used to include access token.', spec: 'RFC 9449 §7.2' },
  credentials_missing: { status: 401, error: null, title: 'Credentials are required.', spec: 'RFC 6750 §3.1' },
  credentials_malformed: { ...request, title: 'The credentials are malformed.', spec: 'RFC 9110 §11.4' },

  // Access token
  token_malformed: { ...token, title: 'The access token is malformed.', spec: 'RFC 7519 §7.2' },
  token_issuer: { ...token, title: 'The access token is from an issuer that is not accepted here.', spec: 'RFC 9068 §4' },
  token_type: { ...token, title: 'The token is not an access token.', spec: 'RFC 9068 §4' },
  token_algorithm: {
    ...token,
    title: 'The access token is signed with an algorithm that is not accepted here.',
    spec: 'RFC 8725 §3.1',
  },
  keys_unavailable: {
    status: 503,
    title: 'The issuer keys are unavailable; try again shortly with a new proof.',
    spec: 'RFC 7517 §5',
  },
  introspection_unavailable: {
    status: 503,
    title: 'The issuer cannot say whether the access token is active; try again shortly with a new proof.',
    spec: 'RFC 7662 §2.3',
  },
  token_signature: { ...token, title: 'The access token is not signed by its issuer.', spec: 'RFC 9068 §4' },
  token_inactive: { ...token, title: 'The access token is not active.', spec: 'RFC 7662 §2.2' },
  token_claim: { ...token, title: 'The access token lacks a required claim.', spec: 'RFC 9068 §2.2' },
  token_audience: { ...token, title: 'The access token is for another audience.', spec: 'RFC 9068 §4' },
  token_expired: { ...token, title: 'The access token expired.', spec: 'RFC 9068 §4' },
  token_not_yet_valid: { ...token, title: 'The access token is not valid yet.', spec: 'RFC 7519 §4.1.5' },
  binding_unsupported: { ...token, title: 'The access token is bound in a way that is not supported.', spec: 'RFC 7800 §3.1' },

  // How the token is bound
  scheme_downgraded: { ...token, title: 'A DPoP-bound access token must be sent with the DPoP scheme.', spec: 'RFC 9449 §7.2' },
  scheme_mismatch: { ...token, title: 'The access token is not bound to a DPoP key.', spec: 'RFC 9449 §7.1' },
  token_unbound: { ...token, title: 'A sender-constrained access token is required.', spec: 'FAPI 2.0 §5.3.4' },
  binding_insufficient: {
    ...token,
    title: 'The access token is not bound in the way that is required here.',
    spec: 'FAPI 2.0 §5.3.4',
  },
  certificate_missing: {
    ...token,
    title: 'The client certificate that the access token is bound to is required.',
    spec: 'RFC 8705 §3',
  },
  certificate_invalid: { ...token, title: 'The client certificate is not valid.', spec: 'RFC 8705 §7.5' },
  certificate_mismatch: { ...token, title: 'The access token is bound to another client certificate.', spec: 'RFC 8705 §3' },

  // DPoP proof
  proof_missing: { ...proof, title: 'A DPoP proof is required.', spec: 'RFC 9449 §7.1' },
  proof_repeated: { ...proof, title: 'More than one DPoP proof was sent.', spec: 'RFC 9449 §4.3 (1)' },
  proof_malformed: { ...proof, title: 'The DPoP proof is malformed.', spec: 'RFC 9449 §4.3 (2)' },
  proof_type: { ...proof, title: 'The DPoP proof has the wrong type.', spec: 'RFC 9449 §4.3 (4)' },
  proof_algorithm: {
    ...proof,
    title: 'The DPoP proof is signed with an algorithm that is not accepted here.',
    spec: 'RFC 9449 §4.3 (5)',
  },
  proof_private_key: { ...proof, title: 'The DPoP proof must hold a public key only.', spec: 'RFC 9449 §4.3 (7)' },
  proof_claim: { ...proof, title: 'The DPoP proof lacks a required claim.', spec: 'RFC 9449 §4.3 (3)' },
  proof_key: { ...token, title: 'Invalid DPoP key binding.', spec: 'RFC 9449 §4.3 (12b)' },
  proof_token: { ...proof, title: 'The DPoP proof is for another access token.', spec: 'RFC 9449 §4.3 (12a)' },
  proof_method: { ...proof, title: 'The DPoP proof is for another method.', spec: 'RFC 9449 §4.3 (8)' },
  proof_target: { ...proof, title: 'The DPoP proof is for another target.', spec: 'RFC 9449 §4.3 (9)' },
  nonce_missing: { ...nonce, title: 'Resource server requires nonce in DPoP proof.', spec: 'RFC 9449 §9' },
  nonce_stale: { ...nonce, title: 'Resource server requires a newer nonce in DPoP proof.', spec: 'RFC 9449 §9' },
  proof_too_old: { ...proof, title: 'The DPoP proof is too old.', spec: 'RFC 9449 §4.3 (11)' },
  proof_in_future: { ...proof, title: 'The DPoP proof is dated in the future.', spec: 'RFC 9449 §4.3 (11)' },
  proof_signature: { ...proof, title: 'The DPoP proof is not signed by its key.', spec: 'RFC 9449 §4.3 (6)' },

  // Whether it was taken back
  token_revoked: { ...token, title: 'The access token was revoked.', spec: 'FAPI 2.0 §5.3.4' },
  revocations_unavailable: {
    status: 503,
    title: 'The list of revocations is unavailable; try again shortly with a new proof.',
    spec: 'FAPI 2.0 §5.3.4',
  },

  // What the token may do
  token_lifetime: { ...token, title: 'The access token lives longer than is allowed here.', spec: 'RFC 9449 §11.2' },
  client_unknown: { status: 403, title: 'The client is not registered.', spec: 'RFC 7591 §2' },
  client_inactive: { status: 403, title: 'The registration of the client is not active.', spec: 'RFC 7591 §2' },
  client_unqualified: {
    status: 403,
    title: 'The client is not qualified for what is protected here.',
    spec: 'FAPI 2.0 §5.3.2.1',
  },
  client_exceeded: {
    status: 403,
    title: 'The access token goes beyond the registration of its client.',
    spec: 'RFC 7591 §2',
  },
  scope_missing: {
    status: 403,
    error: 'insufficient_scope',
    title: 'The access token lacks a required scope.',
    spec: 'RFC 6750 §3.1',
  },
  authorization_details_missing: {
    status: 403,
    title: 'The access token lacks a required authorization detail.',
    spec: 'RFC 9396 §9',
  },
  client_not_allowed: { status: 403, title: 'The client is not allowed here.', spec: 'RFC 9700 §2.3' },
  tenant_mismatch: { status: 403, title: 'The access token is for another tenant.', spec: 'RFC 9700 §2.3' },
  tenant_not_registered: { status: 403, title: 'The client does not act for this tenant.', spec: 'RFC 9700 §2.3' },
  user_required: {
    status: 403,
    title: 'A user must be present; this token was issued to a client alone.',
    spec: 'RFC 9700 §4.15',
  },
  authentication_weak: { ...stepUp, title: 'A stronger user authentication is required.', spec: 'RFC 9470 §3' },
  authentication_old: { ...stepUp, title: 'A more recent user authentication is required.', spec: 'RFC 9470 §3' },

  // What a policy decision point says
  decision_unavailable: {
    status: 503,
    title: 'The policy decision point is unavailable; try again shortly with a new proof.',
    spec: 'AuthZEN 1.0 §10',
  },
  decision_denied: { status: 403, title: 'A policy denies this request.', spec: 'AuthZEN 1.0 §5.5' },

  // What can only be done once, and what must be there to do it
  body_unavailable: {
    status: 403,
    title: 'The body, which must be seen to decide here, was not shown.',
    spec: 'contract §10',
  },
  replay_unavailable: {
    status: 503,
    title: 'The replay store is unavailable; try again shortly with a new proof.',
    spec: 'RFC 9449 §11.1',
  },
  proof_replayed: { ...proof, title: 'The DPoP proof was used before.', spec: 'RFC 9449 §11.1' },
  rate_limited: { status: 429, title: 'Too many requests.', spec: 'RFC 6585 §4' },
  audit_unavailable: {
    status: 503,
    title: 'The audit log is unavailable; try again shortly with a new proof.',
    spec: 'contract §3',
  },

  // The upstream
  upstream_unreachable: { status: 502, title: 'The service behind the gateway cannot be reached.', spec: 'RFC 9110 §15.6.3' },
  upstream_timeout: { status: 504, title: 'The service behind the gateway did not answer in time.', spec: 'RFC 9110 §15.6.5' },
  upstream_invalid: { status: 502, title: 'The service behind the gateway gave an invalid answer.', spec: 'RFC 9110 §15.6.3' },
  gateway_fault: { status: 500, title: 'The gateway made an error.', spec: 'RFC 9110 §15.6.1' },
} as const satisfies Record<string, ReasonRow>

/** Why a request was refused. */
export type Reason = keyof typeof REASONS

/** The row of a reason, widened so that optional members can be read. */
export const reasonRow = (reason: Reason): ReasonRow => REASONS[reason]

/** What `report_only_until` may let pass (contract §5); nothing else is ever reported only. */
export const REPORTABLE: ReadonlySet<Reason> = new Set<Reason>([
  'token_unbound',
  'binding_insufficient',
  'token_lifetime',
  'nonce_missing',
  'nonce_stale',
  'authentication_weak',
  'authentication_old',
  'user_required',
])
