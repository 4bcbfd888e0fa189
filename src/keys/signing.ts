// Our own keys: the one that signs assertions, and what is published so that backends can verify them (contract §6).
// ES256 only; sync node:crypto, because the assertion is made on every request (docs/benchmarks.md). Reads no files.

import { createPrivateKey, createPublicKey, hash, type KeyObject, sign } from 'node:crypto'
import type { JWK } from 'jose'

export type SigningKey = {
  /** RFC 7638 thumbprint of the public key. */
  readonly kid: string
  /** ES256 signature over `data` (ASCII): r and s, base64url (RFC 7518 §3.4). */
  readonly sign: (data: string) => string
}

export type SigningKeys = {
  readonly current: SigningKey
  /** Every public key, so that one can be published before it signs and after it did. */
  readonly jwks: { readonly keys: readonly JWK[] }
}

/**
 * Loads EC P-256 private keys from PEM: the first signs, all are published. Throws an Error that says which one is unfit, and
 * never shows it.
 */
export function loadSigningKeys(pems: readonly string[]): SigningKeys {
  const loaded = pems.map((pem, i) => loadKey(pem, i + 1))
  const [first] = loaded
  if (first === undefined) throw new Error('no assertion key: set assertion.key to an EC P-256 private key in PEM')
  const { kid, privateKey } = first
  // Made once: node:crypto would otherwise prepare the key anew for each signature.
  const prepared = { key: privateKey, dsaEncoding: 'ieee-p1363' } as const
  const current: SigningKey = { kid, sign: (data) => sign('sha256', Buffer.from(data, 'latin1'), prepared).toString('base64url') }
  const published = new Map(loaded.map(({ jwk }) => [jwk.kid, jwk]))
  return { current, jwks: { keys: [...published.values()] } }
}

type Loaded = { readonly kid: string; readonly privateKey: KeyObject; readonly jwk: JWK }

function loadKey(pem: string, position: number): Loaded {
  const privateKey = readPrivateKey(pem)
  if (privateKey === null || privateKey.asymmetricKeyDetails?.namedCurve !== 'prime256v1') {
    throw new Error(
      `assertion key ${position} is not an EC P-256 private key in PEM: make one with \`holdfast certs DIR\` or ` +
        '`openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`',
    )
  }
  const { crv, x, y } = createPublicKey(privateKey).export({ format: 'jwk' })
  // RFC 7638 §3.2: the required members in this order, and nothing else.
  const kid = hash('sha256', JSON.stringify({ crv, kty: 'EC', x, y }), 'base64url')
  return { kid, privateKey, jwk: { kty: 'EC', crv: String(crv), x: String(x), y: String(y), use: 'sig', alg: 'ES256', kid } }
}

function readPrivateKey(pem: string): KeyObject | null {
  try {
    return createPrivateKey(pem)
  } catch {
    // What node says of a broken key may quote from it.
    return null
  }
}
