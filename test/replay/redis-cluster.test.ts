// A Redis Cluster that loses a primary, has slots moved, and has one node of several emptied.
import t from 'tap'
import type { RunningRedis } from '../support/redis.js'
import { eventually, isPrimary, startRedisCluster } from '../support/redis-sets.js'
import { newUse, seconds } from './contract.js'
import { acceptedAgain, isWell, load, opener, SKEW } from './redis-load.js'

const urlsOf = (nodes: readonly RunningRedis[]) => nodes.map(({ url }) => url)

t.setTimeout(600_000)

t.test('Cluster: a primary is killed under load, and no accepted proof is accepted again', async (t) => {
  const cluster = await startRedisCluster(1)
  t.teardown(() => cluster.stop())
  const open = opener(t, { cluster: urlsOf(cluster.nodes), wait: 1 })
  const stores = [await open(), await open()]
  const running = load(stores)
  await running.more(100)
  const [killed, successor] = [cluster.primaries[0] as RunningRedis, cluster.replicas[0] as RunningRedis]
  await killed.kill()
  await eventually('its replica takes over', () => isPrimary(successor))
  // As a replica of its successor: until then no record of theirs is on two nodes.
  await killed.start()
  const stranger = await open()
  for (const store of stores) await eventually('well again', isWell(store))
  await running.more(20)
  await running.stop()
  for (const store of [...stores, stranger, await open()]) t.equal(await acceptedAgain(store, running.accepted), 0)
  t.comment(`${running.accepted.length} accepted`)
})

t.test('Cluster: a replica takes over by force, without the last records', async (t) => {
  const cluster = await startRedisCluster(1)
  t.teardown(() => cluster.stop())
  const open = opener(t, { cluster: urlsOf(cluster.nodes), wait: 0 })
  const stores = [await open(), await open()]
  const [primary, replica] = [cluster.primaries[0] as RunningRedis, cluster.replicas[0] as RunningRedis]
  replica.pause()
  await primary.call('CLIENT', 'KILL', 'TYPE', 'replica')
  const running = load(stores)
  await running.more(100)
  await running.stop()
  await primary.kill()
  replica.resume()
  await eventually('it takes over', async () => {
    await replica.call('CLUSTER', 'FAILOVER', 'TAKEOVER')
    return isPrimary(replica)
  })
  const stranger = await open()
  for (const store of [...stores, stranger]) {
    await eventually('well again', isWell(store))
    t.equal(await acceptedAgain(store, running.accepted), 0)
  }
})

t.test('Cluster: any one of its nodes restarts empty, and a process that is new is the first to ask', async (t) => {
  const cluster = await startRedisCluster()
  t.teardown(() => cluster.stop())
  const open = opener(t, { cluster: urlsOf(cluster.nodes), wait: 0 })
  for (const node of cluster.nodes) {
    const store = await open()
    const uses = Array.from({ length: 60 }, () => newUse({ datedAt: seconds() + SKEW, until: seconds() + 70 }))
    const firsts = []
    for (const use of uses) {
      // Proofs of now are refused for a while, after the loss of the turn before.
      await eventually('accepted', async () => (await store.firstUse({ ...use, datedAt: seconds() + 2 * SKEW })) === 'first')
      firsts.push(use)
    }
    await store.close()
    await node.kill()
    await node.start()
    const stranger = await open()
    t.equal(await acceptedAgain(stranger, firsts), 0)
    await stranger.close()
  }
})

t.test('Cluster: any one of its nodes is flushed', async (t) => {
  const cluster = await startRedisCluster()
  t.teardown(() => cluster.stop())
  for (const [i, node] of cluster.nodes.entries()) {
    const open = opener(t, { cluster: urlsOf(cluster.nodes), wait: 0, key_prefix: `turn-${i}:` })
    const store = await open()
    const log: string[] = []
    const other = await open({ log: (line) => log.push(line) })
    const late = () => newUse({ datedAt: seconds() + 3 * SKEW, until: seconds() + 70 })
    const uses = Array.from({ length: 60 }, late)
    for (const use of uses) t.equal(await store.firstUse(use), 'first')
    await node.call('FLUSHALL')
    await eventually('noticed', async () => log.some((line) => line.includes('lost its memory')))
    const again = uses.map((use) => ({ ...use, datedAt: seconds() }))
    t.equal(await acceptedAgain(other, again), 0)
    await Promise.all([store.close(), other.close()])
  }
})

t.test('Cluster: slots move from node to node, with their records, and nothing is accepted twice', async (t) => {
  const cluster = await startRedisCluster()
  t.teardown(() => cluster.stop())
  const open = opener(t, { cluster: urlsOf(cluster.nodes), wait: 0 })
  const log: string[] = []
  const stores = [await open({ log: (line) => log.push(line) }), await open()]
  const running = load(stores)
  await running.more(60)
  const [from, to] = [cluster.nodes[0] as RunningRedis, cluster.nodes[1] as RunningRedis]
  const ids = await Promise.all([from, to].map(async (node) => String(await node.call('CLUSTER', 'MYID'))))
  for (let slot = 0; slot < 200; slot++) {
    await to.call('CLUSTER', 'SETSLOT', String(slot), 'IMPORTING', String(ids[0]))
    await from.call('CLUSTER', 'SETSLOT', String(slot), 'MIGRATING', String(ids[1]))
    const keys = (await from.call('CLUSTER', 'GETKEYSINSLOT', String(slot), '1000')) as string[]
    if (keys.length > 0) await from.call('MIGRATE', '127.0.0.1', String(to.port), '', '0', '5000', 'KEYS', ...keys)
    for (const node of [to, from]) await node.call('CLUSTER', 'SETSLOT', String(slot), 'NODE', String(ids[1]))
  }
  await running.more(60)
  await running.stop()
  for (const store of [...stores, await open()]) t.equal(await acceptedAgain(store, running.accepted), 0)
  t.equal(log.filter((line) => line === 'replay store: well').length, 1, `nothing of it was an outage: ${log.join(' | ')}`)
  t.equal(log.at(-1), 'replay store: well')
})
