// The Redis store against a real Redis that is killed, frozen, filled, demoted and emptied (contract §9).
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { RedisSettings } from '../../src/config/config.js'
import { createRedisStore } from '../../src/replay/redis.js'
import type { ReplayStore } from '../../src/replay/store.js'
import { makeCa, makeCertificate, makeServer } from '../support/certs.js'
import { freePort, startRedis } from '../support/redis.js'
import { keepsItsPromises, newUse, seconds } from './contract.js'
import { recovery, settings, timed } from './redis-settings.js'
import { openWire } from './wire.js'

async function open(t: Test, changes: Partial<RedisSettings> = {}) {
  const redis = await startRedis()
  const log: string[] = []
  const openStore = async (): Promise<ReplayStore> => {
    const store = createRedisStore(settings(redis, changes), { clock: seconds, log: (line) => log.push(line) })
    t.teardown(() => store.close())
    await store.start()
    return store
  }
  t.teardown(() => redis.stop())
  return { redis, log, openStore, store: await openStore() }
}

t.test('the Redis store is a replay store', async (t) => {
  const { store } = await open(t)
  t.equal(store.degraded(), null)
  await keepsItsPromises(t, store)
})

t.test('two processes, 200 parallel copies of one proof: exactly one is the first', async (t) => {
  const { store, openStore } = await open(t)
  const other = await openStore()
  for (let round = 0; round < 5; round++) {
    const use = newUse()
    const answers = await Promise.all(Array.from({ length: 200 }, (_, i) => (i % 2 === 0 ? store : other).firstUse(use)))
    t.equal(answers.filter((answer) => answer === 'first').length, 1)
    t.equal(answers.filter((answer) => answer === 'used').length, 199)
  }
})

t.test(
  'two processes, and two who claim one proof, a hundred times each: all uses of exactly one of them are the first',
  async (t) => {
    const { store, openStore } = await open(t)
    const other = await openStore()
    for (let round = 0; round < 5; round++) {
      const { key, ...use } = newUse()
      const claims = [newUse().key, newUse().key]
      const uses = Array.from({ length: 200 }, (_, i) => ({
        ...use,
        key,
        claim: claims[i % 2] ?? '',
        by: (i >> 1) % 2 === 0 ? store : other,
      }))
      const answers = await Promise.all(
        uses.map(async ({ by, ...one }) => ({ claim: one.claim, answer: await by.firstUse(one) })),
      )
      const accepted = answers.filter(({ answer }) => answer === 'first')
      t.equal(accepted.length, 100)
      t.equal(new Set(accepted.map(({ claim }) => claim)).size, 1)
      t.ok(answers.every(({ answer }) => answer === 'first' || answer === 'used'))
    }
  },
)

t.test('records end by themselves, and are small', async (t) => {
  const { store, redis } = await open(t)
  const use = newUse({ until: seconds() + 30 })
  await store.firstUse(use)
  const key = `holdfast:${use.key}`
  const ttl = Number(await redis.call('PTTL', key))
  t.ok(ttl > 29_000 && ttl <= 34_000, `${ttl} ms`)
  t.ok(Number(await redis.call('MEMORY', 'USAGE', key)) <= 120)
})

t.test('killed: closed uses are unavailable at once, local ones pass once; then it recovers by itself', async (t) => {
  const { store, redis } = await open(t)
  await redis.kill()
  const { answers, ms } = await timed(Array.from({ length: 50 }, () => store.firstUse(newUse())))
  t.same([...answers], ['unavailable'])
  t.ok(ms < 200, `${ms} ms`)
  const use = newUse({ outage: 'local' })
  t.equal(await store.firstUse(use), 'first')
  t.equal(await store.firstUse(use), 'used')
  t.match(store.degraded(), /replay store/)
  await redis.start()
  t.ok((await recovery(store)) < 3000)
  await sleep(1)
  t.equal(await store.firstUse(newUse({ datedAt: seconds() + 11 })), 'first')
})

t.test('frozen: refused within 200 ms, then at once; nothing queues up; recovers when it thaws', async (t) => {
  const { store, redis } = await open(t)
  await store.firstUse(newUse())
  redis.pause()
  const first = await timed(Array.from({ length: 100 }, () => store.firstUse(newUse())))
  t.same([...first.answers], ['unavailable'])
  t.ok(first.ms < 200, `${first.ms} ms`)
  const second = await timed(Array.from({ length: 1000 }, () => store.firstUse(newUse())))
  t.same([...second.answers], ['unavailable'])
  t.ok(second.ms < 50, `${second.ms} ms, because nobody asks any more`)
  redis.resume()
  t.ok((await recovery(store)) < 3000)
  t.equal(await store.firstUse(newUse()), 'first', 'the same store with the same memory: no proof is lost')
})

