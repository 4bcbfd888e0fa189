// How many requests may pass? One bucket for each tier and caller, in Redis where replay is, else in this process (contract §3).
// A limit is no proof of anything: when Redis is away each process counts for itself, and nobody waits or is refused for that.
// Does not decide: which caller is meant (decide.ts).

import { RateLimiterMemory, RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible'
import type { RedisSettings } from '../config/config.js'
import { connectRedis, renewCredentials } from '../replay/redis-connection.js'
import { phrase } from '../replay/redis-errors.js'
import { NOT_YET, watchRedis } from '../replay/redis-link.js'
import { sha256 } from '../verify/hashes.js'
import type { Rate, Seconds } from '../verify/scalars.js'

export type RateCharge = { readonly tier: string; readonly by: string; readonly value: string; readonly rate: Rate }

export type RateLimiter = {
  /** Seconds to wait, or null: it may pass. Never rejects. */
  charge(charge: RateCharge): Promise<Seconds | null>
  /** Connects with these credentials from now on. */
  renew(settings: RedisSettings): void
  close(): Promise<void>
}

export type RateLimiterOptions = {
  /** null: this process counts for itself. */
  readonly redis: RedisSettings | null
  /** Told of each change of state, once. */
  readonly log?: (message: string) => void
}

/** How long a request waits for Redis before this process counts alone (milliseconds). */
const PATIENCE = 50
/** Callers that a process counts at once, for each rate; of more, those that came first start anew. */
const MOST_CALLERS = 20_000

type Counter = { consume(caller: string): Promise<RateLimiterRes> }

/** Connects in the background; counts locally until Redis answers. */
export function createRateLimiter({ redis, log = () => undefined }: RateLimiterOptions): RateLimiter {
  const shared = redis === null ? null : openShared(redis, log)
  const local = new Map<string, Counter>()
  const localOf = (rate: Rate): Counter => known(local, rate, () => boundedCounter(rate))

  return {
    async charge({ tier, by, value, rate }) {
      // Hashed: callers choose their names, and a key should neither be long nor say who it is.
      const caller = sha256(JSON.stringify([tier, by, value])).slice(0, 22)
      if (shared !== null && shared.link.problem() === null) {
        const outcome = await charge(shared.counterOf(rate), caller)
        if (!(outcome instanceof Error)) return outcome
        shared.link.trip(phrase(outcome))
      }
      const outcome = await charge(localOf(rate), caller)
      return outcome instanceof Error ? null : outcome
    },
    renew: (settings) => shared?.renew(settings),
    async close() {
      shared?.link.close()
    },
  }
}

async function charge(counter: Counter, caller: string): Promise<Seconds | null | Error> {
  try {
    await counter.consume(caller)
    return null
  } catch (refused) {
    if (refused instanceof RateLimiterRes) return Math.max(1, Math.ceil(refused.msBeforeNext / 1000))
    return refused instanceof Error ? refused : new Error('unknown')
  }
}

/** Counts that all processes share, over a connection of their own: replay must not wait behind them. */
function openShared(settings: RedisSettings, log: (message: string) => void) {
  const prefix = settings.key_prefix
  const redis = connectRedis(settings, { commandTimeout: PATIENCE, enableAutoPipelining: true })
  let said: string | null = NOT_YET
  const link = watchRedis({
    redis,
    timeout: PATIENCE,
    look: async () => {
      await redis.set(`${prefix}probe`, '1', 'PX', 1000)
      return null
    },
    changed: () => {
      const now = link.problem()
      if (now === said) return
      said = now
      log(now === null ? 'rate limits: counted in Redis' : `rate limits: each process counts for itself: ${now}`)
    },
  })
  const counters = new Map<string, Counter>()
  const counterOf = (rate: Rate): Counter =>
    known(
      counters,
      rate,
      () => new RateLimiterRedis({ ...bucketOf(rate), keyPrefix: `${prefix}rate:${nameOf(rate)}`, storeClient: redis }),
    )
  return { link, counterOf, renew: (renewed: RedisSettings) => renewCredentials(redis, renewed) }
}

/** The library keeps a timer for each caller until its time is over: an hour of changing addresses would be a lot of them. */
function boundedCounter(rate: Rate): Counter {
  const counter = new RateLimiterMemory(bucketOf(rate))
  const callers = new Set<string>()
  return {
    consume(caller) {
      if (!callers.has(caller)) {
        callers.add(caller)
        const [oldest] = callers
        if (callers.size > MOST_CALLERS && oldest !== undefined) {
          callers.delete(oldest)
          void counter.delete(oldest)
        }
      }
      return counter.consume(caller)
    },
  }
}

const nameOf = ({ requests, seconds }: Rate): string => `${requests}:${seconds}`
const bucketOf = ({ requests, seconds }: Rate) => ({ points: requests, duration: seconds })

function known(counters: Map<string, Counter>, rate: Rate, make: () => Counter): Counter {
  const name = nameOf(rate)
  const counter = counters.get(name) ?? make()
  counters.set(name, counter)
  return counter
}
