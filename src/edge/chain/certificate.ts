// What a certificate says beyond what Node tells of it, and whether it may stand in a chain (RFC 5280 §4.2, §6.1.4).

import type { KeyObject, X509Certificate } from 'node:crypto'
import { element, elements, INTEGER } from '../../config/der.js'
import type { PeerCertificate } from '../../verify/types.js'
import { lifeOf, whyNoLeaf } from '../peer.js'
import { type Extensions, isStrong, readExtensions, readSigned, type Signed } from './signed.js'

export type Life = Pick<PeerCertificate, 'notBefore' | 'notAfter'>

export type Certificate = {
  readonly node: X509Certificate
  readonly key: KeyObject
  readonly signed: Signed
  /** Its bytes as Latin-1. */
  readonly serial: string
  /** All of the DER, hexadecimal. */
  readonly issuer: string
  readonly subject: string
  readonly extensions: Extensions
  readonly life: Life
}

const VERSION = 0xa0
const EXTENSIONS = 0xa3

/** null: it is not DER, or its key none that Node has, though OpenSSL may take it. */
export function readCertificate(node: X509Certificate): Certificate | null {
  try {
    const signed = readSigned(node.raw)
    // version (optional), serial number, signature, issuer, validity, subject, ..., extensions (optional)
    const parts = signed.parts[0]?.tag === VERSION ? signed.parts.slice(1) : signed.parts
    const [serial, , issuer, , subject] = parts
    if (serial === undefined || issuer === undefined || subject === undefined) return null
    const extensions = parts.find(({ tag }) => tag === EXTENSIONS)
    return {
      node,
      key: node.publicKey,
      signed,
      serial: serial.inner.toString('latin1'),
      issuer: issuer.whole.toString('hex'),
      subject: subject.whole.toString('hex'),
      extensions: readExtensions(extensions && element(extensions.inner)),
      life: lifeOf(node),
    }
  } catch {
    return null
  }
}

/** Object identifiers of extensions (RFC 5280 §4.2.1), and of what a TLS client does (§4.2.1.12). */
const KEY_USAGE = '551d0f'
const ALTERNATIVE_NAME = '551d11'
const BASIC_CONSTRAINTS = '551d13'
const NAME_CONSTRAINTS = '551d1e'
const LIST_PLACES = '551d1f'
const POLICIES = '551d20'
const POLICY_MAPPINGS = '551d21'
const POLICY_CONSTRAINTS = '551d24'
const EXTENDED_KEY_USAGE = '551d25'
const INHIBIT_ANY_POLICY = '551d36'
const CLIENT_AUTH = '2b06010505070302'

/** Of those that may be critical, the ones that are judged here, or that a verifier without policies of its own has nothing to do with. */
const UNDERSTOOD: ReadonlySet<string> = new Set([
  ...[KEY_USAGE, ALTERNATIVE_NAME, BASIC_CONSTRAINTS, EXTENDED_KEY_USAGE, LIST_PLACES],
  ...[POLICIES, POLICY_MAPPINGS, POLICY_CONSTRAINTS, INHIBIT_ANY_POLICY],
])

/** Bits of KeyUsage (RFC 5280 §4.2.1.3). */
const DIGITAL_SIGNATURE = 0x80
const KEY_AGREEMENT = 0x08
const CRL_SIGN = 0x02

/** Where usage is restricted at all, one of `bits` is needed. */
function mayBeUsed({ extensions }: Certificate, bits: number): boolean {
  const usage = extensions.get(KEY_USAGE)
  return usage === undefined || ((element(usage.value).inner[1] ?? 0) & bits) !== 0
}

export const maySignLists = (certificate: Certificate): boolean => mayBeUsed(certificate, CRL_SIGN)

/** Why it can't be the client's; null: it can. As in the handshake, an unrestricted purpose is good for all. */
export function whyNotClient(certificate: Certificate): string | null {
  const unfit = whyNoLeaf(certificate.node) ?? whyNotInChain(certificate)
  return unfit ?? (mayBeUsed(certificate, DIGITAL_SIGNATURE | KEY_AGREEMENT) ? null : 'INVALID_PURPOSE')
}

/** Why it can't have issued, above so many CAs; null: it can. Whether it may sign certificates, `checkIssued` says. */
export function whyNotIssuer(certificate: Certificate, below: number): string | null {
  if (!certificate.node.ca) return 'INVALID_CA'
  const constraints = certificate.extensions.get(BASIC_CONSTRAINTS)
  const longest = elements(element(constraints?.value ?? Buffer.alloc(2)).inner).find(({ tag }) => tag === INTEGER)
  if (longest !== undefined && below > Number(`0x${longest.inner.toString('hex')}`)) return 'PATH_LENGTH_EXCEEDED'
  return whyNotInChain(certificate)
}

function whyNotInChain({ key, extensions }: Certificate): string | null {
  if (!isStrong(key)) return 'KEY_TOO_SMALL'
  // What they allow is not judged here, and to ignore them would allow more.
  if (extensions.has(NAME_CONSTRAINTS)) return 'UNSUPPORTED_NAME_CONSTRAINTS'
  for (const [oid, { isCritical }] of extensions) if (isCritical && !UNDERSTOOD.has(oid)) return 'UNHANDLED_CRITICAL_EXTENSION'
  const usage = extensions.get(EXTENDED_KEY_USAGE)
  const purposes = usage === undefined ? [] : elements(element(usage.value).inner)
  return usage === undefined || purposes.some(({ inner }) => inner.toString('hex') === CLIENT_AUTH) ? null : 'INVALID_PURPOSE'
}
