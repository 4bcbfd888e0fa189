// The keys of the differential cases: an issuer's set, clients of each kind, and keys that nobody should take. And signatures by any of
// them under any name of an algorithm.
import { createHmac, generateKeyPairSync, type JsonWebKey, type KeyObject, sign } from 'node:crypto'
import { thumbprint } from '../support/jwt.js'

export type Key = { readonly privateKey: KeyObject; readonly jwk: JsonWebKey; readonly jkt: string }

function key({ privateKey, publicKey }: { privateKey: KeyObject; publicKey: KeyObject }): Key {
  const jwk = publicKey.export({ format: 'jwk' })
  return { privateKey, jwk, jkt: thumbprint(jwk) }
}

const ec = (namedCurve: string): Key => key(generateKeyPairSync('ec', { namedCurve }))
const rsa = (modulusLength: number, publicExponent = 65537): Key =>
  key(generateKeyPairSync('rsa', { modulusLength, publicExponent }))

/** By the `kid` that a token names them with. */
export const ISSUER_KEYS = { es: ec('P-256'), ps: rsa(2048), ed: key(generateKeyPairSync('ed25519')) } as const
export type IssuerKeyName = keyof typeof ISSUER_KEYS

export const CLIENT_KEYS = {
  es: ec('P-256'),
  ps: rsa(2048),
  ed: key(generateKeyPairSync('ed25519')),
  'another P-256': ec('P-256'),
  'P-384': ec('P-384'),
  secp256k1: ec('secp256k1'),
  'RSA 1024': rsa(1024),
  'RSA with e = 3': rsa(2048, 3),
  Ed448: key(generateKeyPairSync('ed448')),
} as const
export type ClientKeyName = keyof typeof CLIENT_KEYS

export const ALGORITHM: Readonly<Record<string, string>> = { es: 'ES256', ps: 'PS256', ed: 'EdDSA' }

/** A set as an issuer publishes it: with and without `alg` and `use`. */
export const JWKS = {
  keys: [
    { ...ISSUER_KEYS.es.jwk, kid: 'es', alg: 'ES256', use: 'sig' },
    { ...ISSUER_KEYS.ps.jwk, kid: 'ps' },
    { ...ISSUER_KEYS.ed.jwk, kid: 'ed', use: 'sig' },
  ],
}

const PSS = 6

/** As `alg` says where the key can, else as the key does (`''`). `none` has no signature, `HS256` takes the public key for its secret. */
export function signAs(alg: string, { privateKey, jwk }: Key, data: string): Buffer {
  const bytes = Buffer.from(data, 'latin1')
  if (alg === 'none') return Buffer.alloc(0)
  if (alg.startsWith('HS')) return createHmac('sha256', JSON.stringify(jwk)).update(bytes).digest()
  const bits = /(?:256|384|512)$/.exec(alg)?.[0] ?? '256'
  if (privateKey.asymmetricKeyType === 'ec') return sign(`sha${bits}`, bytes, { key: privateKey, dsaEncoding: 'ieee-p1363' })
  if (privateKey.asymmetricKeyType !== 'rsa') return sign(null, bytes, privateKey)
  return alg.startsWith('RS')
    ? sign(`sha${bits}`, bytes, privateKey)
    : sign(`sha${bits}`, bytes, { key: privateKey, padding: PSS, saltLength: Number(bits) / 8 })
}
