// Which keys are published while they change.
import t from 'tap'
import { createKeyRing } from '../../src/keys/ring.js'
import { loadSigningKeys } from '../../src/keys/signing.js'
import { makeAssertionKey } from '../support/certificates.js'

const [A, B, C] = [makeAssertionKey(), makeAssertionKey(), makeAssertionKey()]
const TTL = 30

function start() {
  let now = 1_800_000_000
  const ring = createKeyRing(() => now)
  return {
    ring,
    use: (pems: readonly string[], ttl = TTL) => ring.use(loadSigningKeys(pems), ttl),
    pass: (seconds: number) => {
      now += seconds
    },
    published: () => ring.jwks().keys.map(({ kid }) => kid),
  }
}
const kidsOf = (...pems: readonly string[]) => loadSigningKeys(pems).jwks.keys.map(({ kid }) => kid)

t.test('a key that signed and is gone is published until its last assertion ends, and not a second longer', async (t) => {
  const { ring, use, pass, published } = start()
  use([A])
  pass(1000)
  use([B])
  t.equal(ring.signing().current.kid, kidsOf(B)[0])
  t.same(published(), kidsOf(B, A))
  pass(TTL - 1)
  t.same(published(), kidsOf(B, A))
  pass(1)
  t.same(published(), kidsOf(B))
})

t.test('a key that was only published is gone at once', async (t) => {
  const { use, published } = start()
  use([A, B])
  use([A])
  t.same(published(), kidsOf(A))
})

t.test('a rotation in steps, however quick', async (t) => {
  const { use, pass, published } = start()
  use([A])
  use([A, B])
  use([B, A])
  pass(TTL / 2)
  use([B])
  t.same(published(), kidsOf(B, A), 'taken off too early')
  use([C, B])
  t.same(published(), kidsOf(C, B, A), 'each as long as it must')
  pass(TTL / 2)
  t.same(published(), kidsOf(C, B))
  pass(TTL)
  t.same(published(), kidsOf(C, B), 'what the configuration has stays')
})

t.test('a `ttl` that was shortened does not shorten the lives of assertions', async (t) => {
  const { use, pass, published } = start()
  use([A], 300)
  use([A], 10)
  pass(100)
  use([B], 10)
  t.same(published(), kidsOf(B, A))
  pass(100)
  t.same(published(), kidsOf(B, A))
  pass(101)
  t.same(published(), kidsOf(B))
})

t.test('there is nothing to sign with before there are keys', async (t) => {
  t.throws(() => start().ring.signing(), /no signing keys/)
})
