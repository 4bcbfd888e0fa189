// How many requests may pass? One bucket for each tier and caller, in Redis where replay is, else in this process (contract §3).
// A limit is no proof of anything: when Redis is away each process counts for itself, and nobody is refused for that.
// Does not decide: which caller is meant (decide.ts).

import { createHash } from 'node:crypto'
import { type RateLimiterAbstract, RateLimiterMemory, RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible'
import type { RedisSettings } from '../config/config.js'
import { connectRedis } from '../replay/redis-connection.js'
import type { Rate, Seconds } from '../verify/scalars.js'

export type RateCharge = { readonly tier: string; readonly by: string; readonly value: string; readonly rate: Rate }

export type RateLimiter = {
  /** Seconds to wait, or null: it may pass. Never rejects. */
  charge(charge: RateCharge): Promise<Seconds | null>
  close(): Promise<void>
}

/** `redis: null` counts in this process alone. */
export function createRateLimiter({ redis }: { readonly redis: RedisSettings | null }): RateLimiter {
  const connection = redis === null ? null : connectRedis(redis)
  const limiters = new Map<string, RateLimiterAbstract>()

  const limiterOf = (tier: string, { requests, seconds }: Rate): RateLimiterAbstract => {
    const name = `${tier}:${requests}:${seconds}`
    const known = limiters.get(name)
    if (known !== undefined) return known
    const options = { keyPrefix: `${redis?.key_prefix ?? ''}rate:${name}`, points: requests, duration: seconds }
    const own = new RateLimiterMemory(options)
    const made =
      connection === null
        ? own
        : new RateLimiterRedis({ ...options, storeClient: connection, rejectIfRedisNotReady: true, insuranceLimiter: own })
    limiters.set(name, made)
    return made
  }

  return {
    async charge({ tier, by, value, rate }) {
      // Hashed: callers choose their names, and a key should neither be long nor say who it is.
      const key = `${by}:${createHash('sha256').update(value).digest('base64url').slice(0, 22)}`
      try {
        await limiterOf(tier, rate).consume(key)
        return null
      } catch (refused) {
        return refused instanceof RateLimiterRes ? Math.max(1, refused.msBeforeNext / 1000) : null
      }
    },
    async close() {
      connection?.disconnect()
    },
  }
}
