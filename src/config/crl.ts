// Whose certificates does a revocation list speak of, and until when? RFC 5280 §5.1, as far as these two members: Node has no reader
// of its own. Does not check: its signature, which every handshake does.

import type { X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import type { Seconds } from '../verify/scalars.js'
import { type Element, element, elements, INTEGER, timeOf } from './der.js'

/** `issuer` is a DER Name. */
export type Crl = { readonly issuer: string; readonly nextUpdate: Seconds | null }

const VERSION_OF_CERTIFICATE = 0xa0

/** What stands between SEQUENCE and signature. */
const signedPart = (der: Buffer): readonly Element[] => elements(element(element(der).inner).inner)

/** A list in PEM; null when it is none. */
export function readCrl(pem: string): Crl | null {
  try {
    createSecureContext({ crl: pem })
    const der = Buffer.from(pem.replace(/-----[^-]*-----|\s/g, ''), 'base64')
    // version (optional), signature, issuer, thisUpdate, nextUpdate (optional)
    const parts = signedPart(der)
    const [, issuer, , next] = parts[0]?.tag === INTEGER ? parts.slice(1) : parts
    return issuer === undefined
      ? null
      : { issuer: issuer.whole.toString('hex'), nextUpdate: next === undefined ? null : timeOf(next) }
  } catch {
    return null
  }
}

/** The subject of a certificate as a DER Name, to compare with `issuer` of a list; null where it is BER, which OpenSSL takes as well. */
export function subjectOf({ raw }: X509Certificate): string | null {
  try {
    // version (optional), serial number, signature, issuer, validity, subject
    const parts = signedPart(raw)
    const [, , , , subject] = parts[0]?.tag === VERSION_OF_CERTIFICATE ? parts.slice(1) : parts
    return subject?.whole.toString('hex') ?? null
  } catch {
    return null
  }
}
