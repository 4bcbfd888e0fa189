// What is counted on every request: decisions, durations by phase, how old proofs are. In plain numbers, found by the route's own
// object, because labels are strings that would have to be put together each time; samples are made of them when somebody asks.

import type { Times } from '../times.js'
import { REASONS, type Reason } from '../verify/reasons.js'
import { evidenceOf } from '../verify/registration.js'
import type { Refused, RouteMatch } from '../verify/types.js'
import type { Grant } from '../verify/verdict.js'
import { METRICS, type MetricName } from './catalogue.js'
import { type Family, histogramFamily, type Labels, samplesFamily } from './families.js'
import { createHistogram, type Histogram } from './histogram.js'

/** What became of one request, as far as metrics care. */
export type Decided = {
  readonly match: RouteMatch | null
  readonly verdict: Grant | Refused
  /** null: nothing was forwarded. */
  readonly outcome: { readonly upstreamStatus: number | null; readonly reason: Reason | null } | null
  /** When the head was read (epoch seconds). */
  readonly receivedAt: number
  readonly times: Times
  readonly durationMs: number
}

export type DecisionMetrics = {
  count(decided: Decided): void
  families(): readonly Family[]
}

/** Clients that are told apart; whoever comes later is `other`. */
const MOST_CLIENTS = 1000

/** Routes that are kept by their objects where nobody ever asks: each reload brings new ones. */
const MOST_ROUTES = 10_000

/** One route, since it was asked last; the histogram is its tier's, and stays. */
type Tally = {
  readonly route: RouteMatch['route'] | null
  readonly duration: Histogram
  permits: number
  /** By reason. */
  readonly denials: Map<string, number>
  readonly wouldDeny: Map<string, number>
  /** By class of status: [0] is of no answer. */
  readonly answers: number[]
  readonly failures: Map<string, number>
}

const { bounds } = METRICS.holdfast_phase_duration_seconds

const add = (counts: Map<string, number>, key: string, more = 1): void => void counts.set(key, (counts.get(key) ?? 0) + more)

const seconds = (milliseconds: number): number => milliseconds / 1000

/** Refusals for a proof's age alone: what a clock that is wrong leads to. */
const isForAge = (reason: Reason): boolean => reason === 'proof_too_old' || reason === 'proof_in_future'

const OF_REGISTRY: readonly Reason[] = ['client_unknown', 'client_inactive', 'client_unqualified', 'client_exceeded']
const isOfRegistry = (reason: Reason): boolean => OF_REGISTRY.includes(reason)

