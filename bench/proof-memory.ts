// Records 100,000 live proofs in the memory store of a build, or in Redis by its Redis store, and prints what that took of this
// process as JSON, in bytes: run with --expose-gc, in a process of its own. `heap` is what is left of it after a full collection;
// `rss` holds the garbage of filling it as well.
import { join } from 'node:path'

const PROOFS = 100_000
const BATCH = 100
const [dist = '', redis] = process.argv.slice(2)
const { createMemoryStore } = await import(join(dist, 'src', 'replay', 'memory.js'))
const { createRedisStore } = await import(join(dist, 'src', 'replay', 'redis.js'))
const { replayKey } = await import(join(dist, 'src', 'verify', 'hashes.js'))

const clock = (): number => Date.now() / 1000
const settings = { url: redis, timeout: 1, key_prefix: 'holdfast:', wait: 0, sentinels: [], cluster: [], tls: null }
const store =
  redis === undefined
    ? createMemoryStore()
    : createRedisStore({ ...settings, username: null, password: null }, { clock, log: () => undefined })
await store.start()

const jkt = 'k'.repeat(43)
const firstUse = (i: number) => {
  const now = clock()
  const key = replayKey(jkt, `a-jti-of-some-length-${i}`)
  return store.firstUse({ key, datedAt: now, until: now + 75, now, outage: 'closed' })
}
const collected = (): NodeJS.MemoryUsage => {
  for (let i = 0; i < 4; i++) (globalThis as { gc?: () => void }).gc?.()
  return process.memoryUsage()
}

// So that what compiling the code takes is not counted.
await firstUse(-1)
const before = collected()
for (let i = 0; i < PROOFS; i += BATCH) {
  const answers = await Promise.all(Array.from({ length: BATCH }, (_, k) => firstUse(i + k)))
  if (answers.some((answer) => answer !== 'first')) throw new Error(`not all were first: ${answers}`)
}
const after = collected()
if ((await firstUse(0)) !== 'used') throw new Error('the first was forgotten')
await store.close()
const heap = after.heapUsed + after.external - before.heapUsed - before.external
process.stdout.write(JSON.stringify({ heap, rss: after.rss - before.rss }))
