import t from 'tap'
import { createRateLimiter } from '../../src/limits/rate.js'
import { startRedis } from '../support/redis.js'

const redisSettings = (url: string) => ({
  url,
  sentinels: [],
  primary: null,
  cluster: [],
  timeout: 0.1,
  username: null,
  password: null,
  key_prefix: 'holdfast:',
  tls: null,
  wait: 0,
})
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
  const [one, two] = [
    createRateLimiter({ redis: redisSettings(redis.url) }),
    createRateLimiter({ redis: redisSettings(redis.url) }),
  ]
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
