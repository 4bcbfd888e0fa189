// What the operator is told of a party that is asked: what is wrong with it, once, and that it answers again.

import type { Seconds } from '../verify/scalars.js'
import { steadyClock } from './lane.js'

/** A caller can bring trouble and its end about again and again: then the log tells of it no more often. */
const QUIET: Seconds = 10
/** For so long after the last failure it counts as degraded: where nobody asks any more, one odd question must not look like an outage. */
const REMEMBERED: Seconds = 60

export type Trouble = {
  /** null: it answered. */
  say(what: string | null): void
  /** What was wrong with the last answer, a minute ago or less. */
  problem(): string | null
  /** The same, however long ago. */
  last(): string | null
}

/** `name`: what the log calls the party. */
export function createTrouble(name: string, log: (message: string) => void): Trouble {
  let problem: string | null = null
  let failedAt: Seconds = 0
  let saidAt: Seconds = Number.NEGATIVE_INFINITY
  return {
    say(what) {
      if (what !== null) failedAt = steadyClock()
      if (what === problem) return
      problem = what
      if (steadyClock() - saidAt < QUIET) return
      saidAt = steadyClock()
      log(`${name}: ${what === null ? 'it answers again' : what}`)
    },
    problem: () => (steadyClock() - failedAt < REMEMBERED ? problem : null),
    last: () => problem,
  }
}
