// Which resource is meant? Request target and `htu` in one normal form (RFC 3986 §6.2.2, §6.2.3; RFC 9449 §4.3 (9)).
// An own strict parser, because `new URL()` is not that normal form: it keeps `%7E` and `%2f`, and repairs `https:\\h\a`.
// What an upstream could read in a second way is refused, not repaired. Does not check: that the origin is one of ours.

import type { Target } from './types.js'

const VISIBLE_ASCII = /^[\x21-\x7e]*$/
const ORIGIN = /^(https?):\/\/([a-z0-9.-]+|\[[0-9a-f:.]{2,45}\])(?::([1-9]\d{0,4})?)?\/?$/
const REG_NAME = /^(?!.{254})[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/
const DEFAULT_PORT: Readonly<Record<string, number>> = { http: 80, https: 443 }

/**
 * An absolute http or https origin in normal form: lower case, default port dropped (an empty one is the default,
 * RFC 3986 §6.2.3), IPv6 in brackets. Null for anything with a path other than `/`, a user, a query, a fragment, a port
 * with leading zeros, or a host that is neither LDH labels nor an IP address. A trailing dot makes no host of ours.
 */
export function normalOrigin(text: string): string | null {
  // First, because `toLowerCase` makes ASCII of what was not: the Kelvin sign becomes `k`.
  if (!VISIBLE_ASCII.test(text)) return null
  const [, scheme, host, port] = ORIGIN.exec(text.toLowerCase()) ?? []
  if (scheme === undefined || host === undefined) return null
  if (host.startsWith('[') ? !isIpv6(host.slice(1, -1)) : !REG_NAME.test(host)) return null
  if (port === undefined || Number(port) === DEFAULT_PORT[scheme]) return `${scheme}://${host}`
  return Number(port) <= 65535 ? `${scheme}://${host}:${port}` : null
}

const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/
const GROUP = /^[0-9a-f]{1,4}$/

/** RFC 3986 §3.2.2 IPv6address, without zone. */
function isIpv6(text: string): boolean {
  const halves = text.split('::')
  const groups = halves.flatMap((half) => (half === '' ? [] : half.split(':')))
  const last = groups.at(-1) ?? ''
  const hasIpv4 = IPV4.test(last) && text.endsWith(last)
  if (!groups.every((group, i) => GROUP.test(group) || (hasIpv4 && i === groups.length - 1))) return false
  const count = groups.length + (hasIpv4 ? 1 : 0)
  return halves.length === 2 ? count <= 7 : halves.length === 1 && count === 8
}

/** RFC 3986 §3.3: `/`, pchar, whole escapes; so no space, control, backslash, `#`, or byte over 127. */
const PATH = /^\/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*$/
/**
 * A query is data and no one routes by it, so what browsers leave raw in one passes (`[ ] | { } ^ " ' < >`, backquote,
 * backslash, a lone `%`); what could end the request line or the URI early does not.
 */
const QUERY = /^[\x21\x22\x24-\x7e]*$/
/**
 * Escapes that an upstream may decode into structure: `/`, `\`, controls, and the overlong UTF-8 of ASCII and beyond
 * (`%C0%AF` is a `/` to a lax decoder). Other bytes that are not UTF-8 may be Latin-1, and mean nothing.
 */
const FORBIDDEN_ESCAPE = /%(?:[01][0-9A-F]|7F|2F|5C|C[01]|E0%[89]|F0%8|F8%8[0-7]|FC%8[0-3])/
/**
 * A dot segment or an empty one. `;` ends a segment's name too: to servlet containers `/..;x/` is `/../` and `/;x/` is `//`.
 */
const AMBIGUOUS_SEGMENT = /\/(?:\.\.?(?:\/|;|%3B|$)|\/|;|%3B)/

/**
 * Reads an origin-form request target (`/path?query`) that came to `origin`. Null (`target_malformed`) when its path is not
 * canonical: dot segments and empty ones, however spelt; an encoded `/`, `\` or control; bad or overlong escapes;
 * anything RFC 3986 §3.3 does not allow. Escapes are decoded once only: `%252e` stays what it is. `removedPrefix`, canonical itself, is
 * what a hop took off the path.
 */
export function readTarget(pathAndQuery: string, origin: string, removedPrefix = ''): Target | null {
  const mark = pathAndQuery.indexOf('?')
  const rawPath = mark < 0 ? pathAndQuery : pathAndQuery.slice(0, mark)
  const query = mark < 0 ? null : pathAndQuery.slice(mark + 1)
  if (!PATH.test(rawPath) || (query !== null && !QUERY.test(query))) return null
  const path = normalEscapes(rawPath)
  if (FORBIDDEN_ESCAPE.test(path) || AMBIGUOUS_SEGMENT.test(path)) return null
  const base = removedPrefix === '' ? origin : origin + removedPrefix
  return { origin, base, path, rawPath, query, matrix: path.includes(';') || path.includes('%3B') }
}

const UNRESERVED = /[A-Za-z0-9\-._~]/

/** RFC 3986 §6.2.2.1 and §6.2.2.2: escapes in upper case, unreserved characters decoded, all others left escaped. */
function normalEscapes(path: string): string {
  if (!path.includes('%')) return path
  return path.replace(/%[0-9A-Fa-f]{2}/g, (triplet) => {
    const character = String.fromCharCode(Number.parseInt(triplet.slice(1), 16))
    return UNRESERVED.test(character) ? character : triplet.toUpperCase()
  })
}

/** RFC 3986 §5.2.4, for a path that begins with `/`. */
function withoutDotSegments(path: string): string {
  if (!path.includes('/.')) return path
  const kept: string[] = []
  const segments = path.slice(1).split('/')
  for (const [i, segment] of segments.entries()) {
    const isDots = segment === '.' || segment === '..'
    if (segment === '..') kept.pop()
    if (!isDots) kept.push(segment)
    else if (i === segments.length - 1) kept.push('')
  }
  return `/${kept.join('/')}`
}

const HTU = /^([a-z]+:\/\/[^/?#]*)([^?#]*)/i

/**
 * Does `htu` name this target? RFC 9449 §4.3 (9) with RFC 3986 §6.2.2 and §6.2.3: its query and fragment are ignored, its dot
 * segments removed; reserved escapes are not decoded, and case counts in the path. Sloppy forms that a browser would repair
 * are refused. Does not check: its length.
 */
export function isSameTarget(htu: string, target: Target): boolean {
  const { origin, base, rawPath } = target
  // Nearly every honest proof, without a copy (docs/benchmarks.md).
  if (htu.length === base.length + rawPath.length && htu.startsWith(base) && htu.endsWith(rawPath)) return true
  if (!VISIBLE_ASCII.test(htu)) return false
  const [, authority, path] = HTU.exec(htu) ?? []
  if (authority === undefined || path === undefined || normalOrigin(authority) !== origin) return false
  if (path === '') return base === origin && target.path === '/'
  return PATH.test(path) && origin + withoutDotSegments(normalEscapes(path)) === base + target.path
}

const ESCAPES = /%([0-9A-Fa-f]{2})/g

/** Is an access token sent in the query (RFC 6750 §2.3), however its name is escaped, and with `;` between parameters too? */
export function hasTokenInQuery(query: string | null): boolean {
  if (query === null || !(query.includes('_') || query.includes('%5'))) return false
  return query.split(/[&;]/).some((parameter) => {
    const [name = ''] = parameter.split('=', 1)
    // At least as long as the name itself, and no longer than with every character of it escaped.
    if (name.length < 12 || name.length > 36) return false
    return name.replace(ESCAPES, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))) === 'access_token'
  })
}
