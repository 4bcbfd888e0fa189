// Remembers used proofs in Redis, for all processes and replicas (contract §9). A gate that does not know is closed: no queue, no
// retry, and after the first time-out nobody waits again until Redis is well. What this process accepted itself it also
// remembers itself, so no failover makes it accept that again.

import { setTimeout as sleep } from 'node:timers/promises'
import type { RedisSettings } from '../config/config.js'
import type { Seconds } from '../verify/scalars.js'
import { clockGuard } from './clock-guard.js'
import { createProofMemory } from './memory.js'
import { connectRedis, renewCredentials } from './redis-connection.js'
import { identifyStore } from './redis-identity.js'
import { NOT_YET, watchRedis } from './redis-link.js'
import { createRecorder } from './redis-recorder.js'
import type { ProofUse, ReplayStore, UseAnswer } from './store.js'

export type RedisStoreOptions = {
  readonly clock: () => Seconds
  /** Told of each change of state, once. Never of an address or a password. */
  readonly log: (message: string) => void
  /** The largest `clock_skew` of any tier: proofs dated so much after a loss of memory are not accepted either. */
  readonly clockSkew?: Seconds
  /** This gateway ran a moment ago: then a store that does not know us has lost its memory. */
  readonly ranBefore?: boolean
  /** Records this process keeps for itself, at most. */
  readonly maxEntries?: number
}

/** Kept longer than proofs live, because our clock and Redis' timers need not agree to the millisecond. */
const MARGIN_MS = 3000
const MOST_ENTRIES = 1_000_000
/** How long a start waits for Redis. */
const START_MS = 1000

/** Connects in the background: until Redis answers, uses are `unavailable`. */
export function createRedisStore(settings: RedisSettings, options: RedisStoreOptions): ReplayStore {
  const { clock, log, clockSkew = 10, ranBefore = false, maxEntries = MOST_ENTRIES } = options
  const redis = connectRedis(settings)
  const timeout = settings.timeout * 1000
  const prefix = settings.key_prefix
  // Half of the time-out, so that "too few" is known before it is over.
  const replicas = { wait: settings.wait, waitMs: Math.max(1, Math.floor(timeout / 2)) }
  const identity = identifyStore({ redis, prefix, clock, clockSkew, ranBefore, log, ...replicas })
  const own = createProofMemory(maxEntries)
  const isSteady = clockGuard(clockSkew)

  let said: string | null = NOT_YET
  const changed = (): void => {
    const now = link.problem() ?? identity.distrust()
    if (now === said) return
    said = now
    log(`replay store: ${now ?? 'well'}`)
  }
  const look = (): Promise<string | null> => {
    // A process without requests must notice a clock that steps back as well.
    isSteady(clock())
    return identity.look()
  }
  const link = watchRedis({ redis, timeout, look, changed })
  const record = createRecorder({ redis, link, identity, timeout, ...replicas })

  /** Nobody may have accepted it twice, not even processes that know nothing of each other. */
  async function acceptSurely(use: ProofUse): Promise<UseAnswer> {
    if (own.has(use)) return 'used'
    if (link.problem() !== null || identity.distrust() !== null) return 'unavailable'
    if (use.datedAt < Math.max(identity.floor(), isSteady.floor())) return 'forgotten'
    const answer = await record({ key: prefix + use.key, ms: lifetime(use), claim: use.claim ?? null })
    if (answer !== 'first') return answer
    // The memory may have been lost meanwhile; and when ours is full, Redis alone decides.
    if (use.datedAt < identity.floor()) return 'forgotten'
    return own.add(use) === 'used' ? 'used' : 'first'
  }

  /** This process may not have accepted it twice; others may have, while Redis was away. */
  async function acceptLocally(use: ProofUse): Promise<UseAnswer> {
    if (own.has(use)) return 'used'
    const answer =
      link.problem() === null
        ? await record({ key: prefix + use.key, ms: lifetime(use), claim: use.claim ?? null })
        : 'unavailable'
    if (answer === 'used') return 'used'
    const known = own.add(use)
    return known === 'full' ? answer : known
  }

  return {
    start: () => Promise.race([link.looked, sleep(START_MS, undefined, { ref: false })]),
    firstUse(use) {
      // A clock that was set back would make old proofs young again, whose records are gone.
      if (!isSteady(use.now) && use.outage === 'closed') return Promise.resolve('unavailable')
      return use.outage === 'closed' ? acceptSurely(use) : acceptLocally(use)
    },
    degraded: () => {
      const problem = link.problem() ?? identity.distrust()
      return problem === null ? isSteady.problem() : `replay store: ${problem}`
    },
    renew: (renewed) => renewCredentials(redis, renewed),
    close: async () => link.close(),
  }
}

/** How long Redis keeps a record (milliseconds): relative, so that a wrong clock of Redis changes nothing. */
const lifetime = ({ until, now }: ProofUse): number => Math.max(1, Math.ceil((until - now) * 1000)) + MARGIN_MS
