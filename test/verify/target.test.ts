// One normal form for request targets and `htu`: what is equal, what is refused (RFC 3986 §6.2.2, §6.2.3; RFC 9449 §4.3 (9)).
import fc from 'fast-check'
import t from 'tap'
import { hasTokenInQuery, isSameTarget, normalOrigin, readTarget } from '../../src/verify/target.js'
import type { Target } from '../../src/verify/types.js'

const H = 'https://h'
const target = (path: string, origin = H): Target => {
  const read = readTarget(path, origin)
  if (read === null) throw new Error(`${path} is not canonical`)
  return read
}
const isSame = (path: string, htu: string, origin = H) => isSameTarget(htu, target(path, origin))

t.test('origins have one normal form', async (t) => {
  for (const [text, normal] of [
    ['https://api.example.com', 'https://api.example.com'],
    ['HTTPS://API.Example.COM/', 'https://api.example.com'],
    ['https://h:443', 'https://h'],
    ['https://h:443/', 'https://h'],
    ['https://h:', 'https://h'],
    ['http://h:80', 'http://h'],
    ['http://h:443', 'http://h:443'],
    ['https://h:80', 'https://h:80'],
    ['https://h:8443', 'https://h:8443'],
    ['https://h:65535', 'https://h:65535'],
    ['https://127.0.0.1:1', 'https://127.0.0.1:1'],
    ['https://[2001:DB8::1]:443', 'https://[2001:db8::1]'],
    ['https://[::]', 'https://[::]'],
    ['https://[::1]:8443', 'https://[::1]:8443'],
    ['https://[1:2:3:4:5:6:7:8]', 'https://[1:2:3:4:5:6:7:8]'],
    ['https://[::ffff:192.0.2.1]', 'https://[::ffff:192.0.2.1]'],
    ['https://[1:2:3:4:5:6:192.0.2.1]', 'https://[1:2:3:4:5:6:192.0.2.1]'],
    ['https://xn--bcher-kva.example', 'https://xn--bcher-kva.example'],
    ['https://0x7f.1', 'https://0x7f.1'],
    [`https://${'a'.repeat(63)}.example`, `https://${'a'.repeat(63)}.example`],
  ] as const) {
    t.equal(normalOrigin(text), normal, text)
  }
})

t.test('what is no origin is refused, not repaired', async (t) => {
  for (const text of [
    '',
    'h',
    '//h',
    'https:',
    'https://',
    'https:///',
    'https:/h',
    'https:h',
    'https:\\\\h',
    'https://h\\',
    'https://h/a',
    'https://h//',
    'https://h?',
    'https://h/?q',
    'https://h#f',
    'https://u@h',
    'https://u:p@h',
    'https://@h',
    'ftp://h',
    'wss://h',
    ' https://h',
    'https://h ',
    'https://h\n',
    'https://h\t',
    'ht\ttps://h',
    'https://h:0',
    'https://h:0443',
    'https://h:65536',
    'https://h:99999',
    'https://h:443443443443',
    'https://h:44a',
    'https://h:-1',
    'https://h:443:443',
    'https://-h',
    'https://h-',
    'https://h.',
    'https://.h',
    'https://a..b',
    'https://a_b',
    'https://a%62',
    'https://bücher.example',
    'https://\u212a.example',
    'https://h\u0000',
    `https://${'a'.repeat(64)}.example`,
    `https://${'a.'.repeat(127)}aa`,
    'https://[]',
    'https://[::1',
    'https://::1',
    'https://[1:2:3:4:5:6:7]',
    'https://[1:2:3:4:5:6:7:8:9]',
    'https://[1::2::3]',
    'https://[:::]',
    'https://[1:2:3:4:5:6:7::8]',
    'https://[12345::]',
    'https://[::192.0.2.256]',
    'https://[192.0.2.1::]',
    'https://[::1.2.3]',
    'https://[fe80::1%25eth0]',
    'https://[v1.a]',
    'https://[::1]a',
  ]) {
    t.equal(normalOrigin(text), null, JSON.stringify(text))
  }
})