t.test('full: refuses, says why, and goes on when there is room', async (t) => {
  const { store, redis } = await open(t)
  await redis.call('CONFIG', 'SET', 'maxmemory', '1')
  const { answers, ms } = await timed([store.firstUse(newUse())])
  t.same([...answers], ['unavailable'])
  t.ok(ms < 200)
  t.match(store.degraded(), /full/)
  await redis.call('CONFIG', 'SET', 'maxmemory', '0')
  t.ok((await recovery(store)) < 3000)
  t.equal(await store.firstUse(newUse()), 'first')
})

t.test('a stall of our own event loop is not taken for one of Redis', async (t) => {
  const { store } = await open(t)
  const uses = Array.from({ length: 5 }, () => store.firstUse(newUse()))
  await new Promise((resolve) => setImmediate(resolve))
  for (const end = performance.now() + 250; performance.now() < end; );
  t.same([...new Set(await Promise.all(uses))], ['first'])
  t.equal(store.degraded(), null)
})

t.test('a host that vanishes without a word: refused within 200 ms, and a new connection is made', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const wire = await openWire(redis.port)
  t.teardown(() => wire.close())
  const store = createRedisStore(settings({ ...redis, url: wire.url }), { clock: seconds, log: () => undefined })
  t.teardown(() => store.close())
  await store.start()
  t.equal(await store.firstUse(newUse()), 'first')
  wire.cut()
  const { answers, ms } = await timed([store.firstUse(newUse())])
  t.same([...answers], ['unavailable'])
  t.ok(ms < 200, `${ms} ms`)
  t.ok((await recovery(store)) < 4000)
  t.equal(await store.firstUse(newUse()), 'first', 'it is the same Redis, so nothing is forgotten')
})

t.test('an answer that is lost: unavailable, and a copy of the proof is never accepted', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const wire = await openWire(redis.port)
  t.teardown(() => wire.close())
  const store = createRedisStore(settings({ ...redis, url: wire.url }), { clock: seconds, log: () => undefined })
  t.teardown(() => store.close())
  await store.start()
  const use = newUse()
  wire.cutAnswers()
  t.equal(await store.firstUse(use), 'unavailable')
  await recovery(store)
  t.equal(await store.firstUse(use), 'used')
})

t.test('a replica cannot be written: unavailable', async (t) => {
  const { store, redis } = await open(t)
  await redis.call('REPLICAOF', '127.0.0.1', '1')
  await sleep(1500)
  t.equal(await store.firstUse(newUse()), 'unavailable')
  t.match(store.degraded(), /replica|does not|lost/)
})

t.test('a policy that evicts counts as away', async (t) => {
  const { store, redis } = await open(t)
  await redis.call('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru')
  await sleep(1300)
  t.equal(await store.firstUse(newUse()), 'unavailable')
  t.match(store.degraded(), /noeviction/)
  await redis.call('CONFIG', 'SET', 'maxmemory-policy', 'noeviction')
  await recovery(store)
  t.equal(await store.firstUse(newUse()), 'first')
})

t.test('restarted empty: a proof made before is never accepted after, by any process', async (t) => {
  const { store, redis, openStore, log } = await open(t)
  const before = newUse()
  const unused = newUse()
  t.equal(await store.firstUse(before), 'first')
  await redis.kill()
  await redis.start()
  await recovery(store)
  t.equal(await store.firstUse({ ...before, now: seconds() }), 'used', 'known to this process')
  t.equal(await store.firstUse({ ...unused, now: seconds() }), 'forgotten', 'nobody knows')
  const later = await openStore()
  t.equal(await later.firstUse({ ...before, now: seconds() }), 'forgotten', 'a process that starts later is told')
  const fresh = newUse({ datedAt: seconds() + 11 })
  t.equal(await store.firstUse(fresh), 'first', 'what is made after it is new to everyone')
  t.equal(await later.firstUse(fresh), 'used')
  t.ok(log.some((line) => line.includes('lost its memory')))
})

t.test('emptied while it runs: noticed with the very next proof', async (t) => {
  const { store, redis, openStore, log } = await open(t)
  const other = await openStore()
  const use = newUse()
  t.equal(await store.firstUse(use), 'first')
  await redis.call('FLUSHALL')
  const copies = await Promise.all(Array.from({ length: 20 }, () => other.firstUse(use)))
  t.notOk(copies.includes('first'), copies.join(' '))
  await Promise.all([recovery(store), recovery(other)])
  t.equal(await other.firstUse(newUse({ datedAt: seconds() - 3 })), 'forgotten')
  t.equal(await other.firstUse(newUse({ datedAt: seconds() + 12 })), 'first')
  t.ok(log.filter((line) => line.includes('lost its memory;')).length <= 2, log.join(' | '))
})

