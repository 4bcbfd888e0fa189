// JWK sets, as an issuer may publish them: never a throw, nothing but public keys that fit an algorithm, and no token header that gets
// a key which does not fit it.
import fc from 'fast-check'
import { readKeySet, selectKeys } from '../../../src/keys/jwks.js'
import { readJsonObject } from '../../../src/verify/json.js'
import { keyFits, TOKEN_ALGORITHMS } from '../../../src/verify/signatures.js'
import { readWords } from '../corpus.js'
import { ecKey, edKey, rsaKey } from '../keys.js'
import type { Random } from '../random.js'
import { bad, fine, judge, type Session, type Target, type Verdict } from '../target.js'

const ALGS = [...TOKEN_ALGORITHMS, 'Ed25519', 'none', 'HS256']

function check(input: Buffer): Verdict {
  const set = readJsonObject(input)
  if (set === null) return fine('no object')
  const keys = readKeySet(set)
  if (typeof keys === 'string') return fine(keys)
  const listed = (set.keys as readonly unknown[]).filter((one) => typeof one === 'object' && one !== null)
  const usable = listed.filter((one) => !['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'].some((name) => name in Object(one)))
  const problem = judge('', [
    [keys.length <= Math.min(100, usable.length), 'more keys than were published, or private ones'],
    [keys.every(({ key }) => key.type === 'public'), 'a key that is not public'],
    [keys.every(({ key }) => TOKEN_ALGORITHMS.some((alg) => keyFits(alg, key))), 'a key that fits no algorithm'],
  ])
  if (problem.problem !== null) return problem
  for (const kid of [null, 'unknown', ...keys.map((key) => key.kid)]) {
    for (const alg of ALGS) {
      const chosen = selectKeys(keys, { kid, alg }) ?? []
      if (!chosen.every((one) => keyFits(alg, one.key) && (kid === null || one.kid === kid)))
        return bad('a key for a token that it does not fit')
      if (kid === null && chosen.length > 1) return bad('a guess among several keys')
    }
  }
  return fine(`${Math.min(keys.length, 4)} keys of ${Math.min(listed.length, 4)}`)
}

const keys = [ecKey('issuer'), edKey('issuer'), rsaKey('issuer')]
const member = fc.oneof(
  fc.constantFrom(
    'EC',
    'RSA',
    'OKP',
    'oct',
    'P-256',
    'P-384',
    'secp256k1',
    'Ed25519',
    'X25519',
    'Ed448',
    'AQAB',
    'Aw',
    'AA',
    '',
    'sig',
    'enc',
    'verify',
  ),
  fc.constantFrom<unknown>(
    'ES256',
    'EdDSA',
    'RS256',
    null,
    0,
    [],
    ['verify'],
    ['sign'],
    {},
    ['verify', 'verify'],
    'A'.repeat(43),
    '_'.repeat(43),
  ),
  fc.string({ unit: 'binary' }),
  fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes).toString('base64url')),
  fc.jsonValue({ maxDepth: 2 }),
)
const NAMES = ['kty', 'crv', 'x', 'y', 'n', 'e', 'kid', 'alg', 'use', 'key_ops', 'd', 'k', 'x5c', '__proto__', 'toString']

function make(random: Random): Buffer {
  const set = Array.from({ length: random.below(4) + (random.chance(0.02) ? 101 : 0) }, () => {
    const key = random.pick(keys)
    const jwk: Record<string, unknown> = { ...key.jwk, kid: random.pick(['1', '2', key.alg]) }
    for (let i = random.below(3); i > 0; i--) {
      const name = random.pick(NAMES)
      const value = fc.sample(member, { numRuns: 1, seed: random.next() | 0 })[0]
      Object.defineProperty(jwk, name, { value, enumerable: true, configurable: true, writable: true })
    }
    // Whoever can publish a key can publish a large one.
    if (random.chance(0.03)) jwk[random.pick(['n', 'e', 'x', 'y'])] = '_'.repeat(random.below(100_000))
    return jwk
  })
  return Buffer.from(JSON.stringify({ keys: set }))
}

const open = async (): Promise<Session> => ({
  seeds: [Buffer.from(JSON.stringify({ keys: keys.map(({ jwk, alg }) => ({ ...jwk, alg, kid: alg, use: 'sig' })) }))],
  words: readWords('json'),
  make,
  check,
})

export const JWKS: Target = { name: 'jwks', most: 256 * 1024, slowest: 250, together: 1, open }
