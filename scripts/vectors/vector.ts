// What kits/vectors.json holds, and the one request that a good vector is and a bad one changes.
import type { SigningKey } from '../../src/keys/signing.js'
import type { VectorKeys } from './keys.js'

export const NOW = 1_790_000_000
export const ISSUER = 'https://gateway.example.com'
export const HEADER = 'Holdfast-Assertion'

/** What a backend demands of an assertion, beyond what every kit checks. */
export type VectorOptions = {
  readonly audience: string
  /** Tiers that are accepted; null: any. */
  readonly tiers: readonly string[] | null
  /** Ways of binding that are accepted, of which `both` is each; null: any, `none` included. */
  readonly bindings: readonly ('dpop' | 'mtls')[] | null
  /** Is a body that the assertion has no `bdh` for refused? */
  readonly body_digest: boolean
  /** Is a `jti` accepted once only? */
  readonly single_use: boolean
}

export type Vector = {
  readonly name: string
  /** null: it is granted. */
  readonly wrong: string | null
  readonly options: VectorOptions
  readonly request: {
    readonly method: string
    /** Path and query as they stand in the request line. */
    readonly target: string
    readonly headers: readonly (readonly [name: string, value: string])[]
    /** base64; empty: there is none. */
    readonly body: string
  }
  /** Sent twice to the same backend: the first is granted, the second is refused. */
  readonly repeat?: true
}

/** A vector before it is written down. */
export type Draft = {
  name: string
  options: VectorOptions
  method: string
  target: string
  /** In compact form. */
  assertion: string
  /** Header fields that carry it. */
  fields: (assertion: string) => [name: string, value: string][]
  body: Buffer
  repeat: boolean
}

export function print({ name, options, method, target, assertion, fields, body, repeat }: Draft, wrong: string | null): Vector {
  const headers = [['Host', 'backend.internal'], ...fields(assertion)] as [string, string][]
  if (body.length > 0) headers.push(['Content-Type', 'application/json'], ['Content-Length', String(body.length)])
  const request = { method, target, headers, body: body.toString('base64') }
  return { name, wrong, options, request, ...(repeat ? { repeat } : {}) }
}

export type Members = Record<string, unknown>

/** Signs the assertion anew with members of its header or its claims changed; undefined removes one. */
export function resign(
  keys: VectorKeys,
  assertion: string,
  change: { header?: Members; claims?: Members; key?: SigningKey },
): string {
  const [header, claims] = assertion.split('.', 2).map(decode) as [Members, Members]
  const key = change.key ?? (header.kid === keys.next.kid ? keys.next : keys.current)
  return signText(JSON.stringify({ ...header, ...change.header }), JSON.stringify({ ...claims, ...change.claims }), key)
}

export function signText(header: string, payload: string, key: Pick<SigningKey, 'sign'>): string {
  const signed = `${encode(header)}.${encode(payload)}`
  return `${signed}.${key.sign(signed)}`
}

export const encode = (text: string): string => Buffer.from(text).toString('base64url')
const decode = (segment: string): Members => JSON.parse(Buffer.from(segment, 'base64url').toString())