t.test('promoted: what the replica did not get is not accepted again, by any process', async (t) => {
  const { redis: primary, store: one, openStore } = await open(t)
  const replica = await startRedis()
  t.teardown(() => replica.stop())
  const wire = await openWire(primary.port)
  t.teardown(() => wire.close())
  const store = createRedisStore(settings({ ...primary, url: wire.url }), { clock: seconds, log: () => undefined })
  t.teardown(() => store.close())
  await store.start()
  await replica.call('REPLICAOF', '127.0.0.1', String(primary.port))
  for (let i = 0; i < 100 && !String(await replica.call('INFO')).includes('master_link_status:up'); i++) await sleep(50)
  await sleep(1200)
  await Promise.all([recovery(one), recovery(store)])
  await replica.call('REPLICAOF', 'NO', 'ONE')
  const lost = newUse({ datedAt: seconds() + 12 })
  t.equal(await one.firstUse(lost), 'first', 'recorded where the replica does not see it')
  wire.to(replica.port)
  wire.cut()
  await store.firstUse(newUse())
  await sleep(50)
  await recovery(store)
  t.equal(await store.firstUse({ ...lost, datedAt: seconds() }), 'forgotten')
  await (await openStore()).close()
})

t.test('a new deployment takes proofs that are as old as they may be', async (t) => {
  const { store, openStore } = await open(t)
  t.equal(await store.firstUse(newUse({ datedAt: seconds() - 50 })), 'first')
  const later = await openStore()
  t.equal(await later.firstUse(newUse({ datedAt: seconds() - 50 })), 'first')
})

t.test('a gateway that ran before and meets an empty store knows that its memory is lost', async (t) => {
  const { redis } = await open(t)
  await redis.kill()
  await redis.start()
  const store = createRedisStore(settings(redis), { clock: seconds, log: () => undefined, ranBefore: true })
  t.teardown(() => store.close())
  await store.start()
  t.equal(await store.firstUse(newUse({ datedAt: seconds() - 5 })), 'forgotten')
  t.equal(await store.firstUse(newUse({ datedAt: Math.floor(seconds()) })), 'first', 'requests pass from the first second on')
})

t.test('a process that starts right after a loss is told by those that knew the store before', async (t) => {
  const { store, redis, openStore } = await open(t)
  const before = newUse()
  t.equal(await store.firstUse(before), 'first')
  redis.pause()
  await redis.kill()
  await redis.start()
  const later = await openStore()
  await recovery(store)
  await sleep(1500)
  t.equal(await later.firstUse({ ...before, now: seconds() }), 'forgotten')
  const evenLater = await openStore()
  t.equal(await evenLater.firstUse({ ...before, now: seconds() }), 'forgotten')
})

t.test('evictions that nobody saw happen', async (t) => {
  const { store, redis } = await open(t)
  await redis.call('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru')
  await redis.call('CONFIG', 'SET', 'maxmemory', '1')
  await redis.call('CONFIG', 'SET', 'maxmemory', '0')
  await redis.call('CONFIG', 'SET', 'maxmemory-policy', 'noeviction')
  await redis.call('SET', 'other', '1')
  await sleep(1200)
  await recovery(store)
  t.equal(await store.firstUse(newUse()), 'forgotten')
})

t.test('local: when its own memory is full and Redis is away, a process does not know either', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const store = createRedisStore(settings(redis), { clock: seconds, log: () => undefined, maxEntries: 2 })
  t.teardown(() => store.close())
  await store.start()
  const uses = Array.from({ length: 3 }, () => newUse({ outage: 'local' }))
  for (const use of uses) t.equal(await store.firstUse(use), 'first')
  for (const use of uses) t.equal(await store.firstUse(use), 'used', 'Redis knows')
  await redis.kill()
  await store.firstUse(newUse())
  t.equal(await store.firstUse(newUse({ outage: 'local' })), 'unavailable')
})

