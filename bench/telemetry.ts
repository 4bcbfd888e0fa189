// What metrics and traces cost a request: CPU nanoseconds, and bytes of memory, of what src/ does on each of them, in a loop; printed as
// JSON. `node --expose-gc dist/bench/telemetry.js`. Not measured: a scrape, and what a collector is sent.
import { randomUUID } from 'node:crypto'
import { createDecisionMetrics } from '../src/metrics/decisions.js'
import { newTimes, type Times } from '../src/times.js'
import { isSampled } from '../src/tracing/context.js'
import { openTraces } from '../src/tracing/otlp.js'
import type { Traces } from '../src/tracing/traces.js'
import { makeGrant } from '../test/support/granted.js'

const verdict = makeGrant()
const match = { route: verdict.route, captured: {} }
const outcome = { upstreamStatus: 200, reason: null } as const
const ids = Array.from({ length: 4096 }, () => randomUUID())
const metrics = createDecisionMetrics()

/** All moments of a request, as enforce, decide and send write them. */
function clocked(): Times {
  const times = newTimes(performance.now())
  times.verifying = performance.now()
  times.verified = performance.now()
  times.recording = performance.now()
  times.recorded = performance.now()
  times.signing = performance.now()
  times.signed = performance.now()
  times.answered = performance.now()
  return times
}

const past = clocked()
const count = (times: Times): void =>
  metrics.count({ match, verdict, outcome, receivedAt: 1.8e9, times, durationMs: performance.now() - times.began })

/** What running.ts asks of each request twice, and then does. */
function trace(traces: Traces | null, share: number, requestId: string): void {
  const isTraced = (id: string): boolean => traces !== null && isSampled(id, share)
  if (!isTraced(requestId)) return
  const head = { requestId, receivedAt: 1.8e9, method: 'GET', httpVersion: '1.1', rawHeaders: [], host: 'api.example.com' }
  traces?.ended({ ...head, match, verdict, outcome, times: past, durationMs: 5 })
}

const NOWHERE = { url: 'http://127.0.0.1:9/v1/traces', tls: {}, version: 'bench', instance: 'bench', log: () => undefined }
const traces = openTraces(NOWHERE)

/** Of one call; the best of some rounds, because whatever else runs only adds. */
function costOf(work: (requestId: string) => unknown, calls: number) {
  let ns = Number.POSITIVE_INFINITY
  let bytes = Number.POSITIVE_INFINITY
  for (let round = 0; round < 4; round++) {
    globalThis.gc?.()
    const before = process.cpuUsage()
    const heap = process.memoryUsage().heapUsed
    for (let i = 0; i < calls; i++) work(ids[i & 4095] ?? '')
    bytes = Math.min(bytes, (process.memoryUsage().heapUsed - heap) / calls)
    const { user, system } = process.cpuUsage(before)
    ns = Math.min(ns, ((user + system) * 1000) / calls)
  }
  return { ns: Number(ns.toFixed(1)), bytes: Number(bytes.toFixed(1)) }
}

const costs = {
  /** The record of moments and counting them. */
  metrics: costOf(() => count(clocked()), 200_000),
  /** Of these, counting. */
  counting: costOf(() => count(past), 200_000),
  tracingOff: costOf((id) => trace(null, 0, id), 1_000_000),
  notSampled: costOf((id) => trace(traces, 0, id), 1_000_000),
  /** Four spans. */
  traced: costOf((id) => trace(traces, 1, id), 2000),
}
process.stdout.write(`${JSON.stringify(costs)}\n`)
process.exit()
