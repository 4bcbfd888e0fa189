// What does the path of a route mean? `/a/:name/*`, in the normal form that request paths are matched in (contract §2 "Paths").

import { readTarget } from '../verify/target.js'

export type Pattern = {
  /** In order; null stands for a parameter. */
  readonly segments: readonly (string | null)[]
  /** Of the parameters, in order. */
  readonly names: readonly string[]
  /** Whether it ends in `/*`. */
  readonly isOpen: boolean
  /** Equal for paths that match the same requests: `/a/:/*`. */
  readonly shape: string
}

const PARAMETER = /^:[A-Za-z_][A-Za-z0-9_]*$/
const ANY_ORIGIN = 'https://localhost'

/** The pattern; a sentence when it is none. */
export function readPattern(path: string): Pattern | string {
  const target = readTarget(path, ANY_ORIGIN)
  if (target === null || target.query !== null) return malformed(path)
  if (target.path !== path) return `is not in normal form: write ${target.path}`
  const parts = path.slice(1).split('/')
  const isOpen = parts.at(-1) === '*'
  const closed = isOpen ? parts.slice(0, -1) : parts
  if (closed.some((part) => part.includes('*'))) return 'a * stands as the last segment only'
  const named = closed.filter((part) => part.startsWith(':'))
  const wrong = named.find((part) => !PARAMETER.test(part))
  if (wrong !== undefined) return `${wrong} is no parameter: a whole segment such as :id, of letters, digits and _`
  const names = named.map((part) => part.slice(1))
  const twice = names.find((name, i) => names.indexOf(name) !== i)
  if (twice !== undefined) return `has two parameters called ${twice}`
  const segments = closed.map((part) => (part.startsWith(':') ? null : part))
  return { segments, names, isOpen, shape: shapeOf(segments, isOpen) }
}

const shapeOf = (segments: Pattern['segments'], isOpen: boolean): string =>
  `/${[...segments.map((segment) => segment ?? ':'), ...(isOpen ? ['*'] : [])].join('/')}`

function malformed(path: string): string {
  if (/[?#]/.test(path)) return 'a path has no query and no fragment'
  // Where escapes are already, nobody knows what was meant.
  const escaped = isWellFormed(path) && !path.includes('%') ? readTarget(encodeURI(path), ANY_ORIGIN) : null
  const advice =
    escaped === null ? 'no request with it is served (dot segments, //, encoded / or \\, bad escapes)' : `write ${escaped.path}`
  return `is not canonical: ${advice}`
}

/** Lone surrogates have no UTF-8, and make encodeURI throw. */
const isWellFormed = (text: string): boolean => !/\p{Surrogate}/u.test(text)
