// The matcher of contract §2 "Paths": by example, and against a matcher so simple that it can be seen to be right.

import fc from 'fast-check'
import t from 'tap'
import { createMatcher, servedMethods } from '../../src/config/matcher.js'
import { readPattern } from '../../src/config/pattern.js'
import type { Route } from '../../src/verify/types.js'

const HERE = 'https://api.example.com'
const THERE = 'https://mtls.example.com'

type Wanted = { readonly path: string; readonly methods?: readonly string[]; readonly origins?: readonly string[] }
const route = ({ path, methods = ['GET'], origins = [HERE] }: Wanted): Route => ({ path, methods, origins }) as Route

/** What a request is answered: the path of its route, the methods of a 405, or unknown. */
function answerOf(routes: readonly Route[], path: string, method = 'GET') {
  const match = createMatcher(routes).match(HERE, path, method)
  return match === 'unknown' ? match : 'route' in match ? match.route.path : [...match].sort()
}

const paths = (...all: readonly string[]) => all.map((path) => route({ path }))

t.test('the most specific path wins, segment by segment', async (t) => {
  const routes = paths('/a/b', '/a/:x', '/a/*', '/:x/b', '/*')
  t.equal(answerOf(routes, '/a/b'), '/a/b')
  t.equal(answerOf(routes, '/a/c'), '/a/:x')
  t.equal(answerOf(routes, '/a/b/c'), '/a/*')
  t.equal(answerOf(routes, '/z/b'), '/:x/b')
  t.equal(answerOf(routes, '/z/c'), '/*')
})

t.test('goes back when a more specific branch leads nowhere', async (t) => {
  t.equal(answerOf(paths('/a/:x/c', '/a/b/d'), '/a/b/c'), '/a/:x/c')
  t.equal(answerOf(paths('/a/b/:x/d', '/a/:y/c/*', '/*'), '/a/b/c/e'), '/a/:y/c/*')
  t.equal(answerOf(paths('/a/b/:x/d', '/*'), '/a/b/c/e'), '/*')
})

t.test('the path is chosen before the method', async (t) => {
  const routes = [route({ path: '/a/b', methods: ['GET'] }), route({ path: '/a/:x', methods: ['POST'] })]
  t.same(answerOf(routes, '/a/b', 'POST'), ['GET', 'HEAD'])
  t.same(answerOf(routes, '/a/c', 'GET'), ['POST'])
  t.equal(answerOf(routes, '/a/b', 'HEAD'), '/a/b')
})

t.test('one path may have a route for each method, each with its own names', async (t) => {
  const routes = [route({ path: '/a/:x' }), route({ path: '/a/:y', methods: ['PUT', 'DELETE'] })]
  const { match } = createMatcher(routes)
  t.match(match(HERE, '/a/1', 'GET'), { route: routes[0], captured: { x: '1' } })
  t.match(match(HERE, '/a/1', 'PUT'), { route: routes[1], captured: { y: '1' } })
  t.same(answerOf(routes, '/a/1', 'POST'), ['DELETE', 'GET', 'HEAD', 'PUT'])
})

t.test('neither a parameter nor a star matches nothing', async (t) => {
  const routes = paths('/a/:x', '/b/*', '/:x')
  for (const path of ['/', '/a/', '/b/', '/b', '/a']) {
    t.equal(answerOf(routes, path), path === '/' || path.endsWith('/') ? 'unknown' : '/:x', path)
  }
  t.equal(answerOf(routes, '/b/c/'), '/b/*')
})

t.test('case and a trailing slash matter', async (t) => {
  t.equal(answerOf(paths('/a', '/b/'), '/A'), 'unknown')
  t.equal(answerOf(paths('/a', '/b/'), '/a/'), 'unknown')
  t.equal(answerOf(paths('/a', '/b/'), '/b'), 'unknown')
  t.equal(answerOf(paths('/a', '/b/'), '/b/'), '/b/')
})

t.test('a star does not take, with a slash behind it, what another route has without or below it', async (t) => {
  for (const stricter of ['/public/admin', '/public/admin/*', '/public/:x', '/public/admin/:x']) {
    t.equal(answerOf(paths('/public/*', stricter), '/public/admin/'), 'unknown', stricter)
  }
  t.equal(answerOf(paths('/public/*', '/public/admin'), '/public/other/'), '/public/*')
  t.equal(answerOf(paths('/public/*', '/public/admin'), '/public/admin/x/'), '/public/*')
  t.equal(answerOf(paths('/public/*', '/public/admin', '/public/admin/'), '/public/admin/'), '/public/admin/')
  t.equal(
    createMatcher(paths('/public/*', '/public/admin')).matchesInOtherCase(HERE, '/public/ADMIN/', route({ path: '/public/*' })),
    true,
  )
})

