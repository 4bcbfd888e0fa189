// RFC 3986 as it stands, section by section and with no thought of speed: the second opinion on which two URIs are one.
// Shares nothing with src/verify/target.ts. Does not know WHATWG's repairs: what breaks the grammar has no normal form.

const UNRESERVED = 'A-Za-z0-9\\-._~'
const SUB_DELIMS = "!$&'()*+,;="
const ESCAPE = '%[0-9A-Fa-f]{2}'
const component = (more: string): RegExp => new RegExp(`^(?:[${UNRESERVED}${SUB_DELIMS}${more}]|${ESCAPE})*$`)

const PATH = component(':@/')
const QUERY = component(':@/?')
const USERINFO = component(':')
const REG_NAME = component('')

/** Appendix B. */
const APPENDIX_B = /^(([^:/?#]+):)?(\/\/([^/?#]*))?([^?#]*)(\?([^#]*))?(#(.*))?$/s
/** §3.2. */
const AUTHORITY = /^(?:([^@]*)@)?(\[[^\]]*\]|[^:]*)(?::([0-9]*))?$/

/** §5.2.4, with its buffers. */
export function removeDotSegments(path: string): string {
  let input = path
  let output = ''
  while (input !== '') {
    if (input.startsWith('../')) input = input.slice(3)
    else if (input.startsWith('./')) input = input.slice(2)
    else if (input.startsWith('/./')) input = input.slice(2)
    else if (input === '/.') input = '/'
    else if (input.startsWith('/../') || input === '/..') {
      input = `/${input.slice(4)}`
      output = output.slice(0, Math.max(output.lastIndexOf('/'), 0))
    } else if (input === '.' || input === '..') input = ''
    else {
      const next = input.indexOf('/', 1)
      output += next < 0 ? input : input.slice(0, next)
      input = next < 0 ? '' : input.slice(next)
    }
  }
  return output
}

/** §6.2.2.1 and §6.2.2.2 of what may hold escapes. */
const normalEscapes = (text: string): string =>
  text.replace(new RegExp(ESCAPE, 'g'), (triplet) => {
    const character = String.fromCharCode(Number.parseInt(triplet.slice(1), 16))
    return new RegExp(`^[${UNRESERVED}]$`).test(character) ? character : triplet.toUpperCase()
  })

const DEFAULT_PORTS: Readonly<Record<string, string>> = { http: '80', https: '443' }

function normalAuthority(authority: string, scheme: string): string | null {
  const [, userinfo, host, port] = AUTHORITY.exec(authority) ?? []
  if (host === undefined || host === '') return null
  if (userinfo !== undefined && !USERINFO.test(userinfo)) return null
  if (!REG_NAME.test(host) && !/^\[[0-9A-Fa-f:.]+\]$/.test(host)) return null
  // Decoded before it is lower case, so that `%41` is `a`; the escapes that stay are upper case again.
  const name = normalEscapes(normalEscapes(host).toLowerCase())
  const user = userinfo === undefined ? '' : `${normalEscapes(userinfo)}@`
  const isDefault = port === undefined || port === '' || port === DEFAULT_PORTS[scheme]
  return `${user}${name}${isDefault ? '' : `:${port}`}`
}

/** §6.2.2 and §6.2.3 of an absolute http or https URI, without query and fragment; null: it is none. */
export function normalUri(uri: string): string | null {
  const [, , scheme = '', , authority, path = '', , query = '', , fragment = ''] = APPENDIX_B.exec(uri) ?? []
  const name = scheme.toLowerCase()
  if (!Object.hasOwn(DEFAULT_PORTS, name) || authority === undefined) return null
  if (!PATH.test(path) || !QUERY.test(query) || !QUERY.test(fragment)) return null
  const normal = normalAuthority(authority, name)
  if (normal === null) return null
  const segments = removeDotSegments(normalEscapes(path))
  return `${name}://${normal}${segments === '' ? '/' : segments}`
}

/** RFC 9449 §4.3 (9): "ignoring any query and fragment parts", so what stands there need not even be one. */
export const withoutQuery = (uri: string): string => uri.replace(/[?#].*$/s, '')

/** Do both name one resource? */
export function isSameUri(one: string, other: string): boolean {
  const normal = normalUri(withoutQuery(one))
  return normal !== null && normal === normalUri(withoutQuery(other))
}
