// Paths that two parsers read in two ways: the path of the right request, written otherwise. Without credentials none may open what
// is protected; and a proof is for the path that it names, not for others that a server takes for the same.

import { randomBytes } from 'node:crypto'
import type { Attack, Outcome } from '../attack.js'
import type { Bench } from '../bench.js'
import { type Draft, type Printed, printDraft } from '../draft.js'
import type { Answer } from '../http1.js'
import { anonymous } from '../message.js'
import { skipped } from '../rules.js'

/** Other spellings of a path, without its query. */
type Spell = (path: string, origin: string) => readonly string[]
type Row = readonly [id: string, title: string, spell: Spell, spec?: string]

/** Requests of one attack. */
const MOST = 5

const segmentsOf = (path: string): readonly string[] => path.split('/').slice(1)
const pathOf = (segments: readonly string[]): string => `/${segments.join('/')}`

/** One spelling for each segment. */
const eachSegment =
  (change: (segment: string) => string): Spell =>
  (path) => {
    const segments = segmentsOf(path)
    return segments.map((_, at) => pathOf(segments.map((segment, i) => (i === at && segment !== '' ? change(segment) : segment))))
  }
/** One spelling for each slash; the first stays, with this behind it. */
const eachSlash =
  (slash: string): Spell =>
  (path) => {
    const segments = segmentsOf(path)
    const joined = segments.map((_, at) => segments.reduce((left, right, i) => `${left}${i === at ? slash : '/'}${right}`))
    return [`/${slash}${segments.join('/')}`, ...joined.map((one) => `/${one}`)]
  }
const before =
  (...prefixes: readonly string[]) =>
  (path: string): readonly string[] =>
    prefixes.map((prefix) => prefix + path)
const behind =
  (...suffixes: readonly string[]): Spell =>
  (path) =>
    suffixes.map((suffix) => path + suffix)
const whole =
  (change: (path: string) => string): Spell =>
  (path) => [change(path)]

const hex = (letter: string): string => letter.charCodeAt(0).toString(16).padStart(2, '0')
const firstLetter = (change: (letter: string) => string) => (segment: string) => segment.replace(/[a-z0-9]/i, change)
const otherCase = (text: string): string =>
  text.replace(/[a-z]/i, (letter) => (letter === letter.toLowerCase() ? letter.toUpperCase() : letter.toLowerCase()))

/** Where careless rules let everyone in. */
const OPEN = ['x', 'public', 'static', 'health', '.well-known']
const outOf = (dots: string) => before(...OPEN.map((name) => `/${name}${dots}`))

/** RFC 3986 §6.2.2 calls these equal to the path, so that the proof is right for them. */
const EQUAL: readonly Row[] = [
  ['dot', '/./ before each segment', eachSegment((segment) => `./${segment}`)],
  ['dot-dot', '/public/../ in front', outOf('/..')],
  ['dot-dot-encoded', '/public/%2e%2e/ in front', outOf('/%2e%2e')],
  ['dot-dot-mixed', '/public/.%2E/ in front', outOf('/.%2E')],
  ['dot-dot-root', '/../ in front', before('/..', '/../..')],
  ['dot-encoded', '/%2e/ in front', before('/%2e')],
  ['letter-encoded', 'a letter of each segment percent-encoded', eachSegment(firstLetter((letter) => `%${hex(letter)}`))],
  [
    'letters-encoded',
    'all letters percent-encoded',
    whole((path) => path.replace(/[a-z0-9]/gi, (letter) => `%${hex(letter).toUpperCase()}`)),
  ],
]

/** Query and fragment do not count, and an absolute target is the same target; what a prefix match makes of them is another matter. */
const ASIDE: readonly Row[] = [
  ['query', 'a query that looks like a style sheet', behind('?.css', '?x=.png', '?/../')],
  ['query-empty', 'an empty query', behind('?')],
  ['query-access', 'a query that asks for no check', behind('?debug=true', '?auth=false', '?public=1')],
  ['hash', 'a fragment behind', behind('#', '#x', '#/../x.css'), 'RFC 9112 §3.2'],
  ['absolute', 'an absolute target', (path, origin) => [origin + path], 'RFC 9112 §3.2.2'],
  [
    'absolute-http',
    'an absolute target with http',
    (path, origin) => [origin.replace('https', 'http') + path],
    'RFC 9112 §3.2.2',
  ],
]

