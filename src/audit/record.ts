// Which lines does a request leave behind, and how are they written? Contract §3 (`audit`), §7. The decision of a durable request
// is written before it is forwarded (`recordBefore`), everything else when the request is over (`recordAfter`).

import type { Refused } from '../verify/types.js'
import type { Grant } from '../verify/verdict.js'
import { type AuditFacts, decisionEvent, outcomeEvent } from './event.js'
import { hasProven } from './proven.js'
import type { AuditLog } from './types.js'

/** `none`; `decision`: one line, at the end; `both`: the decision before forwarding, and the outcome at the end. */
export type Lines = 'none' | 'decision' | 'both'

/** The lines a request leaves. A refusal has one, and a `would_deny` is always written. */
export function linesFor(verdict: Grant | Refused): Lines {
  if ('denial' in verdict) return 'decision'
  const { audit } = verdict.route.policy
  if (audit === 'durable') return 'both'
  return audit === 'all' || verdict.evidence.reported.length > 0 ? 'decision' : 'none'
}

/** Does a request leave a line when it is over? */
export const isRecorded = (verdict: Grant | Refused): boolean => linesFor(verdict) !== 'none'

/** Writes the decision of a durable request and waits until it is on disk; false: it must not be forwarded. */
export const recordBefore = (log: AuditLog, facts: AuditFacts): Promise<boolean> => log.writeDurable(decisionEvent(facts))

/** Writes what is due when a request is over. Of callers who have proven nothing only so many refusals are kept. */
export function recordAfter(log: AuditLog, facts: AuditFacts): void {
  const { verdict } = facts
  const lines = linesFor(verdict)
  if ('denial' in verdict && !hasProven(verdict)) log.writeUnproven(decisionEvent(facts))
  else if (lines === 'decision') log.write(decisionEvent(facts))
  else if (lines === 'both') log.write(outcomeEvent(facts))
}
