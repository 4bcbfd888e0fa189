// May this request pass? verify (pure), then what has effects, in the order of contract §4: the body is held, a policy decision
// point is asked where the route names one, the proof is spent, the rate is charged, the decision is written. Each comes after
// everything that could still refuse without it, and only what survives all becomes a Grant. The only file that makes one.

import { randomUUID } from 'node:crypto'
import type { ProofUse, ReplayStore, UseAnswer } from './replay/store.js'
import type { Times } from './times.js'
import { replayKey } from './verify/hashes.js'
import type { Policy } from './verify/policy.js'
import { judgeRevocations } from './verify/revocations.js'
import type { Rate, Seconds } from './verify/scalars.js'
import type { Evidence, HeldBody, Proof, Refused, Route, RouteMatch, VerifyPorts } from './verify/types.js'
import { type Decided, Denial, deny, type Grant, grant } from './verify/verdict.js'
import { type Question, verify } from './verify/verify.js'

/** What is charged against a rate: one bucket for each tier and caller. */
export type Charge = {
  readonly tier: string
  readonly by: 'client' | 'subject' | 'address'
  readonly value: string
  readonly rate: Rate
}

/** What deciding needs from outside. All times are epoch seconds. */
export type DecidePorts = VerifyPorts & {
  readonly limits: VerifyPorts['limits'] & { readonly body_total: Seconds }
  readonly clock: () => Seconds
  /** Asks the policy decision point that the route names; called only where it names one. */
  readonly decisionFor: (evidence: Evidence, match: RouteMatch) => Promise<Decided>
  readonly replay: ReplayStore
  /** Is the record of a proof dated so, had it been used before, sure to be there still? Not after a reload lengthened the window. */
  readonly isRemembered: (datedAt: Seconds, now: Seconds) => boolean
  /** Seconds to wait, or null when the request may pass. */
  readonly charge: (charge: Charge) => Promise<Seconds | null>
  /** Writes the decision where the tier's `audit` is `durable`, and answers once it is on disk; false: it can't be. */
  readonly record: (granted: Grant) => Promise<boolean>
}

/** Reads the whole body, up to the tier's `max_body`. Called at most once, and only where `body_digest` is on. */
export type HoldBody = (maxBody: number) => Promise<HeldBody | Denial>

/** What one request brings along: its body, if it is asked for, and where it is written down when what happened. */
export type Bringing = {
  readonly holdBody: HoldBody
  readonly times: Times
  /** Whoever comes again by this name with the same proof is the same request (ProofUse); left out or null: it has none. */
  readonly claimant?: string | null
}

/** Judges a request. A refusal leaves the replay store untouched, unless the proof itself was the last thing wrong. */
export async function decide(
  question: Question,
  { holdBody, times, claimant = null }: Bringing,
  ports: DecidePorts,
): Promise<Grant | Refused> {
  times.verifying = performance.now()
  const answer = verifyNow(question, ports)
  const verified = answer instanceof Promise ? await answer : answer
  times.verified = performance.now()
  if ('denial' in verified) return verified
  let evidence = verified
  const { route } = question.match
  const { policy } = route
  const refuse = (denial: Denial): Refused => ({ denial, found: evidence })

  const body = policy.body_digest ? await holdBody(policy.max_body) : null
  if (body instanceof Denial) return refuse(body)
  if (route.decision !== null) {
    times.asking = performance.now()
    const { denial, decision } = await ports.decisionFor(evidence, question.match)
    times.asked = performance.now()
    evidence = { ...evidence, decision }
    if (denial !== null) return refuse(denial)
  }
  if (body !== null || route.decision !== null) {
    const ended = endedMeanwhile(evidence, policy, ports)
    if (ended !== null) return refuse(ended)
  }

  if (evidence.proof !== null) {
    const use = useOf(evidence.proof, { evidence, route, claimant }, ports)
    if (!ports.isRemembered(use.datedAt, use.now)) return refuse(deny('proof_too_old', 'older than the window before the reload'))
    // The one thing that can't be undone (RFC 9449 §11.1), and the one wait of most requests.
    times.recording = performance.now()
    const spent = await ports.replay.firstUse(use)
    times.recorded = performance.now()
    if (spent !== 'first') return refuse(denialOf(spent, policy))
  }
  if (policy.rate_limit !== null) {
    const wait = await ports.charge(chargeFor(evidence, question.match, policy.rate_limit))
    if (wait !== null) return refuse(deny('rate_limited', undefined, { retryAfter: wait }))
  }
  const granted = grant(evidence, route, randomUUID(), body)
  if (policy.audit === 'durable' && !(await ports.record(granted))) return refuse(deny('audit_unavailable'))
  return granted
}

