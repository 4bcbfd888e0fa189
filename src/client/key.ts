// Which key does this client hold? Reads a private JWK or PEM, picks the algorithm that fits it, signs JWTs with it (RFC 7515).

import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { type JWTHeaderParameters, type JWTPayload, SignJWT } from 'jose'

/** A private key with what others may know of it. */
export type HeldKey = {
  readonly alg: 'ES256' | 'EdDSA' | 'PS256'
  /** The JWK's own `kid`, where it had one. */
  readonly kid: string | null
  /** Public members only. */
  readonly publicJwk: NonNullable<JWTHeaderParameters['jwk']>
  readonly privateKey: KeyObject
  readonly sign: (header: Omit<JWTHeaderParameters, 'alg'>, claims: JWTPayload) => Promise<string>
}

/**
 * The key in `text` (private JWK, or PEM: PKCS #8, SEC 1, PKCS #1), or a sentence saying why it can't be used.
 * Served: EC P-256, Ed25519 and RSA of 2048 bits or more, the three that gateways accept (FAPI 2.0 §5.4.1).
 */
export function readKey(text: string): HeldKey | string {
  const jwk = text.trimStart().startsWith('{')
  try {
    const parsed: unknown = jwk ? JSON.parse(text) : null
    const key = parsed === null ? createPrivateKey(text) : createPrivateKey({ key: parsed as JsonWebKey, format: 'jwk' })
    return heldKey(key, kidOf(parsed))
  } catch {
    return 'is not a private key; make one with: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256'
  }
}

/** A new P-256 key that lives as long as this process: nothing on disk, nothing to steal later. */
export function newKey(): HeldKey {
  return heldKey(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey, null) as HeldKey
}

type JsonWebKey = Parameters<typeof createPrivateKey>[0] extends infer Input
  ? Input extends { key: infer Key; format: 'jwk' }
    ? Key
    : never
  : never

function heldKey(key: KeyObject, kid: string | null): HeldKey | string {
  const alg = algorithmOf(key)
  if (alg === null) return 'is of a kind that is not served: use EC P-256, Ed25519, or RSA of 2048 bits or more'
  return {
    alg,
    kid,
    publicJwk: createPublicKey(key).export({ format: 'jwk' }) as HeldKey['publicJwk'],
    privateKey: key,
    sign: (header, claims) => new SignJWT(claims).setProtectedHeader({ ...header, alg }).sign(key),
  }
}

function algorithmOf(key: KeyObject): HeldKey['alg'] | null {
  const details = key.asymmetricKeyDetails ?? {}
  if (key.asymmetricKeyType === 'ec') return details.namedCurve === 'prime256v1' ? 'ES256' : null
  if (key.asymmetricKeyType === 'ed25519') return 'EdDSA'
  if (key.asymmetricKeyType === 'rsa') return (details.modulusLength ?? 0) >= 2048 ? 'PS256' : null
  return null
}

function kidOf(jwk: unknown): string | null {
  const kid = typeof jwk === 'object' && jwk !== null && 'kid' in jwk ? jwk.kid : null
  return typeof kid === 'string' ? kid : null
}
