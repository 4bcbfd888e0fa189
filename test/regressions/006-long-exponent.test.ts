// A published RSA key with a long exponent costs nothing: to read one of 100 KB took a third of a second, of 700 KB five minutes.
import { performance } from 'node:perf_hooks'
import t from 'tap'
import { readKeySet } from '../../src/keys/jwks.js'

t.test('skips a key with a long exponent without looking at it', async (t) => {
  const before = performance.now()
  t.same(readKeySet({ keys: [{ kty: 'RSA', n: '_'.repeat(342), e: '_'.repeat(150_000) }] }), [])
  t.ok(performance.now() - before < 100, 'at once')
})
