// What goes behind us byte for byte, and what comes back in a Location.
import fc from 'fast-check'
import t from 'tap'
import { publicLocation, upstreamTarget } from '../../src/upstream/path.js'
import { readTarget } from '../../src/verify/target.js'
import type { Route } from '../../src/verify/types.js'
import { makeRoute, makeUpstream, ORIGIN } from '../support/granted.js'

const routeTo = (url: string, change: Partial<Route> = {}): Route =>
  makeRoute({ upstream: makeUpstream({ url: new URL(url) }), ...change })
const plain = routeTo('https://cases.internal:8443')
const AT = { origin: ORIGIN, base: ORIGIN }
const files = routeTo('https://cases.internal:8443/base/', { strip_prefix: '/files', add_prefix: '/v2/store' })

function sent(route: Route, target: string): string {
  const read = readTarget(target, ORIGIN)
  if (read === null) throw new Error(`${target} is not canonical`)
  return upstreamTarget(route, read)
}

t.test('without prefixes the target goes on byte for byte', async (t) => {
  for (const target of ['/', '/a', '/a/', '/%7Ea%2c/B', '/a?', '/a?b=%zz&c=[]', '/a?b?c', '/%252e'])
    t.equal(sent(plain, target), target)
})

t.test('base path, then add_prefix, then what strip_prefix left', async (t) => {
  t.equal(sent(routeTo('https://h/base'), '/a?b'), '/base/a?b')
  t.equal(sent(routeTo('https://h/base/'), '/'), '/base/')
  t.equal(sent(routeTo('https://h', { add_prefix: '/v2' }), '/a'), '/v2/a')
  t.equal(sent(routeTo('https://h', { add_prefix: '/v2/' }), '/a'), '/v2/a')
  t.equal(sent(files, '/files/a/b%2Cc?d'), '/base/v2/store/a/b%2Cc?d')
  t.equal(sent(files, '/files'), '/base/v2/store/')
  t.equal(sent(files, '/files/'), '/base/v2/store/')
  t.equal(sent(files, '/files?q'), '/base/v2/store/?q')
  t.equal(sent(routeTo('https://h', { strip_prefix: '/a' }), '/a'), '/')
  t.equal(sent(routeTo('https://h', { strip_prefix: '/a/b' }), '/a/b/c/'), '/c/')
})

t.test('a prefix is whole segments, compared in normal form and removed from the bytes', async (t) => {
  t.equal(sent(files, '/fil%65s/a%2c'), '/base/v2/store/a%2c')
  t.equal(sent(files, '/%66%69%6c%65%73/files'), '/base/v2/store/files')
  t.equal(sent(routeTo('https://h', { strip_prefix: '/a%2Cb/c' }), '/%61%2cb/%63/d'), '/d')
  t.equal(sent(files, '/filesystem/a'), '/base/v2/store/filesystem/a')
  t.equal(sent(files, '/Files/a'), '/base/v2/store/Files/a')
})

t.test('whatever is stripped, the rest is the client’s bytes', async () => {
  const text = fc.string({ unit: fc.constantFrom(...'abc~-', '%61', '%2C', '%2c', '%c3%a9'), minLength: 1, maxLength: 6 })
  fc.assert(
    fc.property(fc.array(text, { minLength: 1, maxLength: 4 }), fc.array(text, { maxLength: 4 }), (prefix, rest) => {
      const raw = `/${[...prefix, ...rest].join('/')}`
      const strip_prefix = readTarget(`/${prefix.join('/')}`, ORIGIN)?.path ?? null
      return sent(routeTo('https://h', { strip_prefix }), raw) === `/${rest.join('/')}`
    }),
  )
})

t.test('a Location of the upstream becomes a public one, prefixes too', async (t) => {
  for (const [location, expected] of [
    ['https://cases.internal:8443/base/v2/store/a?b#c', `${ORIGIN}/files/a?b#c`],
    ['HTTPS://Cases.Internal:8443/base/v2/store/a', `${ORIGIN}/files/a`],
    ['//cases.internal:8443/base/v2/store/a', `${ORIGIN}/files/a`],
    ['https://user@cases.internal:8443/base/v2/store', `${ORIGIN}/files`],
    ['/base/v2/store/a', '/files/a'],
    ['/base/v2/store', '/files'],
    ['/base/v2/store/', '/files/'],
    ['/base/v2/store?x=/base/v2/store', '/files?x=/base/v2/store'],
    // Outside our prefixes: no public name, but the address must not leak.
    ['https://cases.internal:8443/login', `${ORIGIN}/login`],
    ['https://cases.internal:8443', `${ORIGIN}/`],
    ['https://cases.internal:8443?x', `${ORIGIN}/?x`],
    ['/base/v2/storeroom', '/base/v2/storeroom'],
    ['/login', '/login'],
  ] as const) {
    t.equal(publicLocation(location, files, AT), expected, location)
  }
  t.equal(publicLocation('https://cases.internal:8443/a', plain, AT), `${ORIGIN}/a`)
  t.equal(publicLocation('/v2', routeTo('https://h', { add_prefix: '/v2' }), AT), '/', 'nothing left is the root')
  t.equal(publicLocation('http://legacy_app:8080/a', routeTo('http://legacy_app:8080'), AT), `${ORIGIN}/a`)
  t.equal(publicLocation('https://h:443/a', routeTo('https://h'), AT), `${ORIGIN}/a`)
})

t.test('what a hop took off the path stands in front again', async (t) => {
  const behind = { origin: ORIGIN, base: `${ORIGIN}/svc2` }
  t.equal(publicLocation('https://cases.internal:8443/base/v2/store/a', files, behind), `${ORIGIN}/svc2/files/a`)
  t.equal(publicLocation('/base/v2/store/a?q', files, behind), '/svc2/files/a?q')
  for (const location of ['a/b', '//other.example/a', 'https://other.example/a'])
    t.equal(publicLocation(location, files, behind), location)
})

t.test('relative and foreign ones are left as they are', async (t) => {
  for (const location of [
    '',
    'a/b',
    '../a',
    '?q',
    '#f',
    'https://other.example/base/v2/store/a',
    'http://cases.internal:8443/a',
    'https://cases.internal/a',
    'https://cases.internal:8443.evil.example/a',
    'https://cases.internal:8443@evil.example/a',
    '//other.example/a',
    'https://[/a',
    'https:///a',
    'mailto:a@b',
    `${ORIGIN}/files/a`,
  ]) {
    t.equal(publicLocation(location, files, AT), location, location)
  }
})

t.test('with preserve_host the public origin is the upstream’s own', async (t) => {
  const upstream = makeUpstream({ url: new URL('http://cases.internal:8080/base'), preserve_host: true })
  const route = makeRoute({ upstream, strip_prefix: '/files' })
  for (const location of [
    'https://api.example.com/base/a',
    'http://api.example.com/base/a',
    'http://cases.internal:8080/base/a',
  ]) {
    t.equal(publicLocation(location, route, AT), `${ORIGIN}/files/a`, location)
  }
  t.equal(publicLocation('https://api.example.com/files/a', route, AT), `${ORIGIN}/files/a`, 'public already')
  t.equal(publicLocation('https://api.example.com:8443/base/a', route, AT), 'https://api.example.com:8443/base/a')
})
