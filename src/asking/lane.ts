// Questions that share their fate: who is silent is left alone for a moment, longer each time, and then asked one question at first.

import type { Seconds } from '../verify/scalars.js'

/** How long who is silent is left alone, first and at most. */
const FIRST_PAUSE: Seconds = 0.5
const LONGEST_PAUSE: Seconds = 5

/** A clock that nobody sets. */
export const steadyClock = (): Seconds => performance.now() / 1000

export type Lane = {
  readonly underWay: number
  /** Is no question to be asked now? */
  isPaused(): boolean
  begin(): void
  end(): void
  answered(): void
  silent(): void
}

export function createLane(): Lane {
  let underWay = 0
  let failures = 0
  let pausedUntil: Seconds = 0
  return {
    get underWay() {
      return underWay
    },
    isPaused: () => steadyClock() < pausedUntil || (failures > 0 && underWay > 0),
    begin: () => {
      underWay += 1
    },
    end: () => {
      underWay -= 1
    },
    answered: () => {
      failures = 0
    },
    silent: () => {
      // Those that were under way together fail together, and count as one.
      if (steadyClock() < pausedUntil) return
      pausedUntil = steadyClock() + Math.min(FIRST_PAUSE * 2 ** failures, LONGEST_PAUSE)
      failures += 1
    },
  }
}