t.test('reads a target: normal form beside the bytes as they came', async (t) => {
  t.same(readTarget('/a/b', H), { origin: H, base: H, path: '/a/b', rawPath: '/a/b', query: null, matrix: false })
  t.same(readTarget('/%7eu/%61%2c?x=%61', H), {
    origin: H,
    base: H,
    path: '/~u/a%2C',
    rawPath: '/%7eu/%61%2c',
    query: 'x=%61',
    matrix: false,
  })
  t.match(readTarget('/a/b', H, '/svc2'), { origin: H, base: `${H}/svc2`, path: '/a/b', rawPath: '/a/b' }, 'behind a hop')
  t.equal(readTarget('/a?', H)?.query, '', 'an empty query is one')
  t.equal(readTarget('/a?b?c', H)?.query, 'b?c')
  for (const path of [
    '/',
    '/a/',
    '/a.b/.c/..d/e..',
    '/...',
    '/a.',
    '/a%20',
    "/-._~!$&'()*+,=:@",
    '/%E9',
    '/%c3%a9',
    '/%E0%A0%80',
    '/%F0%90%80%80',
    '/%ff',
    '/%252e%252e',
    '/%252f',
    '/%255c',
    '/%2500',
    '/%5B%5D%7C',
    '/%23%3F',
  ]) {
    t.ok(readTarget(path, H), path)
  }
  t.equal(readTarget('/%252e%252E', H)?.path, '/%252e%252E', 'decoded once, so `%25` and what follows it stay')
})

t.test('refuses a path that an upstream could read in a second way', async (t) => {
  const segments = ['.', '..', '%2e', '%2E', '%2e%2e', '.%2e', '%2E.', '..;', '.;a=b', '%2e%2e;x', '..%3b', '', ';', ';a', '%3bx']
  for (const segment of segments) {
    for (const path of [`/${segment}/a`, `/a/${segment}/b`, ...(segment === '' ? [] : [`/${segment}`, `/a/${segment}`])]) {
      t.equal(readTarget(path, H), null, path)
    }
  }
  for (const path of [
    '',
    '*',
    'a',
    'https://h/a',
    '//',
    '/a//',
    '/a%2fb',
    '/a%2Fb',
    '/a%5cb',
    '/a%5Cb',
    '/a\\b',
    '/..\\a',
    '/a%',
    '/a%2',
    '/a%zz',
    '/a%u002f',
    '/%%32%66',
    '/a#b',
    '/a b',
    '/a\tb',
    '/a\u0000',
    '/a\u007f',
    '/a\r\n',
    '/a\n',
    '/é',
    '/\u212a',
    '/%00',
    '/%0d%0a',
    '/%1F',
    '/%7f',
    '/%c0%ae%c0%ae/a',
    '/%C0%AF',
    '/%c1%9c',
    '/%e0%80%af',
    '/%E0%9F%BF',
    '/%f0%80%80%af',
    '/%F0%8F%BF%BF',
    '/%f8%80%80%80%af',
    '/%fc%80%80%80%80%af',
    ...[...'<>"{}|^`[]'].map((character) => `/a${character}b`),
  ]) {
    t.equal(readTarget(path, H), null, JSON.stringify(path))
  }
})

t.test('marks matrix parameters, which the route judges', async (t) => {
  for (const path of ['/a;b=c', '/a%3Bb', '/a%3bb', '/a/b;']) t.equal(readTarget(path, H)?.matrix, true, path)
  t.equal(readTarget('/a?b;c', H)?.matrix, false, 'a query has none')
})

t.test('refuses a query that could end early, and takes what browsers leave raw in one', async (t) => {
  for (const query of ['a b', 'a\tb', 'a#b', 'é', 'a\u0000', 'a\u007f', 'a\r\nb', 'a\n'])
    t.equal(readTarget(`/a?${query}`, H), null, JSON.stringify(query))
  for (const query of ['', 'a[]=1', 'a=|{}^"\'<>`\\', '100%', '%zz', 'u=https://h/../a//b', '%00', 'a=..%2f']) {
    t.equal(readTarget(`/a?${query}`, H)?.query, query)
  }
})

