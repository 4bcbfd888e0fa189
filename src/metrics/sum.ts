// One text from what several processes measured, as prom-client's own aggregation does it: counters, histograms and most gauges are added
// up; the catalogue says which are not.

import { AggregatorRegistry } from 'prom-client'
import type { MetricsJson } from './registry.js'

/** Prometheus' text format of all of them together. */
export const sumMetrics = (each: readonly MetricsJson[]): Promise<string> => AggregatorRegistry.aggregate([...each]).metrics()

/**
 * What goes on counting when a process has ended: its counters and histograms, added to those of others before it. Without them a sum would fall,
 * and whoever reads it would take that for a restart of all.
 */
export async function addEnded(ended: MetricsJson, last: MetricsJson): Promise<MetricsJson> {
  const counters = last.filter(({ type }) => String(type) !== 'gauge')
  return AggregatorRegistry.aggregate([[...ended], counters]).getMetricsAsJSON()
}
