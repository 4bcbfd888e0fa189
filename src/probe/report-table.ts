// The report for a terminal: what was attacked, what needs mending, worst first, and how much there was of everything. The last
// line says the result. Plain text, no line longer than the terminal is wide.

import { type Attack, type Finding, type Report, TOPICS, VERDICTS, type Verdict } from './attack.js'
import { consequenceOf } from './consequences.js'
import { type Counts, plural, problemsOf, type Summary, sentencesOf, summaryOf, topicsOf } from './report-json.js'

const LEAST_COLUMNS = 40
const LEAST_TITLE = 12
const NO_BREAK = '\u00a0'
const LINES_OF_SENT = 12
const LINES_OF_CAME = 6

export function tableOf(report: Report, options: { readonly isVerbose: boolean; readonly columns: number }): readonly string[] {
  const columns = Math.max(options.columns, LEAST_COLUMNS)
  const summary = summaryOf(report)
  const problems = problemsOf(report.findings)
  const [result, ...others] = sentencesOf(report)
  return [
    ...headOf(report, columns),
    ...(options.isVerbose ? ['', ...everyOne(report.findings, columns)] : []),
    ...problems.flatMap((finding, i) => ['', ...problemOf(finding, i + 1, columns)]),
    '',
    ...countsTable(summary, columns),
    ...skipReasons(summary, columns),
    '',
    ...others.flatMap((sentence) => wrap(sentence, columns)),
    ...wrap(result, columns),
  ]
}

function headOf(report: Report, columns: number): readonly string[] {
  const rows = [
    ['attacked', `${report.method} ${report.url}`],
    ['at', `${report.address}, ${report.transport}`],
    ['binding', report.binding === '' ? 'none' : report.binding],
    ['sent', `${plural(report.requests, 'request')} in ${secondsOf(report)} s, from ${whenOf(report)}`],
  ] as const
  return rows.flatMap(([name, text]) => labelled(name, text, { columns, indent: '', width: 10 }))
}

/** `2026-11-23 06:19:21 UTC` */
export const whenOf = ({ startedAt }: Report): string => `${startedAt.slice(0, 19).replace('T', ' ')} UTC`

export const secondsOf = ({ seconds }: Report): string => (seconds < 10 ? seconds.toFixed(1) : seconds.toFixed(0))

/** What became of it, for a reader who has not read what the verdicts are called. */
export const VERDICT_WORDS: Readonly<Record<Verdict, string>> = {
  held: 'held',
  through: 'got through',
  wrong: 'answered wrongly',
  broke: 'broke the server',
  unclear: 'unclear',
  skipped: 'skipped',
}

function problemOf({ attack, outcome }: Finding, number: number, columns: number): readonly string[] {
  const indent = ' '.repeat(4)
  const row = (name: string, text: string, most = Number.POSITIVE_INFINITY) =>
    cut(labelled(name, text, { columns, indent, width: 10 }), most, columns)
  return [
    ...wrap(
      `${`${number}.`.padEnd(4)}${attack.severity.toUpperCase()}  ${attack.id}  ${VERDICT_WORDS[outcome.verdict]}`,
      columns,
    ),
    ...row('attack', attack.title),
    ...row('expected', `${attack.expected}  (${attack.spec})`),
    ...row('came', outcome.came, LINES_OF_CAME),
    ...row('sent', unfolded(outcome.sent), LINES_OF_SENT),
    ...row('why', consequenceOf(attack, outcome.verdict)),
  ]
}

function everyOne(findings: readonly Finding[], columns: number): readonly string[] {
  const widest = columns < 110 ? 0 : Math.max(...findings.map(({ attack }) => attack.id.length))
  return findings.map(({ attack, outcome }) => {
    const first = `${outcome.verdict.padEnd(8)} ${attack.id.padEnd(widest)}  `
    const title = shorten(attack.title, Math.floor(Math.max(0, columns - first.length) * 0.6))
    return shorten(legible(`${first}${title}: ${brief(outcome.came)}`).replaceAll('\n', ' '), columns)
  })
}

const countsText = (counts: Counts): string =>
  VERDICTS.filter((verdict) => counts[verdict] > 0)
    .map((verdict) => `${counts[verdict]} ${verdict}`)
    .join(', ')

/** A column that is empty in every row is left out, and so is the number in a cell that says nothing. */
function countsTable({ topics, counts }: Summary, columns: number): readonly string[] {
  const names = [
    'attacks',
    ...VERDICTS.filter((verdict) => verdict === 'held' || verdict === 'through' || counts[verdict] > 0),
  ] as const
  const cells = (of: Counts): readonly string[] =>
    names.map((name) => (of[name] === 0 && name !== 'attacks' ? '-' : String(of[name])))
  const right = names.map((name) => Math.max(name.length, 4))
  const room = columns - right.reduce((sum, width) => sum + width + 2, 0)
  if (room < LEAST_TITLE) return topics.flatMap(({ title, counts }) => hanging('', `${title}: ${countsText(counts)}`, columns))
  const left = Math.min(Math.max(...topics.map(({ title }) => title.length), 5), room)
  const line = (title: string, values: readonly string[]): string =>
    [shorten(title, left).padEnd(left), ...values.map((value, i) => value.padStart(right[i] ?? 0))].join('  ')
  return [
    line('', names),
    ...topics.map(({ title, counts }) => line(title, cells(counts))),
    ...(topics.length > 1 ? [line('all', cells(counts))] : []),
  ]
}

