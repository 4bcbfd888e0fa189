// What is said of a request in the audit log: contract §7, member by member. Pure; a member without value is undefined, and so
// absent from the line. Never a token, a proof or a key: proofs are named by a hash, queries by `qsh`, and what looks like a
// token inside any text of the client's is masked.

import { sha256 } from '../verify/hashes.js'
import { reasonRow } from '../verify/reasons.js'
import { evidenceOf } from '../verify/registration.js'
import type { Seconds } from '../verify/scalars.js'
import type { AccessToken, Decision, InboundRequest, Proof, Refused, RouteMatch } from '../verify/types.js'
import type { Grant } from '../verify/verdict.js'
import { hasProven } from './proven.js'
import type { AuditEvent, Outcome } from './types.js'

/** A request that was refused before it was understood; empty where nothing could be read. */
export type UnreadRequest = {
  readonly requestId: string
  readonly method: string
  /** Request target, byte for byte. */
  readonly rawTarget: string
  /** Names and values as they came. */
  readonly rawHeaders: readonly string[]
  readonly peer: { readonly address: string }
}

/** All that an event is made from. */
export type AuditFacts = {
  readonly arrived: InboundRequest | UnreadRequest
  /** null: refused before a route was known. */
  readonly match: RouteMatch | null
  readonly verdict: Grant | Refused
  /** null: nothing was forwarded, or not yet. */
  readonly outcome: Outcome | null
  /** Since the head was read; null before the request is over. */
  readonly durationMs: number | null
  /** Names of headers that were removed. */
  readonly removed: readonly string[]
  readonly policyVersion: string
  readonly now: Seconds
}

/** `authorization_decision`: who asked for what, and what the gateway said. */
export function decisionEvent(facts: AuditFacts): AuditEvent {
  const { arrived, match, verdict, outcome } = facts
  const found = 'denial' in verdict ? verdict.found : verdict.evidence
  const reported = 'denial' in verdict ? [] : verdict.evidence.reported
  const wouldDeny = reported[0]
  const denial = 'denial' in verdict ? verdict.denial : wouldDeny
  // An upstream that fails after a permit leaves it a permit, with the reason (contract §7).
  const reason = denial?.reason ?? outcome?.reason ?? undefined
  return {
    event_type: 'authorization_decision',
    time: timeOf(facts.now),
    request_id: arrived.requestId,
    decision: 'denial' in verdict ? 'deny' : wouldDeny === undefined ? 'permit' : 'would_deny',
    reason,
    spec: reason === undefined ? undefined : reasonRow(reason).spec,
    route: match?.route.path,
    tier: match?.route.tier,
    ...requestMembers(arrived),
    ...tokenMembers(found.token, verdict),
    ...clientMembers(found.token, verdict),
    tenant_id: 'denial' in verdict ? claimedTenant(match, found.token) : text(verdict.evidence.tenant),
    ...actionMembers(arrived.method, match),
    ...decisionMembers(found.decision),
    proof_id: proofId(found.proof),
    assertion_id: 'denial' in verdict ? undefined : verdict.assertionId,
    policy_version: facts.policyVersion,
    client_address: text(arrived.peer.address),
    upstream: 'denial' in verdict ? undefined : verdict.route.upstream.name,
    ...outcomeMembers(facts),
    bdh: 'denial' in verdict ? undefined : (verdict.body?.digest ?? undefined),
    // A would_deny keeps its own reason; that the upstream failed as well is a detail of it.
    detail: text(denial?.detail) ?? (wouldDeny === undefined ? undefined : (outcome?.reason ?? undefined)),
    reasons: wouldDeny === undefined ? undefined : reported.map((one) => one.reason),
    removed: list(facts.removed),
  }
}

/** `request_outcome`: what came of a request whose decision was written before it was forwarded (`audit: durable`). */
export function outcomeEvent(facts: AuditFacts): AuditEvent {
  const reason = facts.outcome?.reason ?? undefined
  return {
    event_type: 'request_outcome',
    time: timeOf(facts.now),
    request_id: facts.arrived.requestId,
    reason,
    spec: reason === undefined ? undefined : reasonRow(reason).spec,
    ...outcomeMembers(facts),
  }
}

const timeOf = (now: Seconds): string => new Date(now * 1000).toISOString()

