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
  /** `sentAt`: when what was not answered was asked; null: it said itself that it is not to be asked. */
  silent(sentAt: Seconds | null): void
}

export function createLane(): Lane {
  let underWay = 0
  let failures = 0
  let pausedUntil: Seconds = 0
  let answeredAt: Seconds = 0
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
      answeredAt = steadyClock()
    },
    silent: (sentAt) => {
      // Others were answered meanwhile, so it is this question that takes long: its sender must not make the others wait.
      if (sentAt !== null && answeredAt > sentAt) return
      // Those that were under way together fail together, and count as one.
      if (steadyClock() < pausedUntil) return
      pausedUntil = steadyClock() + Math.min(FIRST_PAUSE * 2 ** failures, LONGEST_PAUSE)
      failures += 1
    },
  }
}