/** Other paths, whatever a file system, a framework or a proxy takes them for. */
const OTHER: readonly Row[] = [
  ['slash-end', 'a slash at the end', behind('/')],
  ['slash-double', 'a double slash before each segment', eachSegment((segment) => `/${segment}`)],
  ['slash-encoded', '%2f for a slash', eachSlash('%2f')],
  ['slash-encoded-twice', '%252f for a slash', eachSlash('%252f')],
  ['slash-overlong', '%c0%af for a slash', eachSlash('%c0%af'), 'RFC 3629 §3'],
  ['slash-unicode', '%u002f for a slash', eachSlash('%u002f')],
  ['slash-wide', 'a fullwidth slash for a slash', eachSlash('%ef%bc%8f')],
  ['backslash', 'a backslash for a slash', eachSlash('\\')],
  ['backslash-encoded', '%5c for a slash', eachSlash('%5c')],
  ['dot-dot-slash-encoded', '/public/..%2f in front', (path) => outOf('/..%2f')(path.slice(1))],
  ['dot-dot-all-encoded', '/public%2f%2e%2e%2f in front', (path) => outOf('%2f%2e%2e%2f')(path.slice(1))],
  ['dot-dot-backslash', '/public/..\\ in front', (path) => outOf('/..\\')(path.slice(1))],
  ['dot-dot-backslash-encoded', '/public/..%5c in front', (path) => outOf('/..%5c')(path.slice(1))],
  ['dot-dot-semicolon', '/public/..;/ in front', outOf('/..;'), 'CWE-436, CVE-2025-64500'],
  ['dot-dot-parameter', '/public/..;x=y/ in front', outOf('/..;x=y')],
  ['dot-dot-twice', '/public/%252e%252e/ in front', outOf('/%252e%252e')],
  ['dot-dot-overlong', '/public/%c0%ae%c0%ae/ in front', outOf('/%c0%ae%c0%ae'), 'RFC 3629 §3'],
  ['dot-dot-three', '/public/.../ in front', outOf('/...')],
  ['dot-dot-behind', '/x/.. behind', behind('/x/..', '/x/%2e%2e')],
  ['dot-behind', '/. behind', behind('/.', '/%2e')],
  ['dot-semicolon', '/.;/ in front', before('/.;')],
  ['semicolon', ';x behind each segment', eachSegment((segment) => `${segment};x`)],
  ['semicolon-empty', '; behind each segment', eachSegment((segment) => `${segment};`)],
  ['semicolon-session', ';jsessionid= behind', behind(';jsessionid=1', ';/x.css')],
  ['semicolon-front', '/;/ in front', before('/;', '/;x=y')],
  ['semicolon-encoded', '%3b behind each segment', eachSegment((segment) => `${segment}%3b`)],
  ['upper', 'upper case', whole((path) => path.toUpperCase())],
  ['case', 'another case of a letter of each segment', eachSegment(otherCase)],
  ['letter-encoded-twice', 'a letter of each segment encoded twice', eachSegment(firstLetter((letter) => `%25${hex(letter)}`))],
  ['letter-unicode', '%u00.. for a letter of each segment', eachSegment(firstLetter((letter) => `%u00${hex(letter)}`))],
  ['letter-wide', 'a fullwidth letter in each segment', eachSegment(firstLetter(wide))],
  ['letter-long-s', 'a letter that is equal in upper case', whole((path) => path.replace(/[sk]/, alike))],
  ['nul', '%00 behind', behind('%00', '%00.css', '%00/')],
  ['space', '%20 behind, and in front', (path) => [`${path}%20`, `${path}+`, `/%20${path}`, path.replace('/', '/%20')]],
  ['tab', '%09 behind', behind('%09', '%0b', '%0c')],
  ['line-end', '%0a and %0d%0a behind', behind('%0a', '%0d', '%0d%0a', '%0ax')],
  ['white', 'other white space behind', behind('%a0', '%85', '%c2%a0', '%e2%80%a8')],
  ['dot-end', 'a dot behind', behind('.', '%2e', '..')],
  ['suffix-json', '.json behind', behind('.json', '.xml', '.html')],
  ['suffix-css', '.css behind', behind('.css', '.js', '.png', '.ico')],
  ['below', 'a file below', behind('/x.css', '/favicon.ico')],
  ['stream', 'a stream of the file behind', behind('::$DATA', '%3a%3a$DATA')],
  ['tilde', '~ behind', behind('~', '%7e')],
  ['question-encoded', '%3f behind', behind('%3f', '%3f.css')],
  ['hash-encoded', '%23 behind', behind('%23', '%23.css')],
  ['bad-escape', 'an escape that is none behind', behind('%', '%zz', '%2')],
  ['no-slash', 'no slash in front', whole((path) => path.slice(1)), 'RFC 9112 §3.2'],
]

