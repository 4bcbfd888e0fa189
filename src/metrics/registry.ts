// What Prometheus is told (contract §8): what every request is counted in, what others count, and prom-client's own metrics of the
// process. One process speaks here; sum.ts adds up what several say, and prints it.

import { collectDefaultMetrics, Registry } from 'prom-client'
import { createDecisionMetrics, type Decided } from './decisions.js'
import type { Family } from './families.js'
import { familiesOf, type Readings } from './readings.js'

export type { Readings, ReloadReport } from './readings.js'

export type Metrics = {
  /** Counts a request that is over. */
  decided(decided: Decided): void
  /** What this process can tell, as data: other processes' can be added to it. */
  asJson(): Promise<MetricsJson>
}

export type MetricsJson = readonly Family[]

/** `read` is asked at each scrape. */
export function createMetrics(read: () => Readings): Metrics {
  const ofProcess = new Registry()
  collectDefaultMetrics({ register: ofProcess })
  const decisions = createDecisionMetrics()
  return {
    decided: decisions.count,
    asJson: async () => [...decisions.families(), ...familiesOf(read()), ...(await ofProcess.getMetricsAsJSON())],
  }
}
