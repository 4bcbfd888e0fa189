// Where does a request go behind us, and what does an upstream's `Location` mean in front of us? Prefixes are taken off and put
// on by whole segments; every other byte stays as it came (contract §2, §6). Does not judge the path: verify/target.ts did.

import type { Route, Target } from '../verify/types.js'

const withoutFinalSlash = (path: string): string => (path.endsWith('/') ? path.slice(0, -1) : path)

/** What stands before the rest of a path at the upstream: its base path, then `add_prefix`. Empty, or `/a/b`. */
const upstreamPrefix = ({ upstream, add_prefix }: Route): string =>
  withoutFinalSlash(upstream.url.pathname) + withoutFinalSlash(add_prefix ?? '')

const publicPrefix = ({ strip_prefix }: Route): string => withoutFinalSlash(strip_prefix ?? '')

/** Is `path` the prefix itself or below it? Never `/filesystem` for `/files`. */
const isBelow = (path: string, prefix: string): boolean =>
  path.startsWith(prefix) && (path.length === prefix.length || path[prefix.length] === '/')

/** Path and query as they are sent to the upstream. */
export function upstreamTarget(route: Route, target: Target): string {
  const rest = stripped(target, publicPrefix(route))
  const path = upstreamPrefix(route) + (rest === '' ? '/' : rest)
  return target.query === null ? path : `${path}?${target.query}`
}

/**
 * The raw path without the segments of `prefix`. Compared in normal form, because a client may write `/fil%65s` and the router
 * reads `/files`; removed from the raw bytes by counting, because neither an escaped nor an empty segment can shift the count.
 */
function stripped({ path, rawPath }: Target, prefix: string): string {
  if (prefix === '' || !isBelow(path, prefix)) return rawPath
  let end = 0
  for (let left = prefix.split('/').length - 1; left > 0; left--) {
    const next = rawPath.indexOf('/', end + 1)
    end = next < 0 ? rawPath.length : next
  }
  return rawPath.slice(end)
}

const ABSOLUTE = /^(https?:)?\/\/([^/?#\\\s]+)([/?#].*)?$/i

/**
 * An upstream's `Location` as the client must see it: of the upstream's own origin, it becomes one of ours, and the upstream's
 * prefixes become the public ones, with what a hop takes away in front; a path alone has its prefixes mapped. Relative and foreign ones are left as they are.
 */
export function publicLocation(location: string, route: Route, { origin, base }: Pick<Target, 'origin' | 'base'>): string {
  const removed = base.slice(origin.length)
  const [, scheme, authority, rest = ''] = ABSOLUTE.exec(location) ?? []
  if (authority !== undefined) {
    const own = isOwnOrigin(`${scheme ?? route.upstream.url.protocol}//${authority}`, route, origin)
    // A path outside our prefixes has no public name, but the upstream's address must not leak (contract §9).
    return own ? base + publicPath(rest.startsWith('/') ? rest : `/${rest}`, route) : location
  }
  return location.startsWith('/') && !location.startsWith('//') ? removed + publicPath(location, route) : location
}

/** With `preserve_host` the upstream takes the public origin for its own, in the scheme that it is spoken to. */
function isOwnOrigin(text: string, { upstream }: Route, origin: string): boolean {
  if (!URL.canParse(text)) return false
  const named = new URL(text)
  if (named.origin === upstream.url.origin) return true
  return upstream.preserve_host && named.host === new URL(`${named.protocol}//${origin.slice('https://'.length)}`).host
}

function publicPath(location: string, route: Route): string {
  const end = location.search(/[?#]/)
  const path = end < 0 ? location : location.slice(0, end)
  const prefix = upstreamPrefix(route)
  if (!isBelow(path, prefix)) return location
  return (publicPrefix(route) + path.slice(prefix.length) || '/') + location.slice(path.length)
}
