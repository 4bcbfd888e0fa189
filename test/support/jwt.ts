// Signs what it is told to sign, wrong things included: tokens and proofs of the tests are made here.
import { createHash, createHmac, generateKeyPairSync, type JsonWebKey, type KeyObject, sign } from 'node:crypto'

export type KeyPair = {
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  readonly jwk: JsonWebKey
  readonly jkt: string
}

export function makeKey(type: 'ES256' | 'PS256' | 'EdDSA' | 'P-384' | 'RSA-1024' | 'RSA-4096' | 'Ed448' = 'ES256'): KeyPair {
  const pair = makePair(type)
  const jwk = pair.publicKey.export({ format: 'jwk' })
  return { ...pair, jwk, jkt: thumbprint(jwk) }
}

function makePair(type: string): { privateKey: KeyObject; publicKey: KeyObject } {
  switch (type) {
    case 'PS256':
      return generateKeyPairSync('rsa', { modulusLength: 2048 })
    case 'RSA-4096':
      return generateKeyPairSync('rsa', { modulusLength: 4096 })
    case 'RSA-1024':
      return generateKeyPairSync('rsa', { modulusLength: 1024 })
    case 'EdDSA':
      return generateKeyPairSync('ed25519')
    case 'Ed448':
      return generateKeyPairSync('ed448')
    case 'P-384':
      return generateKeyPairSync('ec', { namedCurve: 'P-384' })
    default:
      return generateKeyPairSync('ec', { namedCurve: 'P-256' })
  }
}

/** RFC 7638, written apart from the gateway's own. */
export function thumbprint(jwk: JsonWebKey): string {
  const names = { EC: ['crv', 'kty', 'x', 'y'], RSA: ['e', 'kty', 'n'], OKP: ['crv', 'kty', 'x'] }[String(jwk.kty)] ?? []
  return sha256(`{${names.map((name) => `${JSON.stringify(name)}:${JSON.stringify(jwk[name])}`).join(',')}}`)
}

export const sha256 = (data: string | Buffer): string => createHash('sha256').update(data).digest('base64url')

export const base64url = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

/** A compact JWS over any header and payload; a string payload or header is taken as the JSON text itself. */
export function signJwt(header: unknown, payload: unknown, key: KeyObject | Buffer): string {
  const input = `${base64url(header)}.${base64url(payload)}`
  return `${input}.${signature(input, key, (header as { alg?: unknown } | null)?.alg).toString('base64url')}`
}

function signature(input: string, key: KeyObject | Buffer, alg: unknown): Buffer {
  const data = Buffer.from(input)
  if (Buffer.isBuffer(key)) return createHmac('sha256', key).update(data).digest()
  if (key.asymmetricKeyType === 'ec') return sign('sha256', data, { key, dsaEncoding: 'ieee-p1363' })
  if (alg === 'RS256' && key.asymmetricKeyType === 'rsa') return sign('sha256', data, key)
  if (key.asymmetricKeyType === 'rsa') return sign('sha256', data, { key, padding: 6, saltLength: 32 })
  return sign(null, data, key)
}
