// What asking issuers comes to, since the start of the process: a configuration ends with a reload, its counts go on.

import { METRICS } from '../metrics/catalogue.js'
import { createHistogram, type Histogram } from '../metrics/histogram.js'

/** What came of a question: of those that were not `asked`, the issuer never heard. */
export const RESULTS = ['active', 'inactive', 'failed', 'not_asked'] as const
export type Result = (typeof RESULTS)[number]

export type IssuerCounts = { readonly results: Record<Result, number>; readonly duration: Histogram }

/** By issuer. */
export type IntrospectionCounts = Map<string, IssuerCounts>

export function countsOf(counts: IntrospectionCounts, issuer: string): IssuerCounts {
  const known = counts.get(issuer)
  if (known !== undefined) return known
  const made: IssuerCounts = {
    results: { active: 0, inactive: 0, failed: 0, not_asked: 0 },
    duration: createHistogram(METRICS.holdfast_introspection_duration_seconds.bounds),
  }
  counts.set(issuer, made)
  return made
}
