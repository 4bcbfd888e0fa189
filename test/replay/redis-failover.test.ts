// A primary is lost under load, or a part of the network is: whatever was accepted before is sent again to everyone, to those who
// accepted it, and to a process that starts afterwards and knows nothing but what Redis tells it.
import t from 'tap'
import type { RunningRedis } from '../support/redis.js'
import { startRedis } from '../support/redis.js'
import { eventually, infoOf, isPrimary, startSentinelSet } from '../support/redis-sets.js'
import { newUse, seconds } from './contract.js'
import { acceptedAgain, isWell, load, opener, SKEW } from './redis-load.js'
import { openWire } from './wire.js'

t.setTimeout(600_000)

for (const [how, end, mend] of [
  ['killed', (node: RunningRedis) => node.kill(), (node: RunningRedis) => node.start()],
  [
    'frozen, and thaws when another is primary',
    async (node: RunningRedis) => node.pause(),
    async (node: RunningRedis) => node.resume(),
  ],
] as const)
  t.test(`Sentinel: the primary is ${how} under load, and no accepted proof is accepted again`, async (t) => {
    const set = await startSentinelSet(2)
    t.teardown(() => set.stop())
    const [primary, ...replicas] = set.nodes
    const open = opener(t, { sentinels: set.sentinels.map(({ url }) => url), primary: 'holdfast', wait: 1 })
    const stores = [await open(), await open()]
    const running = load(stores)
    await running.more(100)
    await end(primary)
    await eventually('a replica takes over', async () => (await Promise.all(replicas.map(isPrimary))).includes(true))
    await mend(primary)
    const stranger = await open()
    for (const store of stores) await eventually('well again', isWell(store))
    await running.more(20)
    await eventually('the old primary is a replica', async () => !(await isPrimary(primary)))
    await running.stop()
    for (const store of [...stores, stranger, await open()]) t.equal(await acceptedAgain(store, running.accepted), 0)
    t.comment(`${running.accepted.length} accepted`)
  })

t.test('Sentinel: the replica that takes over lacks the last records, and only a process that is new asks it', async (t) => {
  const set = await startSentinelSet(2)
  t.teardown(() => set.stop())
  const [primary, near, far] = set.nodes
  const open = opener(t, { sentinels: set.sentinels.map(({ url }) => url), primary: 'holdfast', wait: 1 })
  const store = await open()
  const running = load([store])
  await running.more(20)
  far?.pause()
  // Frozen, it would find in its socket what it was sent meanwhile.
  await primary.call('CLIENT', 'KILL', 'TYPE', 'replica')
  await running.more(40)
  await running.stop()
  await store.close()
  // Both that have the records are lost before the third gets them.
  await Promise.all([primary.kill(), near?.kill()])
  far?.resume()
  await eventually('the third takes over', () => isPrimary(far as typeof primary))
  await primary.start()
  await eventually('it has a replica', async () => (await infoOf(far as typeof primary, 'connected_slaves')) === '1')
  const stranger = await open()
  const lost = await Promise.all(running.accepted.map(async ({ key }) => (await far?.call('EXISTS', `holdfast:${key}`)) === 0))
  t.ok(lost.filter(Boolean).length > 10, 'records were lost indeed')
  t.equal(await acceptedAgain(stranger, running.accepted), 0)
  t.equal(await stranger.firstUse(newUse({ datedAt: seconds() + 2 * SKEW })), 'first', 'newer ones pass')
})

t.test(
  'two primaries: records go on with one of two replicas, longer than a skew, while the other one is promoted',
  async (t) => {
    const [old, near, far] = [await startRedis(), await startRedis(), await startRedis()]
    t.teardown(() => Promise.all([old.stop(), near.stop(), far.stop()]))
    for (const replica of [near, far]) await replica.call('REPLICAOF', '127.0.0.1', String(old.port))
    await eventually('both follow', async () => (await infoOf(old, 'connected_slaves')) === '2')
    const wire = await openWire(old.port)
    t.teardown(() => wire.close())
    const clockSkew = 1
    const here = await opener(t, { url: old.url, wait: 1 })({ clockSkew })
    const there = await opener(t, { url: wire.url, wait: 1 })({ clockSkew })

    await far.call('REPLICAOF', 'NO', 'ONE')
    wire.to(far.port)
    wire.cut()
    await eventually('it is noticed there', async () => there.degraded() !== null)
    const running = load([here], clockSkew)
    const wellThere: unknown[] = []
    const healing = Date.now() + 4000
    await eventually('they are apart for longer than a skew', async () => {
      if (there.degraded() === null) wellThere.push(await there.firstUse(newUse({ datedAt: seconds() + 5 })))
      return Date.now() > healing && running.accepted.length > 30
    })
    t.same(wellThere, [], 'without a replica of its own the other primary records nothing')
    for (const node of [old, near]) await node.call('REPLICAOF', '127.0.0.1', String(far.port))
    await eventually('well there', isWell(there))
    await running.stop()
    t.equal(await acceptedAgain(there, running.accepted), 0)
    t.equal(await acceptedAgain(await opener(t, { url: far.url, wait: 1 })({ clockSkew }), running.accepted), 0)
    t.equal(await there.firstUse(newUse({ datedAt: seconds() + 4 })), 'first', 'newer ones pass')
  },
)

t.test('a gateway whose clock is ahead took proofs that are dated later: they are not accepted again either', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const open = opener(t, { url: redis.url })
  const log: string[] = []
  const hasty = await open({ clock: () => seconds() + 5 })
  const store = await open({ log: (line) => log.push(line) })
  await eventually('it is told', async () => log.some((line) => line.includes('clock of another gateway')))
  const use = newUse({ now: seconds() + 5, datedAt: seconds() + 5 + SKEW, until: seconds() + 75 })
  t.equal(await hasty.firstUse(use), 'first')
  await hasty.close()
  await redis.kill()
  await redis.start()
  await eventually('well again', isWell(store))
  t.equal(await acceptedAgain(store, [use]), 0)
  t.equal(await store.firstUse(newUse({ datedAt: seconds() + 5 + SKEW + 5 })), 'first', 'newer ones pass')
})
