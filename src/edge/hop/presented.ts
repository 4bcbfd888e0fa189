// A client's certificate as a hop passed it on, before it is judged; and the encodings that it comes in. Strict: one form of each, read
// whole, because what two readers could take for two certificates is none.

import { X509Certificate } from 'node:crypto'

export type Presented = {
  /** null: the hop did not tell it as such; then its hash is all that is known. */
  readonly leaf: X509Certificate | null
  /** base64url SHA-256 of the leaf's DER. */
  readonly x5tS256: string
  /** What the client sent along to lead to a CA, in whatever order. */
  readonly chain: readonly X509Certificate[]
  /** What the hop found; null: it does not say. */
  readonly isVerified: boolean | null
}

/** How a proxy passes certificates on. */
export type Format = {
  /** Of the headers that it reads, in lower case. */
  readonly names: readonly string[]
  /** By the lines of each of these; null: the client showed none. A text says why that can't be read. */
  readonly read: (lines: readonly (readonly string[])[]) => Presented | null | string
}

/** More is no chain: three or four are usual. */
const LONGEST_CHAIN = 8

/** The leaf comes first. */
export function present(certificates: readonly X509Certificate[] | null, isVerified: boolean | null = null): Presented | string {
  const [leaf, ...chain] = certificates ?? []
  if (leaf === undefined) return 'not a certificate'
  if (chain.length > LONGEST_CHAIN) return 'a chain too long'
  return { leaf, x5tS256: hashOf(leaf), chain, isVerified }
}

export const hashOf = ({ fingerprint256 }: X509Certificate): string =>
  Buffer.from(fingerprint256.replaceAll(':', ''), 'hex').toString('base64url')

/** Canonical base64 of one DER certificate and nothing behind it; null: it is none. */
export function readBase64(text: string): X509Certificate | null {
  const der = Buffer.from(text, 'base64')
  if (der.length === 0 || der.toString('base64') !== text) return null
  try {
    const certificate = new X509Certificate(der)
    return certificate.raw.equals(der) ? certificate : null
  } catch {
    return null
  }
}

const BLOCK = /-----BEGIN CERTIFICATE-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END CERTIFICATE-----(?:\r?\n)*/y

/** PEM in percent-encoding, of one certificate or more and nothing else; null: it is none. `+` is itself, not a space. */
export function readEscapedPem(escaped: string): readonly X509Certificate[] | null {
  const pem = unescaped(escaped)
  if (pem === null) return null
  const certificates: X509Certificate[] = []
  for (BLOCK.lastIndex = 0; BLOCK.lastIndex < pem.length; ) {
    const certificate = readBase64(BLOCK.exec(pem)?.[1]?.replace(/[\r\n]/g, '') ?? '')
    if (certificate === null) return null
    certificates.push(certificate)
  }
  return certificates
}

function unescaped(text: string): string | null {
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}
