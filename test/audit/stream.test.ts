// Lines in a real Redis: in order, once each, also where its answer is lost, and what is done to them there is found.
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { type AuditLogOptions, openAuditLog } from '../../src/audit/log.js'
import { audit } from '../../src/cli/audit.js'
import type { RedisSettings } from '../../src/config/config.js'
import { auditKeys, SIGNED } from '../support/audit.js'
import { makeCertificates } from '../support/certificates.js'
import { waitFor } from '../support/fleet.js'
import { freePort, type RedisOptions, type RunningRedis, startRedis } from '../support/redis.js'

t.setTimeout(300_000)

const STREAM = 'holdfast:audit:gateway-1:0'

const settingsOf = (url: string, more: Partial<RedisSettings> = {}): RedisSettings => ({
  url,
  sentinels: [],
  primary: null,
  cluster: [],
  // Longer than the machine may stand still; where it is about a Redis that hangs, shorter.
  timeout: 10,
  username: null,
  password: null,
  key_prefix: 'holdfast:',
  tls: null,
  wait: 0,
  ...more,
})

async function startRedisFor(t: Test, options: RedisOptions = {}): Promise<RunningRedis> {
  const redis = await startRedis(options)
  t.teardown(() => redis.stop())
  return redis
}

type More = Partial<AuditLogOptions> & { readonly redis?: Partial<RedisSettings>; readonly events?: number }

async function openLog(t: Test, url: string, { redis = {}, events = 1_000_000, ...more }: More = {}) {
  const logged: string[] = []
  const log = await openAuditLog({
    ...SIGNED,
    file: null,
    stream: { redis: settingsOf(url, redis), events },
    log: (message) => logged.push(message),
    ...more,
  })
  t.teardown(() => log.close())
  return { log, logged }
}

const event = (request_id: string, more: object = {}) => ({ event_type: 'authorization_decision', request_id, ...more })

type Entry = readonly [id: string, fields: readonly [string, string]]
const entriesIn = async (redis: RunningRedis, stream = STREAM): Promise<readonly Entry[]> =>
  (await redis.call('XRANGE', stream, '-', '+')) as Entry[]
const idsIn = async (redis: RunningRedis): Promise<unknown[]> =>
  (await entriesIn(redis))
    .map(([, [, line]]) => JSON.parse(line))
    .filter(({ event_type }) => event_type !== 'checkpoint')
    .map(({ request_id }) => request_id)

const { files: certificates } = await makeCertificates('localhost')

/** Runs `holdfast audit` on the streams, by a routes.yaml that names them. */
async function runAudit(t: Test, { url }: { readonly url: string }, ...args: (string | { readonly more: string })[]) {
  const [more = ''] = args.flatMap((arg) => (typeof arg === 'string' ? [] : [arg.more]))
  const folder = t.testdir({
    ...certificates,
    'keys.jwks': JSON.stringify(auditKeys.jwks),
    'routes.yaml': `version: 1
listen: { host: 127.0.0.1, port: 8443, tls: { key: server.key, cert: server.crt } }
public_origins: [https://localhost:8443]
assertion: { key: assertion.key }
audit: { stream: { redis: { url: "${url}", timeout: 10s${more} } } }
upstreams: { u: { url: http://127.0.0.1:9 } }
routes:
  - { path: /a, methods: [GET], tier: public, upstream: u }
`,
  })
  const out: string[] = []
  const err: string[] = []
  const io = { out: (line: string) => out.push(line), err: (line: string) => err.push(line), env: {}, cwd: folder }
  const code = await audit.run([...args.filter((arg) => typeof arg === 'string'), '--stream', '--jwks', 'keys.jwks'], io)
  return { code, out, err }
}

t.test('writes an entry a line; the next process goes on, and all of it is whole', async (t) => {
  const redis = await startRedisFor(t)
  const first = await openLog(t, redis.url)
  for (let id = 1; id <= 300; id++)
    first.log.write(event(`r${id}`, { subject: id === 7 ? 'ann' : 'bob', path: '/\ud800é\u2028' }))
  t.ok(await first.log.writeDurable(event('durable')))
  t.equal((await idsIn(redis)).length, 301, 'there when it was said to be')
  t.match(first.logged, [/writes nothing to a disk/])
  await first.log.close()
  const second = await openLog(t, redis.url, { instance: 'i-2' })
  t.ok(await second.log.writeDurable(event('again')))
  const other = await openLog(t, redis.url, { host: 'gateway-2', worker: 1 })
  t.ok(await other.log.writeDurable(event('there')))
  await second.log.close()
  await other.log.close()
  t.same((await idsIn(redis)).slice(-2), ['durable', 'again'])

  const { code, out, err } = await runAudit(t, redis, 'verify')
  t.same(err, [])
  t.equal(code, 0)
  t.match(out.join('\n'), /gateway-1:0: 302 events, 4 checkpoints.*\n.*gateway-2:1: 1 events, 2 checkpoints.*\nwhole/)
  const found = await runAudit(t, redis, 'export', '--subject', 'ann')
  t.match(
    found.out.map((line) => JSON.parse(line)),
    [{ request_id: 'r7' }],
  )
})