/** How long (seconds) verifying may take before it counts as out of date. */
const STALE: Seconds = 0.5

/** Where an issuer had to be asked, seconds have gone by: then what was not refused is judged again, by the time it is. */
function verifyNow(question: Question, ports: DecidePorts): ReturnType<typeof verify> {
  const now = ports.clock()
  const answer = verify(question, now, ports)
  if (!(answer instanceof Promise)) return answer
  return answer.then((verified) =>
    'denial' in verified || ports.clock() - now < STALE ? verified : verify(question, ports.clock(), ports),
  )
}

/** What was good when the head was judged may have been outlived by a slow body or decision, or revoked meanwhile (contract §3). */
function endedMeanwhile({ token, inbound }: Evidence, policy: Policy, { clock, revocations }: DecidePorts): Denial | null {
  if (token === null) return null
  const now = clock()
  return now >= token.exp ? deny('token_expired') : judgeRevocations({ token, inbound }, policy, now, revocations)
}

/** Why a proof that was not used for the first time, or not surely, is refused. */
function denialOf(answer: Exclude<UseAnswer, 'first'>, policy: Policy): Denial {
  switch (answer) {
    case 'used':
      return deny('proof_replayed')
    case 'forgotten':
      // The store lost its memory after this proof was made. With a nonce there is a way on: a newer one.
      return policy.nonce === 'required' ? deny('nonce_stale') : deny('replay_unavailable', 'the store lost its memory')
    case 'unavailable':
      return deny('replay_unavailable')
  }
}

/** How old a proof may be when it is recorded: as old as it may come, and as much older as bodies are held and decisions waited for. */
export const windowOf = ({ policy, decision }: Route, { body_total }: { readonly body_total: Seconds }): Seconds =>
  policy.proof_max_age + (policy.body_digest ? body_total : 0) + (decision?.timeout ?? 0)

type Using = { readonly evidence: Evidence; readonly route: Route; readonly claimant: string | null }

/**
 * Until when could this proof be accepted again? By its nonce while that is young, and by its `iat` where none is asked for
 * (a reload can change which it is, so the later of the two), and a skew longer because replicas' clocks differ.
 */
function useOf(proof: Proof, { evidence, route, claimant }: Using, ports: DecidePorts): ProofUse {
  const { nonceTime } = evidence
  const { policy } = route
  const datedAt = nonceTime ?? proof.claims.iat
  // A nonce of ours counts even where none is asked for: a reload may begin to.
  const { nonce } = proof.claims
  const nonceMade = nonceTime ?? (typeof nonce === 'string' ? ports.nonceTime(nonce) : null) ?? 0
  const until = Math.max(nonceMade, proof.claims.iat) + windowOf(route, ports.limits) + policy.clock_skew
  const key = replayKey(proof.header.jkt, proof.claims.jti)
  const claim = claimant === null ? null : replayKey(key, claimant)
  return { key, claim, datedAt, until, now: ports.clock(), outage: policy.replay_outage }
}

/** A name is of the issuer that gave it: another issuer's client or user of the same name must not use up what is not theirs. */
function chargeFor({ token, inbound }: Evidence, { route }: RouteMatch, limit: NonNullable<Policy['rate_limit']>): Charge {
  const by = limit.by ?? (token === null ? 'address' : 'client')
  const { address } = inbound.peer
  if (token === null || by === 'address') return { tier: route.tier, by, value: address, rate: limit.rate }
  const { clientId, subject, issuer } = token
  // Legacy issuers may name only one of the two, or neither.
  const name = by === 'client' ? clientId || subject : subject || clientId
  return { tier: route.tier, by, value: name ? JSON.stringify([issuer.issuer, name]) : address, rate: limit.rate }
}