function requestMembers(arrived: InboundRequest | UnreadRequest) {
  if ('target' in arrived) {
    const { method, host, target } = arrived
    const qsh = target.query === null ? undefined : sha256(target.query)
    return { method: text(method), path: text(target.rawPath, LONGEST_PATH), host: text(host), qsh }
  }
  // Only a path: an absolute target may hold a user's password, and every query may hold a secret.
  const [path = ''] = arrived.rawTarget.split(/[?#]/, 1)
  return {
    method: text(arrived.method),
    path: path.startsWith('/') ? text(path, LONGEST_PATH) : undefined,
    host: text(hostLine(arrived.rawHeaders)),
  }
}

function hostLine(rawHeaders: readonly string[]): string | undefined {
  for (let i = 0; i < rawHeaders.length; i += 2) if (rawHeaders[i]?.toLowerCase() === 'host') return rawHeaders[i + 1]
  return undefined
}

/** Of a token that its issuer signed; a refused caller need not be the one it names, and `sender_constraint_verified` says so. */
function tokenMembers(token: AccessToken | null, verdict: Grant | Refused) {
  if (token === null) return 'denial' in verdict ? {} : { sender_constraint: 'none', sender_constraint_verified: false }
  const { confirmation, claims } = token
  return {
    subject: text(token.subject),
    client_id: text(token.clientId),
    scope: text(token.scope.join(' ')),
    token_issuer: text(token.issuer.issuer),
    token_audience: list(token.audience),
    token_id: text(token.jti),
    token_exp: token.exp,
    assurance: text(claims.acr),
    auth_time: typeof claims.auth_time === 'number' && Number.isFinite(claims.auth_time) ? claims.auth_time : undefined,
    sender_constraint: constraintOf(confirmation),
    sender_constraint_verified: confirmation !== null && hasProven(verdict),
    thumbprint: confirmation?.jkt ?? confirmation?.x5tS256 ?? undefined,
  }
}

/** What the registry says of the client, and how well what the tier demands of it is known; of a refused one, its status alone. */
function clientMembers(token: AccessToken | null, verdict: Grant | Refused) {
  const registration = token === null ? undefined : token.issuer.registry?.get(token.clientId)
  if (token === null || registration === undefined) return {}
  const demanded = 'denial' in verdict ? null : verdict.route.policy.client_profile
  return { client_status: registration.status, client_evidence: evidenceOf(token, demanded) ?? undefined }
}

function constraintOf(confirmation: AccessToken['confirmation']): string {
  if (confirmation === null) return 'none'
  if (confirmation.jkt === null) return 'mtls'
  return confirmation.x5tS256 === null ? 'dpop' : 'both'
}

/** The tenant that a refused token names, so that a `tenant_mismatch` says which. */
function claimedTenant(match: RouteMatch | null, token: AccessToken | null): string | undefined {
  const rule = match?.route.policy.tenant ?? null
  return rule === null || token === null ? undefined : text(token.claims[rule.claim])
}

const PATH_PARAMETER = 'path.'

function actionMembers(method: string, match: RouteMatch | null) {
  if (match === null) return {}
  const { route, captured } = match
  const id = route.resource?.id ?? null
  return {
    action: route.action ?? text(`${method} ${route.path}`),
    resource_type: route.resource?.type,
    resource_id: text(id?.startsWith(PATH_PARAMETER) ? captured[id.slice(PATH_PARAMETER.length)] : id),
  }
}

/** Whom the route had to ask, what the decision is called there, and which policy it came from. */
const decisionMembers = (decision: Decision | undefined) =>
  decision === undefined
    ? {}
    : { pdp: decision.pdp, decision_id: text(decision.id), decision_policy_version: text(decision.policyVersion) }

/** Never the `jti` itself: it is the client's text, and half of what a replay needs. */
const proofId = (proof: Proof | null): string | undefined => (proof === null ? undefined : sha256(proof.claims.jti))

function outcomeMembers({ outcome, durationMs }: AuditFacts) {
  return {
    upstream_status: outcome?.upstreamStatus ?? undefined,
    duration_ms: durationMs === null ? undefined : Math.round(durationMs * 1000) / 1000,
    bytes: outcome?.bytes,
    domain_decision: text(outcome?.domainDecision),
  }
}

/** Characters of a text that others chose; the path is as long as `target_bytes` lets it be. */
const LONGEST_TEXT = 1024
const LONGEST_PATH = 8192
const LONGEST_LIST = 100

// Starts at a border between words only, so that no text makes it search the same characters twice.
const TOKEN_LIKE = /(?<![\w-])eyJ[\w-]*\.[\w-]+\.[\w.-]*/g

/** A text that others chose: bounded, and without anything in it that looks like a JWT. */
function text(value: unknown, longest = LONGEST_TEXT): string | undefined {
  if (typeof value !== 'string' || value === '') return undefined
  const masked = value.includes('eyJ') ? value.replace(TOKEN_LIKE, '[token]') : value
  return masked.length > longest ? `${masked.slice(0, longest)}…` : masked
}

const list = (values: readonly string[]): readonly string[] | undefined =>
  values.length === 0 ? undefined : values.slice(0, LONGEST_LIST).map((value) => text(value) ?? '')