t.test('an answer that is lost: durable is refused at once, and each line is there once', async (t) => {
  const redis = await startRedisFor(t)
  const { log } = await openLog(t, redis.url, { redis: { timeout: 0.3 } })
  await waitFor('the first line', () => log.writeDurable(event('first')))
  redis.pause()
  // Lines that nobody waits for are not lost: they are sent while Redis is frozen, and again, and again.
  for (let id = 0; id < 50; id++) log.write(event(`w${id}`))
  const started = performance.now()
  t.equal(await log.writeDurable(event('frozen')), false)
  t.ok(performance.now() - started < 1900, 'a second is for a machine that has time')
  t.match(log.degraded(), /^audit log: Redis: it does not answer/)
  const again = performance.now()
  t.equal(await log.writeDurable(event('later')), false)
  t.ok(performance.now() - again < 200)
  await sleep(1500)
  redis.resume()
  await waitFor('it recovers by itself', () => log.degraded() === null)
  await waitFor('a durable line', () => log.writeDurable(event('last')))
  await log.close()
  const ids = await idsIn(redis)
  for (let id = 0; id < 50; id++) t.equal(ids.filter((one) => one === `w${id}`).length, 1)
  t.notOk(ids.includes('later'), 'what was refused before it was sent is not there')
  const { code, err } = await runAudit(t, redis, 'verify')
  t.same(err, [])
  t.equal(code, 0)
})

t.test(
  'connections that are cut under load: what was said to be there is there, once and in order',
  { timeout: 120_000 },
  async (t) => {
    const redis = await startRedisFor(t)
    const { log } = await openLog(t, redis.url)
    const promised: string[] = []
    let isOver = false
    let id = 0
    const writer = async (): Promise<void> => {
      while (!isOver) {
        const name = `r${++id}`
        if (await log.writeDurable(event(name))) promised.push(name)
        else await sleep(5)
      }
    }
    const writers = Array.from({ length: 8 }, writer)
    for (let cut = 1; cut <= 20; cut++) {
      const before = promised.length
      await waitFor('lines are written', () => promised.length > before + 20)
      await sleep(Math.random() * 20)
      await redis.call('CLIENT', 'KILL', 'TYPE', 'normal')
    }
    isOver = true
    await Promise.all(writers)
    await log.close()
    const ids = await idsIn(redis)
    t.equal(new Set(ids).size, ids.length, 'no line twice')
    const there = new Set(ids)
    t.same(
      promised.filter((one) => !there.has(one)),
      [],
    )
    const { code, err } = await runAudit(t, redis, 'verify')
    t.same(err, [])
    t.equal(code, 0)
  },
)

t.test('ends in good time when Redis does not answer, and says what is lost', async (t) => {
  const redis = await startRedisFor(t)
  const { log, logged } = await openLog(t, redis.url, { redis: { timeout: 1 } })
  await waitFor('the first line', () => log.writeDurable(event('first')))
  redis.pause()
  log.write(event('second'))
  const started = performance.now()
  await log.close()
  t.ok(performance.now() - started < 15_000, '5 s are waited')
  t.match(logged.join('\n'), /closed with [12] lines unwritten: Redis/)
  redis.resume()
})

t.test('a Redis that is away at the start, full, or without replicas', { timeout: 120_000 }, async (t) => {
  const redis = await startRedisFor(t)
  await redis.kill()
  const { log } = await openLog(t, redis.url, { redis: { wait: 1, timeout: 2 } })
  t.equal(await log.writeDurable(event('away')), false)
  await redis.start()
  await waitFor('it says that there is no replica', () => /too few replicas/.test(log.degraded() ?? ''))
  t.equal(await log.writeDurable(event('alone')), false)
  const replica = await startRedisFor(t, { settings: ['--replicaof', '127.0.0.1', String(redis.port)] })
  await waitFor('the replica has them', () => log.writeDurable(event('two')))
  t.equal(log.degraded(), null)
  t.ok((await idsIn(replica)).includes('two'), 'when it is said to be there, the replica has it')
  await redis.call('CONFIG', 'SET', 'maxmemory', '1')
  t.equal(await log.writeDurable(event('full')), false)
  t.match(log.degraded(), /it is full/)
  await redis.call('CONFIG', 'SET', 'maxmemory', '0')
  await waitFor('there is room', () => log.writeDurable(event('room')))
  await log.close()
  const { code, err } = await runAudit(t, redis, 'verify')
  t.same(err, [])
  t.equal(code, 0)
})

