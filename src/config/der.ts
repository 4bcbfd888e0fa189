// Elements of DER (X.690 §8 to §10), as far as certificates and revocation lists need them: Node reads certificates, but not all of what is
// in one, and no list. Does not check: that a length is as short as it can be.

import type { Seconds } from '../verify/scalars.js'

export const INTEGER = 0x02
const UTC_TIME = 0x17
const GENERALIZED_TIME = 0x18

export type Element = { readonly tag: number; readonly whole: Buffer; readonly inner: Buffer; readonly end: number }

/** Where an element stands, and what is in it. */
export type Span = { readonly tag: number; readonly start: number; readonly end: number }

/** The span of the element at an offset. Throws where there is none: it ends too early, or only later says how long it is. */
export function span(der: Buffer, at: number): Span {
  const short = der.readUInt8(at + 1)
  if (short === 0x80) throw new RangeError('BER')
  const lengthBytes = short < 0x80 ? 0 : short - 0x80
  const start = at + 2 + lengthBytes
  const end = start + (lengthBytes === 0 ? short : der.readUIntBE(at + 2, lengthBytes))
  if (end > der.length) throw new RangeError('DER ends too early')
  return { tag: der.readUInt8(at), start, end }
}

/** The element at an offset. Throws as `span` does. */
export function element(der: Buffer, at = 0): Element {
  const { tag, start, end } = span(der, at)
  return { tag, whole: der.subarray(at, end), inner: der.subarray(start, end), end }
}

export function elements(der: Buffer): readonly Element[] {
  const found: Element[] = []
  for (let at = 0; at < der.length; at = found.at(-1)?.end ?? der.length) found.push(element(der, at))
  return found
}

/** RFC 5280 §5.1.2.4: `YYMMDDHHMMSSZ` until 2049, `YYYYMMDDHHMMSSZ` from 2050. */
export function timeOf({ tag, inner }: Element): Seconds | null {
  if (tag !== UTC_TIME && tag !== GENERALIZED_TIME) return null
  const text = inner.toString('latin1')
  const digits = tag === GENERALIZED_TIME ? text : `${Number(text.slice(0, 2)) < 50 ? '20' : '19'}${text}`
  const [, year, month, day, hour, minute, second] = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(digits) ?? []
  const milliseconds = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
  return Number.isNaN(milliseconds) ? null : milliseconds / 1000
}
