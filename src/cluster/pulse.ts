// Does a worker still run? One whose event loop never comes round again (an endless loop, a stopped process) does not end by itself: it
// would keep its connections, and its share of the new ones, for ever.

/** How often a worker is asked (milliseconds), and how many times in a row it may fail to answer. */
export type Pulse = { readonly beat: number; readonly missed: number }

/** Ten seconds: far longer than any work of ours, a reload included, on a machine that has other things to do. */
export const PULSE: Pulse = { beat: 1000, missed: 10 }

/**
 * Asks until there was no answer for too long, and calls `silent` then, once. Returns what stops it. What counts is how often we asked,
 * not how long ago: where the whole machine stood still, we did too.
 */
export function watchPulse(ask: () => Promise<unknown>, { beat, missed }: Pulse, silent: () => void): () => void {
  let beats = 0
  let isAsked = false
  const timer = setInterval(() => {
    if (++beats > missed) {
      clearInterval(timer)
      return silent()
    }
    if (isAsked) return
    isAsked = true
    const settle = (): void => {
      isAsked = false
    }
    ask().then(() => {
      beats = 0
      settle()
    }, settle)
  }, beat)
  return () => clearInterval(timer)
}
