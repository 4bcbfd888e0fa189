// What docs/conformance.md says: reads the results of a test run (TAP 14), judges each row by them, prints the page.
import type { Proof, Row } from '../test/conformance/row.js'

/** What a run said of one title; `skipped` holds the reason that the test gave. */
export type Outcome = 'passed' | 'failed' | { readonly skipped: string }

/** Where tap leaves what a test file said, from the root of the project. */
export const resultsOf = (file: string): string => `.tap/test-results/dist/${file.replace(/\.ts$/, '.js')}.tap`

/** The outcome of every title of one file, subtests of all depths together. Of a title that ran more than once the worst counts. */
export function readTap(tap: string): ReadonlyMap<string, Outcome> {
  const outcomes = new Map<string, Outcome>()
  let yaml: string | null = null
  for (const line of tap.split('\n')) {
    // What a failed assertion shows of its values may look like anything, a result included.
    if (yaml !== null) yaml = line === `${yaml}...` ? null : yaml
    else if (/^ +---$/.test(line)) yaml = line.slice(0, -3)
    else {
      const [, not, rest] = /^ *(not )?ok \d+ - (.*)$/.exec(line) ?? []
      if (rest === undefined) continue
      const { title, directive } = splitResult(rest)
      outcomes.set(title, worse(outcomes.get(title), outcomeOf(not !== undefined, directive)))
    }
  }
  return outcomes
}

