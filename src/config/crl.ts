// Whose certificates does a revocation list speak of, and until when? RFC 5280 §5.1, as far as these two members: Node has no reader
// of its own. Does not check: its signature, which every handshake does.

import type { X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import type { Seconds } from '../verify/scalars.js'

/** `issuer` is a DER Name. */
export type Crl = { readonly issuer: string; readonly nextUpdate: Seconds | null }

const INTEGER = 0x02
const UTC_TIME = 0x17
const GENERALIZED_TIME = 0x18
const VERSION_OF_CERTIFICATE = 0xa0

type Element = { readonly tag: number; readonly whole: Buffer; readonly inner: Buffer; readonly end: number }

/** One DER element at an offset. Throws when it ends too early. */
function element(der: Buffer, at: number): Element {
  const short = der.readUInt8(at + 1)
  const lengthBytes = short < 0x80 ? 0 : short - 0x80
  const length = lengthBytes === 0 ? short : der.readUIntBE(at + 2, lengthBytes)
  const start = at + 2 + lengthBytes
  if (start + length > der.length) throw new RangeError('DER ends too early')
  const end = start + length
  return { tag: der.readUInt8(at), whole: der.subarray(at, end), inner: der.subarray(start, end), end }
}

function elements(der: Buffer): readonly Element[] {
  const found: Element[] = []
  for (let at = 0; at < der.length; at = found.at(-1)?.end ?? der.length) found.push(element(der, at))
  return found
}

/** What stands between SEQUENCE and signature. */
const signedPart = (der: Buffer): readonly Element[] => elements(element(element(der, 0).inner, 0).inner)

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

/** RFC 5280 §5.1.2.4: `YYMMDDHHMMSSZ` until 2049, `YYYYMMDDHHMMSSZ` from 2050. */
function timeOf({ tag, inner }: Element): Seconds | null {
  if (tag !== UTC_TIME && tag !== GENERALIZED_TIME) return null
  const text = inner.toString('latin1')
  const digits = tag === GENERALIZED_TIME ? text : `${Number(text.slice(0, 2)) < 50 ? '20' : '19'}${text}`
  const [, year, month, day, hour, minute, second] = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(digits) ?? []
  const milliseconds = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
  return Number.isNaN(milliseconds) ? null : milliseconds / 1000
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
