// Is this process too busy to take more? Measured by how late a timer fires: while the event loop lags, new requests are refused
// before any signature is verified, and what is in flight completes (contract §9).
import type { Seconds } from '../verify/scalars.js'

const INTERVAL_MS = 50

export type EventLoopWatch = {
  isLate(limit: Seconds): boolean
  /** The time until now was spent on something that will not go on (a reload): requests that waited are late, not too many. */
  excuse(): void
  close(): void
}

/** Watches the event loop of this process; `tell` hears each measurement (seconds). */
export function watchEventLoop(tell: (late: Seconds) => void = () => undefined): EventLoopWatch {
  let expected = performance.now() + INTERVAL_MS
  let late = 0
  const timer = setInterval(() => {
    late = performance.now() - expected
    tell(Math.max(0, late) / 1000)
    expected = performance.now() + INTERVAL_MS
  }, INTERVAL_MS)
  timer.unref()
  return {
    // The second part counts the wait that is still going on: requests are read before the timer has had its turn.
    isLate: (limit) => Math.max(late, performance.now() - expected) > limit * 1000,
    excuse: () => {
      late = 0
      expected = performance.now() + INTERVAL_MS
      timer.refresh()
    },
    close: () => clearInterval(timer),
  }
}
