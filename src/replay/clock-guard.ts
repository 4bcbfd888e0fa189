// Has the clock stepped back? Then proofs that were too old a moment ago are young again, while their records may be gone
// (contract §9): whoever must be sure refuses until the clock is where it was.

import type { Seconds } from '../verify/scalars.js'

/** What a clock may go back without anyone noticing: NTP does it, and requests overtake each other. */
const TOLERANCE: Seconds = 2

export type ClockGuard = {
  /** False while `now` is behind the latest time that was ever told. */
  (now: Seconds): boolean
  /**
   * Proofs dated before this may have been used without a record being left: while the clock went over the same time twice,
   * records went on to their end.
   */
  floor(): Seconds
  problem(): string | null
}

/** Seconds that no one sets. */
const sinceStart = (): Seconds => performance.now() / 1000

/** `clockSkew`: how far ahead of ours the clocks of those may be who date proofs. */
export function clockGuard(clockSkew: Seconds = 10, monotonic = sinceStart): ClockGuard {
  /** How far the clock was ahead of the one that no one sets, at most. When that falls, the clock was set back. */
  let drift = Number.NEGATIVE_INFINITY
  /** When the clock is where it was again. */
  let good: Seconds = 0
  let floor: Seconds = 0
  let behind = false
  const isSteady = (now: Seconds): boolean => {
    const at = monotonic()
    if (now - at < drift - TOLERANCE) {
      good = at + drift
      floor = good + clockSkew
      drift = now - at
    }
    drift = Math.max(drift, now - at)
    behind = now < good - TOLERANCE
    return !behind
  }
  const problem = () => (behind ? 'replay store: the clock of this machine stepped back' : null)
  return Object.assign(isSteady, { floor: () => floor, problem })
}