t.test('without its parameters: what a servlet container would take for another route', async (t) => {
  const routes = paths('/m/*', '/m/secret', '/m/:x/y', '/r;v=1', '/r')
  const { match, matchesWithoutMatrix } = createMatcher(routes)
  const isOther = (path: string): boolean => {
    const found = match(HERE, path, 'GET')
    if (found === 'unknown' || !('route' in found)) throw new Error(`${path} has no route`)
    return matchesWithoutMatrix(HERE, path, found.route)
  }
  for (const path of ['/m/a;b=c', '/m/a;b/z;c', '/m/a%3Bb', '/r;v=1']) t.equal(isOther(path), false, path)
  for (const path of ['/m/secret;a=b', '/m/secret%3Ba', '/m/a;b/y;c', '/m/a/y;c/', '/m/;x/y', '/m/a;/y/;'])
    t.equal(isOther(path), true, path)
})

t.test('captured values are decoded once, and what is not UTF-8 is absent', async (t) => {
  const { match } = createMatcher(paths('/:a/:b/:constructor'))
  const found = match(HERE, '/%252C%C3%A9/%C3%28/x', 'GET')
  t.ok(found !== 'unknown' && 'route' in found)
  if (found === 'unknown' || !('route' in found)) return
  t.strictSame(Object.entries(found.captured), [
    ['a', '%2Cé'],
    ['constructor', 'x'],
  ])
  t.equal(found.captured.b, undefined)
  t.equal(found.captured.toString, undefined)
})

t.test('a route is there on its own origins alone', async (t) => {
  const routes = [route({ path: '/a', origins: [THERE] }), route({ path: '/*' })]
  t.equal(answerOf(routes, '/a'), '/*')
  t.equal(createMatcher(routes).match('https://else.example.com', '/a', 'GET'), 'unknown')
  t.equal(createMatcher(routes).matchesInOtherCase('https://else.example.com', '/a', route({ path: '/a' })), false)
})

t.test('names of Object are names like others', async (t) => {
  t.equal(answerOf(paths('/a'), '/__proto__'), 'unknown')
  t.equal(answerOf(paths('/__proto__/:x'), '/__proto__/constructor'), '/__proto__/:x')
})

t.test('paths of any length: long segments, and very many', async (t) => {
  const routes = paths('/a/:x', '/a/:x/:y/b', '/*')
  t.equal(answerOf(routes, `/a/${'x'.repeat(100_000)}`), '/a/:x')
  t.equal(answerOf(routes, `/a/${'a/'.repeat(50_000)}b`), '/*')
  const deep = paths(
    ...Array.from({ length: 12 }, (_, i) => `${'/a'.repeat(i)}${'/:x'.replace('x', `x${i}`)}${'/a'.repeat(12 - i)}/b`),
  )
  const { match } = createMatcher(deep)
  const path = `${'/a'.repeat(4000)}/c`
  const start = performance.now()
  for (let i = 0; i < 200; i++) match(HERE, path, 'GET')
  t.ok(performance.now() - start < 2000, 'without going back over all of it')
})

t.test('a path that is no pattern is a mistake of ours', async (t) => {
  t.throws(() => createMatcher(paths('/a//b')), /canonical/)
})

t.test('in other case: what a backend without regard to case would take for another route', async (t) => {
  const routes = paths('/profile', '/*', '/Admin/:x', '/admin/users', '/%C3%89', '/kilo/*', '/Twin', '/twin', '/:x/%C3%28')
  const { match, matchesInOtherCase } = createMatcher(routes)
  const isOther = (path: string): boolean => {
    const found = match(HERE, path, 'GET')
    if (found === 'unknown' || !('route' in found)) throw new Error(`${path} has no route`)
    return matchesInOtherCase(HERE, path, found.route)
  }
  for (const path of ['/profile', '/other', '/Admin/x', '/admin/users', '/kilo/x', '/z/%C3%28'])
    t.equal(isOther(path), false, path)
  for (const path of ['/PROFILE', '/Profile', '/Admin/Users', '/ADMIN/x', '/%C3%A9', '/%E2%84%AAilo/x', '/Twin', '/twin']) {
    t.equal(isOther(path), true, path)
  }
})

t.test('GET and POST of one path are no other case of each other', async (t) => {
  const routes = [route({ path: '/a/:x' }), route({ path: '/a/:y', methods: ['POST'] })]
  t.equal(createMatcher(routes).matchesInOtherCase(HERE, '/a/b', route({ path: '/a/:x' })), true, 'of another Config')
  t.equal(createMatcher(routes).matchesInOtherCase(HERE, '/a/b', routes[0] as Route), false)
})

// The naive matcher: every route that fits, then the one that is most specific, judged segment by segment.

type Naive = { readonly route: Route; readonly ranks: string; readonly shape: string }

const split = (path: string): readonly string[] => path.slice(1).split('/')

