// What is on the wire, read as leniently as anything might: for saying why a case was refused, never for deciding it.
import type { Wire } from './requests.js'

export type Json = Readonly<Record<string, unknown>>

export type ReadJwt = {
  readonly text: string
  readonly header: Json
  readonly jwk: Json
  readonly claims: Json
  /** Every segment in the one spelling of base64url, and every coordinate of the key. */
  readonly isCanonical: boolean
  /** A member is named twice somewhere. */
  readonly repeats: boolean
  /** UTF-8 without byte order mark. */
  readonly isUtf8: boolean
}

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Strings that a colon follows, against members that are there: fewer when one is named twice. */
function isRepeating(text: string): boolean {
  const value = parse(text)
  return value !== undefined && (text.match(/"(?:[^"\\]|\\.)*"\s*:/g)?.length ?? 0) !== countMembers(value)
}

function countMembers(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  const own = Array.isArray(value) ? 0 : Object.keys(value).length
  return Object.values(value).reduce((sum: number, one) => sum + countMembers(one), own)
}

const isUtf8 = (bytes: Buffer): boolean =>
  bytes.equals(Buffer.from(bytes.toString())) && !bytes.subarray(0, 3).equals(Buffer.from('\ufeff'))
const isCanonical = (segment: string): boolean =>
  segment !== '' && Buffer.from(segment, 'base64url').toString('base64url') === segment

const COORDINATES = ['x', 'y', 'n', 'e']

/** Canonical, and of the one length there is (RFC 7518 §6.2.1.2, §6.3.1.1); what is not there or no text is no coordinate. */
function isCoordinate(jwk: Json, name: string): boolean {
  const value = jwk[name]
  if (typeof value !== 'string') return true
  const bytes = Buffer.from(value, 'base64url')
  return isCanonical(value) && (jwk.kty === 'RSA' ? bytes[0] !== 0 : bytes.length === 32)
}

function read(text: string): ReadJwt {
  const segments = text.split('.')
  const bytes = segments.slice(0, 2).map((segment) => Buffer.from(segment.replace(/[\s=]/g, ''), 'base64url'))
  const texts = bytes.map((one) => one.toString().replace(/^\ufeff/, ''))
  const [header, claims] = texts.map(parse)
  const jwk = isObject(header) && isObject(header.jwk) ? header.jwk : {}
  return {
    text,
    header: isObject(header) ? header : {},
    jwk,
    claims: isObject(claims) ? claims : {},
    isCanonical: segments.every(isCanonical) && COORDINATES.every((name) => isCoordinate(jwk, name)),
    repeats: texts.some(isRepeating),
    isUtf8: bytes.every(isUtf8),
  }
}

export const readToken = ({ authorization: [line = ''] }: Wire): ReadJwt => read(line.replace(/^\w+[ \t]+/, ''))
export const readProof = ({ dpop: [line = ''] }: Wire): ReadJwt =>
  line === '' ? { ...read('e30.e30.AA'), text: '' } : read(line)
