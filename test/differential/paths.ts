// Request targets that have two readings for someone: a corpus of those that have broken gateways, and a generator of more.
import fc from 'fast-check'

const START = ['/public', '/public/x', '/public/admin', '/public/admin/x', '/open/x', '/open/x/secret', '/private', '/private/x']
const REWRITTEN = ['/assets/x', '/assets/x/y', '/files/x', '/store/x', '/matrix/x', '/static/v1/x', '/static/v10/x', '/']
const WAYS_UP = [
  '..',
  '.',
  '%2e%2e',
  '%2E.',
  '.%2e',
  '%252e%252e',
  '%25252e%25252e',
  '..;',
  '..;a=b',
  '..%3b',
  '..%00',
  '...',
  '.%20.',
  '%c0%ae%c0%ae',
]
const SLASHES = [
  '//',
  '%2f',
  '%2F',
  '\\',
  '%5c',
  '%5C',
  '%252f',
  '%255c',
  '/./',
  '/%2e/',
  '/x/../',
  '/x/..;/',
  '/;/',
  '/;a=b/',
  '%c0%af',
  '%e0%80%af',
  '%u002f',
  '%ef%bc%8f',
  '%e2%88%95',
  '/%20/',
  '/%09/',
  '/%c2%a0/',
  '/.//',
]
const ENDS = [
  '/',
  '//',
  '/.',
  '/..',
  '/%2e',
  '.',
  '..',
  '%20',
  '%2e',
  '%00',
  '%00.html',
  '%0a',
  '%0d%0a',
  '%09',
  ';',
  ';a=b',
  '%3b',
  '%3Ba',
  '?x',
  '?../private',
  '#x',
  '%23',
  '%23x',
  '%3f',
  '%3Fx',
  '%2f',
  '%5c',
  '~',
  '*',
  '::$DATA',
  '.html',
  '%',
  '%zz',
  '%u0061',
  '%e9',
  '%ff',
  '%c3%a9',
  '\u00e9',
  '\t',
  '?',
  '??',
  '&',
  '=',
  ':',
  '@',
  '%7f',
  '%85',
  '%a0',
  '%e2%80%a8',
]
const OTHERS = [
  'admin',
  'private',
  'secret',
  'public',
  'static',
  'v1',
  'v10',
  'ADMIN',
  'Secret',
  '%61dmin',
  'adm%69n',
  '%2561dmin',
  '%C4%B1',
  '%c5%bf',
  '%e2%84%aa',
  'a'.repeat(300),
  'a'.repeat(4000),
  'a'.repeat(9000),
]

/** Up from one place and down into another, in every spelling. */
export const CORPUS: readonly string[] = [
  ...START,
  ...REWRITTEN,
  ...WAYS_UP.flatMap((up) => [
    `/public/${up}/private/x`,
    `/public/${up}/private`,
    `/public/x/${up}/admin`,
    `/open/${up}/private`,
    `/open/x/${up}/y/secret`,
    `/assets/${up}/v10/x`,
    `/assets/${up}/${up}/private/x`,
    `/matrix/${up}/private`,
    `/${up}/public/x`,
  ]),
  ...SLASHES.flatMap((slash) => [
    `/public${slash}admin`,
    `/public/x${slash}admin`,
    `/public/..${slash}private`,
    `/open/x${slash}secret`,
    `${slash}private`,
    `/assets${slash}x`,
  ]),
  ...ENDS.flatMap((end) => [`/public/admin${end}`, `/public/x${end}`, `/open/x${end}`, `/private${end}`, `/assets/x${end}`]),
  ...OTHERS.flatMap((name) => [`/public/${name}`, `/${name}/x`, `/open/x/${name}`, `/matrix/${name};a=b`, `/matrix/x;${name}/y`]),
  ...[
    'https://api.example.com',
    'HTTPS://API.EXAMPLE.COM:443',
    'http://api.example.com',
    'https://u@api.example.com',
    'https://evil.example',
  ].flatMap((origin) => [
    `${origin}/public/x`,
    `${origin}/public/../private`,
    `${origin}/private`,
    `${origin}`,
    `${origin}//private`,
  ]),
  '*',
  'public/x',
  '/PUBLIC/x',
  '/Public/Admin',
  '/open/x/SECRET',
  '/OPEN/x/secret',
]

type Change = {
  readonly how: 'segment' | 'slash' | 'end' | 'escape' | 'twice' | 'case' | 'other'
  readonly at: number
  readonly pick: number
}

const change: fc.Arbitrary<Change> = fc.record({
  how: fc.constantFrom('segment', 'slash', 'end', 'escape', 'twice', 'case', 'other'),
  at: fc.nat({ max: 40 }),
  pick: fc.nat({ max: 60 }),
})

const of = (list: readonly string[], pick: number): string => list[pick % list.length] ?? ''

function changed(path: string, { how, at, pick }: Change): string {
  const place = at % Math.max(path.length, 1)
  const character = path.charAt(place)
  const withCharacter = (text: string): string => path.slice(0, place) + text + path.slice(place + 1)
  const escaped = `%${character.charCodeAt(0).toString(16).padStart(2, '0')}`
  const segments = path.split('/')
  const seam = 1 + (at % segments.length)
  switch (how) {
    case 'segment':
      return [...segments.slice(0, seam), of(WAYS_UP, pick), ...segments.slice(seam)].join('/')
    case 'other':
      return [...segments.slice(0, seam), of(OTHERS, pick), ...segments.slice(seam)].join('/')
    case 'slash':
      return `${segments.slice(0, seam).join('/')}${of(SLASHES, pick)}${segments.slice(seam).join('/')}`
    case 'end':
      return path + of(ENDS, pick)
    case 'escape':
      return character === '' ? path : withCharacter(escaped)
    case 'twice':
      return character === '' ? path : withCharacter(escaped.replace('%', '%25'))
    case 'case':
      return withCharacter(character === character.toLowerCase() ? character.toUpperCase() : character.toLowerCase())
  }
}

export const targets: fc.Arbitrary<string> = fc
  .tuple(fc.constantFrom(...START, ...REWRITTEN), fc.array(change, { maxLength: 4 }))
  .map(([start, changes]) => changes.reduce(changed, start))
  // A request line holds bytes and ends at a line feed: what is neither has no chance to be a path.
  .filter((path) => /^[\t -\xff]+$/.test(path))
