// Which keys of a JWK set may verify a token, and which of them fits this token's header? RFC 7517 §4 and §5, RFC 8725 §3.1.
// Each key is imported once, here; private and symmetric keys are never used, malformed ones are skipped (RFC 7517 §5).
// Does not check: where the set came from.

import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto'
import { isWorthImporting, publicMembers, thumbprint } from '../verify/hashes.js'
import { isJsonObject } from '../verify/json.js'
import { keyFits, TOKEN_ALGORITHMS } from '../verify/signatures.js'
import type { IssuerKey, JsonObject, KeysFor } from '../verify/types.js'

/** A key as its issuer publishes it. */
export type PublishedKey = IssuerKey & {
  /** The one algorithm it is for; null: any that it fits. */
  readonly alg: string | null
  /** Equal for equal keys: by this a key is missed when it is gone from the set. */
  readonly id: string
}

type Header = Parameters<KeysFor>[1]

/** A set is searched for every token that is not cached; no issuer needs more keys than this. */
const MOST_KEYS = 100

/** The usable keys of a set; a sentence when it is no set that can be used at all. */
export function readKeySet(set: JsonObject): readonly PublishedKey[] | string {
  const { keys } = set
  if (!Array.isArray(keys)) return 'is no JWK set: the member "keys" is not a list'
  if (keys.length > MOST_KEYS) return `holds more than ${MOST_KEYS} keys`
  return keys.map(readKey).filter((key) => key !== null)
}

/** Members of a JWK that no public key has. */
const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv']

function readKey(jwk: unknown): PublishedKey | null {
  if (!isJsonObject(jwk)) return null
  const { kid, alg, use, key_ops } = jwk
  // A published private key is anyone's key.
  if (PRIVATE_MEMBERS.some((member) => member in jwk)) return null
  if (use !== undefined && use !== 'sig') return null
  if (key_ops !== undefined && !(Array.isArray(key_ops) && key_ops.includes('verify'))) return null
  if (kid !== undefined && typeof kid !== 'string') return null
  if (alg !== undefined && typeof alg !== 'string') return null
  const members = publicMembers(jwk)
  const key = members === null ? null : importKey(members)
  if (members === null || key === null || !TOKEN_ALGORITHMS.some((name) => keyFits(name, key))) return null
  return { kid: kid ?? null, alg: alg ?? null, key, id: JSON.stringify([kid, alg, thumbprint(members)]) }
}

function importKey(members: Readonly<Record<string, string>>): KeyObject | null {
  if (!isWorthImporting(members)) return null
  try {
    return createPublicKey({ key: members as JsonWebKey, format: 'jwk' })
  } catch {
    return null // not on the curve, not base64url, not a key
  }
}

/**
 * The keys that fit a token header; null: the set does not know the key that is meant, a newer set might. With `kid`: those of
 * that name, for names may repeat (FAPI 2.0 §5.4.3). Without: the only one that fits, for guessing among several is no answer.
 */
export function selectKeys(keys: readonly PublishedKey[], header: Header): readonly IssuerKey[] | null {
  if (header.kid === null) {
    const fitting = keys.filter((key) => fits(key, header.alg))
    return fitting.length === 0 ? null : fitting.length === 1 ? fitting : []
  }
  const named = keys.filter(({ kid }) => kid === header.kid)
  return named.length === 0 ? null : named.filter((key) => fits(key, header.alg))
}

/** `Ed25519` is the newer name of what `EdDSA` is here (RFC 9864). */
const familyOf = (alg: string): string => (alg === 'Ed25519' ? 'EdDSA' : alg)

const fits = (key: PublishedKey, alg: string): boolean =>
  (key.alg === null || familyOf(key.alg) === familyOf(alg)) && keyFits(alg, key.key)