t.test('htu: equal after normalisation', async (t) => {
  const api = 'https://api.example.com'
  for (const [id, path, htu, origin] of [
    ['exact', '/a', 'https://h/a', H],
    ['exact, as it came', '/%61%2cb', 'https://h/%61%2cb', H],
    ['HTU-01', '/a', 'HTTPS://API.EXAMPLE.COM/a', api],
    ['HTU-02', '/a', 'https://h:443/a', H],
    ['HTU-02: an empty port', '/a', 'https://h:/a', H],
    ['HTU-02: a port that is not the default', '/a', 'https://H:8443/a', 'https://h:8443'],
    ['HTU-03', '/a%2Cb', 'https://h/a%2cb', H],
    ['HTU-03: the other way', '/a%2cb', 'https://h/a%2Cb', H],
    ['HTU-03: c3', '/%C3%a9', 'https://h/%c3%A9', H],
    ['HTU-04', '/~u', 'https://h/%7Eu', H],
    ['HTU-04: lower case', '/~u', 'https://h/%7eu', H],
    ['HTU-04: the other way', '/%7Eu', 'https://h/~u', H],
    ['HTU-04: a letter', '/%61', 'https://h/a', H],
    ['HTU-04: x', '/x', 'https://h/%78', H],
    ['HTU-06', '/', 'https://h', H],
    ['HTU-06: with a query', '/', 'https://h?x', H],
    ['HTU-06: with a fragment', '/?q', 'https://h#f', H],
    ['HTU-06: with a port', '/', 'https://h:443', H],
    ['HTU-07', '/a', 'https://h/x/../a', H],
    ['HTU-07: encoded', '/a', 'https://h/x/%2e%2E/a', H],
    ['HTU-07: single', '/a/b', 'https://h/./a/./b', H],
    ['HTU-07: above the root', '/a', 'https://h/../../a', H],
    ['HTU-07: at the end', '/a/', 'https://h/a/b/..', H],
    ['HTU-07: a dot at the end', '/a/', 'https://h/a/.', H],
    ['HTU-07: to the root', '/', 'https://h/a/..', H],
    ['query ignored', '/a', 'https://h/a?x=y', H],
    ['query of the request ignored', '/a?x=y', 'https://h/a', H],
    ['fragment ignored', '/a', 'https://h/a#f?x#y', H],
    ['IPv6', '/a', 'https://[2001:DB8::1]:443/a', 'https://[2001:db8::1]'],
    ['matrix', '/a;b%3bc', 'https://h/a;b%3Bc', H],
  ] as const) {
    t.equal(isSame(path, htu, origin), true, `${id}: ${htu}`)
  }
})

t.test('htu: other resources, and sloppy forms that a browser would repair', async (t) => {
  for (const [path, htu] of [
    ['/a%2Cb', 'https://h/a,b'],
    ['/a,b', 'https://h/a%2Cb'],
    ["/a'b", 'https://h/a%27b'],
    ['/a', 'https://h/A'],
    ['/%61', 'https://h/%41'],
    ['/a', 'https://h/a/'],
    ['/a/', 'https://h/a'],
    ['/a', 'https://h/'],
    ['/a', 'https://h'],
    ['/', 'https://h//'],
    ['/a', 'https://h//a'],
    ['/a/b', 'https://h/a//b'],
    ['/a/b', 'https://h/a%2Fb'],
    ['/a', 'https://h/%2561'],
    ['/%252e', 'https://h/%2e'],
    ['/a', 'https://h/..%2fa'],
    ['/a', 'https://h/x/..;/a'],
    ['/a', 'https://other/a'],
    ['/a', 'https://h.evil/a'],
    ['/a', 'https://h:8443/a'],
    ['/a', 'https://h:80/a'],
    ['/a', 'http://h/a'],
    ['/a', 'http://h:443/a'],
    ['/a', 'https://u@h/a'],
    ['/a', 'https://u:p@h/a'],
    ['/a', 'https://h@evil/a'],
    ['/a', 'https://evil#@h/a'],
    ['/a', 'https://h\\@evil/a'],
    ['/a', '/a'],
    ['/a', '//h/a'],
    ['/a', 'a'],
    ['/a', ''],
    ['/', ''],
    ['/a', 'https:///a'],
    ['/a', 'https:/h/a'],
    ['/a', 'https:h/a'],
    ['/a', 'https:\\\\h\\a'],
    ['/a', 'https://h\\a'],
    ['/a', 'https://h/\\a'],
    ['/a', ' https://h/a'],
    ['/a', 'https://h/a '],
    ['/a', 'https://h/a?x '],
    ['/a', 'https://h/a\n'],
    ['/a', 'https://h/\ta'],
    ['/a', 'https://h/a\t'],
    ['/a', 'ht\ttps://h/a'],
    ['/a', 'https://h:0443/a'],
    ['/a', 'https://h:443x/a'],
    ['/a', 'https://h./a'],
    ['/a', 'https://%68/a'],
    ['/a', 'https://h/a%'],
    ['/a', 'https://h/a%00'],
    ['/%C3%A9', 'https://h/é'],
    ['/a', 'https://ｈ/a'],
    ['/a', 'https://h/x|y/../a'],
    ['/a', 'https://h/a?é'],
    ['/a', 'blob:https://h/a'],
  ] as const) {
    t.equal(isSame(path, htu), false, JSON.stringify(htu))
  }
  t.equal(isSame('/a', 'https://0x7f.1/a', 'https://127.0.0.1'), false, 'HTU-08: another host')
  t.equal(isSame('/a', 'https://[0:0:0:0:0:0:0:1]/a', 'https://[::1]'), false, 'RFC 3986 knows no equal spellings of an address')
  t.equal(isSame('/a', 'https://\u212a/a', 'https://k'), false, 'the Kelvin sign is no k')
})

t.test('HTU-05, HTU-07: the request itself must be canonical', async (t) => {
  t.equal(readTarget('/a%2Fb', H), null)
  t.equal(readTarget('/x/../a', H), null)
})

