// The report for programs: everything as it is, with its sum. The sum is what the other reports begin with, too.

import { type Finding, isProblem, type Report, SEVERITIES, type Severity, TOPICS, type Topic, type Verdict } from './attack.js'

export type Counts = Readonly<Record<Verdict, number>> & { readonly attacks: number }

export type Summary = {
  /** One or more plain sentences: `Nothing got through: 220 attacks held, 26 skipped.` */
  readonly result: string
  readonly counts: Counts
  /** Of what is through, wrong or broke. */
  readonly severities: Readonly<Record<Severity, number>>
  /** In the order in which they are run; those of which there was an attack. */
  readonly topics: readonly { readonly topic: Topic; readonly title: string; readonly counts: Counts }[]
  /** Ids of what is through, wrong or broke, worst first. */
  readonly problems: readonly string[]
  /** Why attacks were skipped, most frequent first. */
  readonly skipped: readonly { readonly why: string; readonly ids: readonly string[] }[]
}

/** Which `holdfast` made the report: `0.1.0`. */
export type Tool = { readonly version: string }

export function jsonOf(report: Report, { version }: Tool): string {
  return `${JSON.stringify({ format: 1, tool: { name: 'holdfast probe', version }, ...report, summary: summaryOf(report) }, null, 2)}\n`
}

export function summaryOf(report: Report): Summary {
  const { findings } = report
  const problems = problemsOf(findings)
  const counts = countsOf(findings)
  const of = (topic: Topic): readonly Finding[] => findings.filter(({ attack }) => attack.topic === topic)
  return {
    result: sentencesOf(report).join(' '),
    counts,
    severities: severitiesOf(problems),
    topics: topicsOf(findings).map((topic) => ({ topic, title: TOPICS[topic], counts: countsOf(of(topic)) })),
    problems: problems.map(({ attack }) => attack.id),
    skipped: reasonsOf(findings),
  }
}

/** What needs mending, worst first; of the same severity, what got through before the rest. */
export function problemsOf(findings: readonly Finding[]): readonly Finding[] {
  const order: readonly Verdict[] = ['through', 'broke', 'wrong']
  const rank = ({ attack, outcome }: Finding): number =>
    SEVERITIES.indexOf(attack.severity) * order.length + order.indexOf(outcome.verdict)
  return findings.filter(isProblem).toSorted((a, b) => rank(a) - rank(b))
}

/** Topics of which there is a finding, in their order. */
export const topicsOf = (findings: readonly Pick<Finding, 'attack'>[]): readonly Topic[] =>
  (Object.keys(TOPICS) as Topic[]).filter((topic) => findings.some(({ attack }) => attack.topic === topic))

function countsOf(findings: readonly Finding[]): Counts {
  const of = (verdict: Verdict): number => findings.filter(({ outcome }) => outcome.verdict === verdict).length
  return {
    attacks: findings.length,
    held: of('held'),
    through: of('through'),
    wrong: of('wrong'),
    broke: of('broke'),
    unclear: of('unclear'),
    skipped: of('skipped'),
  }
}

function severitiesOf(problems: readonly Finding[]): Readonly<Record<Severity, number>> {
  const of = (severity: Severity): number => problems.filter(({ attack }) => attack.severity === severity).length
  return { critical: of('critical'), high: of('high'), medium: of('medium'), low: of('low') }
}

/** An attack may lack several things; it is counted under all of them together. */
function reasonsOf(findings: readonly Finding[]): Summary['skipped'] {
  const ids = new Map<string, string[]>()
  for (const { attack, outcome } of findings) {
    if (outcome.verdict === 'skipped') ids.set(outcome.came, [...(ids.get(outcome.came) ?? []), attack.id])
  }
  return [...ids].map(([why, ids]) => ({ why, ids })).toSorted((a, b) => b.ids.length - a.ids.length)
}

/** What came of it, in sentences; the first says whether anything got through. */
export function sentencesOf({ findings }: Report): readonly [string, ...string[]] {
  const { attacks, held, through, wrong, broke, unclear, skipped } = countsOf(findings)
  const rest = [...(unclear === 0 ? [] : [`${unclear} unclear`]), ...(skipped === 0 ? [] : [`${skipped} skipped`])]
  if (held + through + wrong + broke === 0) return [`Nothing is proven: ${rest.join(', ') || 'no attack was made'}.`]
  if (through + wrong + broke === 0) return [`Nothing got through: ${[`${plural(held, 'attack')} held`, ...rest].join(', ')}.`]
  const of = (verdict: Verdict): string => bySeverity(findings.filter(({ outcome }) => outcome.verdict === verdict))
  const others = [
    ...(wrong === 0 ? [] : [`${wrong} ${wrong === 1 ? 'was' : 'were'} answered wrongly: ${of('wrong')}`]),
    ...(broke === 0 ? [] : [`${broke} broke the server: ${of('broke')}`]),
  ]
  const uncertain = unclear === 0 ? [] : [`${unclear} came out unclear.`]
  if (through === 0) return [`Nothing got through, but ${others.join('; ')}.`, ...uncertain]
  return [`${through} of ${attacks - skipped} got through: ${of('through')}.`, ...others.map((text) => `${text}.`), ...uncertain]
}

/** `1 critical, 2 high` */
function bySeverity(problems: readonly Finding[]): string {
  const counts = severitiesOf(problems)
  return SEVERITIES.filter((severity) => counts[severity] > 0)
    .map((severity) => `${counts[severity]} ${severity}`)
    .join(', ')
}

export const plural = (count: number, word: string): string => `${count} ${word}${count === 1 ? '' : 's'}`
