// An assertion as plain data, right until an attack changes it; it is put together when it is sent (docs/assertion.md). What the gateway
// does is not used here: an attack must not share its mistakes.

import { createHash, createPublicKey, type KeyObject, randomUUID, sign } from 'node:crypto'

export type Members = Record<string, unknown>

export type AssertionDraft = {
  header: Members
  claims: Members
  /** Takes `header.payload`, gives the signature as text. */
  sign: (input: string) => string
  /** The header lines in which it stands. */
  lines: (assertion: string, name: string) => readonly (readonly [name: string, value: string])[]
}

/** What the right assertion is made of. */
export type Model = {
  /** null: nobody can sign as the gateway does. */
  readonly key: KeyObject | null
  /** Of the key, or of an assertion that was given. */
  readonly kid: string | undefined
  readonly claims: Members
}

export type AssertedRequest = { readonly method: string; readonly path: string; readonly body: Buffer | null }

const sha256 = (data: string | Buffer): string => createHash('sha256').update(data).digest('base64url')

/** r and s (RFC 7518 §3.4). */
export const signerFor =
  (key: KeyObject): AssertionDraft['sign'] =>
  (input) =>
    sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')

/** RFC 7638. */
export function thumbprintOf(key: KeyObject): string {
  const { crv, x, y } = createPublicKey(key).export({ format: 'jwk' })
  return sha256(JSON.stringify({ crv, kty: 'EC', x, y }))
}

/** How long one is good for, in seconds. */
const LIFETIME = 30

/** One for this request, now. */
export function draftFor({ key, kid, claims }: Model, { method, path, body }: AssertedRequest): AssertionDraft {
  const iat = Math.floor(Date.now() / 1000)
  const query = path.includes('?') ? path.slice(path.indexOf('?') + 1) : null
  const about: Members = { iat, exp: iat + LIFETIME, jti: randomUUID(), txn: randomUUID(), htm: method, target: path }
  if (query !== null) about.qsh = sha256(query)
  if (body !== null && body.length > 0) about.bdh = sha256(body)
  const { qsh: _, bdh: __, ...lasting } = claims
  return {
    header: { alg: 'ES256', typ: 'holdfast+jwt', ...(kid === undefined ? {} : { kid }) },
    claims: { ...lasting, ...about },
    sign: key === null ? () => Buffer.alloc(64, 1).toString('base64url') : signerFor(key),
    lines: (assertion, name) => [[name, assertion]],
  }
}

export const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

/** In compact form. */
export function textOf({ header, claims, sign }: Pick<AssertionDraft, 'header' | 'claims' | 'sign'>): string {
  const input = `${encode(header)}.${encode(claims)}`
  return `${input}.${sign(input)}`
}

/** Claims from a file: JSON, or an assertion that the gateway made, however old. null: it is neither. */
export function readClaims(text: string): { readonly claims: Members; readonly kid: string | undefined } | null {
  const [, head = '', payload = ''] = /^([\w-]+)\.([\w-]+)\.[\w-]*$/.exec(text.trim()) ?? []
  if (payload === '') {
    const claims = readMembers(text)
    return claims && { claims, kid: undefined }
  }
  const [header, claims] = [head, payload].map((part) => readMembers(Buffer.from(part, 'base64url').toString()))
  if (!header || !claims) return null
  return { claims, kid: typeof header.kid === 'string' ? header.kid : undefined }
}

function readMembers(text: string): Members | null {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : null
  } catch {
    return null
  }
}
