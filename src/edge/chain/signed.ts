// What certificates and revocation lists have in common: something signed by a key (X.509 §7.2), with extensions (RFC 5280 §4.1, §5.1).

import { type KeyObject, verify } from 'node:crypto'
import { type Element, element, elements } from '../../config/der.js'

export type Signed = {
  /** What is signed, as bytes and in its parts. */
  readonly whole: Buffer
  readonly parts: readonly Element[]
  readonly algorithm: Buffer
  readonly signature: Buffer
}

/** Throws for what is not DER of that form. */
export function readSigned(der: Buffer): Signed {
  const [inner, algorithm, signature, ...more] = elements(element(der).inner)
  if (inner === undefined || algorithm === undefined || signature?.inner[0] !== 0 || more.length > 0)
    throw new TypeError('not signed')
  return {
    whole: inner.whole,
    parts: elements(inner.inner),
    algorithm: algorithm.whole,
    signature: signature.inner.subarray(1),
  }
}

/** What is strong enough for the handshake is so here, by its object identifier: to the hash, null where the key has its own. */
const ALGORITHMS: Readonly<Record<string, string | null>> = {
  // RSA, PKCS #1 v1.5 (RFC 8017 §A.2.4)
  '2a864886f70d01010b': 'sha256',
  '2a864886f70d01010c': 'sha384',
  '2a864886f70d01010d': 'sha512',
  // ECDSA (RFC 5758 §3.2)
  '2a8648ce3d040302': 'sha256',
  '2a8648ce3d040303': 'sha384',
  '2a8648ce3d040304': 'sha512',
  // Ed25519 (RFC 8410 §3)
  '2b6570': null,
}

/** Is it signed by this key, in a way that is strong enough? The part that is signed must name the same algorithm as the signature. */
export function isSignedBy({ whole, parts, algorithm, signature }: Signed, key: KeyObject): boolean {
  const hash = ALGORITHMS[elements(element(algorithm).inner)[0]?.inner.toString('hex') ?? '']
  if (hash === undefined || !isStrong(key) || !parts.some((part) => part.whole.equals(algorithm))) return false
  try {
    return verify(hash, whole, key, signature)
  } catch {
    // A key of another kind than the algorithm.
    return false
  }
}

/** As much as OpenSSL's security level 2 asks of the handshake; and no RSA key that takes longer than any honest one. */
export function isStrong({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): boolean {
  const { modulusLength = 0, publicExponent = 0n, namedCurve = '' } = asymmetricKeyDetails ?? {}
  if (asymmetricKeyType === 'rsa') return modulusLength >= 2048 && modulusLength <= 8192 && publicExponent < 2n ** 32n
  return asymmetricKeyType === 'ed25519' || ['prime256v1', 'secp384r1', 'secp521r1'].includes(namedCurve)
}

export type Extensions = ReadonlyMap<string, { readonly isCritical: boolean; readonly value: Buffer }>

const BOOLEAN = 0x01

/** By object identifier (hexadecimal), from the element that holds the list. Throws where one is there twice (RFC 5280 §4.2). */
export function readExtensions(list: Element | undefined): Extensions {
  const extensions = new Map<string, { isCritical: boolean; value: Buffer }>()
  for (const { inner } of list === undefined ? [] : elements(list.inner)) {
    const [name, ...rest] = elements(inner)
    const isCritical = rest[0]?.tag === BOOLEAN && rest[0].inner[0] !== 0
    const value = rest.at(-1)?.inner
    const oid = name?.inner.toString('hex')
    if (oid === undefined || value === undefined || extensions.has(oid)) throw new TypeError('not a list of extensions')
    extensions.set(oid, { isCritical, value })
  }
  return extensions
}