t.test(
  'a replica that hangs has not got it, also when it is asked for on another connection',
  { timeout: 120_000 },
  async (t) => {
    const redis = await startRedisFor(t)
    const replica = await startRedisFor(t, { settings: ['--replicaof', '127.0.0.1', String(redis.port)] })
    const { log } = await openLog(t, redis.url, { redis: { wait: 1, timeout: 1 } })
    await waitFor('the replica has the first', () => log.writeDurable(event('first')))
    replica.pause()
    t.equal(await log.writeDurable(event('second')), false)
    // Entries are there already, so nothing is written on the new connections: WAIT must not count from nothing.
    for (let cut = 0; cut < 4; cut++) {
      await redis.call('CLIENT', 'KILL', 'TYPE', 'normal')
      await sleep(500)
      t.ok(log.degraded())
      t.equal(await log.writeDurable(event(`cut ${cut}`)), false)
    }
    replica.resume()
    await waitFor('the replica has the last', () => log.writeDurable(event('last')))
    t.ok((await idsIn(replica)).includes('last'))
  },
)

t.test('what is done to a stream is found', async (t) => {
  const redis = await startRedisFor(t)
  const write = async (ids: readonly string[], more: More = {}): Promise<readonly string[]> => {
    const { log, logged } = await openLog(t, redis.url, more)
    for (const id of ids) await waitFor(id, () => log.writeDurable(event(id)))
    await log.close()
    return logged
  }
  await write(['a', 'b', 'c'])
  const entries = await entriesIn(redis)
  t.equal(entries.length, 5)

  t.test('an entry is taken out', async (t) => {
    await redis.call('XDEL', STREAM, entries[2]?.[0] ?? '')
    const { code, err } = await runAudit(t, redis, 'verify')
    t.equal(code, 1)
    t.match(err, [/^holdfast:audit:gateway-1:0:3: .*events 2 to 2 \(seq\) are missing/])
  })
  t.test('an entry is put in while the gateway runs: it says so, and goes on', async (t) => {
    await redis.call('DEL', STREAM)
    const { log, logged } = await openLog(t, redis.url)
    await log.writeDurable(event('a'))
    await redis.call('XADD', STREAM, '*', 'line', '{"prev":null,"event_type":"authorization_decision"}')
    await waitFor('it goes on', () => log.writeDurable(event('b')))
    await log.close()
    t.match(logged.join('\n'), /others write to it/)
    const { code, err } = await runAudit(t, redis, 'verify')
    t.equal(code, 1)
    t.match(err[0], /:3: does not go on from the line before it/)
  })
  t.test('the stream is emptied while the gateway runs', async (t) => {
    const { log, logged } = await openLog(t, redis.url)
    await log.writeDurable(event('a'))
    await redis.call('DEL', STREAM)
    await waitFor('it goes on', () => log.writeDurable(event('b')))
    await log.close()
    t.match(logged.join('\n'), /was emptied/)
    const { code, out } = await runAudit(t, redis, 'verify')
    t.equal(code, 0)
    t.match(out[0], /:1: note: is the oldest there is: nothing is said of what was before/)
  })
})

t.test('users who may do only what docs/evidence.md says', async (t) => {
  const redis = await startRedisFor(t)
  const page = readFileSync('docs/evidence.md', 'utf8')
  const [writes = '', reads = ''] = [...page.matchAll(/`(\+@connection [^`]+)`/g)].map(([, rules]) => rules)
  t.match(writes, /xadd/)
  t.match(reads, /xrange/)
  await redis.call('ACL', 'SETUSER', 'gateway', 'on', '>of-the-gateway', ...writes.split(' '))
  await redis.call('ACL', 'SETUSER', 'auditor', 'on', '>of-the-auditor', ...reads.split(' '))
  const { log, logged } = await openLog(t, redis.url, { redis: { username: 'gateway', password: 'of-the-gateway' } })
  t.ok(await log.writeDurable(event('a')))
  await log.close()
  t.match(logged, [/writes nothing to a disk/], 'INFO is answered too')
  const { code } = await runAudit(t, redis, { more: ', username: auditor, password: of-the-auditor' }, 'verify')
  t.equal(code, 0)
  const { log: unfit } = await openLog(t, redis.url, { redis: { username: 'auditor', password: 'of-the-auditor' } })
  t.equal(await unfit.writeDurable(event('b')), false)
  await waitFor('it says why', () => /its ACL does not allow what is needed/.test(unfit.degraded() ?? ''))
})

t.test('keeps about so many entries', async (t) => {
  const redis = await startRedisFor(t)
  const { log } = await openLog(t, redis.url, { events: 1000 })
  for (let id = 0; id < 5000; id++) log.write(event(`r${id}`))
  await waitFor('the last line', () => log.writeDurable(event('last')))
  await log.close()
  t.ok((await entriesIn(redis)).length < 1500)
  const { code, out } = await runAudit(t, redis, 'verify')
  t.equal(code, 0)
  t.match(out[0], /note: is the oldest there is/)
})

t.test('who can not be asked is said', async (t) => {
  const { code, err } = await runAudit(t, { url: `redis://127.0.0.1:${await freePort()}` }, 'verify')
  t.equal(code, 1)
  t.match(err, [/the streams can't be read: Redis: the connection fails \(ECONNREFUSED\)/])
})