t.test('with a password, and without the right one', async (t) => {
  const redis = await startRedis({ settings: ['--requirepass', 'correct horse'], password: 'correct horse' })
  t.teardown(() => redis.stop())
  const log: string[] = []
  const openWith = async (changes: Partial<RedisSettings>) => {
    const store = createRedisStore(settings(redis, changes), { clock: seconds, log: (line) => log.push(line) })
    t.teardown(() => store.close())
    await store.start()
    return store
  }
  t.equal(await (await openWith({ password: 'correct horse' })).firstUse(newUse()), 'first')
  const inUrl = redis.url.replace('//', '//default:correct%20horse@')
  t.equal(await (await openWith({ url: inUrl })).firstUse(newUse()), 'first')
  const store = await openWith({ password: 'battery staple' })
  t.equal(await store.firstUse(newUse()), 'unavailable')
  t.match(store.degraded(), /credentials/)
  t.notMatch(log.join('\n'), /correct|staple|127\.0\.0\.1/)
})

t.test('TLS: the certificate is verified, ours is shown', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-redis-tls-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const [redisCa, strangerCa] = await Promise.all([makeCa('Redis CA'), makeCa('Another CA')])
  const [ca, stranger] = [redisCa.cert, strangerCa.cert]
  const server = await makeServer(redisCa, ['localhost'])
  const { cert, key } = await makeCertificate({ ca: redisCa, ekus: ['client'] })
  const client = { cert, key }
  for (const [name, text] of Object.entries({ ca, cert: server.cert, key: server.key })) writeFileSync(join(folder, name), text)
  const port = await freePort()
  const files = [
    '--tls-ca-cert-file',
    join(folder, 'ca'),
    '--tls-cert-file',
    join(folder, 'cert'),
    '--tls-key-file',
    join(folder, 'key'),
  ]
  const redis = await startRedis({ settings: ['--tls-port', String(port), ...files] })
  t.teardown(() => redis.stop())
  const url = `rediss://localhost:${port}`
  const openWith = async (tls: RedisSettings['tls']) => {
    const store = createRedisStore(settings(redis, { url, tls }), { clock: seconds, log: () => undefined })
    t.teardown(() => store.close())
    await store.start()
    return store
  }
  t.equal(await (await openWith({ ca, ...client })).firstUse(newUse()), 'first')
  t.equal(await (await openWith({ ca: stranger, ...client })).firstUse(newUse()), 'unavailable')
  t.equal(await (await openWith({ ca, cert: null, key: null })).firstUse(newUse()), 'unavailable')
  t.equal(await (await openWith(null)).firstUse(newUse()), 'unavailable')
})

t.test('wait: a record counts when so many replicas have it', async (t) => {
  const { store, redis } = await open(t, { wait: 1 })
  t.equal(await store.firstUse(newUse()), 'unavailable')
  t.match(store.degraded(), /too few replicas/)
  const replica = await startRedis()
  t.teardown(() => replica.stop())
  await replica.call('REPLICAOF', '127.0.0.1', String(redis.port))
  t.ok((await recovery(store)) < 10_000)
  const use = newUse({ datedAt: seconds() + 12 })
  t.equal(await store.firstUse(use), 'first')
  t.equal(await replica.call('EXISTS', `holdfast:${use.key}`), 1)
  const many = await timed(Array.from({ length: 200 }, () => store.firstUse(newUse({ datedAt: seconds() + 12 }))))
  t.same([...many.answers], ['first'])
  t.ok(many.ms < 200, `${many.ms} ms`)
  replica.pause()
  const { answers, ms } = await timed([store.firstUse(newUse({ datedAt: seconds() + 12 }))])
  t.same([...answers], ['unavailable'])
  t.ok(ms < 200, `${ms} ms`)
  const again = await timed([store.firstUse(newUse({ datedAt: seconds() + 12 }))])
  t.ok(again.ms < 20, `${again.ms} ms, because nobody asks any more`)
  replica.resume()
  await recovery(store)
})

t.test('says each change of state once, and no address', async (t) => {
  const { store, redis, log } = await open(t)
  redis.pause()
  await Promise.all(Array.from({ length: 20 }, () => store.firstUse(newUse())))
  await sleep(300)
  redis.resume()
  await recovery(store)
  t.equal(log.filter((line) => line.includes('in time')).length, 1, log.join(' | '))
  t.notMatch(log.join('\n'), /127\.0\.0\.1|redis:/)
})

t.test('not there at start: starts all the same, and takes proofs when it comes', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  await redis.kill()
  const store = createRedisStore(settings(redis), { clock: seconds, log: () => undefined })
  t.teardown(() => store.close())
  const start = performance.now()
  await store.start()
  t.ok(performance.now() - start < 1500)
  t.equal(await store.firstUse(newUse()), 'unavailable')
  await redis.start()
  await recovery(store)
  t.equal(await store.firstUse(newUse()), 'first')
})
