// The report for pipelines: JUnit XML as Jenkins, GitLab and others read it, one suite per topic, one case per attack. `failure`:
// it got through or was answered wrongly; `error`: the server broke; `skipped`: it was, or what came of it is unclear.

import { type Finding, type Report, TOPICS } from './attack.js'
import { consequenceOf } from './consequences.js'
import { summaryOf, type Tool, topicsOf } from './report-json.js'
import { legible, VERDICT_WORDS } from './report-table.js'

const ELEMENT = {
  held: null,
  through: 'failure',
  wrong: 'failure',
  broke: 'error',
  unclear: 'skipped',
  skipped: 'skipped',
} as const

export function junitOf(report: Report, tool: Tool): string {
  const { findings, seconds } = report
  const suites = topicsOf(findings).flatMap((topic) => {
    const ours = findings.filter(({ attack }) => attack.topic === topic)
    return [
      `  <testsuite${attributes({ name: `${topic}: ${TOPICS[topic]}`, ...sums(ours), timestamp: report.startedAt.slice(0, 19) })}>`,
      '    <properties>',
      ...propertiesOf(report, tool).map(([name, value]) => `      <property${attributes({ name, value })}/>`),
      '    </properties>',
      ...ours.flatMap(caseOf),
      '  </testsuite>',
    ]
  })
  const all = attributes({ name: 'holdfast probe', ...sums(findings), time: seconds.toFixed(3) })
  return ['<?xml version="1.0" encoding="UTF-8"?>', `<testsuites${all}>`, ...suites, '</testsuites>', ''].join('\n')
}

function sums(findings: readonly Finding[]): Readonly<Record<string, string>> {
  const of = (element: string): string => String(findings.filter(({ outcome }) => ELEMENT[outcome.verdict] === element).length)
  const milliseconds = findings.reduce((sum, finding) => sum + finding.milliseconds, 0)
  return {
    tests: String(findings.length),
    failures: of('failure'),
    errors: of('error'),
    skipped: of('skipped'),
    time: (milliseconds / 1000).toFixed(3),
  }
}

const propertiesOf = (report: Report, { version }: Tool): readonly (readonly [name: string, value: string])[] => [
  ['tool', `holdfast probe ${version}`],
  ['url', report.url],
  ['method', report.method],
  ['address', report.address],
  ['transport', report.transport],
  ['binding', report.binding],
  ['requests', String(report.requests)],
  ['result', summaryOf(report).result],
]

function caseOf({ attack, outcome, milliseconds }: Finding): readonly string[] {
  const name = `${attack.id}: ${attack.title}`
  const open = `    <testcase${attributes({ name, classname: `holdfast.probe.${attack.topic}`, time: (milliseconds / 1000).toFixed(3) })}`
  const element = ELEMENT[outcome.verdict]
  if (element === null) return [`${open}/>`]
  if (element === 'skipped') {
    const message = `${outcome.verdict === 'unclear' ? 'unclear: ' : ''}${outcome.came}`
    return [`${open}>`, `      <skipped${attributes({ message })}/>`, '    </testcase>']
  }
  const message = `${attack.severity}: ${VERDICT_WORDS[outcome.verdict]}; expected: ${attack.expected} (${attack.spec})`
  const text = [`came: ${outcome.came}`, `why: ${consequenceOf(attack, outcome.verdict)}`, 'sent:', outcome.sent].join('\n')
  return [
    `${open}>`,
    `      <${element}${attributes({ message, type: `${outcome.verdict}.${attack.severity}` })}>${escaped(text)}</${element}>`,
    '    </testcase>',
  ]
}

const attributes = (of: Readonly<Record<string, string>>): string =>
  Object.entries(of)
    .map(([name, value]) => ` ${name}="${escaped(value).replaceAll('\n', '&#10;')}"`)
    .join('')

/** What is no character of XML 1.0 (§2.2) is shown as \xNN, like all that cannot be read. */
const escaped = (text: string): string =>
  legible(text).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
