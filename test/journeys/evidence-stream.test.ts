// SIGKILL at any moment, under load: every request that the upstream saw has its durable decision in the Redis stream.
import { hostname } from 'node:os'
import t from 'tap'
import { makePlace } from '../support/fleet.js'
import { freePort } from '../support/redis.js'
import { KILLS, killUnderLoad, timeout } from './evidence-kills.js'

t.setTimeout(timeout)

t.test(`${KILLS} times killed under load, with the evidence in a Redis stream`, { timeout }, async (t) => {
  const place = await makePlace(t)
  const key = `holdfast:audit:${hostname()}`
  const entries = async (worker: number): Promise<string[]> =>
    ((await place.redis.call('XRANGE', `${key}:${worker}`, '-', '+')) as [string, [string, string]][]).map(([, [, line]]) => line)
  await killUnderLoad(t, place, {
    settings: { port: await freePort(), audit: `{ stream: { redis: { url: '${place.redis.url}', timeout: 5s } } }` },
    named: ['--stream'],
    events: async () => (await Promise.all([entries(0), entries(1)])).flat().map((line) => JSON.parse(line)),
  })
})
