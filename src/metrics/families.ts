// Metrics in the form in which prom-client adds up and prints what several processes measured.

import type { MetricObjectWithValues, MetricValue } from 'prom-client'
import { METRICS, type MetricName } from './catalogue.js'
import type { HistogramReadings } from './histogram.js'

export type Labels = Readonly<Record<string, string>>

/** A metric with all its values. */
export type Family = Omit<MetricObjectWithValues<MetricValue<string>>, 'collect'>

type Value = { readonly labels: Readonly<Record<string, string | number>>; readonly value: number; readonly metricName?: string }

/** A counter or gauge. */
export const samplesFamily = (name: MetricName, samples: readonly (readonly [Labels, number])[]): Family =>
  family(
    name,
    samples.map(([labels, value]) => ({ labels, value })),
  )

/** A histogram, once for each set of labels. */
export const histogramFamily = (name: MetricName, samples: readonly (readonly [Labels, HistogramReadings])[]): Family =>
  family(
    name,
    samples.flatMap(([labels, { bounds, cumulative, sum }]) => {
      const count = cumulative.at(-1) ?? 0
      return [
        ...cumulative.map((value, i) => ({
          labels: { ...labels, le: bounds[i] ?? '+Inf' },
          value,
          metricName: `${name}_bucket`,
        })),
        { labels, value: sum, metricName: `${name}_sum` },
        { labels, value: count, metricName: `${name}_count` },
      ]
    }),
  )

function family(name: MetricName, values: readonly Value[]): Family {
  const { help, type, workers } = METRICS[name]
  // What prom-client itself makes and reads is a word; its declaration says it is a number.
  return { name, help, type: type as unknown as Family['type'], aggregator: workers, values: [...values] }
}
