// One text from what several processes measured: counters and most gauges added up, as prom-client's own aggregation does it.

import { AggregatorRegistry } from 'prom-client'
import type { MetricsJson } from './registry.js'

/** Prometheus' text format of all of them together. */
export const sumMetrics = (each: readonly MetricsJson[]): Promise<string> => AggregatorRegistry.aggregate([...each]).metrics()

/**
 * What goes on counting when a process has ended: its counters, added to those of others before it. Without them a sum would fall,
 * and whoever reads it would take that for a restart of all.
 */
export async function addEnded(ended: MetricsJson, last: MetricsJson): Promise<MetricsJson> {
  const counters = last.filter(({ type }) => String(type) === 'counter')
  return AggregatorRegistry.aggregate([[...ended], counters]).getMetricsAsJSON()
}