/** In TAP a directive begins at the first `#` without a backslash before it; a title's own `#` and `\` have one. */
function splitResult(text: string): { title: string; directive: string } {
  const [escaped = ''] = /^(?:\\.|[^#\\])*/.exec(text) ?? []
  return { title: escaped.replace(/\\(.)/g, '$1').trimEnd(), directive: text.slice(escaped.length) }
}

function outcomeOf(isNot: boolean, directive: string): Outcome {
  const [, skipped] = /^# *SKIP\S*(.*)/i.exec(directive) ?? []
  if (isNot || /^# *TODO/i.test(directive)) return 'failed'
  return skipped === undefined ? 'passed' : { skipped: skipped.replace(/#? *time=\S+.*$/, '').trim() || 'no reason given' }
}

const worse = (one: Outcome | undefined, other: Outcome): Outcome =>
  one === undefined || one === 'passed' || other === 'failed' ? other : one

export type Judged = {
  readonly row: Row
  /** `passed`, `skipped: why`, `not tested: why`; null: a test that must prove it does not. */
  readonly result: string | null
  /** What to do about it, a line each. */
  readonly problems: readonly string[]
}

/** `outcomes`: of a test file; null: it left no result. */
export function judge(row: Row, outcomes: (file: string) => ReadonlyMap<string, Outcome> | null): Judged {
  if ('not' in row) return { row, result: `not tested: ${row.not}`, problems: [] }
  const found = row.tests.map((proof) => {
    const ran = outcomes(proof.file)
    return { proof, ran: ran !== null, outcome: ran?.get(proof.title) ?? null }
  })
  const problems = found.flatMap(({ proof, ran, outcome }) => {
    if (!ran) return [`${proof.file} left no results: run npm test`]
    if (outcome === null) return [`${row.id}: ${name(proof)} did not run: correct the row's title, or run npm test again`]
    return outcome === 'failed' ? [`${row.id}: ${name(proof)} failed: mend what it found and run npm test again`] : []
  })
  if (problems.length > 0) return { row, result: null, problems }
  const why = found.flatMap(({ outcome }) => (typeof outcome === 'object' && outcome !== null ? [outcome.skipped] : []))
  return { row, result: why.length === 0 ? 'passed' : `skipped: ${[...new Set(why)].join('; ')}`, problems }
}

const name = ({ file, title }: Proof): string => `"${title}" of ${file}`

export type Topic = { readonly prefix: string; readonly title: string; readonly first: number; readonly count: number }

export const prefixOf = (row: Row): string => row.id.replace(/-\d+$/, '')

const INTRO = `# Conformance

What the standards demand of a gateway that accepts access tokens, one row for each demand, and the test that proves that Holdfast meets it.
Where a text leaves a choice, the row says what was chosen and names the section of [contract.md](contract.md) or
[decisions.md](decisions.md) that settles it (\`decision\`).

The page is printed from \`test/conformance/\` and from the results of the last \`npm test\`: it can't be printed when a test that a row names
did not run or did not pass. Most of them send real requests to the real gateway, some look at one part of it. Nobody has certified
Holdfast; this is what its own tests show.

A row says \`skipped: why\` where its test needs something that the machine did not have, and \`not tested: why\` where nothing here proves
it. Out of scope, and so without rows: the side of the authorization server and of the client, pushed and signed
authorization requests, HTTP message signatures, transaction tokens, security events, and HTTP/2 but for the rows that say so.
`

export function printPage(judged: readonly Judged[], topics: readonly Topic[]): string {
  const sections = topics.map(({ prefix, title }) => {
    const rows = judged.filter(({ row }) => prefixOf(row) === prefix)
    return `## ${prefix}: ${title}\n\n${table(['row', 'requirement', 'specification', 'proved by', 'result'], rows.map(cells))}`
  })
  return [INTRO, printCounts(judged, topics), printTexts(judged), ...sections].join('\n')
}

const isOpen = ({ row }: Judged): boolean => 'not' in row

/** Counted from the rows and not from results, so that the numbers are the same on every machine. */
function printCounts(judged: readonly Judged[], topics: readonly Topic[]): string {
  const lines = topics.map(({ prefix, title }) => {
    const rows = judged.filter(({ row }) => prefixOf(row) === prefix)
    const open = rows.filter(isOpen).map(({ row }) => row.id)
    return [prefix, title, String(rows.length), String(rows.length - open.length), open.join(', ')]
  })
  const open = judged.filter(isOpen).length
  return `## Not tested here\n\n${judged.length} rows: ${judged.length - open} have tests, ${open} have none.\n\n${table(['', 'topic', 'rows', 'with tests', 'not tested here'], lines)}`
}

/** `RFC 7515 §4.1.11, appendix` names RFC 7515. */
const documentOf = (text: string): string => text.replace(/(,| §| section| appendix).*$/i, '')

function printTexts(judged: readonly Judged[]): string {
  const byDocument = new Map<string, string[]>()
  for (const { row } of judged) {
    for (const text of row.read?.split('; ') ?? []) {
      const rows = byDocument.get(documentOf(text)) ?? []
      byDocument.set(documentOf(text), rows.includes(row.id) ? rows : [...rows, row.id])
    }
  }
  const lines = [...byDocument]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([document, rows]) => [document, ranges(rows).join(', ')])
  return `## Specification texts read

The text itself was opened for these rows when they were written. For the others it was not opened again: they rest on the reading that the
tests were written from, and a few on what others quote.

${table(['text', 'rows'], lines)}`
}

/** `A-01`, `A-02`, `A-03` in one: `A-01 to 03`. */
function ranges(ids: readonly string[]): readonly string[] {
  const runs: string[][] = []
  for (const id of ids) {
    const run = runs.at(-1)
    if (run !== undefined && id === following(run.at(-1) ?? '')) run.push(id)
    else runs.push([id])
  }
  return runs.flatMap((run) => (run.length < 3 ? run : [`${run[0]} to ${run.at(-1)?.replace(/^.*-/, '')}`]))
}

const following = (id: string): string => id.replace(/\d+$/, (number) => String(Number(number) + 1).padStart(number.length, '0'))

function cells({ row, result }: Judged): string[] {
  return [row.id, row.requirement, row.spec, 'tests' in row ? printProofs(row.tests) : '-', result ?? 'failed']
}

const SHOWN = 3

function printProofs(proofs: readonly Proof[]): string {
  const shown = proofs.slice(0, SHOWN)
  const files = [...new Set(shown.map(({ file }) => file))]
  const parts = files.map((file) => {
    const titles = shown.filter((proof) => proof.file === file).map(({ title }) => `“${literal(title)}”`)
    return `\`${file}\`: ${titles.join(', ')}`
  })
  return `${parts.join('; ')}${proofs.length > SHOWN ? ` and ${proofs.length - SHOWN} more` : ''}`
}

/** Titles are no Markdown, whatever they look like. */
const literal = (text: string): string => text.replace(/[\\*_`[\]<]/g, '\\$&')

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (parts: readonly string[]): string => `| ${parts.map((part) => part.replace(/\|/g, '\\|')).join(' | ')} |\n`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('')
}

/**
 * The page without the results of these rows, for comparing: what a machine could not run says nothing against the page that another
 * machine printed.
 */
export function withoutResults(page: string, ids: ReadonlySet<string>): string {
  return page
    .split('\n')
    .map((line) => {
      const [, id] = /^\| ([A-Z]+-\d+) \| /.exec(line) ?? []
      return id !== undefined && ids.has(id) ? line.replace(/ \| (passed|skipped: (?:\\.|[^|])*) \|$/, ' | |') : line
    })
    .join('\n')
}
