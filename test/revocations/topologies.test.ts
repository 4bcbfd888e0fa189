// The list with a Cluster and with Sentinel, both real: it is on one node, and a replica that takes over may lack the last changes.
import t, { type Test } from 'tap'
import type { RedisSettings } from '../../src/config/config.js'
import { type Following, followRevocations } from '../../src/revocations/follow.js'
import { settings } from '../replay/redis-settings.js'
import { waitFor } from '../support/fleet.js'
import type { RunningRedis } from '../support/redis.js'
import { isPrimary, startRedisCluster, startSentinelSet } from '../support/redis-sets.js'
import { entryName, termsOf, withList } from '../support/revocations.js'

async function follow(t: Test, redis: RunningRedis, changes: Partial<RedisSettings>): Promise<Following> {
  const following = followRevocations(settings(redis, { timeout: 10, ...changes }), {
    log: () => undefined,
    changed: () => undefined,
  })
  t.teardown(() => following.close())
  await following.start()
  return following
}

const has = (following: Following, value: string): boolean => following.list().termsOf('jkt', '', value)?.effect === 'refuse'

t.test('Cluster: all keys of the list are on one node, and it is followed there', async (t) => {
  const cluster = await startRedisCluster()
  t.teardown(() => cluster.stop())
  const [node] = cluster.nodes
  if (node === undefined) throw new Error('it has nodes')
  const changes = { url: null, cluster: cluster.nodes.map(({ url }) => url) }
  const following = await follow(t, node, changes)
  await withList(
    node,
    async (store) => {
      for (const value of ['one', 'two']) await store.revoke(entryName('jkt', value), termsOf())
      await store.revokeOnce('event-1', entryName('jkt', 'three'), termsOf())
      await store.revokeOnce('event-1', entryName('jkt', 'four'), termsOf())
    },
    changes,
  )
  await waitFor('the changes', () => has(following, 'one') && has(following, 'two') && has(following, 'three'))
  t.notOk(has(following, 'four'), 'heard before')
  t.ok(has(await follow(t, node, changes), 'one'), 'also by one that starts later')
})

t.test('Sentinel: a replica takes over that was frozen while something was revoked: nothing is forgotten', async (t) => {
  const set = await startSentinelSet(1)
  t.teardown(() => set.stop())
  const [primary, replica] = set.nodes
  if (replica === undefined) throw new Error('it has a replica')
  const changes = { url: null, sentinels: set.sentinels.map(({ url }) => url), primary: 'holdfast' }
  const following = await follow(t, primary, changes)
  await withList(primary, (store) => store.revoke(entryName('jkt', 'before'), termsOf()))
  await waitFor('the first', () => has(following, 'before'))
  replica.pause()
  await withList(primary, (store) => store.revoke(entryName('jkt', 'last'), termsOf()))
  await waitFor('the last', () => has(following, 'last'))
  await primary.kill()
  replica.resume()
  await waitFor('the failover', () => isPrimary(replica))
  await waitFor('that it is followed', () => following.degraded() === null && following.age() < 1)
  await waitFor('both there', async () => (await replica.call('HLEN', 'holdfast:{revocations}:list')) === 2)
  t.ok(has(following, 'before') && has(following, 'last'))
  t.ok(has(await follow(t, primary, changes), 'last'), 'also for one that starts later')
})
