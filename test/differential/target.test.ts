// Do others agree on which `htu` names which target (RFC 9449 §4.3 (9), RFC 3986 §6.2)? src/verify/target.ts, fast-uri and a plain
// transcription of RFC 3986 judge the same pairs. Where we say "equal" the transcription does too; where we refuse what it calls
// equal, and where fast-uri differs from it, the case has a name and a reason below, or the test fails.
import fc from 'fast-check'
import fastUri from 'fast-uri'
import t from 'tap'
import { isSameTarget, readTarget } from '../../src/verify/target.js'
import { isSameUri, normalUri, removeDotSegments, withoutQuery } from './rfc3986.js'
import { holds, makeTally } from './seeded.js'

type Pair = { readonly origin: string; readonly path: string; readonly htu: string }
type Named = { readonly name: string; readonly why: string; readonly example: Pair; matches(pair: Pair): boolean }

const ORIGINS = ['https://h', 'https://api.example.com', 'https://h:8443', 'https://[2001:db8::1]', 'https://192.0.2.1'] as const
const [H] = ORIGINS
const pair = (path: string, htu: string, origin: string = H): Pair => ({ origin, path, htu })
const pathOf = (path: string): string => path.split('?', 1)[0] ?? ''
const authorityOf = (uri: string): string => /^[^:]*:\/\/([^/?#]*)/.exec(uri)?.[1] ?? ''

/** A host of digits and dots that is not four numbers. */
const isNumberHost = ({ htu }: Pair): boolean =>
  /^[\d.]+(?=:|$)/.test(authorityOf(htu)) && !/^\d+\.\d+\.\d+\.\d+(?=:|$)/.test(authorityOf(htu))

/** The normal form of both sides says the same to others; what about the request made us refuse it? */
const inRequest =
  (pattern: RegExp) =>
  ({ path }: Pair): boolean =>
    pattern.test(pathOf(path))

/** Where we refuse what RFC 3986 calls equal. */
const STRICTER: readonly Named[] = [
  {
    name: 'request: dot segment',
    why: 'An upstream may read the path unresolved, so the request itself must be canonical (contract §4 target_malformed).',
    example: pair('/x/../a', `${H}/a`),
    matches: inRequest(/\/(?:\.|%2e){1,2}(?=\/|$|;|%3b)/i),
  },
  {
    name: 'request: empty segment',
    why: 'Upstreams merge slashes or not; `/;x` is an empty segment to a servlet container.',
    example: pair('/a//b', `${H}/a//b`),
    matches: inRequest(/\/(?=\/|;|%3b)/i),
  },
  {
    name: 'request: escape that may be decoded into structure',
    why: '`%2F`, `%5C`, controls and overlong UTF-8 (`%C0%AF`) are path structure to lenient decoders (RFC 3986 §7.3).',
    example: pair('/a%2Fb', `${H}/a%2fb`),
    matches: inRequest(/%(?:2f|5c|[01][0-9a-f]|7f|c[01]|e0%[89]|f0%8|f8%8[0-7]|fc%8[0-3])/i),
  },
  {
    name: 'request: a query that could end early',
    why: 'The query is ignored in the comparison, but a `#`, a control or a byte over 127 in a request target ends it for some readers.',
    example: pair('/a?b#c', `${H}/a`),
    matches: ({ path }) => !/^[\x21\x22\x24-\x7e]*$/.test(path.slice(pathOf(path).length)),
  },
  {
    name: 'htu: not ASCII, or a control, in what is ignored',
    why: 'RFC 3986 §2: URIs are ASCII. Refused as a whole, so that no reader has to find where the query begins.',
    example: pair('/a', `${H}/a?\u00e9`),
    matches: ({ htu }) => !/^[\x21-\x7e]*$/.test(htu),
  },
  {
    name: 'htu: escapes in the host',
    why: 'RFC 3986 §3.2.2 allows them in a reg-name; no https host has one, and what a resolver makes of it differs.',
    example: pair('/a', 'https://%68/a'),
    matches: ({ htu }) => authorityOf(htu).includes('%'),
  },
]

/** Where fast-uri and the RFC differ: there we say what the RFC says, or less. */
const FAST_URI_DIFFERS: readonly Named[] = [
  {
    name: 'keeps %2E',
    why: 'RFC 3986 §6.2.2.2 decodes `%2E`, then §6.2.2.3 removes dot segments. To fast-uri `..` takes away a `%2E%2E` as if that were a name, and so calls other resources equal.',
    example: pair('/a/b', `${H}/a/%2e%2e/../b`),
    matches: ({ path, htu }) => /%2e/i.test(path + htu),
  },
  {
    name: 'escapes what is no URI',
    why: 'The grammar of RFC 3986 §3 has no `|`, space or non-ASCII; fast-uri escapes them, and keeps `[` and `]`, and compares the result.',
    example: pair('/a%7Cb', `${H}/a|b`),
    matches: ({ origin, path, htu }) => normalUri(withoutQuery(htu)) === null || normalUri(origin + pathOf(path)) === null,
  },
  {
    name: 'reads ports as numbers',
    why: 'RFC 3986 §6.2.3 drops the default port; `:0443` is another text, though the same number.',
    example: pair('/a', `${H}:0443/a`),
    matches: ({ htu }) => /:0\d*$/.test(authorityOf(htu)),
  },
  {
    name: 'refuses ports over 65535',
    why: 'Only the grammar of RFC 3986 allows them.',
    example: pair('/a', 'https://h:99999/a', 'https://h:99999'),
    matches: ({ htu }) => Number(/:(\d*)$/.exec(authorityOf(htu))?.[1] ?? 0) > 65535,
  },
  {
    name: 'normalises IPv6 addresses',
    why: 'Not RFC 3986, but RFC 5952.',
    example: pair('/a', 'https://[2001:0db8::1]/a', 'https://[2001:db8::1]'),
    matches: ({ htu }) => authorityOf(htu).startsWith('['),
  },
  {
    name: 'reads numbers as IPv4 addresses',
    why: 'WHATWG, not RFC 3986 §7.4: `192.0.513` is a reg-name there.',
    example: pair('/a', 'https://192.0.513/a', 'https://192.0.2.1'),
    matches: isNumberHost,
  },
]

const judge = ({ origin, path, htu }: Pair) => {
  const target = readTarget(path, origin)
  const uri = origin + pathOf(path)
  return {
    ours: target !== null && isSameTarget(htu, target),
    rfc: isSameUri(htu, uri),
    fastUri: fastUri.equal(withoutQuery(htu), uri),
  }
}

const name = (table: readonly Named[], one: Pair): string | undefined => table.find(({ matches }) => matches(one))?.name

const tally = makeTally()

/** What is wrong with the answers; null: nothing. */
function problemOf(one: Pair): string | null {
  const { ours, rfc, fastUri } = judge(one)
  if (ours && !rfc) return 'we call equal what RFC 3986 does not'
  tally.count(
    `${ours ? 'equal' : 'not equal'}: ours, ${rfc ? 'equal' : 'not equal'}: RFC 3986, ${fastUri ? 'equal' : 'not equal'}: fast-uri`,
  )
  if (rfc !== fastUri) {
    const difference = name(FAST_URI_DIFFERS, one)
    if (difference === undefined) return `fast-uri differs from RFC 3986 (${fastUri} and ${rfc}) in a way that has no name here`
    tally.count(`fast-uri: ${difference}`)
  }
  if (ours || !rfc) return null
  const stricter = name(STRICTER, one)
  tally.count(`stricter: ${stricter}`)
  return stricter === undefined ? 'we refuse what RFC 3986 calls equal, for a reason that has no name here' : null
}

const token = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...'abcAZ09-._~') },
  { weight: 2, arbitrary: fc.constantFrom(..."!$&'()*+,;=:@") },
  {
    weight: 3,
    arbitrary: fc.constantFrom('%2C', '%2c', '%25', '%3F', '%C3%A9', '%c3%a9', '%7E', '%61', '%41', '%E9', '%252e', '%2525'),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      '%2F',
      '%5c',
      '%2e',
      '%2E%2e',
      '%00',
      '%3B',
      '%C0%AF',
      '%E0%80%AF',
      '|',
      '[',
      '\\',
      '"',
      '^',
      ' ',
      '\u00e9',
    ),
  },
)
const segment = fc.oneof(
  { weight: 8, arbitrary: fc.array(token, { minLength: 1, maxLength: 5 }).map((tokens) => tokens.join('')) },
  { weight: 1, arbitrary: fc.constantFrom('.', '..', '', '%2e', '.%2E', '..;', ';a') },
)
const query = fc.oneof(
  { weight: 4, arbitrary: fc.constant('') },
  { weight: 1, arbitrary: fc.constantFrom('?', '?x=y', '?a/../b', '?a#b', '?%zz', '?[]') },
)
const path = fc.tuple(fc.array(segment, { maxLength: 4 }), query).map(([segments, end]) => `/${segments.join('/')}${end}`)

