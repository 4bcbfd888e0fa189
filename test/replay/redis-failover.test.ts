// A primary is lost under load, or a part of the network is: whatever was accepted before is sent again to everyone, to those who
// accepted it, and to a process that starts afterwards and knows nothing but what Redis tells it.
import t from 'tap'
import { eventually, infoOf, isPrimary, startSentinelSet } from '../support/redis-sets.js'
import { newUse, seconds } from './contract.js'
import { acceptedAgain, isWell, load, opener, SKEW } from './redis-load.js'

t.setTimeout(600_000)

t.test('Sentinel: the primary is killed under load, and no accepted proof is accepted again', async (t) => {
  const set = await startSentinelSet(2)
  t.teardown(() => set.stop())
  const [primary, ...replicas] = set.nodes
  const open = opener(t, { sentinels: set.sentinels.map(({ url }) => url), primary: 'holdfast', wait: 1 })
  const stores = [await open(), await open()]
  for (const store of stores) await eventually('well', isWell(store))
  const running = load(stores)
  await running.more(100)
  await primary.kill()
  await eventually('a replica takes over', async () => (await Promise.all(replicas.map(isPrimary))).includes(true))
  const stranger = await open()
  for (const store of [...stores, stranger]) await eventually('well again', isWell(store))
  await running.more(20)
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
  await eventually('well', isWell(store))
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
  await eventually('well', isWell(stranger))
  const lost = await Promise.all(running.accepted.map(async ({ key }) => (await far?.call('EXISTS', `holdfast:${key}`)) === 0))
  t.ok(lost.filter(Boolean).length > 10, 'records were lost indeed')
  t.equal(await acceptedAgain(stranger, running.accepted), 0)
  t.equal(await stranger.firstUse(newUse({ datedAt: seconds() + 2 * SKEW })), 'first', 'newer ones pass')
})
