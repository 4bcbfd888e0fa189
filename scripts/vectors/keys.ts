// The keys behind kits/vectors.json. They are published here, so nothing may ever trust them but the tests of the kits.
import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import { loadSigningKeys, type SigningKey, type SigningKeys } from '../../src/keys/signing.js'

const pem = (base64: string): string => `-----BEGIN PRIVATE KEY-----\n${base64}\n-----END PRIVATE KEY-----\n`

const CURRENT = pem(
  'MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg1NwnTqmCR3aVeiaoee7Y+uNEyJU7pAEnrwk3LYy0J0ah' +
    'RANCAAQPi5BNuGrsSwTjRb5v4L7VROBYj2E4x1hOoOnNu8MrH9P6MXshhSCoJh+G4ryTVrvNbt1MUYNtzxGXSqgd4QaC',
)
const NEXT = pem(
  'MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgFAmNyD45kjFr70VS8kYpMhlrPoiurMCRg9Igj1gDxmqh' +
    'RANCAAQo7qxFjR1PoG/zt5Hm8R2DVi5zuXeEddtPbW6EuSM5yUxMZbn2jMggV3V2xDIjMARdw/tdCupXNrn9shEQ8rsz',
)
const STRANGER = pem(
  'MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg+/msVsAXqS340LQXaYykfIJX+X/HbAb8GqAn9VAVtlih' +
    'RANCAASp1vDklu3RfXkLfog2dnK9X8k6jAy5+bxYggwZKs6lMQ4N1UDhFIjxj98MVt9WxbnDgku7C4L5QkSMig/+sfkK',
)

export type VectorKeys = {
  readonly current: SigningKey
  /** Published, but not the one that signs now. */
  readonly next: SigningKey
  /** Published nowhere. */
  readonly stranger: SigningKey
  readonly jwks: SigningKeys['jwks']
  /** SPKI PEM of `current`: public, so whoever takes it for an HMAC secret is fooled. */
  readonly currentPem: string
  readonly strangerJwk: object
}

/**
 * An ECDSA signature is another one each time, and a generated file must not be. So a signature is taken from the file as it is
 * (`written`: compact JWTs), as long as it is good for what is signed now.
 */
export function vectorKeys(written: readonly string[]): VectorKeys {
  const kept = new Map<string, string[]>()
  for (const jwt of written) {
    const end = jwt.lastIndexOf('.')
    const signed = jwt.slice(0, end)
    kept.set(signed, [...(kept.get(signed) ?? []), jwt.slice(end + 1)])
  }
  const keyOf = (text: string): SigningKey => steady(loadSigningKeys([text]).current.kid, createPrivateKey(text), kept)
  return {
    current: keyOf(CURRENT),
    next: keyOf(NEXT),
    stranger: keyOf(STRANGER),
    jwks: loadSigningKeys([CURRENT, NEXT]).jwks,
    currentPem: String(createPublicKey(CURRENT).export({ type: 'spki', format: 'pem' })),
    strangerJwk: createPublicKey(STRANGER).export({ format: 'jwk' }),
  }
}

function steady(kid: string, key: KeyObject, kept: Map<string, string[]>): SigningKey {
  const encoding = { dsaEncoding: 'ieee-p1363' } as const
  const isGood = (signed: string, signature: string): boolean => {
    const bytes = Buffer.from(signature, 'base64url')
    return bytes.toString('base64url') === signature && verify('sha256', Buffer.from(signed), { key, ...encoding }, bytes)
  }
  return {
    kid,
    sign: (signed) => {
      const known = kept.get(signed) ?? []
      const old = known.find((signature) => isGood(signed, signature))
      if (old !== undefined) return old
      const made = sign('sha256', Buffer.from(signed), { key, ...encoding }).toString('base64url')
      kept.set(signed, [...known, made])
      return made
    },
  }
}
