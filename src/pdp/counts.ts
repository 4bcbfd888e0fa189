// What asking policy decision points comes to, since the start of the process: a configuration ends with a reload, its counts go on.

import { METRICS } from '../metrics/catalogue.js'
import { createHistogram, type Histogram } from '../metrics/histogram.js'

/** What came of a question: of one that was `not_asked`, the policy decision point never heard. */
export type Result = 'permit' | 'deny' | 'failed' | 'not_asked'

export type PdpCounts = { readonly results: Record<Result, number>; readonly duration: Histogram; inFlight: number }

/** By name. */
export type DecisionCounts = Map<string, PdpCounts>

export function countsOf(counts: DecisionCounts, pdp: string): PdpCounts {
  const known = counts.get(pdp)
  if (known !== undefined) return known
  const made: PdpCounts = {
    results: { permit: 0, deny: 0, failed: 0, not_asked: 0 },
    duration: createHistogram(METRICS.holdfast_pdp_duration_seconds.bounds),
    inFlight: 0,
  }
  counts.set(pdp, made)
  return made
}
