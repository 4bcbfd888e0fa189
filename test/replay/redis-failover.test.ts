// A primary is lost under load, or a part of the network is: whatever was accepted before is sent again to everyone, to those who
// accepted it, and to a process that starts afterwards and knows nothing but what Redis tells it.
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { RedisSettings } from '../../src/config/config.js'
import { createRedisStore } from '../../src/replay/redis.js'
import type { ProofUse, ReplayStore } from '../../src/replay/store.js'
import { eventually, infoOf, isPrimary, startSentinelSet } from '../support/redis-sets.js'
import { newUse, seconds } from './contract.js'
import { settings } from './redis-settings.js'

const SKEW = 10

/** Opens stores that share what `changes` says, with a time-out that a busy machine keeps. */
export const opener =
  (t: Test, changes: Partial<RedisSettings>) =>
  async (clock = seconds): Promise<ReplayStore> => {
    const store = createRedisStore(settings({ url: null }, { timeout: 1, ...changes }), { clock, log: () => undefined })
    t.teardown(() => store.close())
    await store.start()
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
export function load(stores: readonly ReplayStore[]): Load {
  const accepted: ProofUse[] = []
  let isOver = false
  const one = async (turn: number): Promise<void> => {
    const use = newUse({ datedAt: seconds() + SKEW - (turn % 7) * 10, until: seconds() + 70 })
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

const isWell = (store: ReplayStore) => async () => store.degraded() === null

t.test('Sentinel: the primary is killed under load, and no accepted proof is accepted again', async (t) => {
  const set = await startSentinelSet(2)
  t.teardown(() => set.stop())
  const [primary, ...replicas] = set.nodes
  const open = opener(t, { sentinels: set.sentinels.map(({ url }) => url), primary: 'holdfast', wait: 1 })
  const stores = [await open(), await open()]
  for (const store of stores) await eventually('well', isWell(store))
  const running = load(stores)
  await running.more(100)
  await primary.kill()
  await eventually('a replica takes over', async () => (await Promise.all(replicas.map(isPrimary))).includes(true))
  const stranger = await open()
  for (const store of [...stores, stranger]) await eventually('well again', isWell(store))
  await running.more(20)
  await running.stop()
  for (const store of [...stores, stranger, await open()]) t.equal(await acceptedAgain(store, running.accepted), 0)
  t.comment(`${running.accepted.length} accepted`)
})

t.test('Sentinel: the replica that takes over lacks the last records, and only a process that is new asks it', async (t) => {
  const set = await startSentinelSet(2)
  t.teardown(() => set.stop())
  const [primary, near, far] = set.nodes
  const open = opener(t, { sentinels: set.sentinels.map(({ url }) => url), primary: 'holdfast', wait: 1 })
  const store = await open()
  await eventually('well', isWell(store))
  const running = load([store])
  await running.more(20)
  far?.pause()
  // Frozen, it would find in its socket what it was sent meanwhile.
  await primary.call('CLIENT', 'KILL', 'TYPE', 'replica')
  await running.more(40)
  await running.stop()
  await store.close()
  // Both that have the records are lost before the third gets them.
  await Promise.all([primary.kill(), near?.kill()])
  far?.resume()
  await eventually('the third takes over', () => isPrimary(far as typeof primary))
  await primary.start()
  await eventually('it has a replica', async () => (await infoOf(far as typeof primary, 'connected_slaves')) === '1')
  const stranger = await open()
  await eventually('well', isWell(stranger))
  const lost = await Promise.all(running.accepted.map(async ({ key }) => (await far?.call('EXISTS', `holdfast:${key}`)) === 0))
  t.ok(lost.filter(Boolean).length > 10, 'records were lost indeed')
  t.equal(await acceptedAgain(stranger, running.accepted), 0)
  t.equal(await stranger.firstUse(newUse({ datedAt: seconds() + 2 * SKEW })), 'first', 'newer ones pass')
})
