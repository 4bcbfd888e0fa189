// A histogram in plain numbers, because it is written to on every request: counts by bucket, which become Prometheus' cumulative ones
// only when somebody asks.

export type Histogram = {
  observe(value: number): void
  /** What it came to since the start of the process. */
  readings(): HistogramReadings
}

export type HistogramReadings = {
  readonly bounds: readonly number[]
  /** Values up to each bound, and of all: cumulative, one more than there are bounds. */
  readonly cumulative: readonly number[]
  readonly sum: number
}

/** `bounds` rise; a value equal to one belongs to it (Prometheus' `le`). */
export function createHistogram(bounds: readonly number[]): Histogram {
  const counts = new Float64Array(bounds.length + 1)
  let sum = 0
  return {
    observe(value) {
      let bucket = 0
      while (bucket < bounds.length && value > (bounds[bucket] as number)) bucket++
      // In range: there is one bucket more than there are bounds.
      counts[bucket] = (counts[bucket] as number) + 1
      sum += value
    },
    readings() {
      let total = 0
      return { bounds, cumulative: Array.from(counts, (count) => (total += count)), sum }
    },
  }
}
