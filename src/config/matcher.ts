// Which route takes this path? A trie of segments for each origin: literal before `:name` before `/*`, segment by segment, and back
// when a more specific branch leads nowhere; the path is chosen before the method (contract §2 "Paths").
// Not find-my-way: it chooses the method first, lets `:name` and `*` match nothing, and sends long segments elsewhere. A path of any
// length visits each node of the trie once at most, because only one sequence of segments leads to a node.

import type { Route, RouteMatch } from '../verify/types.js'
import type { Config } from './config.js'
import { type Pattern, readPattern } from './pattern.js'

/** What serves a path: a route for each method. */
type Leaf = {
  readonly methods: Map<string, { readonly route: Route; readonly pattern: Pattern }>
  /** More than one only where paths were folded. */
  readonly shapes: Set<string>
  /** Of paths that end in `/*`. */
  readonly isOpen: boolean
}

type Node = { readonly literals: Map<string, Node>; parameter: Node | null; end: Leaf | null; rest: Leaf | null }

const newNode = (): Node => ({ literals: new Map(), parameter: null, end: null, rest: null })
const newLeaf = (isOpen: boolean): Leaf => ({ methods: new Map(), shapes: new Set(), isOpen })

export type Matcher = Pick<Config, 'match' | 'matchesInOtherCase' | 'matchesWithoutMatrix'>

/** Methods that a route serves: GET serves HEAD too. */
export const servedMethods = (methods: readonly string[]): readonly string[] =>
  methods.includes('GET') ? [...new Set([...methods, 'HEAD'])] : methods

/** Compiles routes whose paths are patterns, none of them twice for a method and an origin. */
export function createMatcher(routes: readonly Route[]): Matcher {
  const exact = new Map<string, Node>()
  const folded = new Map<string, Node>()
  const shapes = new Map<Route, string>()
  let deepest = 0
  for (const route of routes) {
    const pattern = readPattern(route.path)
    if (typeof pattern === 'string') throw new Error(`the route ${route.path} ${pattern}`)
    shapes.set(route, pattern.shape)
    deepest = Math.max(deepest, pattern.segments.length)
    for (const origin of route.origins) {
      add(rootOf(exact, origin), { route, pattern }, same)
      add(rootOf(folded, origin), { route, pattern }, foldSegment)
    }
  }
  return {
    match: (origin, path, method) => {
      const root = exact.get(origin)
      const segments = segmentsOf(path)
      const leaf = root === undefined ? null : find(root, segments, 0)
      if (root === undefined || leaf === null || isAnothersPlace(root, segments, leaf)) return 'unknown'
      const chosen = leaf.methods.get(method)
      if (chosen === undefined) return [...leaf.methods.keys()]
      return { route: chosen.route, captured: capture(chosen.pattern, segments) }
    },
    matchesInOtherCase: (origin, path, route) => {
      const root = folded.get(origin)
      if (root === undefined) return false
      // No deeper than routes are: to fold what no literal is compared with would be the client's to make long.
      const segments = segmentsOf(path).map((segment, depth) => (depth < deepest ? foldSegment(segment) : segment))
      const leaf = find(root, segments, 0)
      if (leaf === null) return false
      const shape = shapes.get(route)
      return [...leaf.shapes].some((other) => other !== shape) || isAnothersPlace(root, segments, leaf)
    },
    matchesWithoutMatrix: (origin, path, route) => {
      // A route that writes `;` itself means just that path.
      if (/;|%3B/.test(route.path)) return false
      const root = exact.get(origin)
      const segments = segmentsOf(path).map((segment) => segment.replace(/(?:;|%3B).*/, ''))
      if (root === undefined || segments.includes('')) return true
      const leaf = find(root, segments, 0)
      const shape = shapes.get(route)
      return leaf !== null && [...leaf.shapes].some((other) => other !== shape)
    },
  }
}

const same = (segment: string): string => segment
const segmentsOf = (path: string): readonly string[] => path.slice(1).split('/')

function rootOf(roots: Map<string, Node>, origin: string): Node {
  const root = roots.get(origin) ?? newNode()
  roots.set(origin, root)
  return root
}

function add(root: Node, { route, pattern }: { route: Route; pattern: Pattern }, fold: (segment: string) => string): void {
  let node = root
  for (const segment of pattern.segments) {
    const next = (segment === null ? node.parameter : node.literals.get(fold(segment))) ?? newNode()
    if (segment === null) node.parameter = next
    else node.literals.set(fold(segment), next)
    node = next
  }
  const leaf = (pattern.isOpen ? node.rest : node.end) ?? newLeaf(pattern.isOpen)
  if (pattern.isOpen) node.rest = leaf
  else node.end = leaf
  leaf.shapes.add(pattern.shape)
  for (const method of servedMethods(route.methods)) leaf.methods.set(method, { route, pattern })
}

/** Recurses as deep as the longest route, never as deep as the path. */
function find(node: Node, segments: readonly string[], at: number): Leaf | null {
  const segment = segments[at]
  if (segment === undefined) return node.end
  const literal = node.literals.get(segment)
  const exact = literal === undefined ? null : find(literal, segments, at + 1)
  if (exact !== null) return exact
  // Neither `:name` nor `*` matches nothing: `/cases/` is not a case without id.
  if (segment === '') return null
  const named = node.parameter === null ? null : find(node.parameter, segments, at + 1)
  return named ?? node.rest
}

/**
 * Most backends take `/a/x/` for `/a/x`, or for what is below it. So where another route has that place, `/a/*` does not take the path
 * with the slash: a lax `/*` must not open what a stricter route beside it guards.
 */
function isAnothersPlace(root: Node, segments: readonly string[], leaf: Leaf): boolean {
  if (!leaf.isOpen || segments.at(-1) !== '') return false
  const bare = segments.slice(0, -1)
  return [bare, [...bare, ANYTHING]].some((place) => {
    const other = find(root, place, 0)
    return other !== null && other !== leaf
  })
}

/** A segment that no literal is equal to: canonical paths have no control characters. */
const ANYTHING = '\0'

function capture({ segments, names }: Pattern, path: readonly string[]): RouteMatch['captured'] {
  // Without prototype: what is absent must be absent, `constructor` too.
  const captured: Record<string, string> = Object.create(null)
  let named = 0
  for (const [i, segment] of segments.entries()) {
    if (segment !== null) continue
    const name = names[named++]
    const value = decode(path[i] ?? '')
    if (name !== undefined && value !== null) captured[name] = value
  }
  return captured
}

/** Percent-decoded once; null when that is not UTF-8. */
function decode(segment: string): string | null {
  if (!segment.includes('%')) return segment
  try {
    return decodeURIComponent(segment)
  } catch {
    return null
  }
}

/**
 * A segment as a backend without regard to case may see it: decoded, and both cases of a letter in one, the long s and the Kelvin
 * sign too. Folds more rather than less: what is folded together is refused, never granted.
 */
const foldSegment = (segment: string): string => (decode(segment) ?? segment).toUpperCase().toLowerCase()
