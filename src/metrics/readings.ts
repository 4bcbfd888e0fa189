// What others count and what is the case at the moment, as data; read only when somebody asks.

import type { Seconds } from '../verify/scalars.js'
import type { MetricName, Part } from './catalogue.js'
import { type Family, histogramFamily, type Labels, samplesFamily } from './families.js'
import type { HistogramReadings } from './histogram.js'

/** Counts are since the start of the process. */
export type Readings = {
  readonly version: string
  readonly policyVersion: string
  readonly inFlight: number
  readonly connections: ConnectionReadings
  readonly eventLoopDelay: HistogramReadings
  readonly degraded: Readonly<Record<Part, boolean>>
  readonly audit: { readonly dropped: number; readonly syncs: number; readonly counted: number }
  readonly caches: Readonly<Record<string, CacheReadings>>
  readonly introspection: readonly IntrospectionReadings[]
  readonly pdps: readonly PdpReadings[]
  /** null: there is no list. Age in seconds. */
  readonly revocations: { readonly counts: Readonly<Record<string, number>>; readonly age: Seconds } | null
  readonly issuers: readonly { readonly issuer: string; readonly keys: number }[]
  readonly expiries: readonly { readonly kind: string; readonly name: string; readonly at: Seconds }[]
  /** Names of the keys that are published; the first signs. */
  readonly assertionKeys: readonly string[]
  readonly spans: { readonly made: number; readonly sent: number; readonly failed: number }
  /** null: there is no registry. */
  readonly clients: {
    readonly statuses: Readonly<Record<string, number>>
    readonly overdue: Readonly<Record<string, number>>
  } | null
  readonly reloads: ReloadReport
}

/** What became of reloads, of the whole gateway: every process knows it of all. */
export type ReloadReport = {
  readonly taken: number
  readonly refused: number
  /** When the configuration that serves was taken, at the start or later (epoch seconds). */
  readonly takenAt: Seconds
  /** Why the last one was not taken; null: it was. */
  readonly problem: string | null
}

export type ConnectionReadings = {
  readonly open: number
  /** Closed at accept. */
  readonly refused: number
  /** Handshakes. */
  readonly full: number
  readonly resumed: number
  readonly failed: number
}

export type IntrospectionReadings = {
  readonly issuer: string
  readonly results: Readonly<Record<string, number>>
  readonly duration: HistogramReadings
}

export type PdpReadings = {
  readonly pdp: string
  readonly results: Readonly<Record<string, number>>
  readonly duration: HistogramReadings
  readonly inFlight: number
}

export type CacheReadings = {
  readonly hits: number
  readonly misses: number
  readonly evictions: number
  readonly entries: number
  readonly bytes: number
}

export function familiesOf(readings: Readings): readonly Family[] {
  const {
    version,
    policyVersion,
    inFlight,
    connections,
    degraded,
    audit,
    caches,
    introspection,
    pdps,
    revocations,
    issuers,
    expiries,
    assertionKeys,
    spans,
    reloads,
  } = readings
  const one = (name: MetricName, value: number): Family => samplesFamily(name, [[{}, value]])
  const by = (name: MetricName, label: string, values: Readonly<Record<string, number>>): Family =>
    samplesFamily(
      name,
      Object.entries(values).map(([word, value]): [Labels, number] => [{ [label]: word }, value]),
    )
  const ofCaches = (name: MetricName, value: (cache: CacheReadings) => number): Family =>
    samplesFamily(
      name,
      Object.entries(caches).map(([cache, counts]) => [{ cache }, value(counts)]),
    )
  const parts = Object.entries(degraded).map(([part, isDegraded]) => [part, Number(isDegraded)])
  const { open, refused, full, resumed, failed } = connections
  return [
    one('holdfast_requests_in_flight', inFlight),
    one('holdfast_connections', open),
    one('holdfast_connections_refused_total', refused),
    by('holdfast_tls_handshakes_total', 'result', { full, resumed, failed }),
    histogramFamily('holdfast_event_loop_delay_seconds', [[{}, readings.eventLoopDelay]]),
    ofCaches('holdfast_cache_hits_total', ({ hits }) => hits),
    ofCaches('holdfast_cache_misses_total', ({ misses }) => misses),
    ofCaches('holdfast_cache_evictions_total', ({ evictions }) => evictions),
    ofCaches('holdfast_cache_entries', ({ entries }) => entries),
    ofCaches('holdfast_cache_bytes', ({ bytes }) => bytes),
    samplesFamily(
      'holdfast_introspection_questions_total',
      introspection.flatMap(({ issuer, results }) =>
        Object.entries(results).map(([result, count]): [Labels, number] => [{ issuer, result }, count]),
      ),
    ),
    histogramFamily(
      'holdfast_introspection_duration_seconds',
      introspection.map(({ issuer, duration }) => [{ issuer }, duration]),
    ),
    samplesFamily(
      'holdfast_pdp_questions_total',
      pdps.flatMap(({ pdp, results }) =>
        Object.entries(results).map(([result, count]): [Labels, number] => [{ pdp, result }, count]),
      ),
    ),
    histogramFamily(
      'holdfast_pdp_duration_seconds',
      pdps.map(({ pdp, duration }) => [{ pdp }, duration]),
    ),
    samplesFamily(
      'holdfast_pdp_questions_in_flight',
      pdps.map(({ pdp, inFlight }) => [{ pdp }, inFlight]),
    ),
    by('holdfast_degraded', 'part', Object.fromEntries(parts)),
    by('holdfast_revocations', 'kind', revocations?.counts ?? {}),
    samplesFamily('holdfast_revocations_age_seconds', revocations === null ? [] : [[{}, revocations.age]]),
    samplesFamily(
      'holdfast_issuer_keys',
      issuers.map(({ issuer, keys }) => [{ issuer }, keys]),
    ),
    samplesFamily('holdfast_expiry_timestamp_seconds', earliest(expiries)),
    samplesFamily(
      'holdfast_assertion_key_info',
      assertionKeys.map((kid, i) => [{ kid, signs: String(i === 0) }, 1]),
    ),
    by('holdfast_clients', 'status', readings.clients?.statuses ?? {}),
    by('holdfast_clients_overdue', 'kind', readings.clients?.overdue ?? {}),
    one('holdfast_audit_lines_dropped_total', audit.dropped),
    one('holdfast_audit_syncs_total', audit.syncs),
    one('holdfast_audit_refusals_summarised_total', audit.counted),
    by('holdfast_trace_spans_total', 'result', { ...spans }),
    by('holdfast_reloads_total', 'result', { taken: reloads.taken, refused: reloads.refused }),
    one('holdfast_config_last_reload_successful', Number(reloads.problem === null)),
    one('holdfast_config_last_reload_success_timestamp_seconds', reloads.takenAt),
    one('holdfast_workers', 1),
    // Whoever starts workers knows better, and adds its own count (cluster/counters.ts).
    one('holdfast_worker_ends_total', 0),
    samplesFamily('holdfast_build_info', [[{ version, node: process.versions.node, policy_version: policyVersion }, 1]]),
  ]
}

/** The same labels twice would be no metric. */
function earliest(expiries: Readings['expiries']): readonly (readonly [Labels, number])[] {
  const found = new Map<string, readonly [Labels, number]>()
  for (const { kind, name, at } of expiries) {
    const key = `${kind} ${name}`
    const known = found.get(key)
    if (known === undefined || at < known[1]) found.set(key, [{ kind, name }, at])
  }
  return [...found.values()]
}
