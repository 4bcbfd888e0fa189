// Does this request prove what its route demands? (request, now, ports) -> Evidence | Refused, in the order of contract §4: token,
// binding, proof, its signature, and only then what the token may do. Nothing is remembered as used here, so that a refused
// request never spends its proof.
// Does not check: replay, rate, body. Those are decide.ts's, because they have effects.

import { applies, type Check, type Gathered, type Parsed, type Rules, runCheck, type Settings } from './checks/check.js'
import { PROOF_CHECKS, ROUTE_CHECKS, TOKEN_CHECKS } from './checks/index.js'
import { readCredentials } from './credentials.js'
import { confirmActive, opaqueIssuer, verifyOpaque } from './opaque.js'
import type { Policy } from './policy.js'
import { isProofSigned, readProof } from './proof.js'
import { REPORTABLE } from './reasons.js'
import { judgeRevocations } from './revocations.js'
import type { Seconds } from './scalars.js'
import { knownToken, verifyToken } from './token.js'
import type { AccessToken, Evidence, InboundRequest, Refused, RouteMatch, Scheme, VerifyPorts } from './types.js'
import { Denial, deny } from './verdict.js'

/** Told of each step and its answer, null being "nothing against it": for `holdfast explain`. */
export type Trace = (step: string, answer: Denial | null) => void

/** A request and the route that judges it. */
export type Question = { readonly inbound: InboundRequest; readonly match: RouteMatch; readonly trace?: Trace }

type CheckList = readonly Check[]
const TOKEN_LIST = TOKEN_CHECKS as readonly unknown[] as CheckList
const PROOF_LIST = PROOF_CHECKS as readonly unknown[] as CheckList
const ROUTE_LIST = ROUTE_CHECKS as readonly unknown[] as CheckList

/** One step of `verify`, as docs and `explain` show it. */
export type Step = { readonly name: string; readonly spec: string; readonly settings: readonly string[] }

const stepOf = (check: Check): Step => ({
  name: check.name,
  spec: check.spec,
  settings: [...Object.keys(check.settings), ...Object.keys(check.rules)],
})

/** Every step, in the order in which it is judged. */
export const STEPS: readonly Step[] = [
  { name: 'credentials', spec: 'RFC 6750 §2.1, RFC 9449 §7.1', settings: ['token'] },
  { name: 'token', spec: 'RFC 9068 §4, RFC 8725 §3', settings: ['token_algorithms', 'clock_skew'] },
  ...TOKEN_LIST.map(stepOf),
  { name: 'proof', spec: 'RFC 9449 §4.3 (1) to (5), (7)', settings: ['proof_algorithms'] },
  ...PROOF_LIST.map(stepOf),
  { name: 'proof-signature', spec: 'RFC 9449 §4.3 (6)', settings: [] },
  { name: 'revocations', spec: 'FAPI 2.0 §5.3.4', settings: ['replay_outage'] },
  { name: 'introspection', spec: 'RFC 7662 §2', settings: ['introspect'] },
  ...ROUTE_LIST.map(stepOf),
]

/**
 * Judges a request at `now`. A promise only where a token is new or its issuer's keys may have to be fetched: everything else is
 * answered at once.
 */
export function verify(question: Question, now: Seconds, ports: VerifyPorts): Evidence | Refused | Promise<Evidence | Refused> {
  const { inbound, match, trace } = question
  const { policy } = match.route
  if (policy.token === 'none') return nothingProven(question, now)

  const credentials = readCredentials(inbound, ports.limits.credential_bytes)
  if (credentials instanceof Denial) return refused('credentials', credentials, NOTHING_FOUND, trace)
  trace?.('credentials', null)
  const { scheme, token: raw } = credentials

  const judge = { policy, now }
  const issuer = opaqueIssuer(raw, policy)
  if (issuer !== null) {
    const opaque = verifyOpaque({ ...judge, raw, issuer, receivedAt: inbound.receivedAt }, ports)
    const go = (token: AccessToken | Denial) => verifySender({ question, now, ports, scheme, token, raw: null })
    return opaque instanceof Promise ? opaque.then(go) : go(opaque)
  }
  const known = knownToken(raw, judge, ports)
  if (known !== null) return verifySender({ question, now, ports, scheme, token: known, raw })
  return verifyToken(raw, judge, ports).then((token) => verifySender({ question, now, ports, scheme, token, raw }))
}

const NOTHING_FOUND: Refused['found'] = { token: null, scheme: null, proof: null }

const nothingProven = ({ inbound, match }: Question, now: Seconds): Evidence => ({
  inbound,
  captured: match.captured,
  now,
  token: null,
  scheme: null,
  proof: null,
  nonceTime: null,
  certificate: null,
  tenant: null,
  reported: [],
})

type Presented = {
  readonly question: Question
  readonly now: Seconds
  readonly ports: VerifyPorts
  readonly scheme: Scheme
  /** Or why it is none. */
  readonly token: AccessToken | Denial
  /** A JWT, for its issuer to be asked about where the tier says so; null: it was. */
  readonly raw: string | null
}

