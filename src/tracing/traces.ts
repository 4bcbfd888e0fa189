// What the rest of the gateway knows of traces: the port behind which OpenTelemetry is, where it is configured (otlp.ts).

import type { Times } from '../times.js'
import type { Reason } from '../verify/reasons.js'
import type { Refused, RouteMatch } from '../verify/types.js'
import type { Grant } from '../verify/verdict.js'

/** One request that is over, as far as a trace tells of it: no path, no query, no header, no name of a person. */
export type TracedRequest = {
  readonly requestId: string
  /** When the head was read (epoch seconds). */
  readonly receivedAt: number
  readonly method: string
  readonly httpVersion: string
  /** Only read for the client's `traceparent`. */
  readonly rawHeaders: readonly string[]
  /** The Host that was named; null: refused before it was understood. */
  readonly host: string | null
  readonly match: RouteMatch | null
  readonly verdict: Grant | Refused
  readonly outcome: { readonly upstreamStatus: number | null; readonly reason: Reason | null } | null
  readonly times: Times
  readonly durationMs: number
}

/** PEM; for https. */
export type CollectorTls = { readonly ca?: string; readonly cert?: string; readonly key?: string }

export type Traces = {
  /** Makes the spans of a request that is over. Never throws, never waits. */
  ended(request: TracedRequest): void
  /** Spans since the start of the process. */
  readings(): { readonly made: number; readonly sent: number; readonly failed: number }
  /** Speaks to the collector with these from now on. */
  renew(tls: CollectorTls): void
  /** Sends what is waiting, within seconds, and ends. Never rejects. */
  close(): Promise<void>
}