function skipReasons({ skipped }: Summary, columns: number): readonly string[] {
  if (skipped.length === 0) return []
  return [
    '',
    'skipped:',
    ...skipped.flatMap(({ why, ids }) => labelled(String(ids.length).padStart(4), why, { columns, indent: '', width: 6 })),
  ]
}

/** The catalogue: by topic, a paragraph for each attack, and how many there are. */
export function listOf(attacks: readonly Omit<Attack, 'run'>[], columns: number): readonly string[] {
  const room = Math.max(columns, LEAST_COLUMNS)
  const topics = topicsOf(attacks.map((attack) => ({ attack })))
  const lines = topics.flatMap((topic) => {
    const ours = attacks.filter((attack) => attack.topic === topic)
    const widest = Math.max(...ours.map(({ id }) => id.length))
    return [
      ...wrap(`${topic}: ${TOPICS[topic]} (${ours.length})`, room),
      ...ours.flatMap((attack) => rowOf(attack, widest, room)),
      '',
    ]
  })
  return [...lines, `${plural(attacks.length, 'attack')} in ${plural(topics.length, 'topic')}`]
}

/** `id  severity  title: expected (spec)`, on two lines where the terminal is narrow. */
function rowOf({ id, severity, title, expected, spec }: Omit<Attack, 'run'>, widest: number, columns: number): readonly string[] {
  const first = `  ${id.padEnd(widest)}  ${severity.padEnd(8)}  `
  const text = `${title}: ${expected} (${spec.replaceAll(' ', NO_BREAK)})`
  const lines =
    columns - first.length >= LEAST_COLUMNS
      ? hanging(first, text, columns)
      : [...wrap(`  ${id}  ${severity}`, columns), ...hanging(' '.repeat(6), text, columns)]
  return lines.map((line) => line.replaceAll(NO_BREAK, ' '))
}

/** Header, claims and signature of a decoded proof on lines of their own. */
export const unfolded = (sent: string): string => sent.replace(/\}\.(?=[{(])/g, '}\n.')

/** Of an answer that is one of many, what differs: status, scheme and error. */
export const brief = (came: string): string =>
  came.replace(/\b(?:algs|resource_metadata|realm)="[^"]*?(?:"|\.\.\. \(\d+ characters\)|$),? ?/g, '').replace(/,? *$/, '')

type Place = { readonly columns: number; readonly indent: string; readonly width: number }

/** A word, and beside it a text of any number of lines. */
const labelled = (name: string, text: string, { columns, indent, width }: Place): readonly string[] =>
  hanging(indent + name.padEnd(width), text, columns)

/** Every line after the first is indented as far as the first one's text. */
function hanging(first: string, text: string, columns: number): readonly string[] {
  const indent = ' '.repeat(first.length)
  return wrap(text, columns - first.length).map((line, i) => `${i === 0 ? first : indent}${line}`.trimEnd())
}

/** Lines of at most `columns` characters, broken behind a space or a comma where there is one that is not too near to the start. */
function wrap(text: string, columns: number): readonly string[] {
  return legible(text)
    .split('\n')
    .flatMap((line) => {
      const lines: string[] = []
      let rest = line
      while (rest.length > columns) {
        const at = Math.max(rest.lastIndexOf(' ', columns), rest.lastIndexOf(',', columns - 1) + 1)
        const end = at > columns / 3 ? at : columns
        lines.push(rest.slice(0, end).trimEnd())
        rest = rest.slice(end).trimStart()
      }
      return [...lines, rest]
    })
}

function cut(lines: readonly string[], most: number, columns: number): readonly string[] {
  if (lines.length <= most) return lines
  const indent = /^ */.exec(lines[1] ?? '')?.[0] ?? ''
  return [...lines.slice(0, most - 1), shorten(`${indent}... (${lines.length - most + 1} more lines; --json has them)`, columns)]
}

const shorten = (text: string, length: number): string =>
  text.length <= length ? text : `${text.slice(0, Math.max(0, length - 3))}...`

const ILLEGIBLE = /(?!\n)[\p{C}\p{Zl}\p{Zp}]/gu

/** Whatever could move a cursor, turn text around or hide in it is shown as \xNN; line feeds are kept. */
export const legible = (text: string): string =>
  text.replace(ILLEGIBLE, (character) => `\\x${(character.codePointAt(0) ?? 0).toString(16).padStart(2, '0')}`)
