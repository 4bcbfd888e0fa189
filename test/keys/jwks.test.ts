// Which keys of a set are used, and which of them for which token.
import t from 'tap'
import { readKeySet, selectKeys } from '../../src/keys/jwks.js'
import { makeKey } from '../support/jwt.js'

const ec = makeKey('ES256')
const ec2 = makeKey('ES256')
const rsa = makeKey('PS256')
const ed = makeKey('EdDSA')

const read = (...keys: unknown[]) => {
  const set = readKeySet({ keys })
  if (typeof set === 'string') throw new Error(set)
  return set
}

t.test('skips keys that can never verify a token', async (t) => {
  const bad: Record<string, unknown> = {
    'a private key': { ...ec.privateKey.export({ format: 'jwk' }), kid: 'a' },
    'a symmetric key': { kty: 'oct', k: 'c2VjcmV0', kid: 'a' },
    'for encryption': { ...ec.jwk, use: 'enc' },
    'with other operations': { ...ec.jwk, key_ops: ['encrypt'] },
    'with operations that are no list': { ...ec.jwk, key_ops: 'verify' },
    'not on the curve': { ...ec.jwk, y: ec2.jwk.y },
    'of a curve nobody uses': makeKey('P-384').jwk,
    Ed448: makeKey('Ed448').jwk,
    'RSA of 1024 bits': makeKey('RSA-1024').jwk,
    'a kid that is no string': { ...ec.jwk, kid: 7 },
    'an alg that is no string': { ...ec.jwk, alg: ['ES256'] },
    'no key at all': { kid: 'a' },
    null: null,
    'a string': 'key',
    'a list': [],
    'of an unknown type': { kty: 'AKP', kid: 'a' },
    'of a type every object has': { kty: 'constructor', kid: 'a' },
  }
  for (const [why, jwk] of Object.entries(bad)) t.equal(read(jwk, rsa.jwk).length, 1, why)
})

t.test('refuses what is no set', async (t) => {
  for (const set of [{}, { keys: {} }, { keys: 'a' }, { keys: null }]) t.type(readKeySet(set), 'string')
  t.match(readKeySet({ keys: Array.from({ length: 101 }, () => ec.jwk) }), /more than 100/)
  t.same(readKeySet({ keys: [] }), [])
})

t.test('selects by kid, then by what fits', async (t) => {
  const keys = read(
    { ...ec.jwk, kid: 'a' },
    { ...rsa.jwk, kid: 'a' },
    { ...ec2.jwk, kid: 'a' },
    { ...ed.jwk, kid: 'b', alg: 'Ed25519' },
  )
  t.equal(selectKeys(keys, { kid: 'a', alg: 'ES256' })?.length, 2, 'names may repeat')
  t.equal(selectKeys(keys, { kid: 'a', alg: 'PS256' })?.length, 1)
  t.equal(selectKeys(keys, { kid: 'b', alg: 'EdDSA' })?.length, 1, 'EdDSA and Ed25519 are one')
  t.same(selectKeys(keys, { kid: 'b', alg: 'ES256' }), [], 'known, but for another algorithm: no newer set is asked for')
  t.equal(selectKeys(keys, { kid: 'c', alg: 'ES256' }), null, 'unknown')
  t.equal(selectKeys(keys, { kid: 'A', alg: 'ES256' }), null, 'case matters')
})

t.test('honours the alg of a key', async (t) => {
  const keys = read({ ...rsa.jwk, kid: 'a', alg: 'RS256', use: 'sig', key_ops: ['verify'] })
  t.equal(selectKeys(keys, { kid: 'a', alg: 'RS256' })?.length, 1)
  t.same(selectKeys(keys, { kid: 'a', alg: 'PS256' }), [])
})

t.test('without kid takes the only key that fits', async (t) => {
  const keys = read({ ...ec.jwk, kid: 'a' }, rsa.jwk, ec2.jwk)
  t.equal(selectKeys(keys, { kid: null, alg: 'PS256' })?.length, 1)
  t.same(selectKeys(keys, { kid: null, alg: 'ES256' }), [], 'two fit: none is taken')
  t.equal(selectKeys(keys, { kid: null, alg: 'EdDSA' }), null, 'none fits: a newer set might')
})
