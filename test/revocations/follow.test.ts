// The list of one process against a real Redis that loses, forgets, is edited by hand, and is long.
import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { type Changed, type Following, followRevocations } from '../../src/revocations/follow.js'
import type { RevocationStore } from '../../src/revocations/store.js'
import { settings } from '../replay/redis-settings.js'
import { waitFor } from '../support/fleet.js'
import { type RunningRedis, startRedis } from '../support/redis.js'
import { type Entry, entryName, ISSUER, revoke, termsOf, withList } from '../support/revocations.js'

const KEY = 'holdfast:{revocations}'

type Followed = { readonly following: Following; readonly told: (readonly Changed[] | null)[]; readonly log: string[] }

async function follow(t: Test, redis: RunningRedis): Promise<Followed> {
  const told: (readonly Changed[] | null)[] = []
  const log: string[] = []
  const following = followRevocations(settings(redis, { timeout: 10 }), {
    log: (line) => log.push(line),
    changed: (changes) => told.push(changes),
  })
  t.teardown(() => following.close())
  await following.start()
  return { following, told, log }
}

async function open(t: Test, ...entries: readonly Entry[]): Promise<Followed & { readonly redis: RunningRedis }> {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  await revoke(redis, ...entries)
  return { redis, ...(await follow(t, redis)) }
}

const has = ({ following }: Followed, value: string): boolean => following.list().termsOf('jkt', '', value)?.effect === 'refuse'

t.test('knows the list when it has started, and each change soon after', async (t) => {
  const followed = await open(t, ['jkt', 'one'])
  t.ok(has(followed, 'one'), 'from the start')
  t.same(followed.told, [null])
  await revoke(followed.redis, ['jkt', 'two', { reason: 'case 1' }], ['subject', 'user'])
  await waitFor('the change', () => followed.following.list().size === 3)
  t.match(followed.told.slice(1).flat(), [
    { kind: 'jkt', value: 'two', scope: '', terms: { reason: 'case 1' } },
    { kind: 'subject', value: 'user', scope: ISSUER },
  ])
  t.match(followed.following.counts(), { jkt: 2, subject: 1, client: 0 })
  await withList(followed.redis, (store) => store.unrevoke(entryName('jkt', 'one'), termsOf({ effect: 'none' })))
  await waitFor('the end of one', () => !has(followed, 'one'))
  t.match(followed.following.counts(), { jkt: 1 })
})

t.test('what has ended is taken out, here and there', async (t) => {
  const followed = await open(t, ['jkt', 'short', { until: Date.now() / 1000 + 1 }], ['jkt', 'long'])
  await waitFor('its end', () => followed.following.list().size === 1)
  t.ok(has(followed, 'long'))
  t.equal(await followed.redis.call('HLEN', `${KEY}:list`), 1)
  t.equal(await followed.redis.call('ZCARD', `${KEY}:ends`), 0)
})

t.test('an entry is never made weaker, but by unrevoke', async (t) => {
  const { redis } = await open(t)
  const now = Math.floor(Date.now() / 1000)
  const name = entryName('client', 'client-1')
  await withList(redis, async (store) => {
    t.match(await store.revoke(name, termsOf({ until: now + 100, issued_before: now })), { until: now + 100, issued_before: now })
    t.match(await store.revoke(name, termsOf({ until: now + 50, issued_before: now - 5 })), {
      until: now + 100,
      issued_before: now,
    })
    t.match(await store.revoke(name, termsOf({ until: now + 200, issued_before: null })), {
      until: now + 200,
      issued_before: null,
    })
    t.match(await store.revoke(name, termsOf({ issued_before: now })), { until: null, issued_before: null })
    t.equal(await store.unrevoke(name, termsOf({ effect: 'none' })), true)
    t.equal(await store.unrevoke(name, termsOf({ effect: 'none' })), false, 'it has no effect any more')
    const again = await store.revoke(name, termsOf({ until: now + 50, issued_before: now }))
    t.match(again, { until: now + 50, issued_before: now }, 'narrower, after it was taken back')
    t.ok(again.at > now - 60, 'dated by Redis')
  })
})

