// Every metric of ours, as data: what /metrics, docs/metrics.md and the tests of deploy/ are made from. Names, units and labels as
// Prometheus wants them (prometheus.io/docs/practices/naming). Values of labels are the operator's words (routes, tiers, issuers) or of
// a fixed set, never a client's, with one exception that is bounded: `client_id` (registry.ts).

export type MetricRow = {
  readonly type: 'counter' | 'gauge' | 'histogram'
  /** The HELP line, and what docs/metrics.md says. */
  readonly help: string
  readonly labels: readonly string[]
  /** What the values of several workers come to. */
  readonly workers: 'sum' | 'min' | 'max' | 'first'
}

/** With upper bounds of its buckets. */
type HistogramRow = MetricRow & { readonly bounds: readonly number[] }

/** From a signature of 50 us to a slow upstream. */
const DURATIONS = [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

/** Around `clock_skew` and `proof_max_age`, which are 10 and 60 seconds unless routes.yaml says otherwise. */
const SKEWS = [-60, -30, -10, -5, -2, -1, 0, 1, 2, 5, 10, 30, 60, 120, 300, 3600]

const counter = (help: string, ...labels: readonly string[]): MetricRow => ({ type: 'counter', help, labels, workers: 'sum' })

const gauge = (workers: MetricRow['workers'], help: string, ...labels: readonly string[]): MetricRow => ({
  type: 'gauge',
  help,
  labels,
  workers,
})

const histogram = (bounds: readonly number[], help: string, ...labels: readonly string[]): HistogramRow => ({
  type: 'histogram',
  help,
  labels,
  workers: 'sum',
  bounds,
})

export const METRICS = {
  holdfast_decisions_total: counter(
    'Requests, by the route and tier that judged them (empty where none was found), what was decided, and why they were refused.',
    'route',
    'tier',
    'decision',
    'reason',
  ),
  holdfast_refusals_total: counter(
    'Refused requests by reason alone, every reason from the start on: what alerts are made from, because a rate does not see the first of a new series.',
    'reason',
  ),
  holdfast_would_deny_total: counter(
    'Requests that passed only because their tier reports for now: who must still be moved before report_only_until. The first 1,000 clients, then "other".',
    'client_id',
    'reason',
  ),
  holdfast_client_refusals_total: counter(
    'Requests of clients whose registration did not allow them, by the reason and what of it: a status, tier, a quality of client_profile, route, audience, scope, certificate; empty where they have none.',
    'reason',
    'why',
  ),
  holdfast_client_evidence_total: counter(
    'Requests granted on tiers with a client_profile: proven when the issuer asserted all of it in the token, declared when some stands in the registry alone.',
    'evidence',
  ),
  holdfast_request_duration_seconds: histogram(
    DURATIONS,
    'From the head of a request to the end of its answer; WebSockets and event streams last as long as they are open.',
    'tier',
  ),
  holdfast_phase_duration_seconds: histogram(
    DURATIONS,
    'What a request spent its time on: verify (token, proof, rules), decision (the policy decision point), replay (the store), sign (the assertion), upstream (until the head of its answer).',
    'phase',
  ),
  holdfast_upstream_answers_total: counter(
    'What came of requests that were forwarded: the class of the status, or why there was none (a reason; "gone": the client left first).',
    'upstream',
    'answer',
  ),
  holdfast_proof_age_seconds: histogram(
    SKEWS,
    'By our clock, how old proofs were by their iat that were granted or refused for their age alone; below 0 the client is ahead. iat has whole seconds.',
  ),
  holdfast_requests_in_flight: gauge('sum', 'Requests that are being served.'),
  holdfast_connections: gauge('sum', 'Connections of clients that are open.'),
  holdfast_connections_refused_total: counter(
    'Connections closed at accept, over limits.connections or connections_per_address.',
  ),
  holdfast_tls_handshakes_total: counter(
    'Handshakes: full, resumed (a session was taken up), or failed (and connections that ended before it was complete).',
    'result',
  ),
  holdfast_event_loop_delay_seconds: histogram(
    DURATIONS,
    'How late a timer fires that is due every 50 ms; over limits.event_loop_delay new requests are refused as overloaded.',
  ),
  holdfast_cache_hits_total: counter(
    'Look-ups that found something: tokens, in every request that brings one; proof_keys, where that is bound to a key; opaque_tokens and inactive_tokens, answers of introspection; decisions, where pdps.cache is on.',
    'cache',
  ),
  holdfast_cache_misses_total: counter('Look-ups that found nothing: what is seen first, and tokens that are none.', 'cache'),
  holdfast_cache_evictions_total: counter(
    'Entries that made room for others, but for tokens that had expired: if tokens go on so, more are in use than the cache holds.',
    'cache',
  ),
  holdfast_cache_entries: gauge('sum', 'Entries: at most 10,000 in each process.', 'cache'),
  holdfast_cache_bytes: gauge(
    'sum',
    'What the entries take, rather too much than too little: at most 80 MiB in each process.',
    'cache',
  ),
  holdfast_introspection_questions_total: counter(
    'Questions about tokens that requests needed an answer to, by issuer: active, inactive, failed (no answer, or none that can be used), not_asked (it was silent just before, or introspection.concurrency questions were under way). Answers that were kept are cache hits.',
    'issuer',
    'result',
  ),
  holdfast_introspection_duration_seconds: histogram(
    DURATIONS,
    'How long issuers took to answer questions about tokens.',
    'issuer',
  ),
  holdfast_pdp_questions_total: counter(
    'Questions that routes ask a policy decision point, by its name: permit, deny, failed (no answer, or none that can be used), not_asked (it was silent just before, or pdps.concurrency questions were under way). Answers that were kept are cache hits.',
    'pdp',
    'result',
  ),
  holdfast_pdp_duration_seconds: histogram(DURATIONS, 'How long policy decision points took to answer.', 'pdp'),
  holdfast_pdp_questions_in_flight: gauge('sum', 'Questions to policy decision points that are under way.', 'pdp'),
  holdfast_degraded: gauge(
    'max',
    '1 while something is wrong with this part, as /readyz says in words: issuer_keys, introspection, pdp, replay_store, revocations, audit, reload.',
    'part',
  ),
  holdfast_revocations: gauge('max', 'Entries of the list of revocations that refuse, by what they revoke.', 'kind'),
  holdfast_revocations_age_seconds: gauge(
    'max',
    'How long ago the list of revocations was known to be complete; over revocations.max_stale, tiers with replay_outage: closed refuse. Where it never was: since the start of the process; then they refuse at once.',
  ),
  holdfast_issuer_keys: gauge('min', 'Keys of an issuer that can be used now.', 'issuer'),
  holdfast_expiry_timestamp_seconds: gauge(
    'min',
    'When something ends (Unix time), the earliest where there are several: certificates (listener, admin, upstream, redis, tracing, introspection, pdp), the CAs that others are judged by (client_ca, hop_ca, upstream_ca, pdp_ca, issuer_ca, redis_ca, tracing_ca), crl (its nextUpdate), issuer_keys (if the issuer stays silent; 0: there are none).',
    'kind',
    'name',
  ),
  holdfast_assertion_key_info: gauge(
    'first',
    '1; the keys of assertions that are published, and which of them signs.',
    'kid',
    'signs',
  ),
  holdfast_clients: gauge('first', 'Registered clients by their status; nothing is said without a registry.', 'status'),
  holdfast_clients_overdue: gauge(
    'first',
    'Clients of which something is overdue, as `holdfast clients check` says in words: contact, rotation, certificate, certification, expiry.',
    'kind',
  ),
  holdfast_audit_lines_dropped_total: counter('Audit lines that could not be written.'),
  holdfast_audit_syncs_total: counter('Times that the audit file was synced to disk.'),
  holdfast_audit_refusals_summarised_total: counter('Refusals beyond refusals_per_second, told of in a refusals_summary only.'),
  holdfast_trace_spans_total: counter(
    'Spans of traces: made, sent to the collector, or failed; those made and neither are waiting, or dropped because too many were.',
    'result',
  ),
  // Each worker knows it of all.
  holdfast_reloads_total: {
    ...counter('Reloads, by SIGHUP and of changed files: taken, or refused.', 'result'),
    workers: 'max',
  },
  holdfast_config_last_reload_successful: gauge(
    'min',
    '1: the files were taken when they were read last; 0: an older configuration serves.',
  ),
  holdfast_config_last_reload_success_timestamp_seconds: gauge(
    'min',
    'When the configuration that serves was taken (Unix time).',
  ),
  holdfast_workers: gauge('sum', 'Processes that serve, as many as answered.'),
  holdfast_worker_ends_total: counter('Workers that ended unasked and were replaced.'),
  holdfast_build_info: gauge(
    'first',
    '1; the version of the gateway, of node, and the policy it serves by (a hash of routes.yaml).',
    'version',
    'node',
    'policy_version',
  ),
} as const satisfies Record<string, MetricRow>

export type MetricName = keyof typeof METRICS

/** Parts that can be degraded, as a label. */
export type Part = 'issuer_keys' | 'introspection' | 'pdp' | 'replay_store' | 'revocations' | 'audit' | 'reload'
