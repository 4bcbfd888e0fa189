// The middle of what was measured, and how far apart it lies.

/** The middle value; of an even count, the mean of the middle two. 0 of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const half = Math.floor(sorted.length / 2)
  const high = sorted[half] ?? 0
  return sorted.length % 2 === 1 ? high : (high + (sorted[half - 1] ?? high)) / 2
}

export type Spread = { readonly median: number; readonly least: number; readonly most: number }

/** Of one value or more. */
export const spreadOf = (values: readonly number[]): Spread => ({
  median: median(values),
  least: Math.min(...values),
  most: Math.max(...values),
})

/** `12 (10-15)`; of values that look the same, that. */
export function shownSpread(values: readonly number[], digits: number): string {
  const { median: middle, least, most } = spreadOf(values)
  const [low, high] = [least.toFixed(digits), most.toFixed(digits)]
  return low === high ? middle.toFixed(digits) : `${middle.toFixed(digits)} (${low}-${high})`
}
