import { randomBytes } from 'node:crypto'
import t from 'tap'
import { createMemoryStore, createProofMemory } from '../../src/replay/memory.js'
import { usedMemory } from '../support/memory.js'
import { keepsItsPromises, newUse } from './contract.js'

t.test('the memory store is a replay store', (t) => keepsItsPromises(t, createMemoryStore()))

t.test('refuses when it is full, and forgets nothing', async (t) => {
  const store = createMemoryStore({ maxEntries: 3 })
  const uses = [newUse(), newUse(), newUse()]
  for (const use of uses) t.equal(await store.firstUse(use), 'first')
  t.equal(await store.firstUse(newUse()), 'unavailable')
  t.match(store.degraded(), /full/)
  for (const use of uses) t.equal(await store.firstUse(use), 'used')
})

const key = () => randomBytes(16).toString('base64url')

t.test('lets go of what has ended, a little at each call', async (t) => {
  let time = 1000
  const memory = createProofMemory(1_000_000, () => time)
  for (let i = 0; i < 1000; i++) memory.add({ key: key(), until: 1060 + (i % 60), now: 1000 })
  t.equal(memory.size(), 1000)
  time = 2000
  for (let i = 0; i < 400; i++) memory.add({ key: key(), until: 2060, now: 2000 })
  t.equal(memory.size(), 400)
  time = 10_000_000
  for (let i = 0; i < 100; i++) memory.add({ key: key(), until: 10_000_060, now: 10_000_000 })
  t.equal(memory.size(), 100, 'after a long silence too')
})

t.test('keeps a record until its end, whatever the order of ends', async (t) => {
  let time = 0
  const memory = createProofMemory(1_000_000, () => time)
  const lives = new Map<string, number>()
  for (let now = 1000; now < 1400; now += 1) {
    time = now
    const use = { key: key(), until: now + 1 + ((now * 7919) % 200), now }
    t.equal(memory.add(use), 'first')
    lives.set(use.key, use.until)
    for (const [old, until] of lives) {
      if (until >= now) {
        if (memory.add({ key: old, until, now }) !== 'used') t.fail(`forgot a proof that lives until ${until} at ${now}`)
      } else lives.delete(old)
    }
  }
})

t.test('a clock that jumps ahead and back cannot make a record forgotten', async (t) => {
  const store = createMemoryStore()
  const use = newUse()
  t.equal(await store.firstUse(use), 'first')
  for (let i = 0; i < 50; i++) await store.firstUse(newUse({ now: use.now + 3600, until: use.now + 3660 }))
  t.equal(await store.firstUse(use), 'unavailable', 'the record may be gone, so nobody passes until the clock is good again')
})

t.test('a clock that was ahead for a while ends no record before its time', async (t) => {
  const memory = createProofMemory(1_000_000)
  const now = 1000
  memory.add({ key: key(), until: now + 3660, now: now + 3600 })
  const use = { key: key(), until: now + 60, now }
  t.equal(memory.add(use), 'first')
  for (let i = 0; i < 100; i++) memory.add({ key: key(), until: now + 60, now })
  t.equal(memory.add(use), 'used')
})

t.test('100,000 live proofs take less than 20 MB', async (t) => {
  const before = usedMemory()
  const memory = createProofMemory(1_000_000)
  for (let i = 0; i < 100_000; i++) memory.add({ key: key(), until: 1060, now: 1000 })
  const grown = usedMemory() - before
  t.ok(grown < 20, `${grown.toFixed(1)} MB`)
  t.equal(memory.size(), 100_000)
})
