// Caches that are bounded in entries and in bytes, least recently used first out, and that count what they do. What may be kept, and
// why that is safe, is said where it is kept (verify/).

import { LRUCache } from 'lru-cache'
import type { Bytes } from '../verify/scalars.js'
import type { Cache } from '../verify/types.js'
import type { CacheReadings } from './readings.js'

/** Since the start of the process: a cache ends with its configuration, its counts go on. */
export type CacheCounts = { hits: number; misses: number; evictions: number }

export const newCounts = (): CacheCounts => ({ hits: 0, misses: 0, evictions: 0 })

export type CountedCache<V> = Cache<V> & {
  readonly readings: () => CacheReadings
  readonly delete: (key: string) => void
  readonly clear: () => void
}

export type CacheBounds<V> = {
  readonly entries: number
  readonly bytes: Bytes
  /** What an entry takes. */
  readonly size: (value: V, key: string) => Bytes
  /** Is it of no use any more? Then its going is not counted. Left out: never. */
  readonly isOver?: (value: V) => boolean
}

export function createCache<V extends object>(bounds: CacheBounds<V>, counts: CacheCounts): CountedCache<V> {
  const kept = new LRUCache<string, V>({
    max: bounds.entries,
    maxSize: bounds.bytes,
    sizeCalculation: bounds.size,
    dispose: (value, _key, why) => {
      if (why === 'evict' && bounds.isOver?.(value) !== true) counts.evictions += 1
    },
  })
  return {
    get(key) {
      const value = kept.get(key)
      if (value === undefined) counts.misses += 1
      else counts.hits += 1
      return value
    },
    set: (key, value) => kept.set(key, value),
    delete: (key) => void kept.delete(key),
    clear: () => kept.clear(),
    readings: () => ({ ...counts, entries: kept.size, bytes: kept.calculatedSize }),
  }
}
