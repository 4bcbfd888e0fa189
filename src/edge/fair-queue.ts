// Whose turn is it among all that wait? Of each who waits one, round and round: whoever has a thousand things waiting makes another one
// wait for one of them.

export type FairQueue<T> = {
  /** Where too much waits, something is left out: the last of whoever has most waiting. It is returned. */
  push(whose: string, item: T): T | null
  /** The next; undefined: nothing waits. */
  shift(): T | undefined
  size(): number
}

export function createFairQueue<T>(most: number): FairQueue<T> {
  /** In the order of their turns. */
  const lanes = new Map<string, T[]>()
  let size = 0

  return {
    push(whose, item) {
      const lane = lanes.get(whose)
      if (lane === undefined) lanes.set(whose, [item])
      else lane.push(item)
      size += 1
      if (size <= most) return null
      const [owner, longest] = [...lanes].reduce((a, b) => (b[1].length > a[1].length ? b : a))
      size -= 1
      const last = longest.pop()
      if (longest.length === 0) lanes.delete(owner)
      return last ?? null
    },
    shift() {
      for (const [whose, lane] of lanes) {
        const item = lane.shift()
        lanes.delete(whose)
        if (lane.length > 0) lanes.set(whose, lane)
        size -= 1
        return item
      }
      return undefined
    },
    size: () => size,
  }
}
