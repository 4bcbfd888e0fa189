// One revocation as it stands in Redis: a name, which says what is revoked, and its terms, which say of which tokens, how long, by whom
// and why. Both are text that a person can read with redis-cli.

import { createHash, X509Certificate } from 'node:crypto'
import { KINDS, type Kind, type Terms } from '../verify/revocations.js'
import type { Seconds } from '../verify/scalars.js'

/** What is revoked. `scope`: the issuer it belongs to, '' for a key, a certificate and an issuer. */
export type Target = { readonly kind: Kind; readonly scope: string; readonly value: string }

const SCOPED: ReadonlySet<Kind> = new Set<Kind>(['token', 'session', 'subject', 'client', 'authentication'])

export const isScoped = (kind: Kind): boolean => SCOPED.has(kind)

/** `["jkt","THUMBPRINT"]`, `["subject","https://as.example.com","alice"]`. */
export const nameOf = ({ kind, scope, value }: Target): string =>
  JSON.stringify(isScoped(kind) ? [kind, scope, value] : [kind, value])

/** null: it is no name of ours. */
export function readName(name: string): Target | null {
  const parts = parsed(name)
  if (!Array.isArray(parts) || !parts.every((part) => typeof part === 'string')) return null
  const kind = KINDS.find((one) => one === parts[0])
  if (kind === undefined || parts.length !== (isScoped(kind) ? 3 : 2)) return null
  return { kind, scope: isScoped(kind) ? (parts[1] ?? '') : '', value: parts.at(-1) ?? '' }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

/** Never throws: an entry that can't be read must not let pass what it may have been meant to stop. */
export function readTerms(text: string): Terms {
  const terms = parsed(text)
  if (typeof terms !== 'object' || terms === null) return UNREADABLE
  const { effect, issued_before = null, until = null, at, by, reason } = terms as Partial<Record<keyof Terms, unknown>>
  if (!isTime(at) || !isTimeOrNull(issued_before) || !isTimeOrNull(until)) return UNREADABLE
  return { effect: effect === 'none' ? 'none' : 'refuse', issued_before, until, at, by: String(by), reason: String(reason) }
}

const UNREADABLE: Terms = {
  effect: 'refuse',
  issued_before: null,
  until: null,
  at: 0,
  by: '',
  reason: 'its entry is not readable',
}

const isTime = (value: unknown): value is Seconds => typeof value === 'number' && Number.isFinite(value)
const isTimeOrNull = (value: unknown): value is Seconds | null => value === null || isTime(value)

const SHA256 = /^[A-Za-z0-9_-]{43}$/
const HEX = /^(?:[0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$/

/** A SHA-256 thumbprint, in base64url (RFC 7638, RFC 8705 §3.1) or in hex as `openssl x509 -fingerprint -sha256` prints it; null: it is none. */
export function readThumbprint(text: string): string | null {
  // Only the one spelling that tokens can have: bits to spare would make a thumbprint that no key has.
  if (SHA256.test(text)) return Buffer.from(text, 'base64url').toString('base64url') === text ? text : null
  return HEX.test(text) ? Buffer.from(text.replaceAll(':', ''), 'hex').toString('base64url') : null
}

/** The thumbprint of a certificate (RFC 8705 §3.1); null: this is no PEM of one. */
export function thumbprintOf(pem: string): string | null {
  try {
    return createHash('sha256').update(new X509Certificate(pem).raw).digest('base64url')
  } catch {
    return null
  }
}
