// Has the clock stepped back? Then proofs that were too old a moment ago are young again, while their records may be gone
// (contract §9): whoever must be sure refuses until the clock is where it was.

import type { Seconds } from '../verify/scalars.js'

/** What a clock may go back without anyone noticing: NTP does it, and requests overtake each other. */
const TOLERANCE: Seconds = 2

export type ClockGuard = {
  /** False while `now` is behind the latest time that was ever told. */
  (now: Seconds): boolean
  problem(): string | null
}

export function clockGuard(): ClockGuard {
  let latest: Seconds = 0
  let behind = false
  const isSteady = (now: Seconds): boolean => {
    behind = now < latest - TOLERANCE
    latest = Math.max(latest, now)
    return !behind
  }
  return Object.assign(isSteady, { problem: () => (behind ? 'replay store: the clock of this machine stepped back' : null) })
}
