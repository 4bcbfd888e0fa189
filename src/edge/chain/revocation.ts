// Is a certificate revoked? By lists that were given at load (RFC 5280 §5, §6.3), each whole and of one CA: one that speaks for others, or of
// changes alone, says so in a critical extension, and then nothing is known.

import { type Element, element, elements, INTEGER, span, timeOf } from '../../config/der.js'
import { type Certificate, type Life, maySignLists } from './certificate.js'
import { isSignedBy, readExtensions, readSigned, type Signed } from './signed.js'

export type List = {
  readonly signed: Signed
  /** DER Name, hexadecimal. */
  readonly issuer: string
  /** Serial numbers, their bytes as Latin-1. */
  readonly revoked: ReadonlySet<string>
  readonly isUnderstood: boolean
  readonly life: Life
}

const SEQUENCE = 0x30
const EXTENSIONS = 0xa0

/** From PEM of one list. Throws where it is none, which was found at load. */
export function readList(pem: string): List {
  const signed = readSigned(Buffer.from(pem.replace(/-----[^-]*-----|\s/g, ''), 'base64'))
  // version (optional), signature, issuer, thisUpdate, nextUpdate, entries (optional), extensions (optional)
  const parts = signed.parts[0]?.tag === INTEGER ? signed.parts.slice(1) : signed.parts
  const [, issuer, begin, ...rest] = parts
  if (issuer === undefined || begin === undefined) throw new TypeError('not a list')
  const entries = rest.find(({ tag }) => tag === SEQUENCE)
  const extensions = rest.find(({ tag }) => tag === EXTENSIONS)
  const { revoked, isUnderstood } = readEntries(entries?.inner ?? Buffer.alloc(0))
  const life = {
    notBefore: timeOf(begin) ?? Number.POSITIVE_INFINITY,
    // RFC 5280 §5.1.2.5 demands it.
    notAfter: (rest[0] && timeOf(rest[0])) ?? Number.NEGATIVE_INFINITY,
  }
  const isWhole = isUnderstood && !holdsCritical(extensions && elements(extensions.inner)[0])
  return { signed, issuer: issuer.whole.toString('hex'), revoked, isUnderstood: isWhole, life }
}

/** Of each entry a serial number, a date, and extensions where there are any. By spans, because there can be hundreds of thousands. */
function readEntries(list: Buffer): Pick<List, 'revoked' | 'isUnderstood'> {
  const revoked = new Set<string>()
  let isUnderstood = true
  for (let at = 0; at < list.length; ) {
    const entry = span(list, at)
    const serial = span(list, entry.start)
    const date = span(list, serial.end)
    revoked.add(list.toString('latin1', serial.start, serial.end))
    if (date.end < entry.end && holdsCritical(element(list, date.end))) isUnderstood = false
    at = entry.end
  }
  return { revoked, isUnderstood }
}

const holdsCritical = (list: Element | undefined): boolean =>
  [...readExtensions(list).values()].some(({ isCritical }) => isCritical)

/** Why a certificate that `issuer` issued can't be trusted; else how long its list says that it can. */
export function judgeRevocation(certificate: Certificate, issuer: Certificate, lists: readonly List[]): string | Life {
  const list = lists.find((one) => one.issuer === issuer.subject && isSignedBy(one.signed, issuer.key))
  if (list === undefined) return 'UNABLE_TO_GET_CRL'
  if (!maySignLists(issuer)) return 'KEYUSAGE_NO_CRL_SIGN'
  if (!list.isUnderstood) return 'UNHANDLED_CRITICAL_CRL_EXTENSION'
  return list.revoked.has(certificate.serial) ? 'CERT_REVOKED' : list.life
}