function wide(letter: string): string {
  return encodeURIComponent(String.fromCharCode(letter.charCodeAt(0) + 0xfee0))
}
/** U+017F and U+212A: `toUpperCase` and `toLowerCase` make S and k of them. */
function alike(letter: string): string {
  return letter === 's' ? '%c5%bf' : '%e2%84%aa'
}

function spellingsOf(draft: Pick<Draft, 'path'>, spell: Spell, origin: string): readonly string[] {
  const [path = '', ...query] = draft.path.split('?')
  const rest = query.length === 0 ? '' : `?${query.join('?')}`
  const spelled = spell(path, origin).map((other) => other + (other.includes('?') ? rest.replace('?', '&') : rest))
  return [...new Set(spelled)].filter((other) => other !== draft.path && other !== '').slice(0, MOST)
}

type Sent = { readonly printed: Printed; readonly answer: Answer; readonly at: number }

/** Sends each spelling, until one is not held; `confirm` looks at a grant again. */
async function spelled(
  bench: Bench,
  spell: Spell,
  change: (draft: Draft) => void,
  confirm: (sent: Sent) => Promise<Outcome | null> = async () => null,
): Promise<Outcome> {
  let last = skipped('the path has no other spelling of this kind')
  for (const [at, path] of spellingsOf(await bench.draft(), spell, bench.settings.origin).entries()) {
    const draft = await bench.draft()
    change(draft)
    draft.path = path
    const answer = await bench.send(draft)
    const printed = printDraft(draft)
    last = bench.refusal(printed, answer, { mayClose: true })
    if (last.verdict === 'through') return (await confirm({ printed, answer, at })) ?? last
    if (last.verdict !== 'held') return last
  }
  return last
}

/** What is granted without credentials must be more than the page that this server gives for any path. */
function openedWithout(bench: Bench, spell: Spell): Promise<Outcome> {
  const name = (): string => `probe-${randomBytes(4).toString('hex')}`
  return spelled(bench, spell, anonymous, async ({ printed, answer, at }) => {
    const other = pathOf(segmentsOf(bench.settings.path.split('?')[0] ?? '').map(name))
    const path = spellingsOf({ path: other }, spell, bench.settings.origin)[at] ?? other
    const any = await bench.send({ ...printed, path })
    return bench.isGranted(any) && any.body === answer.body ? skipped('any such path is answered in the same way') : null
  })
}

const without = ([id, title, spell, spec = 'CWE-436']: Row): Attack => ({
  id: `path-${id}`,
  topic: 'path',
  title: `no credentials, ${title}`,
  spec,
  severity: 'critical',
  expected: 'refused',
  needs: [],
  run: (bench) => openedWithout(bench, spell),
})

const withProof = ([id, title, spell]: Row): Attack => ({
  id: `path-proof-${id}`,
  topic: 'path',
  title: `a proof for the path, sent with ${title}`,
  spec: 'RFC 9449 §4.3 (9), RFC 3986 §6.2.2',
  severity: 'medium',
  expected: 'refused',
  needs: ['dpop'],
  run: (bench) => spelled(bench, spell, () => undefined),
})

export const PATH_ATTACKS: readonly Attack[] = [...[...EQUAL, ...ASIDE, ...OTHER].map(without), ...OTHER.map(withProof)]
