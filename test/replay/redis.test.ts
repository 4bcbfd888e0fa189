// The Redis store against a real Redis that is killed, frozen, filled, demoted and emptied (contract §9).
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { RedisSettings } from '../../src/config/config.js'
import { createRedisStore } from '../../src/replay/redis.js'
import type { ReplayStore } from '../../src/replay/store.js'
import { type RunningRedis, startRedis } from '../support/redis.js'
import { keepsItsPromises, newUse, seconds } from './contract.js'

const settings = (redis: RunningRedis, changes: Partial<RedisSettings> = {}): RedisSettings => ({
  url: redis.url,
  sentinels: [],
  primary: null,
  cluster: [],
  timeout: 0.1,
  username: null,
  password: null,
  key_prefix: 'holdfast:',
  tls: null,
  wait: 0,
  ...changes,
})

async function open(t: Test, changes: Partial<RedisSettings> = {}) {
  const redis = await startRedis()
  const log: string[] = []
  const openStore = async (): Promise<ReplayStore> => {
    const store = createRedisStore(settings(redis, changes), { clock: seconds, log: (line) => log.push(line) })
    t.teardown(() => store.close())
    await store.start()
    return store
  }
  t.teardown(() => redis.stop())
  return { redis, log, openStore, store: await openStore() }
}

/** Answers and how long the slowest took (milliseconds). */
async function timed(uses: Promise<string>[]): Promise<{ answers: Set<string>; ms: number }> {
  const start = performance.now()
  const answers = new Set(await Promise.all(uses))
  return { answers, ms: performance.now() - start }
}

/** Until the store takes proofs again; how long that took (milliseconds). */
async function recovery(store: ReplayStore): Promise<number> {
  const start = performance.now()
  while (store.degraded() !== null) {
    if (performance.now() - start > 10_000) throw new Error(`still ${store.degraded()}`)
    await sleep(20)
  }
  return performance.now() - start
}

t.test('the Redis store is a replay store', async (t) => {
  const { store } = await open(t)
  t.equal(store.degraded(), null)
  await keepsItsPromises(t, store)
})

t.test('two processes, 200 parallel copies of one proof: exactly one is the first', async (t) => {
  const { store, openStore } = await open(t)
  const other = await openStore()
  for (let round = 0; round < 5; round++) {
    const use = newUse()
    const answers = await Promise.all(Array.from({ length: 200 }, (_, i) => (i % 2 === 0 ? store : other).firstUse(use)))
    t.equal(answers.filter((answer) => answer === 'first').length, 1)
    t.equal(answers.filter((answer) => answer === 'used').length, 199)
  }
})

t.test('records end by themselves, and are small', async (t) => {
  const { store, redis } = await open(t)
  const use = newUse({ until: seconds() + 30 })
  await store.firstUse(use)
  const key = `holdfast:${use.key}`
  const ttl = Number(await redis.call('PTTL', key))
  t.ok(ttl > 29_000 && ttl <= 32_000, `${ttl} ms`)
  t.ok(Number(await redis.call('MEMORY', 'USAGE', key)) <= 120)
})

t.test('killed: closed uses are unavailable at once, local ones pass once; then it recovers by itself', async (t) => {
  const { store, redis } = await open(t)
  await redis.kill()
  const { answers, ms } = await timed(Array.from({ length: 50 }, () => store.firstUse(newUse())))
  t.same([...answers], ['unavailable'])
  t.ok(ms < 200, `${ms} ms`)
  const use = newUse({ outage: 'local' })
  t.equal(await store.firstUse(use), 'first')
  t.equal(await store.firstUse(use), 'used')
  t.match(store.degraded(), /replay store/)
  await redis.start()
  t.ok((await recovery(store)) < 3000)
  await sleep(1)
  t.equal(await store.firstUse(newUse({ datedAt: seconds() + 11 })), 'first')
})

