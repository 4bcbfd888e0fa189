// What any ReplayStore must do.
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import type { ProofUse, ReplayStore } from '../../src/replay/store.js'

export const seconds = (): number => Date.now() / 1000

export const newUse = (changes: Partial<ProofUse> = {}): ProofUse => {
  const now = seconds()
  return { key: randomBytes(16).toString('base64url'), datedAt: now, until: now + 60, now, outage: 'closed', ...changes }
}

export async function keepsItsPromises(t: Test, store: ReplayStore): Promise<void> {
  await t.test('accepts a proof once', async (t) => {
    const use = newUse()
    t.equal(await store.firstUse(use), 'first')
    t.equal(await store.firstUse(use), 'used')
    t.equal(await store.firstUse({ ...use, now: seconds() }), 'used')
    t.equal(await store.firstUse(newUse()), 'first', 'another proof')
  })

  await t.test('accepts exactly one of fifty at once', async (t) => {
    const use = newUse()
    const answers = await Promise.all(Array.from({ length: 50 }, () => store.firstUse(use)))
    t.equal(answers.filter((answer) => answer === 'first').length, 1)
    t.equal(answers.filter((answer) => answer === 'used').length, 49)
  })

  await t.test('accepts again what is claimed by whoever used it', async (t) => {
    const use = newUse({ claim: newUse().key })
    t.equal(await store.firstUse(use), 'first')
    t.equal(await store.firstUse(use), 'first')
    t.equal(await store.firstUse({ ...use, claim: null }), 'used')
    t.equal(await store.firstUse({ ...use, claim: newUse().key }), 'used')
    t.equal(await store.firstUse(use), 'first', 'whatever others tried')
    const nobodys = newUse()
    t.equal(await store.firstUse(nobodys), 'first')
    t.equal(await store.firstUse({ ...nobodys, claim: newUse().key }), 'used', 'a use that nobody claimed is not claimed later')
    const local = newUse({ claim: newUse().key, outage: 'local' })
    t.strictSame(
      [await store.firstUse(local), await store.firstUse(local), await store.firstUse({ ...local, claim: newUse().key })],
      ['first', 'first', 'used'],
    )
  })

  await t.test('remembers to the end of the window', async (t) => {
    const now = seconds()
    const use = newUse({ until: now + 1, now })
    t.equal(await store.firstUse(use), 'first')
    await sleep(900)
    t.equal(await store.firstUse({ ...use, now: seconds() }), 'used')
  })

  await t.test('refuses closed uses while the clock is behind', async (t) => {
    const now = seconds()
    await store.firstUse(newUse({ now: now + 0.5, until: now + 60 }))
    t.equal(await store.firstUse(newUse({ now: now - 1 })), 'first', 'a second is nothing')
    t.equal(await store.firstUse(newUse({ now: now - 30 })), 'unavailable')
    t.match(store.degraded(), /clock/)
    t.equal(await store.firstUse(newUse({ now: now + 1 })), 'forgotten', 'dated in the time that was twice')
    t.equal(await store.firstUse(newUse({ now: now + 1, datedAt: now + 12 })), 'first', 'made good')
    t.equal(store.degraded(), null)
  })

  await t.test('goes on locally while the clock is behind', async (t) => {
    const now = seconds()
    await store.firstUse(newUse({ now: now + 2, until: now + 60 }))
    const use = newUse({ now: now - 30, outage: 'local' })
    t.equal(await store.firstUse(use), 'first')
    t.equal(await store.firstUse(use), 'used')
    await store.firstUse(newUse({ now: now + 2, until: now + 60 }))
  })
}
