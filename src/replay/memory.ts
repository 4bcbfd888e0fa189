// Remembers used proofs in this process: exact, bounded in time and in memory. For one process alone, and beside Redis as what
// each process knows for itself (contract §9). When it is full it refuses; it never forgets a proof that could come again.

import type { Seconds } from '../verify/scalars.js'
import { clockGuard } from './clock-guard.js'
import type { ProofUse, ReplayStore } from './store.js'

/** About 100 bytes each. */
const MOST_ENTRIES = 1_000_000
/** Seconds of expiry that share a bucket, and so the longest that a record outlives its time. */
const BUCKET: Seconds = 4
/** Records removed at most for each one that is added, so that no call has to pay for an hour's worth. */
const SWEEP = 16
/** A set that outgrows its table is copied in one go; many small ones are never all copied at once. */
const SHARDS = 64

export type MemoryOptions = { readonly maxEntries?: number }

/** Opens a store that lives as long as the process. */
export function createMemoryStore({ maxEntries = MOST_ENTRIES }: MemoryOptions = {}): ReplayStore {
  const memory = createProofMemory(maxEntries)
  const isSteady = clockGuard()
  let full = false
  return {
    async start() {},
    async firstUse(use) {
      // A clock that was set back would make old proofs young again, whose records are gone.
      if (!isSteady(use.now) && use.outage === 'closed') return 'unavailable'
      if (use.datedAt < isSteady.floor() && use.outage === 'closed') return memory.has(use) ? 'used' : 'forgotten'
      const answer = memory.add(use)
      full = answer === 'full'
      return answer === 'full' ? 'unavailable' : answer
    },
    degraded: () => (full ? 'replay store: full' : isSteady.problem()),
    async close() {},
  }
}

export type ProofMemory = {
  /** `full` records nothing. */
  add(use: Pick<ProofUse, 'key' | 'claim' | 'until' | 'now'>): 'first' | 'used' | 'full'
  /** Was it used, and not by the request that claims it? */
  has(use: Pick<ProofUse, 'key' | 'claim'>): boolean
  size(): number
}

/** Seconds that no one sets: a wall clock that was ahead for a while would else end records that are young. */
const sinceStart = (): Seconds => performance.now() / 1000

/** The keys, and which of them end when: so that removing costs what adding did. */
export function createProofMemory(maxEntries: number, monotonic = sinceStart): ProofMemory {
  const known = Array.from({ length: SHARDS }, () => new Set<string>())
  let size = 0
  const ending = new Map<number, string[]>()
  let oldest: number | null = null

  function sweep(at: Seconds): void {
    for (let budget = SWEEP; budget > 0 && oldest !== null && (oldest + 1) * BUCKET < at; budget--) {
      const bucket = ending.get(oldest)
      const key = bucket?.pop()
      if (key !== undefined && shardOf(known, key).delete(key)) size--
      if (bucket !== undefined && bucket.length > 0) continue
      ending.delete(oldest)
      // Long silences leave no buckets behind, so this is not a walk through them.
      oldest = ending.size === 0 ? null : bucket === undefined ? Math.min(...ending.keys()) : oldest + 1
    }
  }

  function isKnown(key: string): boolean {
    const short = shortKey(key)
    return shardOf(known, short).has(short)
  }

  function remember(short: string, end: number): void {
    shardOf(known, short).add(short)
    size++
    const bucket = ending.get(end)
    if (bucket === undefined) ending.set(end, [short])
    else bucket.push(short)
    oldest = oldest === null ? end : Math.min(oldest, end)
  }

  return {
    add({ key, claim = null, until, now }) {
      const at = monotonic()
      sweep(at)
      const short = shortKey(key)
      if (shardOf(known, short).has(short)) return claim !== null && isKnown(claim) ? 'first' : 'used'
      if (size >= maxEntries) return 'full'
      const end = Math.floor((at + Math.max(0, until - now)) / BUCKET)
      remember(short, end)
      // A record of its own: what has no claim, which is nearly all, pays nothing for it.
      if (claim !== null) remember(shortKey(claim), end)
      return 'first'
    },
    has: ({ key, claim = null }) => isKnown(key) && (claim === null || !isKnown(claim)),
    size: () => size,
  }
}

const shardOf = (shards: readonly Set<string>[], key: string): Set<string> =>
  shards[key.charCodeAt(0) % SHARDS] ?? (shards[0] as Set<string>)

/** The same bits, 8 in each character: half the memory, and a string of its own that keeps no longer one alive. */
const shortKey = (key: string): string => Buffer.from(`${key}A`, 'base64url').toString('latin1')
