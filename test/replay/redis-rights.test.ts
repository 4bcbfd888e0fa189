// A user of Redis with the least rights that docs/operations.md says, and not one fewer; and Valkey in place of Redis.
import { existsSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import t from 'tap'
import { createRateLimiter } from '../../src/limits/rate.js'
import { startRedis, startSentinel } from '../support/redis.js'
import { askOnce, eventually, startRedisCluster } from '../support/redis-sets.js'
import { keepsItsPromises, newUse, seconds } from './contract.js'
import { opener, SKEW } from './redis-load.js'
import { settings } from './redis-settings.js'

const OPERATIONS = readFileSync(join(import.meta.dirname, '..', '..', '..', 'docs', 'operations.md'), 'utf8')

/** The line of the docs, as words. */
const rule = (): [string, ...string[]] => {
  const line = /^ACL SETUSER holdfast .*$/m.exec(OPERATIONS)?.[0]
  if (line === undefined) throw new Error('docs/operations.md has no rule')
  return line.split(' ') as [string, ...string[]]
}
t.setTimeout(300_000)

const NAMED = { username: 'holdfast', password: 'PASSWORD' }

t.test('a user with the rights of the docs: records, looks and limits all work, and nothing is denied', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  await redis.call(...rule())
  const store = await opener(t, { url: redis.url, ...NAMED })()
  await keepsItsPromises(t, store)
  const log: string[] = []
  const limiter = createRateLimiter({ redis: settings(redis, NAMED), log: (line) => log.push(line) })
  t.teardown(() => limiter.close())
  await eventually('counted in Redis', async () => log.at(-1) === 'rate limits: counted in Redis')
  for (let i = 0; i < 3; i++)
    t.equal(await limiter.charge({ tier: 'x', by: 'client', value: 'a', rate: { requests: 3, seconds: 60 } }), null)
  t.not(await limiter.charge({ tier: 'x', by: 'client', value: 'a', rate: { requests: 3, seconds: 60 } }), null)
  t.equal(((await redis.call('KEYS', 'holdfast:rate:*')) as string[]).length, 1, 'in Redis')
  t.same(await redis.call('ACL', 'LOG'), [])
})

t.test('without any one of those rights it says so, and is closed', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  for (const right of ['set', 'get', 'info']) {
    await redis.call(...rule())
    await redis.call('ACL', 'SETUSER', 'holdfast', `-${right}`)
    const log: string[] = []
    const store = await opener(t, { url: redis.url, ...NAMED }, false)({ log: (line) => log.push(line) })
    t.equal(await store.firstUse(newUse()), 'unavailable', right)
    await eventually(`said: ${right}`, async () => log.some((line) => line.includes('ACL')))
    await store.close()
  }
})

t.test('the same user in a cluster with replicas', async (t) => {
  const cluster = await startRedisCluster(1)
  t.teardown(() => cluster.stop())
  for (const node of cluster.nodes) await node.call(...rule())
  const store = await opener(t, { cluster: cluster.nodes.map(({ url }) => url), wait: 1, ...NAMED })()
  for (let i = 0; i < 20; i++) t.equal(await store.firstUse(newUse({ datedAt: seconds() + SKEW })), 'first')
  for (const node of cluster.nodes) t.same(await node.call('ACL', 'LOG'), [])
})

t.test('Sentinels with users of their own', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const rights = /^\S.*need `(\+sentinel[^`]+)`/m.exec(OPERATIONS)?.[1]
  if (rights === undefined) throw new Error('docs/operations.md does not say what Sentinels must allow')
  const sentinel = await startSentinel(redis.port, { lines: [`user holdfast on >PASSWORD ${rights}`] })
  t.teardown(() => sentinel.stop())
  const sentinels = [sentinel.url.replace('//', '//holdfast:PASSWORD@')]
  const store = await opener(t, { sentinels, primary: 'holdfast', wait: 0 })()
  t.equal(await store.firstUse(newUse()), 'first')
  t.same(await askOnce(sentinel.url, 'ACL', 'LOG'), [])
})

/** Not of every distribution, so not of every machine. */
const valkey = (process.env.PATH ?? '')
  .split(delimiter)
  .map((folder) => join(folder, 'valkey-server'))
  .find((file) => existsSync(file))

t.test('Valkey is a replay store', { skip: valkey === undefined && 'no valkey-server on PATH' }, async (t) => {
  const server = await startRedis(valkey === undefined ? {} : { program: valkey })
  t.teardown(() => server.stop())
  t.match(await server.call('INFO', 'server'), /^server_name:valkey/m)
  await server.call(...rule())
  const store = await opener(t, { url: server.url, ...NAMED })()
  await keepsItsPromises(t, store)
  const replica = await startRedis(valkey === undefined ? {} : { program: valkey })
  t.teardown(() => replica.stop())
  await replica.call('REPLICAOF', '127.0.0.1', String(server.port))
  const careful = await opener(t, { url: server.url, wait: 1, ...NAMED })()
  const use = newUse({ datedAt: seconds() + 3 * SKEW })
  t.equal(await careful.firstUse(use), 'first')
  t.equal(await replica.call('EXISTS', `holdfast:${use.key}`), 1)
  const other = await opener(t, { url: server.url, ...NAMED })()
  await server.call('FLUSHALL')
  const again = () => other.firstUse({ ...use, datedAt: seconds(), now: seconds() })
  t.not(await again(), 'first')
  await eventually('noticed, and well again', async () => (await again()) === 'forgotten')
  t.same(await server.call('ACL', 'LOG'), [])
})
