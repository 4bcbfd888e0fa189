// Is this certificate one of those that a client registered? By its hash, its subject, or one kind of alternative name (RFC 8705
// §2.1.2). Names count only where the listener judged the chain: anyone can put any name into a certificate that he signs himself.

import { X509Certificate } from 'node:crypto'
import { readSubject } from './distinguished-name.js'
import type { PeerCertificate } from './types.js'

/** One kind, any of the values. */
export type CertificateTrust = {
  readonly by: 'thumbprint' | 'subject_dn' | 'san_dns' | 'san_uri' | 'san_ip' | 'san_email'
  /** Thumbprints as in `x5t#S256`; subjects as `readDistinguishedName` has them. */
  readonly values: ReadonlySet<string>
}

export function isTrusted(certificate: PeerCertificate, { by, values }: CertificateTrust): boolean {
  if (by === 'thumbprint') return values.has(certificate.x5tS256)
  if (!certificate.judged) return false
  if (by === 'subject_dn') return values.has(subjectOf(certificate) ?? '')
  const names = namesOf(certificate)
  if (names === null) return false
  for (const value of values) if (IS_NAMED[by](names, value)) return true
  return false
}

type Names = { readonly certificate: X509Certificate; readonly uris: ReadonlySet<string> }

const IS_NAMED: Readonly<
  Record<Exclude<CertificateTrust['by'], 'thumbprint' | 'subject_dn'>, (names: Names, value: string) => boolean>
> = {
  // A certificate for `*.example.com` names no host: a client is one.
  san_dns: ({ certificate }, value) => certificate.checkHost(value, { subject: 'never', wildcards: false }) !== undefined,
  san_uri: ({ uris }, value) => uris.has(value),
  san_ip: ({ certificate }, value) => certificate.checkIP(value) !== undefined,
  san_email: ({ certificate }, value) => certificate.checkEmail(value, { subject: 'never' }) !== undefined,
}

/** A connection keeps its certificate, so each is read once. */
const subjects = new WeakMap<PeerCertificate, string | null>()
const names = new WeakMap<PeerCertificate, Names | null>()

function subjectOf(peer: PeerCertificate): string | null {
  const known = subjects.get(peer)
  if (known !== undefined) return known
  const subject = readSubject(peer.subject)
  subjects.set(peer, subject)
  return subject
}

function namesOf(peer: PeerCertificate): Names | null {
  const known = names.get(peer)
  if (known !== undefined) return known
  const read = readNames(peer)
  names.set(peer, read)
  return read
}

function readNames({ der }: PeerCertificate): Names | null {
  try {
    const certificate = new X509Certificate(der)
    const uris = urisOf(certificate.subjectAltName ?? '')
    return uris === null ? null : { certificate, uris }
  } catch {
    return null
  }
}

const NAME = /([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,"]*)(?:, |$)/y

/** Of a `subjectAltName`: Node puts a name in quotes, as JSON, where it could be taken for several. null: this is not what Node writes. */
export function urisOf(text: string): ReadonlySet<string> | null {
  const uris = new Set<string>()
  for (let at = 0; at < text.length; at = NAME.lastIndex) {
    NAME.lastIndex = at
    const [, kind, value = ''] = NAME.exec(text) ?? []
    if (kind === undefined) return null
    if (kind === 'URI') uris.add(value.startsWith('"') ? String(JSON.parse(value)) : value)
  }
  return uris
}
