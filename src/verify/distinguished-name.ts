// Are two distinguished names the same? Names are compared as RFC 5280 §7.1 says: by attribute, without regard to case and to how
// many spaces stand between words. What is written by hand is RFC 4514, most specific first; a certificate has the other order.

type Attribute = readonly [type: string, value: string]

/** Types that OpenSSL has a short name for, by what else they may be called (RFC 4514 §3, RFC 4519, EN 319 412-1). */
const SHORT_NAMES: ReadonlyMap<string, string> = new Map([
  ['2.5.4.3', 'cn'],
  ['commonname', 'cn'],
  ['2.5.4.4', 'sn'],
  ['2.5.4.5', 'serialnumber'],
  ['2.5.4.6', 'c'],
  ['2.5.4.7', 'l'],
  ['2.5.4.8', 'st'],
  ['s', 'st'],
  ['2.5.4.9', 'street'],
  ['2.5.4.10', 'o'],
  ['2.5.4.11', 'ou'],
  ['2.5.4.12', 'title'],
  ['2.5.4.15', 'businesscategory'],
  ['2.5.4.17', 'postalcode'],
  ['2.5.4.42', 'gn'],
  ['givenname', 'gn'],
  ['2.5.4.97', 'organizationidentifier'],
  ['0.9.2342.19200300.100.1.1', 'uid'],
  ['0.9.2342.19200300.100.1.25', 'dc'],
  ['1.2.840.113549.1.9.1', 'emailaddress'],
  ['email', 'emailaddress'],
  ['e', 'emailaddress'],
])

const TYPE = /\s*(?:OID\.)?([A-Za-z][A-Za-z0-9-]*|\d+(?:\.\d+)+)\s*=\s*/iy
const PLAIN = /[^\\,+;"<>\0]+/uy
const ESCAPE = /\\(?:([0-9A-Fa-f]{2})|([ "#+,;<=>\\]))/y

/** RFC 4514, in a form in which names that are the same are equal; null when it is no name. */
export function readDistinguishedName(text: string): string | null {
  const names = readNames(text)
  return names === null ? null : canonical(names)
}

/** The subject of a certificate as node:crypto shows it: a line for each relative name, least specific first. */
export function readSubject(subject: string): string | null {
  const names: (readonly Attribute[])[] = []
  for (const line of subject.split('\n')) {
    const [name, ...more] = readNames(line) ?? []
    if (name === undefined || more.length > 0) return null
    names.unshift(name)
  }
  return canonical(names)
}

const canonical = (names: readonly (readonly Attribute[])[]): string =>
  JSON.stringify(names.map((attributes) => attributes.map((one) => JSON.stringify(one)).sort()))

function readNames(text: string): readonly (readonly Attribute[])[] | null {
  const names: Attribute[][] = [[]]
  let at = 0
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at
    const found = pattern.exec(text)
    if (found !== null) at = pattern.lastIndex
    return found
  }
  while (true) {
    const type = take(TYPE)?.[1]?.toLowerCase()
    // `#04...` is a value in BER, which nobody reads here.
    if (type === undefined || text[at] === '#') return null
    const value = readValue(take)
    if (value === null) return null
    names.at(-1)?.push([SHORT_NAMES.get(type) ?? type, value])
    if (at === text.length) return names
    const separator = text[at]
    if (separator === ',') names.push([])
    else if (separator !== '+') return null
    at += 1
  }
}

/** Escapes in hexadecimal are octets of UTF-8. */
function readValue(take: (pattern: RegExp) => RegExpExecArray | null): string | null {
  const parts: Buffer[] = []
  while (true) {
    const escaped = take(ESCAPE)
    if (escaped !== null) {
      const [, hex, character] = escaped
      parts.push(hex === undefined ? Buffer.from(character ?? '') : Buffer.from(hex, 'hex'))
      continue
    }
    const plain = take(PLAIN)
    if (plain === null) break
    parts.push(Buffer.from(plain[0]))
  }
  const value = Buffer.concat(parts).toString('utf8')
  const folded = value.normalize('NFKC').toLowerCase().replace(/\s+/g, ' ').trim()
  return folded === '' || folded.includes('\uFFFD') || folded.includes('\0') ? null : folded
}
