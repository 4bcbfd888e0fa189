import t from 'tap'
import { createRateLimiter } from '../../src/limits/rate.js'
import { settings } from '../replay/redis-settings.js'
import { usedMemory } from '../support/memory.js'
import { startRedis } from '../support/redis.js'

const charge = (value: string, requests = 3, seconds = 60) => ({ tier: 'x', by: 'client', value, rate: { requests, seconds } })

t.test('lets so many pass, and says when to come back', async (t) => {
  const limiter = createRateLimiter({ redis: null })
  for (let i = 0; i < 3; i++) t.equal(await limiter.charge(charge('a')), null)
  const wait = await limiter.charge(charge('a'))
  t.ok(wait !== null && wait > 50 && wait <= 60, `${wait} s`)
  t.equal(await limiter.charge(charge('b')), null, 'another caller')
  t.equal(await limiter.charge({ ...charge('a'), tier: 'y' }), null, 'another tier')
})

t.test('counts for all processes where there is a Redis, and for this one when it is away', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const [one, two] = [createRateLimiter({ redis: settings(redis) }), createRateLimiter({ redis: settings(redis) })]
  t.teardown(() => Promise.all([one.close(), two.close()]))
  await redis.call('PING')
  await new Promise((resolve) => setTimeout(resolve, 300))
  t.equal(await one.charge(charge('a')), null)
  t.equal(await two.charge(charge('a')), null)
  t.equal(await one.charge(charge('a')), null)
  t.not(await two.charge(charge('a')), null)
  await redis.kill()
  const start = performance.now()
  t.equal(await one.charge(charge('c')), null, 'nobody is refused because Redis is away')
  t.ok(performance.now() - start < 100)
})

t.test('frozen: nobody waits for it, and each process counts for itself', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const log: string[] = []
  const limiter = createRateLimiter({ redis: settings(redis), log: (line) => log.push(line) })
  t.teardown(() => limiter.close())
  await new Promise((resolve) => setTimeout(resolve, 300))
  t.equal(await limiter.charge(charge('a', 3)), null)
  redis.pause()
  const start = performance.now()
  t.equal(await limiter.charge(charge('a', 3)), null)
  t.ok(performance.now() - start < 90, `${performance.now() - start} ms`)
  const again = performance.now()
  t.equal(await limiter.charge(charge('a', 3)), null)
  t.equal(await limiter.charge(charge('a', 3)), null)
  t.not(await limiter.charge(charge('a', 3)), null, 'three of its own')
  t.ok(performance.now() - again < 20, 'nobody asks any more')
  redis.resume()
  for (let i = 0; i < 60 && !log.at(-1)?.includes('in Redis'); i++) await new Promise((resolve) => setTimeout(resolve, 50))
  t.match(log.at(-1), /in Redis/)
  t.not(await limiter.charge(charge('a', 1)), undefined)
})

t.test('full or read-only Redis refuses nobody', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const limiter = createRateLimiter({ redis: settings(redis) })
  t.teardown(() => limiter.close())
  await new Promise((resolve) => setTimeout(resolve, 300))
  await redis.call('CONFIG', 'SET', 'maxmemory', '1')
  for (let i = 0; i < 3; i++) t.equal(await limiter.charge(charge('a')), null)
  t.not(await limiter.charge(charge('a')), null)
})

t.test('keys say nothing of the caller, and end', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const limiter = createRateLimiter({ redis: settings(redis) })
  t.teardown(() => limiter.close())
  await new Promise((resolve) => setTimeout(resolve, 300))
  await limiter.charge(charge('someone@example.com'))
  const keys = (await redis.call('KEYS', 'holdfast:rate:*')) as string[]
  t.equal(keys.length, 1)
  t.notMatch(keys[0], /someone/)
  t.ok(Number(await redis.call('PTTL', keys[0] ?? '')) > 50_000)
})

t.test('a flood of callers takes bounded memory', async (t) => {
  const limiter = createRateLimiter({ redis: null })
  const before = usedMemory()
  for (let i = 0; i < 60_000; i++) await limiter.charge(charge(`flood ${i}`, 1, 3600))
  const grown = usedMemory() - before
  t.ok(grown < 20, `${grown.toFixed(1)} MB`)
  t.not(await limiter.charge(charge('flood 59999', 1, 3600)), null, 'the latest are still counted')
})