t.test('frozen: refused within 200 ms, then at once; nothing queues up; recovers when it thaws', async (t) => {
  const { store, redis } = await open(t)
  await store.firstUse(newUse())
  redis.pause()
  const first = await timed(Array.from({ length: 100 }, () => store.firstUse(newUse())))
  t.same([...first.answers], ['unavailable'])
  t.ok(first.ms < 200, `${first.ms} ms`)
  const second = await timed(Array.from({ length: 1000 }, () => store.firstUse(newUse())))
  t.same([...second.answers], ['unavailable'])
  t.ok(second.ms < 50, `${second.ms} ms, because nobody asks any more`)
  redis.resume()
  t.ok((await recovery(store)) < 3000)
  t.equal(await store.firstUse(newUse()), 'first', 'the same store with the same memory: no proof is lost')
})

t.test('full: refuses, says why, and goes on when there is room', async (t) => {
  const { store, redis } = await open(t)
  await redis.call('CONFIG', 'SET', 'maxmemory', '1')
  const { answers, ms } = await timed([store.firstUse(newUse())])
  t.same([...answers], ['unavailable'])
  t.ok(ms < 200)
  t.match(store.degraded(), /refuses to record/)
  await redis.call('CONFIG', 'SET', 'maxmemory', '0')
  t.equal(await store.firstUse(newUse()), 'first')
  t.equal(store.degraded(), null)
})

t.test('a replica cannot be written: unavailable', async (t) => {
  const { store, redis } = await open(t)
  await redis.call('REPLICAOF', '127.0.0.1', '1')
  await sleep(1500)
  t.equal(await store.firstUse(newUse()), 'unavailable')
  t.match(store.degraded(), /replica|does not|lost/)
})

t.test('a policy that evicts counts as away', async (t) => {
  const { store, redis } = await open(t)
  await redis.call('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru')
  await sleep(1300)
  t.equal(await store.firstUse(newUse()), 'unavailable')
  t.match(store.degraded(), /noeviction/)
  await redis.call('CONFIG', 'SET', 'maxmemory-policy', 'noeviction')
  await recovery(store)
  t.equal(await store.firstUse(newUse()), 'first')
})

t.test('restarted empty: a proof made before is never accepted after, by any process', async (t) => {
  const { store, redis, openStore, log } = await open(t)
  const before = newUse()
  const unused = newUse()
  t.equal(await store.firstUse(before), 'first')
  await redis.kill()
  await redis.start()
  await recovery(store)
  t.equal(await store.firstUse({ ...before, now: seconds() }), 'used', 'known to this process')
  t.equal(await store.firstUse({ ...unused, now: seconds() }), 'forgotten', 'nobody knows')
  const later = await openStore()
  t.equal(await later.firstUse({ ...before, now: seconds() }), 'forgotten', 'a process that starts later is told')
  const fresh = newUse({ datedAt: seconds() + 11 })
  t.equal(await store.firstUse(fresh), 'first', 'what is made after it is new to everyone')
  t.equal(await later.firstUse(fresh), 'used')
  t.ok(log.some((line) => line.includes('lost its memory')))
})

t.test('emptied while it runs: noticed within two seconds', async (t) => {
  const { store, redis } = await open(t)
  await redis.call('FLUSHALL')
  await sleep(1500)
  t.equal(await store.firstUse(newUse({ datedAt: seconds() - 3 })), 'forgotten')
})

t.test('too few replicas: not recorded well enough', async (t) => {
  const { store } = await open(t, { wait: 1 })
  t.equal(await store.firstUse(newUse()), 'unavailable')
})

t.test('says each change of state once, and no address', async (t) => {
  const { store, redis, log } = await open(t)
  redis.pause()
  await Promise.all(Array.from({ length: 20 }, () => store.firstUse(newUse())))
  await sleep(300)
  redis.resume()
  await recovery(store)
  t.equal(log.filter((line) => line.includes('in time')).length, 1, log.join(' | '))
  t.notMatch(log.join('\n'), /127\.0\.0\.1|redis:/)
})

t.test('not there at start: starts all the same, and takes proofs when it comes', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  await redis.kill()
  const store = createRedisStore(settings(redis), { clock: seconds, log: () => undefined })
  t.teardown(() => store.close())
  const start = performance.now()
  await store.start()
  t.ok(performance.now() - start < 1500)
  t.equal(await store.firstUse(newUse()), 'unavailable')
  await redis.start()
  await recovery(store)
  t.equal(await store.firstUse(newUse()), 'first')
})