/** One way to spell an htu otherwise, some of which leave it the same. */
const RESPELLINGS: readonly ((htu: string, at: number) => string)[] = [
  (htu) => htu.replace(/^https/, 'HTTPS'),
  (htu) => htu.replace(/^https:\/\/[^/]*/, (start) => start.toUpperCase()),
  (htu) => htu.replace(/^(https:\/\/[^/?#:]+)(?=[/?#]|$)/, '$1:443'),
  (htu) => htu.replace(/^(https:\/\/[^/?#:]+)(?=[/?#]|$)/, '$1:'),
  (htu) => htu.replace(/^(https:\/\/[^/?#:]+)(?=[/?#]|$)/, '$1:0443'),
  (htu) => htu.replace('8443', '08443'),
  (htu, at) => respell(htu, at, (character) => `%${character.charCodeAt(0).toString(16)}`),
  (htu, at) => respell(htu, at, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`),
  (htu, at) =>
    respell(htu, at, (character) => (character === character.toLowerCase() ? character.toUpperCase() : character.toLowerCase())),
  (htu) => htu.replace(/%[0-9A-Fa-f]{2}/g, (triplet) => triplet.toLowerCase()),
  (htu) => htu.replace(/%[0-9A-Fa-f]{2}/g, (triplet) => triplet.toUpperCase()),
  (htu) => htu.replace(/%([0-9A-Fa-f]{2})/, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
  (htu, at) => insert(htu, at, '/./'),
  (htu, at) => insert(htu, at, '/x/../'),
  (htu, at) => insert(htu, at, '/%2e%2e/'),
  (htu, at) => insert(htu, at, '/%2E/'),
  (htu, at) => insert(htu, at, '//'),
  (htu, at) => insert(htu, at, '/../'),
  (htu, at) => insert(htu, at, '\\'),
  (htu) => `${htu}/`,
  (htu) => `${htu}/.`,
  (htu) => `${htu}/x/..`,
  (htu) => htu.replace(/\/$/, ''),
  (htu) => `${htu}?q=1`,
  (htu) => `${htu}#f?g`,
  (htu) => `${htu}?\u00e9`,
  (htu) => `${htu} `,
  (htu) => ` ${htu}`,
  (htu) => `${htu}\n`,
  (htu) => htu.replace('//', '//@'),
  (htu) => htu.replace('//', '//u:p@'),
  (htu) => htu.replace('//', '\\\\'),
  (htu) => htu.replace('//', '/'),
  (htu) => htu.replace('//', '///'),
  (htu) => htu.replace('https', 'http'),
  (htu) => htu.replace('//h', '//%68'),
  (htu) => htu.replace('//h', '//h.'),
  (htu) => htu.replace('2001:db8::1', '2001:0db8:0:0::1'),
  (htu) => htu.replace('2001:db8', '2001:DB8'),
  (htu) => htu.replace('192.0.2.1', '192.0.513'),
  (htu) => htu.replace(/[?#].*$/, ''),
  (htu, at) => htu.slice(0, at % (htu.length + 1)),
]

/** Changes the character at a place behind the authority. */
function respell(htu: string, at: number, change: (character: string) => string): string {
  const start = htu.indexOf('/', 8) + 1
  const place = start + (at % Math.max(htu.length - start, 1))
  return start <= 0 ? htu : htu.slice(0, place) + change(htu.charAt(place) || 'x') + htu.slice(place + 1)
}

/** Puts `text` in the place of one `/` of the path. */
function insert(htu: string, at: number, text: string): string {
  const places = [...htu.matchAll(/\//g)].map(({ index }) => index).slice(2)
  const place = places[at % Math.max(places.length, 1)]
  return place === undefined ? htu : htu.slice(0, place) + text + htu.slice(place + 1)
}

const respelling = fc.tuple(fc.nat({ max: RESPELLINGS.length - 1 }), fc.nat({ max: 60 }))
const pairs: fc.Arbitrary<Pair> = fc
  .tuple(
    fc.constantFrom(...ORIGINS),
    path,
    fc.oneof({ weight: 9, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: path }),
    fc.array(respelling, { maxLength: 3 }),
  )
  .map(([origin, one, other, respellings]) => ({
    origin,
    path: one,
    htu: respellings.reduce((htu, [index, at]) => RESPELLINGS[index]?.(htu, at) ?? htu, origin + pathOf(other ?? one)),
  }))

t.test('agrees with RFC 3986 and fast-uri on which htu names which target', async (t) => {
  await holds(
    t,
    { runs: 60_000, patience: 6_000 },
    fc.asyncProperty(pairs, async (one) => {
      const problem = problemOf(one)
      if (problem !== null) throw new Error(`${problem}: ${JSON.stringify({ ...one, ...judge(one) })}`)
    }),
  )
  tally.report(t)
})

t.test('every named difference is one', async (t) => {
  for (const { name, example, matches } of STRICTER) {
    const { ours, rfc } = judge(example)
    t.ok(!ours && rfc && matches(example), name)
  }
  for (const { name, example, matches } of FAST_URI_DIFFERS) {
    const { rfc, fastUri } = judge(example)
    t.ok(rfc !== fastUri && matches(example), `fast-uri ${name}`)
  }
})

t.test('RFC 3986 §5.2.4, §5.4 and §6.2.2: the transcription says what the examples say', async (t) => {
  t.equal(removeDotSegments('/a/b/c/./../../g'), '/a/g')
  t.equal(removeDotSegments('mid/content=5/../6'), 'mid/6')
  for (const [relative, resolved] of [
    ['../..', '/'],
    ['../../../g', '/g'],
    ['./g/.', '/b/c/g/'],
    ['g/./h', '/b/c/g/h'],
    ['g..', '/b/c/g..'],
    ['..g', '/b/c/..g'],
  ] as const)
    t.equal(removeDotSegments(`/b/c/${relative}`), resolved, relative)
  t.ok(isSameUri('HTTP://www.EXAMPLE.com/', 'http://www.example.com/'))
  for (const uri of ['http://example.com', 'http://example.com/', 'http://example.com:/', 'http://example.com:80/'])
    t.equal(normalUri(uri), 'http://example.com/', uri)
  t.equal(normalUri('https://H/a/./b/../b/%63/%7bfoo%7d'), 'https://h/a/b/c/%7Bfoo%7D')
})
