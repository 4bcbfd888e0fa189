// Every hash that identifies something: a token, a key, a proof, a body. All SHA-256, base64url (RFC 9449 §11.10).

import { createHash, hash } from 'node:crypto'
import type { JsonObject } from './types.js'

/** base64url SHA-256, 43 characters. */
export const sha256 = (data: string | Uint8Array): string => hash('sha256', data, 'base64url')

/** The same of what comes in parts. */
export function sha256OfParts(): { add(part: Uint8Array): void; digest(): string } {
  const parts = createHash('sha256')
  return { add: (part) => void parts.update(part), digest: () => parts.digest('base64url') }
}

/** A SHA-256 thumbprint as `cnf` holds it: 43 characters of canonical base64url (the last one carries 4 bits). */
const THUMBPRINT = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/
export const isThumbprint = (value: unknown): value is string => typeof value === 'string' && THUMBPRINT.test(value)

/** The members that make a public key, in the order RFC 7638 §3.2 hashes them. */
const REQUIRED_MEMBERS: Readonly<Record<string, readonly string[]>> = {
  EC: ['crv', 'kty', 'x', 'y'],
  OKP: ['crv', 'kty', 'x'],
  RSA: ['e', 'kty', 'n'],
}

/** The public key of a JWK and nothing else; null when a member is missing, not a string, or the type is unknown. */
export function publicMembers(jwk: JsonObject): Readonly<Record<string, string>> | null {
  const names = typeof jwk.kty === 'string' && Object.hasOwn(REQUIRED_MEMBERS, jwk.kty) ? REQUIRED_MEMBERS[jwk.kty] : undefined
  if (names === undefined) return null
  const members: Record<string, string> = {}
  for (const name of names) {
    const value = jwk[name]
    if (typeof value !== 'string' || value === '') return null
    members[name] = value
  }
  return members
}

/** base64url characters of a 4096-bit modulus, and some for the leading zero that not everyone leaves out. */
const LONGEST_MODULUS = 700
const EXPONENT = 'AQAB'

/**
 * Is it cheap to look at this key? Importing a long RSA modulus costs, and to read a long exponent is quadratic: seconds for 100 KB of it.
 * 65537 is the only exponent that `keyFits` takes, and AQAB its only spelling (RFC 7518 §6.3.1.2).
 */
export const isWorthImporting = ({ n, e }: Readonly<Record<string, string>>): boolean =>
  n === undefined || (n.length <= LONGEST_MODULUS && e === EXPONENT)

/** RFC 7638 thumbprint of what `publicMembers` returned. */
export const thumbprint = (members: Readonly<Record<string, string>>): string => sha256(JSON.stringify(members))

/**
 * What a used proof is remembered by: 126 bits of SHA-256 over `jkt` and `jti`. Never the proof itself: signatures and
 * base64url are malleable. Scoped to the key, so that no client can spend another's proofs; `jkt` has a fixed length, so
 * the two cannot run into each other; by such a key and a request's name, the claim of that request to it is known. 21 characters, because with `holdfast:` they make 30, the longest key that Redis' allocator
 * keeps in 32 bytes: 117 bytes for each record instead of 134 (docs/decisions.md).
 */
export const replayKey = (jkt: string, jti: string): string => sha256(`${jkt}${jti}`).slice(0, 21)
