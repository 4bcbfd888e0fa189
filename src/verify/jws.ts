// Is this text one signed JWT in compact form (RFC 7515 §7.1)? Strict, because base64url is malleable: padding, spare bits
// and other alphabets would give one token many spellings (draft rfc8725bis §3.14). Does not check: the signature, any claim.

import { readJsonObject } from './json.js'
import type { JsonObject } from './types.js'

export type Jws = {
  readonly header: JsonObject
  readonly payload: JsonObject
  /** What the signature is over: header and payload segments with their dot. */
  readonly signed: string
  readonly signature: Uint8Array
}

/** The bytes of canonical base64url: the one spelling there is, without padding or spare bits; null for any other. */
export function readBase64url(text: string): Uint8Array | null {
  const bytes = Buffer.from(text, 'base64url')
  return text !== '' && bytes.toString('base64url') === text ? bytes : null
}

/**
 * A copy, for what is kept longer than its request: V8 keeps all of a string of which a part is kept, and a segment is part of a whole
 * header field. Of header text, which has no characters but bytes: any other would come back as another.
 */
export const ownCopy = (text: string): string => Buffer.from(text, 'latin1').toString('latin1')

/** The three segments of a compact JWS; null when there are not exactly three. A JWE has five. */
export function splitJws(text: string): readonly [header: string, payload: string, signature: string] | null {
  const first = text.indexOf('.')
  const second = text.indexOf('.', first + 1)
  if (first <= 0 || second < 0 || text.includes('.', second + 1)) return null
  return [text.slice(0, first), text.slice(first + 1, second), text.slice(second + 1)]
}

/** A segment that holds a JSON object. */
export function readSegment(segment: string): JsonObject | null {
  const bytes = readBase64url(segment)
  return bytes === null ? null : readJsonObject(bytes)
}

/**
 * The protected header of a JWS. `crit` and `b64` are refused whatever they say: we implement no extension
 * (RFC 7515 §4.1.11, RFC 7797).
 */
export function readHeader(segment: string): JsonObject | null {
  const header = readSegment(segment)
  return header === null || 'crit' in header || 'b64' in header ? null : header
}

/** Header and payload are JSON objects and the signature is canonical base64url, else null. */
export function readJws(text: string): Jws | null {
  const segments = splitJws(text)
  if (segments === null) return null
  const header = readHeader(segments[0])
  const payload = readSegment(segments[1])
  const signature = readBase64url(segments[2])
  if (header === null || payload === null || signature === null) return null
  return { header, payload, signed: text.slice(0, segments[0].length + 1 + segments[1].length), signature }
}