t.test('emptied: everyone goes on, and it is written back with who and why', async (t) => {
  const first = await open(
    t,
    ['jkt', 'one', { by: 'alice', reason: 'lost it', issued_before: 5 }],
    ['jkt', 'two'],
    ['client', 'client-1'],
  )
  const { redis } = first
  const second = await follow(t, redis)
  await withList(redis, (store) =>
    store.unrevoke(entryName('jkt', 'two'), termsOf({ effect: 'none', until: Date.now() / 1000 + 600 })),
  )
  await waitFor('both', () => !has(first, 'two') && !has(second, 'two'))
  await redis.call('FLUSHALL')
  await waitFor('what was lost', async () => (await redis.call('HLEN', `${KEY}:list`)) === 3)
  await waitFor('that both have read it', () => first.told.at(-1) === null && second.told.at(-1) === null)
  const third = await follow(t, redis)
  for (const followed of [first, second, third]) {
    t.match(followed.following.list().termsOf('jkt', '', 'one'), { by: 'alice', reason: 'lost it', issued_before: 5 })
    t.notOk(has(followed, 'two'), 'what was taken back is not brought back')
    t.equal(followed.following.list().size, 3)
  }
  t.match([...first.log, ...second.log].join('\n'), /they are written back/)
})

t.test('the last changes lost, as by a replica that took over: they are written back', async (t) => {
  const followed = await open(t, ['jkt', 'one'])
  const { redis } = followed
  const version = Number(await redis.call('HGET', `${KEY}:state`, 'version'))
  await revoke(redis, ['jkt', 'two'])
  await waitFor('the change', () => has(followed, 'two'))
  await redis.call(
    'EVAL',
    `redis.call('HDEL', KEYS[1], ARGV[1]) redis.call('HSET', KEYS[2], 'version', ARGV[2]) redis.call('DEL', KEYS[3])`,
    '3',
    `${KEY}:list`,
    `${KEY}:state`,
    `${KEY}:changes`,
    entryName('jkt', 'two'),
    String(version),
  )
  await waitFor('it is there again', async () => (await redis.call('HEXISTS', `${KEY}:list`, entryName('jkt', 'two'))) === 1)
  t.ok(has(followed, 'two'), 'and was enforced all the time')
  await redis.call('HDEL', `${KEY}:list`, entryName('jkt', 'one'))
  await waitFor('one that was deleted by hand', async () => (await redis.call('HLEN', `${KEY}:list`)) === 2)
  t.ok(has(followed, 'one'))
})

for (const made of [['new'], ['new', 'newer']]) {
  t.test(`the last change lost, and ${made.length} made in its place: none of them is missed`, async (t) => {
    const followed = await open(t, ['jkt', 'one'])
    const { redis } = followed
    const keys = ['list', 'changes', 'state'].map((name) => `{revocations}:${name}`)
    // What a replica has that takes over without the last change, and is told of others before anybody looks.
    for (const key of keys) await redis.call('COPY', `holdfast:${key}`, `replica:${key}`)
    const change = async (store: RevocationStore): Promise<void> => {
      for (const value of made) await store.revoke(entryName('jkt', value), termsOf())
    }
    await withList(redis, change, { key_prefix: 'replica:' })
    await revoke(redis, ['jkt', 'lost'])
    await waitFor('the change', () => has(followed, 'lost'))
    const take = `for i = 1, 3 do redis.call('RENAME', KEYS[i], KEYS[i + 3]) end`
    await redis.call('EVAL', take, '6', ...keys.map((key) => `replica:${key}`), ...keys.map((key) => `holdfast:${key}`))

    await waitFor('what is new', () => made.every((value) => has(followed, value)))
    await waitFor('what was lost', async () => (await redis.call('HEXISTS', `${KEY}:list`, entryName('jkt', 'lost'))) === 1)
    t.ok(has(followed, 'one') && has(followed, 'lost'))
    await revoke(redis, ['jkt', 'next'])
    await waitFor('the next', () => has(followed, 'next'))
    t.equal(followed.log.filter((line) => line.includes('written back')).length, 1)
  })
}

