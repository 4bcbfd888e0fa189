// Remembers used proofs in Redis, for all processes and replicas (contract §9). One SET NX PX a proof; no retry, because a lost answer
// would then look like a replay; no queue, because a gate that does not know is closed. After the first time-out nobody waits
// again until Redis answers. What this process accepted itself it also remembers itself.

import { setTimeout as sleep } from 'node:timers/promises'
import type { RedisSettings } from '../config/config.js'
import type { Seconds } from '../verify/scalars.js'
import { clockGuard } from './clock-guard.js'
import { createProofMemory } from './memory.js'
import { connectRedis, type RedisConnection } from './redis-connection.js'
import { lookAtRedis, raiseFloor, type Sight } from './redis-identity.js'
import type { ProofUse, ReplayStore, UseAnswer } from './store.js'

export type RedisStoreOptions = {
  readonly clock: () => Seconds
  /** Told of each change of state, once. Never of an address or a password. */
  readonly log: (message: string) => void
  /** How far clocks of clients may be ahead: proofs dated so much after a loss of memory are not accepted either. */
  readonly clockSkew?: Seconds
  /** Records this process keeps for itself, at most. */
  readonly maxEntries?: number
}

/** How often the store is looked at (milliseconds): while it is well, and while it is away. */
const LOOK_MS = 1000
const PROBE_MS = 100
/** How often waiting requests are looked after (milliseconds); with the time-out of 100 ms a request is refused within 130 ms. */
const WATCH_MS = 25
/** Kept longer than proofs live, because our clock and Redis' timers need not agree to the millisecond. */
const MARGIN_MS = 1000
const MOST_ENTRIES = 1_000_000

const BEFORE = 'it has not answered yet'
const START_MS = 1000

type Waiting = { readonly since: number; settle: (answer: UseAnswer) => void }

/** Connects in the background: until Redis answers, uses are `unavailable`. */
export function createRedisStore(settings: RedisSettings, options: RedisStoreOptions): ReplayStore {
  const { clock, log, clockSkew = 10, maxEntries = MOST_ENTRIES } = options
  const redis = connectRedis(settings)
  const prefix = settings.key_prefix
  const own = createProofMemory(maxEntries)
  const isSteady = clockGuard()
  const waiting = new Set<Waiting>()
  let seen: Sight | null = null
  let floor: Seconds = 0
  let problem: string | null = BEFORE
  let refused: string | null = null
  let looking = false
  let closed = false

  const say = (next: string | null): void => {
    if (next === problem || closed) return
    problem = next
    log(next === null ? 'replay store: well' : `replay store: ${next}`)
  }
  const trip = (reason: string): void => {
    say(reason)
    for (const one of waiting) one.settle('unavailable')
    waiting.clear()
  }

  /** Looks whether it is there, whether it is the same, and whether it may be relied on. */
  async function look(): Promise<void> {
    if (looking || closed) return
    looking = true
    try {
      const sight = await lookAtRedis(redis, prefix, seen === null ? 0 : clock() + clockSkew)
      const previous = seen
      seen = sight
      floor = Math.max(floor, sight.floor)
      if (previous !== null && previous.identity !== sight.identity) {
        floor = Math.max(floor, clock() + clockSkew)
        log('replay store: it is another one or lost its memory; proofs made before now are not accepted')
        if (sight.floor < floor - clockSkew) await raiseFloor(redis, prefix, floor)
        seen = await lookAtRedis(redis, prefix, floor)
      }
      say(sight.problem)
    } catch (error) {
      if (problem === BEFORE && redis.status !== 'ready') return
      trip(
        error instanceof Error && /NOAUTH|WRONGPASS|NOPERM/.test(error.message)
          ? 'it does not accept our credentials'
          : 'it does not answer',
      )
    } finally {
      looking = false
    }
  }

  // A paused Redis neither answers nor closes: only time tells.
  const watch = setInterval(() => {
    const [oldest] = waiting
    if (oldest !== undefined && performance.now() - oldest.since >= settings.timeout * 1000) trip('it does not answer in time')
  }, WATCH_MS)
  watch.unref()
  let timer: NodeJS.Timeout | undefined
  const lookAgain = (): void => {
    timer = setTimeout(() => void look().finally(lookAgain), problem === null ? LOOK_MS : PROBE_MS)
    timer.unref()
  }
  lookAgain()
  redis.on('ready', () => void look())
  redis.on('close', () => {
    if (problem !== BEFORE) trip('the connection is lost')
  })

  function record({ key, until, now }: ProofUse): Promise<UseAnswer> {
    return new Promise((resolve) => {
      const one: Waiting = {
        since: performance.now(),
        settle: (answer) => {
          waiting.delete(one)
          resolve(answer)
        },
      }
      waiting.add(one)
      const ms = Math.max(1, Math.ceil((until - now) * 1000)) + MARGIN_MS
      const set = redis.set(prefix + key, '1', 'PX', ms, 'NX')
      const copies = settings.wait === 0 ? null : waitForReplicas(redis, settings)
      set.then(
        async (answer) => {
          refused = null
          if (answer !== 'OK') return one.settle('used')
          const enough = copies === null || (await copies.catch(() => 0)) >= settings.wait
          if (!enough) refused = 'too few replicas have its records'
          one.settle(enough ? 'first' : 'unavailable')
        },
        (error: Error) => {
          // Full, read-only, loading: it says no at once, so there is nothing to wait for, and the next may well pass.
          refused = `it refuses to record (${error.message.split(' ', 1)[0]})`
          one.settle('unavailable')
        },
      )
      copies?.catch(() => undefined)
    })
  }

  return {
    async start() {
      for (let left = START_MS; problem === BEFORE && left > 0; left -= WATCH_MS) await sleep(WATCH_MS)
    },
    async firstUse(use) {
      const steady = isSteady(use.now)
      if (use.outage === 'closed') {
        if (!steady || problem !== null) return 'unavailable'
        if (use.datedAt <= floor) return own.add(use) === 'used' ? 'used' : 'forgotten'
      }
      // Before Redis is asked: what this process knows holds even if Redis has forgotten it. When full, Redis alone decides.
      if (own.add(use) === 'used') return 'used'
      const answer = problem === null ? await record(use) : 'unavailable'
      return answer === 'unavailable' && use.outage === 'local' ? 'first' : answer
    },
    degraded: () => {
      const said = problem ?? refused
      return said === null ? isSteady.problem() : `replay store: ${said}`
    },
    async close() {
      closed = true
      clearInterval(watch)
      clearTimeout(timer)
      trip('closed')
      redis.disconnect()
    },
  }
}

/** Replicas that have everything written so far on this connection; waits for the store's time-out at most. */
const waitForReplicas = (redis: RedisConnection, { wait, timeout }: RedisSettings): Promise<number> =>
  redis.call('WAIT', wait, Math.floor(timeout * 1000)) as Promise<number>
