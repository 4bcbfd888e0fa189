// When have files changed that a configuration was read from? They are looked at every few seconds: notifications of the kernel end
// with the inode that a rename replaces, do not cross symlinks, and do not come from network mounts (docs/decisions.md).

import type { Seconds } from '../verify/scalars.js'
import { areSame, lookAgain, type Stamps } from './stamps.js'

export type WatchOptions = {
  /** How often; null: not at all, for now. Asked each time. */
  readonly every: () => Seconds | null
  /** How they looked when they were read last, whether or not that came to anything. */
  readonly stamps: () => Stamps
  /** They are other files than those, and at rest. Must read them again, and not reject. */
  readonly changed: () => Promise<void>
}

/** While it is off, how often it is asked whether that is still so. */
const OFF: Seconds = 1

/** What never comes to rest is read all the same after so many looks. */
const MOST_LOOKS = 5

/** Looks until it is told to stop. */
export function watchFiles({ every, stamps, changed }: WatchOptions): () => void {
  let timer: NodeJS.Timeout
  let isStopped = false
  /** How they looked at the last looks, while they are other than they were read. */
  let unrest: Stamps[] = []

  const look = async (): Promise<void> => {
    if (every() === null) unrest = []
    else {
      const read = stamps()
      const now = await lookAgain(read.keys())
      const before = unrest.at(-1)
      // A file that is being written may be whole YAML, and half of the routes.
      const isAtRest = before !== undefined && (areSame(before, now) || unrest.length >= MOST_LOOKS)
      if (isStopped || stamps() !== read || areSame(read, now)) unrest = []
      else if (!isAtRest) unrest.push(now)
      else {
        unrest = []
        await changed()
      }
    }
    next()
  }
  const next = (): void => {
    if (isStopped) return
    timer = setTimeout(() => void look(), (every() ?? OFF) * 1000)
    timer.unref()
  }
  next()
  return () => {
    isStopped = true
    clearTimeout(timer)
  }
}