export function createDecisionMetrics(): DecisionMetrics {
  const tallies = new Map<object | null, Tally>()
  const durations = new Map<string, Histogram>()
  const phases = {
    verify: createHistogram(bounds),
    decision: createHistogram(bounds),
    replay: createHistogram(bounds),
    sign: createHistogram(bounds),
    upstream: createHistogram(bounds),
  }
  const ages = createHistogram(METRICS.holdfast_proof_age_seconds.bounds)
  const decisions = createTotals('holdfast_decisions_total')
  const refusals = new Map<string, number>(Object.keys(REASONS).map((reason) => [reason, 0]))
  const answers = createTotals('holdfast_upstream_answers_total')
  const byClient = createTotals('holdfast_would_deny_total')
  const clients = new Set<string>()
  const byRegistration = createTotals('holdfast_client_refusals_total')
  const evidence = { proven: 0, declared: 0 }

  const durationOf = (tier: string): Histogram => {
    const histogram = durations.get(tier) ?? createHistogram(METRICS.holdfast_request_duration_seconds.bounds)
    durations.set(tier, histogram)
    return histogram
  }
  /** Routes of configurations that are gone leave their totals behind, and nothing else. */
  const settle = (): void => {
    for (const { route, permits, denials, wouldDeny, answers: classes, failures } of tallies.values()) {
      const where = { route: route?.path ?? '', tier: route?.tier ?? '' }
      const upstream = route?.upstream.name ?? ''
      decisions.add({ ...where, decision: 'permit', reason: '' }, permits)
      for (const [reason, count] of denials) {
        decisions.add({ ...where, decision: 'deny', reason }, count)
        add(refusals, reason, count)
      }
      for (const [reason, count] of wouldDeny) decisions.add({ ...where, decision: 'would_deny', reason }, count)
      for (const [index, count] of classes.entries())
        answers.add({ upstream, answer: index === 0 ? 'gone' : `${index}xx` }, count)
      for (const [answer, count] of failures) answers.add({ upstream, answer }, count)
    }
    tallies.clear()
  }
  const newTally = (route: Tally['route']): Tally => {
    if (tallies.size >= MOST_ROUTES) settle()
    const tally: Tally = {
      route,
      duration: durationOf(route?.tier ?? ''),
      permits: 0,
      denials: new Map(),
      wouldDeny: new Map(),
      answers: [0, 0, 0, 0, 0, 0],
      failures: new Map(),
    }
    tallies.set(route, tally)
    return tally
  }
  const countClient = (clientId: string, reason: Reason): void => {
    if (clients.size < MOST_CLIENTS) clients.add(clientId)
    byClient.add({ client_id: clients.has(clientId) ? clientId : 'other', reason }, 1)
  }
  return {
    count({ match, verdict, outcome, receivedAt, times, durationMs }) {
      const route = match === null ? null : match.route
      const tally = tallies.get(route) ?? newTally(route)
      tally.duration.observe(seconds(durationMs))
      if (times.verified > 0) phases.verify.observe(seconds(times.verified - times.verifying))
      if (times.asked > 0) phases.decision.observe(seconds(times.asked - times.asking))
      if (times.recorded > 0) phases.replay.observe(seconds(times.recorded - times.recording))
      if (times.signed > 0) phases.sign.observe(seconds(times.signed - times.signing))
      if (times.answered > 0) phases.upstream.observe(seconds(times.answered - times.signed))

      if ('denial' in verdict) {
        const { reason, detail = '' } = verdict.denial
        add(tally.denials, reason)
        // What stands before the colon is a word of ours; behind it, one of the token's.
        if (isOfRegistry(reason)) byRegistration.add({ reason, why: detail.split(':', 1)[0] ?? '' }, 1)
        if (isForAge(reason) && verdict.found.proof !== null) ages.observe(receivedAt - verdict.found.proof.claims.iat)
        return
      }
      const { proof, reported, token } = verdict.evidence
      if (proof !== null) ages.observe(receivedAt - proof.claims.iat)
      const known = route === null || token === null ? null : evidenceOf(token, route.policy.client_profile)
      if (known !== null) evidence[known] += 1
      const [first] = reported
      if (first === undefined) tally.permits += 1
      else {
        add(tally.wouldDeny, first.reason)
        countClient(token?.clientId ?? '', first.reason)
      }
      if (outcome === null) return
      if (outcome.reason !== null) add(tally.failures, outcome.reason)
      else {
        const index = Math.trunc((outcome.upstreamStatus ?? 0) / 100)
        // A final status has one of five classes (upstream/send.ts).
        tally.answers[index] = (tally.answers[index] ?? 0) + 1
      }
    },
    families() {
      settle()
      return [
        decisions.family(),
        samplesFamily(
          'holdfast_refusals_total',
          [...refusals].map(([reason, count]) => [{ reason }, count]),
        ),
        byClient.family(),
        byRegistration.family(),
        samplesFamily(
          'holdfast_client_evidence_total',
          Object.entries(evidence).map(([word, count]) => [{ evidence: word }, count]),
        ),
        answers.family(),
        histogramFamily(
          'holdfast_request_duration_seconds',
          [...durations].map(([tier, one]) => [{ tier }, one.readings()]),
        ),
        histogramFamily(
          'holdfast_phase_duration_seconds',
          Object.entries(phases).map(([phase, one]) => [{ phase }, one.readings()]),
        ),
        histogramFamily('holdfast_proof_age_seconds', [[{}, ages.readings()]]),
      ]
    },
  }
}

/** Counts that only rise, by their labels. Nothing is said of what never happened. */
function createTotals(name: MetricName) {
  const totals = new Map<string, { readonly labels: Labels; value: number }>()
  return {
    add(labels: Labels, count: number): void {
      if (count === 0) return
      const key = JSON.stringify(labels)
      const total = totals.get(key)
      if (total === undefined) totals.set(key, { labels, value: count })
      else total.value += count
    },
    family: (): Family =>
      samplesFamily(
        name,
        [...totals.values()].map(({ labels, value }) => [labels, value]),
      ),
  }
}