/** All that comes after the token itself: how it is bound, that its sender holds the key, and what it may do. */
function verifySender({ question, now, ports, scheme, token, raw }: Presented): Evidence | Refused | Promise<Evidence | Refused> {
  const { inbound, match, trace } = question
  const { policy, path, tier } = match.route
  if (token instanceof Denial) return refused('token', token, { token: null, scheme, proof: null }, trace)
  trace?.('token', null)

  const { confirmation } = token
  const before: Gathered = {
    inbound,
    path,
    tier,
    now,
    clockSkew: policy.clock_skew,
    captured: match.captured,
    scheme,
    token,
    confirmation,
    proof: null,
    nonceTime: null,
    certificate: inbound.peer.certificate,
  }
  const run = runner(policy, now, trace)
  const unfit = run.all(TOKEN_LIST, before)
  if (unfit !== null) return { denial: unfit, found: { token, scheme, proof: null } }

  // A token bound to a key is proven in every tier; a DPoP header beside any other token is ignored (contract §3).
  const jkt = confirmation === null ? null : confirmation.jkt
  const proofRules = {
    algorithms: policy.proof_algorithms,
    maxBytes: ports.limits.proof_bytes,
    known: jkt === null ? undefined : ports.proofHeaders.get(jkt),
  }
  const proof = jkt === null ? null : readProof(inbound.dpop, proofRules)
  if (proof instanceof Denial) return refused('proof', proof, { token, scheme, proof: null }, trace)
  if (proof !== null) trace?.('proof', null)

  const nonceTime = proof === null ? null : acceptedNonceTime(proof.claims.nonce, policy, now, ports)
  const gathered: Gathered = { ...before, proof, nonceTime }
  const found = { token, scheme, proof }
  const stale = run.all(PROOF_LIST, gathered)
  if (stale !== null) return { denial: stale, found }
  if (proof !== null) {
    if (!isProofSigned(proof)) return refused('proof-signature', deny('proof_signature'), found, trace)
    trace?.('proof-signature', null)
  }

  const revoked = judgeRevocations({ token, inbound }, policy, now, ports.revocations)
  if (revoked !== null) return refused('revocations', revoked, found, trace)
  trace?.('revocations', null)
  // Only now, after a good signature by the key a good token is bound to: no one else can fill the cache.
  if (proof !== null && !proof.isKnownHeader) ports.proofHeaders.set(proof.header.jkt, proof.header)

  const judgeRoute = (): Evidence | Refused => {
    const barred = run.all(ROUTE_LIST, gathered)
    if (barred !== null) return { denial: barred, found }
    return {
      ...nothingProven(question, now),
      token,
      scheme,
      proof,
      nonceTime,
      certificate: confirmation !== null && confirmation.x5tS256 !== null ? inbound.peer.certificate : null,
      tenant: policy.tenant === null ? null : String(token.claims[policy.tenant.claim]),
      reported: run.reported,
    }
  }
  if (policy.introspect !== 'always' || raw === null) return judgeRoute()
  // Only now, when the key is proven: whoever holds a stolen token can't have its issuer asked.
  const active = confirmActive({ raw, token, now, receivedAt: inbound.receivedAt }, ports)
  const conclude = (inactive: Denial | null): Evidence | Refused => {
    if (inactive !== null) return refused('introspection', inactive, found, trace)
    trace?.('introspection', null)
    return judgeRoute()
  }
  return active instanceof Promise ? active.then(conclude) : conclude(active)
}

function refused(step: string, denial: Denial, found: Refused['found'], trace: Trace | undefined): Refused {
  trace?.(step, denial)
  return { denial, found: { token: found.token, scheme: found.scheme, proof: found.proof } }
}

/** Runs lists of checks until the first Denial; what `report_only_until` covers is set aside instead (contract §5). */
function runner(policy: Policy, now: Seconds, trace: Trace | undefined) {
  const reportOnly = policy.report_only_until !== null && now < policy.report_only_until
  const reported: Denial[] = []
  const all = (checks: CheckList, gathered: Gathered): Denial | null => {
    for (const check of checks) {
      if (!applies(check, gathered)) continue
      const denial = runCheck(check, gathered, policy as unknown as Parsed<Settings> & Rules<Settings>)
      trace?.(check.name, denial)
      if (denial === null) continue
      if (!reportOnly || !REPORTABLE.has(denial.reason)) return denial
      reported.push(denial)
    }
    return null
  }
  return { all, reported: reported as readonly Denial[] }
}

/** When the nonce was made, where the tier demands one and this is ours and at most `proof_max_age` old; else null. */
function acceptedNonceTime(nonce: unknown, policy: Policy, now: Seconds, ports: VerifyPorts): Seconds | null {
  if (policy.nonce === 'off' || typeof nonce !== 'string') return null
  const time = ports.nonceTime(nonce)
  const isFresh = time !== null && time >= now - policy.proof_max_age && time <= now + policy.clock_skew
  return isFresh ? time : null
}
