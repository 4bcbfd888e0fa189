// The gateway beside a Redis that fails over and one that is slow: what clients get, and that no request is granted twice.
import t from 'tap'
import { openWire } from '../replay/wire.js'
import { makeDraft, printDraft } from '../support/draft.js'
import { type Fleet, HOST, makePlace, OPEN, serve, waitFor } from '../support/fleet.js'
import { eventually, isPrimary, startSentinelSet } from '../support/redis-sets.js'

t.setTimeout(600_000)

/** A new proof, dated `ahead` seconds from now. */
const pay = (ahead = 0): Buffer => {
  const draft = makeDraft({ host: HOST, path: '/pay' })
  if (draft.proof !== null) draft.proof.claims.iat = draft.now + ahead
  return printDraft(draft)
}

const readiness = async ({ admin }: Fleet) =>
  (await fetch(`http://127.0.0.1:${admin}/readyz`)).json() as Promise<{ degraded: string[] }>
const isWell = (fleet: Fleet) => async () => (await readiness(fleet)).degraded.length === 0

t.test('a primary under three Sentinels is killed under load: no request that was granted is granted again', async (t) => {
  const set = await startSentinelSet(2)
  t.teardown(() => set.stop())
  const place = await makePlace(t)
  const settings = { store: set.yaml, redis: 'timeout: 5s' }
  const fleets = [await serve(t, place, settings), await serve(t, place, settings)]
  for (const fleet of fleets) await eventually('well', isWell(fleet))
  const granted: Buffer[] = []
  const refused = new Map<string, number>()
  let isOver = false
  const load = (async () => {
    for (let turn = 0; !isOver; turn++) {
      // As far ahead as a clock may be: these are the last that a floor can catch.
      const request = pay((turn % 2) * 9)
      const reply = await (fleets[turn % 2] as Fleet).send(request)
      if (reply.status === 200) granted.push(request)
      else refused.set(reply.body, (refused.get(reply.body) ?? 0) + 1)
    }
  })()
  await eventually('some are granted', async () => granted.length >= 60)
  const [primary, ...replicas] = set.nodes
  await primary.kill()
  await eventually('a replica takes over', async () => (await Promise.all(replicas.map(isPrimary))).includes(true))
  const stranger = await serve(t, place, settings)
  const all = [...fleets, stranger]
  for (const fleet of all) await eventually('well again', isWell(fleet))
  const before = granted.length
  await eventually('granted again', async () => granted.length >= before + 20)
  isOver = true
  await load
  t.match([...refused.keys()].join(' '), 'replay_unavailable', 'in between it was closed')
  t.match(
    [...refused.keys()].filter((body) => !body.includes('replay_unavailable')),
    [],
    'and nothing else went wrong',
  )
  for (const fleet of all) {
    const statuses = new Map<number, number>()
    for (const request of granted) {
      const { status } = await fleet.send(request)
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
    }
    t.equal(statuses.get(200) ?? 0, 0, `of ${granted.length}: ${JSON.stringify([...statuses])}`)
  }
})

t.test('a Redis that is slow: refused within the time-out, then at once, and nothing is left of it afterwards', async (t) => {
  const place = await makePlace(t)
  const wire = await openWire(place.redis.port)
  t.teardown(() => wire.close())
  const fleet = await serve(t, place, { store: `url: '${wire.url}', timeout: 400ms` })
  await eventually('well', isWell(fleet))
  const ask = async () => {
    const start = performance.now()
    const { status } = await fleet.send(pay())
    return { status, ms: performance.now() - start }
  }
  wire.delay(100)
  t.equal((await ask()).status, 200, 'late, and in time')
  wire.delay(5000)
  await waitFor('refused', async () => (await ask()).status === 503)
  const sentBefore = wire.sent()
  const replies = await Promise.all(Array.from({ length: 40 }, ask))
  t.same([...new Set(replies.map(({ status }) => status))], [503])
  t.ok(wire.sent() - sentBefore < 20_000, `${wire.sent() - sentBefore} bytes sent: nobody asks`)
  t.equal((await fleet.send(OPEN)).status, 200, 'what needs no memory goes on')
  t.match((await readiness(fleet)).degraded, [/replay store/])
  wire.delay(0)
  await eventually('well again', isWell(fleet))
  await eventually('granted', async () => (await ask()).status === 200)
})

t.test(
  'a Redis that may evict: a warning at the start and in /readyz, closed until it is mended, and again when it comes back',
  async (t) => {
    const place = await makePlace(t)
    await place.redis.call('CONFIG', 'SET', 'maxmemory-policy', 'volatile-lru')
    const fleet = await serve(t, place)
    await fleet.until(/replay store: it may evict records \(volatile-lru\): set maxmemory-policy noeviction/)
    const warned = async () => (await readiness(fleet)).degraded.some((part) => part.includes('noeviction'))
    await eventually('in /readyz', warned)
    const reply = await fleet.send(pay())
    t.equal(reply.status, 503)
    t.match(reply.body, 'replay_unavailable')
    t.equal((await fleet.send(OPEN)).status, 200)
    await place.redis.call('CONFIG', 'SET', 'maxmemory-policy', 'noeviction')
    await eventually('granted', async () => (await fleet.send(pay())).status === 200)
    t.same((await readiness(fleet)).degraded, [])
    await place.redis.call('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-random')
    await eventually('in /readyz again', warned)
    t.equal((await fleet.send(pay())).status, 503)
  },
)
