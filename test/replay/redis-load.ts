// Proofs on and on to stores that share a Redis, and all that were accepted once more.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import type { RedisSettings } from '../../src/config/config.js'
import { createRedisStore, type RedisStoreOptions } from '../../src/replay/redis.js'
import type { ProofUse, ReplayStore } from '../../src/replay/store.js'
import { eventually } from '../support/redis-sets.js'
import { newUse, seconds } from './contract.js'
import { settings } from './redis-settings.js'

/** The largest that a store expects of its callers. */
export const SKEW = 10

export type Opening = Partial<RedisStoreOptions>

/** Opens stores that share what `changes` says, with a time-out that a busy machine keeps, and waits until they are well. */
export const opener =
  (t: Test, changes: Partial<RedisSettings>, isWellSoon = true) =>
  async (options: Opening = {}): Promise<ReplayStore> => {
    const store = createRedisStore(settings({ url: null }, { timeout: 1, ...changes }), {
      clock: seconds,
      log: () => undefined,
      ...options,
    })
    t.teardown(() => store.close())
    await store.start()
    if (isWellSoon) await eventually('well', isWell(store))
    return store
  }

export type Load = {
  /** Those that were answered `first`, each by one store. */
  readonly accepted: readonly ProofUse[]
  /** Waits until so many more have been accepted. */
  more(count: number): Promise<void>
  stop(): Promise<void>
}

/** Proofs dated as late as may be, and of all ages down to a minute, a hundred a second, to all stores in turn. */
export function load(stores: readonly ReplayStore[], skew = SKEW): Load {
  const accepted: ProofUse[] = []
  let isOver = false
  const one = async (turn: number): Promise<void> => {
    const use = newUse({ datedAt: seconds() + skew - (turn % 7) * 10, until: seconds() + 70 })
    const answer = await stores[turn % stores.length]?.firstUse(use)
    if (answer === 'first') accepted.push(use)
  }
  const running = (async () => {
    for (let turn = 0; !isOver; turn += 2) {
      await Promise.all([one(turn), one(turn + 1)])
      await sleep(20)
    }
  })()
  return {
    accepted,
    more: (count) => {
      const goal = accepted.length + count
      return eventually(`${count} more accepted`, async () => accepted.length >= goal)
    },
    stop: async () => {
      isOver = true
      await running
    },
  }
}

/** How many of these a store accepts once more. Asks until it knows: that it can't say now is no proof. */
export async function acceptedAgain(store: ReplayStore, uses: readonly ProofUse[]): Promise<number> {
  let accepted = 0
  for (const use of uses) {
    await eventually('an answer', async () => {
      const answer = await store.firstUse({ ...use, now: seconds() })
      if (answer === 'first') accepted++
      return answer !== 'unavailable'
    })
  }
  return accepted
}

export const isWell = (store: ReplayStore) => async () => store.degraded() === null
