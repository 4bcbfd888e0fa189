// The Redis store with Sentinel and with a Cluster, both real.
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { createRedisStore } from '../../src/replay/redis.js'
import { type RunningRedis, startRedis, startSentinel } from '../support/redis.js'
import { newUse, seconds } from './contract.js'
import { recovery, settings, timed } from './redis-settings.js'

t.test('Sentinel: the primary it names, and the next one after a failover', async (t) => {
  const [primary, replica] = [await startRedis(), await startRedis()]
  t.teardown(() => Promise.all([primary.stop(), replica.stop()]))
  await replica.call('REPLICAOF', '127.0.0.1', String(primary.port))
  const sentinel = await startSentinel(primary.port)
  t.teardown(() => sentinel.stop())
  const log: string[] = []
  const changes = { url: null, sentinels: [sentinel.url], primary: 'holdfast', wait: 1 }
  const store = createRedisStore(settings(primary, changes), { clock: seconds, log: (line) => log.push(line) })
  t.teardown(() => store.close())
  await store.start()
  await recovery(store)
  const use = newUse({ datedAt: seconds() + 12 })
  t.equal(await store.firstUse(use), 'first')
  t.equal(await primary.call('EXISTS', `holdfast:${use.key}`), 1)
  await primary.kill()
  const { answers, ms } = await timed([store.firstUse(newUse())])
  t.same([...answers], ['unavailable'])
  t.ok(ms < 200)
  // The new primary has no replica until the old one is back.
  for (let i = 0; i < 200 && !String(await replica.call('INFO', 'replication')).includes('role:master'); i++) await sleep(50)
  await primary.start()
  await recovery(store, 30_000)
  t.equal(await store.firstUse({ ...use, now: seconds() }), 'used')
  t.equal(await store.firstUse(newUse()), 'forgotten')
  t.equal(await store.firstUse(newUse({ datedAt: seconds() + 12 })), 'first')
})

t.test('Cluster: each record on its own node', async (t) => {
  const nodes = await Promise.all(Array.from({ length: 3 }, () => startRedis({ settings: ['--cluster-enabled', 'yes'] })))
  t.teardown(() => Promise.all(nodes.map((node) => node.stop())))
  await Promise.all(
    nodes.map((node, i) => node.call('CLUSTER', 'ADDSLOTSRANGE', String(i * 5462), String(Math.min(i * 5462 + 5461, 16383)))),
  )
  const [first, ...others] = nodes
  for (const { port } of others) await first?.call('CLUSTER', 'MEET', '127.0.0.1', String(port))
  for (let i = 0; i < 200; i++) {
    const states = await Promise.all(nodes.map((node) => node.call('CLUSTER', 'INFO')))
    if (states.every((state) => String(state).includes('cluster_state:ok'))) break
    await sleep(50)
  }
  const log: string[] = []
  const changes = { url: null, cluster: nodes.slice(0, 2).map(({ url }) => url) }
  const store = createRedisStore(settings(nodes[0] as RunningRedis, changes), { clock: seconds, log: (line) => log.push(line) })
  t.teardown(() => store.close())
  await store.start()
  await recovery(store)
  const uses = Array.from({ length: 60 }, () => newUse())
  t.same([...new Set(await Promise.all(uses.map((use) => store.firstUse(use))))], ['first'])
  const other = createRedisStore(settings(nodes[0] as RunningRedis, changes), { clock: seconds, log: () => undefined })
  t.teardown(() => other.close())
  await other.start()
  await recovery(other)
  t.same([...new Set(await Promise.all(uses.map((use) => other.firstUse(use))))], ['used'])
  for (const node of nodes) t.ok(Number(await node.call('DBSIZE')) > 5)
  await nodes[2]?.kill()
  const { answers, ms } = await timed(Array.from({ length: 60 }, () => store.firstUse(newUse())))
  t.ok(answers.has('unavailable'))
  t.ok(ms < 200, `${ms} ms`)
})
