// A Redis that answers late, in halves, or not any more while many records are under way.
import t, { type Test } from 'tap'
import { createRateLimiter } from '../../src/limits/rate.js'
import { usedMemory } from '../support/memory.js'
import { startRedis } from '../support/redis.js'
import { eventually } from '../support/redis-sets.js'
import { newUse, seconds } from './contract.js'
import { acceptedAgain, isWell, opener, SKEW } from './redis-load.js'
import { settings, timed } from './redis-settings.js'
import { openWire } from './wire.js'

async function openBehindWire(t: Test, timeout: number) {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const wire = await openWire(redis.port)
  t.teardown(() => wire.close())
  const store = await opener(t, { url: wire.url, timeout })()
  return { redis, wire, store }
}

const many = (count: number) => Array.from({ length: count }, () => newUse({ datedAt: seconds() + SKEW, until: seconds() + 70 }))

t.test('late, but in time: all that wait share a round trip, and each gets its own answer', async (t) => {
  const { wire, store } = await openBehindWire(t, 10)
  wire.delay(300)
  const uses = many(1000)
  const first = await timed(uses.map((use) => store.firstUse(use)))
  t.same([...first.answers], ['first'])
  t.ok(first.ms < 10_000, `${first.ms} ms`)
  const again = await timed(uses.map((use) => store.firstUse(use)))
  t.same([...again.answers], ['used'])
  t.equal(store.degraded(), null)
})

t.test('too late: refused when the time-out is over, then at once; nothing is sent or kept; well by itself', async (t) => {
  const { wire, store } = await openBehindWire(t, 0.5)
  wire.delay(3000)
  const uses = many(500)
  const first = await timed(uses.map((use) => store.firstUse(use)))
  t.same([...first.answers], ['unavailable'])
  t.ok(first.ms < 2000, `${first.ms} ms`)
  const [sent, memory] = [wire.sent(), usedMemory()]
  for (let turn = 0; turn < 20; turn++) {
    const more = await timed(many(1000).map((use) => store.firstUse(use)))
    t.same([...more.answers], ['unavailable'])
  }
  t.ok(wire.sent() - sent < 50_000, `${wire.sent() - sent} bytes for 20,000 proofs`)
  t.ok(usedMemory() - memory < 10, `${usedMemory() - memory} MB`)
  wire.delay(0)
  await eventually('well again', isWell(store))
  t.equal(await acceptedAgain(store, uses.slice(0, 50)), 0, 'they were recorded, although nobody heard of it')
  t.equal(await store.firstUse(newUse()), 'first', 'it never was another store')
})

t.test('the link ends under 500 records: no record is sent twice, and none is accepted afterwards that was before', async (t) => {
  const { redis, wire, store } = await openBehindWire(t, 5)
  for (const way of ['halved', 'killed'] as const) {
    await redis.call('CONFIG', 'RESETSTAT')
    const uses = many(500)
    const pending = Promise.all(uses.map((use) => store.firstUse(use)))
    if (way === 'halved') wire.halveAnswers()
    else {
      await new Promise(setImmediate)
      await redis.call('CLIENT', 'KILL', 'TYPE', 'normal')
    }
    const answers = await pending
    await eventually('well again', isWell(store))
    const stats = String(await redis.call('INFO', 'commandstats'))
    const sets = Number(/cmdstat_set:calls=(\d+)/.exec(stats)?.[1])
    // A look makes up to four.
    t.ok(sets <= 500 + 100, `${sets} SET for 500 records`)
    t.equal(
      await acceptedAgain(
        store,
        uses.filter((_, i) => answers[i] === 'first'),
      ),
      0,
      way,
    )
    if (way === 'halved') t.ok(answers.includes('unavailable'), 'some never heard of it')
  }
})

t.test('rate limits beside a slow Redis: nobody waits for long, and each process counts', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const wire = await openWire(redis.port)
  t.teardown(() => wire.close())
  const log: string[] = []
  const limiter = createRateLimiter({ redis: settings({ url: wire.url }), log: (line) => log.push(line) })
  t.teardown(() => limiter.close())
  await eventually('counted in Redis', async () => log.at(-1) === 'rate limits: counted in Redis')
  wire.delay(3000)
  const charge = () => limiter.charge({ tier: 'x', by: 'client', value: 'a', rate: { requests: 100, seconds: 3600 } })
  const start = performance.now()
  const first = await Promise.all(Array.from({ length: 50 }, charge))
  t.same([...new Set(first)], [null])
  const waits = []
  for (let i = 0; i < 200; i++) waits.push(await charge())
  t.ok(performance.now() - start < 1500, 'none of 200 waited for Redis')
  t.equal(waits.filter((wait) => wait === null).length, 50, 'a hundred in all')
  wire.delay(0)
  await eventually('counted in Redis again', async () => log.at(-1) === 'rate limits: counted in Redis')
})
