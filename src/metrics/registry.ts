// What Prometheus is told (contract §8). Requests are counted in plain numbers, because labels are strings that would have to be
// put together for each of them; prom-client sees them when it is asked. Values of labels are the operator's words (routes, tiers,
// reasons), never a client's, with one exception that is bounded: who must still be moved to bound tokens (contract §5).

import { Counter, collectDefaultMetrics, Gauge, type MetricObjectWithValues, type MetricValue, Registry } from 'prom-client'
import type { Refused, RouteMatch } from '../verify/types.js'
import type { Grant } from '../verify/verdict.js'

/** What is read when someone asks; counts are since the start of the process. */
export type Readings = {
  readonly version: string
  readonly policyVersion: string
  readonly inFlight: number
  readonly connections: number
  readonly handshakes: { readonly full: number; readonly resumed: number }
  /** Parts that `/readyz` names. */
  readonly degraded: number
  readonly audit: { readonly dropped: number; readonly syncs: number; readonly counted: number }
  readonly caches: Readonly<Record<string, CacheReadings>>
}

export type CacheReadings = {
  readonly hits: number
  readonly misses: number
  readonly evictions: number
  readonly entries: number
  readonly bytes: number
}

export type Metrics = {
  /** Counts one decision; what becomes of a request after it is not counted again. */
  decided(match: RouteMatch | null, verdict: Grant | Refused): void
  /** What one process can tell, as data: other processes' can be added to it. */
  asJson(): Promise<MetricsJson>
}

export type MetricsJson = readonly MetricObjectWithValues<MetricValue<string>>[]

/** Clients that are told apart; whoever comes later is `other`. */
const MOST_CLIENTS = 1000

/** A route and what was decided there, since it was asked last. */
type Tally = { readonly labels: Record<'route' | 'tier' | 'decision' | 'reason', string>; count: number }

/** `read` is asked at each scrape. */
export function createMetrics(read: () => Readings): Metrics {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })

  // By the match's own route: two strings and two look-ups a request, whatever the labels are.
  const tallies = new Map<object | null, Map<string, Tally>>()
  const wouldDeny = new Map<string, Record<string, number>>()

  const decisions = new Counter({
    name: 'holdfast_decisions_total',
    help: 'Requests, by the route and tier that judged them, what was decided, and why they were refused.',
    labelNames: ['route', 'tier', 'decision', 'reason'],
    registers,
    collect() {
      for (const ofRoute of tallies.values()) {
        for (const [key, { labels, count }] of ofRoute) {
          decisions.inc(labels, count)
          ofRoute.delete(key)
        }
      }
      // Routes of configurations that are gone leave their totals behind, and nothing else.
      tallies.clear()
    },
  })
  const byClient = new Counter({
    name: 'holdfast_would_deny_total',
    help: 'Requests that passed only because their tier reports for now, by client and reason.',
    labelNames: ['client_id', 'reason'],
    registers,
    collect() {
      for (const [client_id, reasons] of wouldDeny) {
        for (const [reason, count] of Object.entries(reasons)) byClient.inc({ client_id, reason }, count)
        wouldDeny.set(client_id, {})
      }
    },
  })
  addReadings(registers, read)

  const countClient = (clientId: string, reason: string): void => {
    const name = wouldDeny.has(clientId) || wouldDeny.size < MOST_CLIENTS ? clientId : 'other'
    const reasons = wouldDeny.get(name) ?? {}
    reasons[reason] = (reasons[reason] ?? 0) + 1
    wouldDeny.set(name, reasons)
  }

  return {
    decided(match, verdict) {
      const route = match?.route ?? null
      const refused = 'denial' in verdict
      const reported = refused ? undefined : verdict.evidence.reported[0]
      const reason = refused ? verdict.denial.reason : (reported?.reason ?? '')
      const decision = refused ? 'deny' : reported === undefined ? 'permit' : 'would_deny'
      const ofRoute = tallies.get(route) ?? new Map<string, Tally>()
      if (ofRoute.size === 0) tallies.set(route, ofRoute)
      const key = decision + reason
      const tally = ofRoute.get(key)
      if (tally !== undefined) tally.count += 1
      else {
        const labels = { route: route?.path ?? '', tier: route?.tier ?? '', decision, reason }
        ofRoute.set(key, { labels, count: 1 })
      }
      if (reported !== undefined && !refused) countClient(verdict.evidence.token?.clientId ?? '', reported.reason)
    },
    asJson: () => registry.getMetricsAsJSON(),
  }
}

/** What others count, and what is the case at the moment. */
function addReadings(registers: Registry[], read: () => Readings): void {
  const counter = (name: string, help: string, value: (readings: Readings) => number): void => {
    const one: Counter = new Counter({
      name,
      help,
      registers,
      collect() {
        one.reset()
        one.inc(value(read()))
      },
    })
  }
  const gauge = (name: string, help: string, value: (readings: Readings) => number): void => {
    const one: Gauge = new Gauge({ name, help, registers, collect: () => one.set(value(read())) })
  }
  const ofCaches = (name: string, help: string, value: (cache: CacheReadings) => number): void => {
    const Kind = name.endsWith('_total') ? Counter : Gauge
    const one = new Kind({
      name,
      help,
      labelNames: ['cache'],
      registers,
      collect() {
        one.reset()
        for (const [cache, readings] of Object.entries(read().caches)) one.inc({ cache }, value(readings))
      },
    })
  }

  gauge('holdfast_requests_in_flight', 'Requests that are being served.', ({ inFlight }) => inFlight)
  gauge('holdfast_connections', 'Connections of clients that are open.', ({ connections }) => connections)
  gauge('holdfast_degraded_parts', 'Parts that /readyz names as degraded.', ({ degraded }) => degraded)
  counter('holdfast_tls_handshakes_full_total', 'Handshakes that began a session.', ({ handshakes }) => handshakes.full)
  counter('holdfast_tls_handshakes_resumed_total', 'Handshakes that took up a session.', ({ handshakes }) => handshakes.resumed)
  counter('holdfast_audit_lines_dropped_total', 'Audit lines that could not be written.', ({ audit }) => audit.dropped)
  counter('holdfast_audit_syncs_total', 'Times that the audit file was synced to disk.', ({ audit }) => audit.syncs)
  counter(
    'holdfast_audit_refusals_summarised_total',
    'Refusals beyond refusals_per_second, told of in a refusals_summary only.',
    ({ audit }) => audit.counted,
  )
  ofCaches('holdfast_cache_hits_total', 'Look-ups that found what they looked for.', ({ hits }) => hits)
  ofCaches('holdfast_cache_misses_total', 'Look-ups that did not.', ({ misses }) => misses)
  ofCaches('holdfast_cache_evictions_total', 'Entries that made room for others.', ({ evictions }) => evictions)
  ofCaches('holdfast_cache_entries', 'Entries.', ({ entries }) => entries)
  ofCaches('holdfast_cache_bytes', 'What the entries are estimated to take.', ({ bytes }) => bytes)

  const info = new Gauge({
    name: 'holdfast_build_info',
    help: '1; the version of the gateway, of node, and the policy it serves by (a hash of routes.yaml).',
    labelNames: ['version', 'node', 'policy_version'],
    registers,
    aggregator: 'first',
    collect() {
      info.reset()
      const { version, policyVersion } = read()
      info.set({ version, node: process.versions.node, policy_version: policyVersion }, 1)
    },
  })
}