t.test('HTU-11: the path that the client sees counts', async (t) => {
  t.equal(isSame('/pub/a', 'https://h/pub/a'), true)
  t.equal(isSame('/pub/a', 'https://h/int/a'), false)
})

t.test('finds a token in the query, however its name is escaped', async (t) => {
  for (const query of [
    'access_token=x',
    'a=b&access_token=x',
    'a=b;access_token=x',
    'access_token',
    'access_token=',
    '%61ccess_token=x',
    'access%5Ftoken=x',
    'access%5ftoken',
    '%61%63%63%65%73%73%5f%74%6f%6b%65%6e=x',
    '&&access_token=x&',
    'x=%zz&access_token',
  ]) {
    t.equal(hasTokenInQuery(query), true, query)
  }
  for (const query of [
    null,
    '',
    'a=b',
    'Access_Token=x',
    'my_access_token=x',
    'access_token_type=x',
    'q=access_token',
    'a=%26access_token%3Dx',
    'access%255Ftoken=x',
    '%',
    'a_b=%5F',
  ]) {
    t.equal(hasTokenInQuery(query), false, String(query))
  }
})

const unreserved = fc.constantFrom(...'ABCxyz019-._~')
const piece = fc.oneof(
  { weight: 6, arbitrary: unreserved },
  { weight: 2, arbitrary: fc.constantFrom(..."!$&'()*+,=:@") },
  { weight: 2, arbitrary: fc.constantFrom('%20', '%2C', '%25', '%3F', '%5B', '%C3%A9', '%E9', '%F0%9F%99%82', '%252e') },
)
const segment = fc.array(piece, { minLength: 1, maxLength: 8 }).map((pieces) => pieces.join(''))
const canonicalPath = fc
  .array(segment, { maxLength: 6 })
  .filter((segments) => segments.every((text) => text !== '.' && text !== '..'))
  .chain((segments) => fc.constantFrom(`/${segments.join('/')}`, ...(segments.length === 0 ? [] : [`/${segments.join('/')}/`])))

/** Escapes some unreserved characters and lowers some escapes, as `choices` says: the same path, spelt differently. */
function respell(path: string, choices: readonly boolean[]): string {
  let i = 0
  return path.replace(/%[0-9A-F]{2}|[A-Za-z0-9\-._~]/g, (text) => {
    if (!choices[i++ % choices.length]) return text
    return text.startsWith('%') ? text.toLowerCase() : `%${text.charCodeAt(0).toString(16)}`
  })
}
const choices = fc.array(fc.boolean(), { minLength: 1, maxLength: 20 })

t.test('every spelling of a path is the same target, seen from either side', async () => {
  fc.assert(
    fc.property(canonicalPath, choices, choices, (path, here, there) => {
      const read = readTarget(respell(path, here), H)
      return (
        read !== null && read.path === readTarget(path, H)?.path && isSameTarget(`HTTPS://H:443${respell(path, there)}?q#f`, read)
      )
    }),
    { numRuns: 2000 },
  )
})

t.test('reading the normal form again changes nothing', async () => {
  fc.assert(
    fc.property(canonicalPath, choices, (path, here) => {
      const once = readTarget(respell(path, here), H)?.path
      return once !== undefined && readTarget(once, H)?.path === once
    }),
  )
})

t.test('paths that differ are never the same target', async () => {
  fc.assert(
    fc.property(canonicalPath, canonicalPath, choices, (one, other, spelt) => {
      const read = readTarget(one, H)
      return read !== null && isSameTarget(H + respell(other, spelt), read) === (read.path === readTarget(other, H)?.path)
    }),
  )
})

t.test('never throws, and a target that is read never holds what was refused', async () => {
  const wild = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 40 }),
    fc.string({ unit: fc.constantFrom(...'/.%2eE5cCfF;:\\@#?[]hts0 \t'), maxLength: 40 }),
  )
  fc.assert(
    fc.property(wild, wild, (one, other) => {
      normalOrigin(one)
      normalOrigin(`https://${one}`)
      hasTokenInQuery(one)
      isSameTarget(one, target('/a'))
      isSameTarget(`https://${one}`, target('/a'))
      const read = readTarget(`/${one}`, H)
      if (read === null) return true
      isSameTarget(other, read)
      const segments = decodeURIComponent(read.path.replace(/%(?![0-7])../g, '_'))
        .split('/')
        .slice(1)
      return (
        segments.every((text, i) => !/^\.{1,2}(?:;|$)/.test(text) && (text !== '' || i === segments.length - 1)) &&
        !read.path.includes('\\')
      )
    }),
    { numRuns: 5000 },
  )
})
