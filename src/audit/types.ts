// The audit event (contract §7) and the port it is written through.

import type { Reason } from '../verify/reasons.js'

export type AuditEvent = { readonly [member: string]: unknown; readonly event_type: string; readonly request_id?: string }

/** What came of a forwarded request. */
export type Outcome = {
  /** The upstream's status; null when there was no answer. */
  readonly upstreamStatus: number | null
  /** An upstream failure; null when there was none. */
  readonly reason: Reason | null
  /** Body bytes sent to the client. */
  readonly bytes: number
  /** The backend's `Holdfast-Decision`, at most 512 visible characters. */
  readonly domainDecision: string | null
}

export type AuditLog = {
  /** Queues one line; never throws, never waits. */
  write(event: AuditEvent): void
  /** Queues a refusal of a caller who has proven nothing: at most `refusals_per_second` are written, the rest are counted. */
  writeUnproven(event: AuditEvent): void
  /** Writes one line and waits until it is on disk (fsync, in groups; where the log is standard output: written). False when it can't be. */
  writeDurable(event: AuditEvent): Promise<boolean>
  degraded(): string | null
  /** Writes all that is queued, then closes. */
  close(): Promise<void>
}