t.test('emptied, and more made in its place than there were: what was lost is written back', async (t) => {
  const followed = await open(t, ['jkt', 'one'])
  const { redis } = followed
  const made = ['new', 'newer', 'newest']
  const keys = ['list', 'changes', 'state'].map((name) => `{revocations}:${name}`)
  const begin = async (store: RevocationStore): Promise<void> => {
    for (const value of made) await store.revoke(entryName('jkt', value), termsOf())
  }
  await withList(redis, begin, { key_prefix: 'another:' })
  const take = `for i = 1, 3 do redis.call('RENAME', KEYS[i], KEYS[i + 3]) end`
  await redis.call('EVAL', take, '6', ...keys.map((key) => `another:${key}`), ...keys.map((key) => `holdfast:${key}`))
  await waitFor('what is new', () => made.every((value) => has(followed, value)))
  await waitFor('what was lost', async () => (await redis.call('HEXISTS', `${KEY}:list`, entryName('jkt', 'one'))) === 1)
  t.ok(has(followed, 'one'))
})

t.test('changes that it can’t be told one by one any more: it reads all again', async (t) => {
  const followed = await open(t, ['jkt', 'one'])
  const { redis } = followed
  await redis.call(
    'EVAL',
    `redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) redis.call('HINCRBY', KEYS[2], 'version', 20000)`,
    '2',
    `${KEY}:list`,
    `${KEY}:state`,
    entryName('jkt', 'unheard'),
    JSON.stringify(termsOf()),
  )
  await waitFor('what it has not heard of', () => has(followed, 'unheard'))
  t.ok(has(followed, 'one'))
  t.equal(followed.told.at(-1), null)
})

t.test('what can’t be read refuses', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  await redis.call(
    'HSET',
    `${KEY}:list`,
    entryName('jkt', 'one'),
    'no JSON',
    entryName('jkt', 'two'),
    '{"effect":"later","at":1}',
    ...['no name', '["jkt"]', '["jkt","a","b"]', '["subject","a"]', '["of a later version","a"]'].flatMap((name) => [name, '{}']),
  )
  const followed = await follow(t, redis)
  t.match(followed.following.list().termsOf('jkt', '', 'one'), { effect: 'refuse', issued_before: null, until: null })
  t.match(followed.following.list().termsOf('jkt', '', 'two'), { effect: 'refuse' }, 'an effect of a later version')
  t.equal(followed.following.list().size, 2)
})

t.test('a user of Redis that may not read the list: it is told, and a start does not wait for it', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  await redis.call('ACL', 'SETUSER', 'weak', 'on', '>secret', '~*', '+@all', '-hscan')
  const log: string[] = []
  const weak = { ...settings(redis, { timeout: 10 }), username: 'weak', password: 'secret' }
  const following = followRevocations(weak, { log: (line) => log.push(line), changed: () => undefined })
  t.teardown(() => following.close())
  await following.start()
  t.equal(following.age(), Infinity)
  t.match(following.degraded(), /^revocations: its ACL does not allow what is needed/)
  await redis.call('ACL', 'SETUSER', 'weak', '+hscan')
  await waitFor('the list', () => following.degraded() === null && following.age() < 10)
  t.match(log.at(-1), /followed/)
})

t.test('100,000 entries are read in slices, while changes are heard of', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const fill = `for i = 1, ARGV[1] do redis.call('HSET', KEYS[1], '["jkt","key-' .. i .. '"]', ARGV[2]) end redis.call('HSET', KEYS[2], 'epoch', 'one', 'version', ARGV[1])`
  await redis.call('EVAL', fill, '2', `${KEY}:list`, `${KEY}:state`, '100000', JSON.stringify(termsOf()))
  const starting = follow(t, redis)
  await turn()
  await revoke(redis, ['jkt', 'meanwhile'])
  const followed = await starting
  await waitFor('all', () => followed.following.list().size === 100_001)
  t.ok(has(followed, 'key-1') && has(followed, 'key-100000') && has(followed, 'meanwhile'))
  t.ok(followed.following.age() < 20)
})
