// A clock that stepped back and was made good again must not make a used proof new: its record aged while the wall clock did not
// (contract §9 "clock steps back", C18).
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { createRedisStore } from '../../src/replay/redis.js'
import { newUse } from '../replay/contract.js'
import { settings } from '../replay/redis-settings.js'
import { startRedis } from '../support/redis.js'

const MAX_AGE = 5
const STEP = 4

t.test('a used proof stays used when the clock has caught up with itself', async (t) => {
  const redis = await startRedis()
  let stepped = 0
  const clock = () => Date.now() / 1000 - stepped
  const open = async () => {
    const store = createRedisStore(settings(redis), { clock, log: () => undefined, clockSkew: 0 })
    await store.start()
    t.teardown(() => store.close())
    return store
  }
  t.teardown(() => redis.stop())
  const [one, other] = [await open(), await open()]
  // Both have looked, so both know the time before the step.
  await sleep(1200)
  const datedAt = clock()
  const use = newUse({ datedAt, now: datedAt, until: datedAt + MAX_AGE })
  t.equal(await one.firstUse(use), 'first')
  stepped = STEP
  await sleep((MAX_AGE + STEP) * 1000 - 600)
  const now = clock()
  t.ok(now < datedAt + MAX_AGE, 'the proof is still young')
  t.not(await other.firstUse({ ...use, now }), 'first', 'in another process')
  const fresh = clock()
  t.equal(await other.firstUse(newUse({ datedAt: fresh, now: fresh, until: fresh + MAX_AGE })), 'first', 'new ones pass')
})
