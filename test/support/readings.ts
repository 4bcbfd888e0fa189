// What a gateway reads when it is asked for metrics, with one of everything.
import { createHistogram } from '../../src/metrics/histogram.js'
import type { Readings } from '../../src/metrics/readings.js'

const CACHE = { hits: 0, misses: 0, evictions: 0, entries: 0, bytes: 0 }

export const READINGS: Readings = {
  version: 'test',
  policyVersion: 'sha256:0',
  inFlight: 0,
  connections: { open: 0, refused: 0, full: 0, resumed: 0, failed: 0 },
  eventLoopDelay: createHistogram([1]).readings(),
  degraded: {
    issuer_keys: false,
    introspection: false,
    pdp: false,
    replay_store: false,
    revocations: false,
    audit: false,
    reload: false,
  },
  audit: { dropped: 0, syncs: 0, counted: 0 },
  caches: { tokens: CACHE, proof_keys: CACHE, opaque_tokens: CACHE, inactive_tokens: CACHE, decisions: CACHE },
  introspection: [{ issuer: 'https://as.example.com', results: { active: 0 }, duration: createHistogram([1]).readings() }],
  pdps: [{ pdp: 'policies', results: { permit: 0 }, duration: createHistogram([1]).readings(), inFlight: 0 }],
  revocations: { counts: { jkt: 1 }, age: 0.1 },
  issuers: [{ issuer: 'https://as.example.com', keys: 1 }],
  expiries: [{ kind: 'listener', name: '0.0.0.0:8443', at: 0 }],
  assertionKeys: ['kid'],
  clients: { statuses: { active: 1 }, overdue: { contact: 0 } },
  spans: { made: 0, sent: 0, failed: 0 },
  reloads: { taken: 0, refused: 0, takenAt: 0, problem: null },
}
