// Which signature algorithms there are, what key each takes, and whether a signature is good. The only place that lists them.
// Sync one-shot node:crypto: a thread-pool hop costs more than the signature (docs/benchmarks.md).

import { type KeyObject, verify } from 'node:crypto'

/** Names as routes.yaml has them; `EdDSA` is Ed25519 and covers `alg: Ed25519` (RFC 9864). */
export const TOKEN_ALGORITHMS = ['PS256', 'ES256', 'EdDSA', 'RS256'] as const
export type TokenAlgorithm = (typeof TOKEN_ALGORITHMS)[number]

type Algorithm = {
  readonly family: TokenAlgorithm
  readonly fits: (key: KeyObject) => boolean
  readonly digest: string | null
  readonly options: { readonly dsaEncoding?: 'ieee-p1363'; readonly padding?: number; readonly saltLength?: number }
}

const isRsa = (key: KeyObject): boolean => {
  const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {}
  // 4096 bits at most and the usual exponent: a larger key makes each verification ours to pay for (RFC 8725 §3.1, FAPI 2.0 §5.4.1).
  return key.asymmetricKeyType === 'rsa' && modulusLength >= 2048 && modulusLength <= 4096 && publicExponent === 65537n
}
const isP256 = (key: KeyObject): boolean =>
  key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1'
const isEd25519 = (key: KeyObject): boolean => key.asymmetricKeyType === 'ed25519'

const RSA_PKCS1_PADDING = 1
const RSA_PKCS1_PSS_PADDING = 6
const ed25519: Algorithm = { family: 'EdDSA', fits: isEd25519, digest: null, options: {} }

const ALGORITHMS: ReadonlyMap<string, Algorithm> = new Map<string, Algorithm>([
  ['PS256', { family: 'PS256', fits: isRsa, digest: 'sha256', options: { padding: RSA_PKCS1_PSS_PADDING, saltLength: 32 } }],
  ['ES256', { family: 'ES256', fits: isP256, digest: 'sha256', options: { dsaEncoding: 'ieee-p1363' } }],
  ['EdDSA', ed25519],
  ['Ed25519', ed25519],
  ['RS256', { family: 'RS256', fits: isRsa, digest: 'sha256', options: { padding: RSA_PKCS1_PADDING } }],
])

/** Is `alg`, as a header names it, one of the `allowed` as routes.yaml names them? */
export function isAllowed(alg: unknown, allowed: readonly string[]): alg is string {
  if (typeof alg !== 'string') return false
  const algorithm = ALGORITHMS.get(alg)
  return algorithm !== undefined && allowed.includes(algorithm.family)
}

/** Every `alg` value that `allowed` accepts, for the `algs` of a challenge and for metadata. */
export const algNames = (allowed: readonly string[]): readonly string[] =>
  allowed.flatMap((family) => [...ALGORITHMS].filter(([, algorithm]) => algorithm.family === family).map(([name]) => name))

/** Can `key` verify `alg`: type, curve and size (RFC 8725 §3.1)? */
export const keyFits = (alg: string, key: KeyObject): boolean => ALGORITHMS.get(alg)?.fits(key) ?? false

/**
 * Is `signature` over `data` by `key`? False for every malformed signature, DER-encoded ECDSA included; never throws.
 * Does not check: that `alg` is allowed, that the key fits it.
 */
export function isSigned(alg: string, key: KeyObject, data: string, signature: Uint8Array): boolean {
  const algorithm = ALGORITHMS.get(alg)
  if (algorithm === undefined) return false
  try {
    return verify(algorithm.digest, Buffer.from(data, 'latin1'), { key, ...algorithm.options }, signature)
  } catch {
    return false
  }
}