function fits(pattern: readonly string[], path: readonly string[]): boolean {
  const [first, ...others] = pattern
  if (first === undefined) return path.length === 0
  if (first === '*') return path.length > 0 && path[0] !== ''
  const [segment, ...rest] = path
  if (segment === undefined || (first.startsWith(':') ? segment === '' : first !== segment)) return false
  return fits(others, rest)
}

const rankOf = (segment: string): string => (segment === '*' ? '2' : segment.startsWith(':') ? '1' : '0')

function naive(routes: readonly Route[], path: string, fold: (text: string) => string): readonly Naive[] {
  const all = routes
    .filter((one) => fits(split(fold(one.path)), split(fold(path))))
    .map((one) => ({ route: one, ranks: split(one.path).map(rankOf).join(''), shape: one.path.replace(/:\w+/g, ':') }))
    .sort((a, b) => (a.ranks < b.ranks ? -1 : a.ranks > b.ranks ? 1 : 0))
  return all.filter(({ ranks }) => ranks === all[0]?.ranks)
}

/** Has another route the place that `path` names without its last slash, or what is below it? */
function isAnothers(routes: readonly Route[], path: string, fold: (text: string) => string): boolean {
  const [own] = naive(routes, path, fold)
  if (own === undefined || !own.shape.endsWith('/*') || !path.endsWith('/')) return false
  return [path.slice(0, -1), `${path}below`].some((place) =>
    naive(routes, place, fold).some((other) => fold(other.shape) !== fold(own.shape)),
  )
}

const segment = fc.constantFrom('a', 'b', 'A', 'c-d', '%2C', '%C3%A9')
const pattern = fc
  .tuple(
    fc.array(fc.oneof(segment, fc.constantFrom(':', ':', ':')), { maxLength: 4 }),
    fc.constantFrom('', '/', '/*', '/*'),
    fc.constantFrom('x', 'y'),
  )
  .map(
    ([parts, end, name]) =>
      `/${parts.map((part, i) => (part === ':' ? `:${name}${i}` : part)).join('/')}${parts.length > 0 ? end : end.slice(1)}`,
  )
const wanted = fc.record({
  path: pattern,
  methods: fc.uniqueArray(fc.constantFrom('GET', 'POST', 'HEAD'), { minLength: 1 }),
  origins: fc.constantFrom([HERE], [THERE], [HERE, THERE]),
})

/** Without what loading refuses: one method, path and origin twice. */
function distinct(all: readonly Wanted[]): readonly Route[] {
  const seen = new Set<string>()
  return all.flatMap(({ path, methods = [], origins = [] }) => {
    const shape = path.replace(/:\w+/g, ':')
    const keys = servedMethods(methods).flatMap((method) => origins.map((origin) => `${method} ${origin} ${shape}`))
    if (keys.some((key) => seen.has(key))) return []
    for (const key of keys) seen.add(key)
    return [route({ path, methods, origins })]
  })
}

const requested = fc
  .tuple(fc.array(segment, { maxLength: 5 }), fc.constantFrom('', '/'))
  .map(([parts, end]) => (parts.length === 0 ? '/' : `/${parts.join('/')}${end}`))

t.test('answers what the naive matcher answers', async () => {
  const method = fc.constantFrom('GET', 'POST', 'HEAD')
  fc.assert(
    fc.property(
      fc.array(wanted, { maxLength: 12 }),
      requested,
      method,
      fc.constantFrom(HERE, THERE),
      (all, path, method, origin) => {
        const routes = distinct(all)
        const { match, matchesInOtherCase } = createMatcher(routes)
        const local = routes.filter((one) => one.origins.includes(origin))
        const best = naive(local, path, (text) => text)
        const chosen = best.find((one) => servedMethods(one.route.methods).includes(method))
        const answer = match(origin, path, method)
        if (best.length === 0 || isAnothers(local, path, (text) => text)) return answer === 'unknown'
        if (chosen === undefined) {
          const allowed = best.flatMap((one) => servedMethods(one.route.methods))
          return answer !== 'unknown' && !('route' in answer) && [...answer].sort().join() === allowed.sort().join()
        }
        const folded = naive(local, path, (text) => text.toLowerCase())
        const lower = (text: string): string => text.toLowerCase()
        const inOther = folded.some((one) => one.shape !== chosen.shape) || isAnothers(local, path, lower)
        return (
          answer !== 'unknown' &&
          'route' in answer &&
          answer.route === chosen.route &&
          matchesInOtherCase(origin, path, chosen.route) === inOther
        )
      },
    ),
    { numRuns: 5000 },
  )
})

t.test('every pattern reads back as its own shape', async () => {
  fc.assert(
    fc.property(pattern, (path) => {
      const read = readPattern(path)
      return typeof read !== 'string' && read.shape === path.replace(/:\w+/g, ':')
    }),
  )
})
