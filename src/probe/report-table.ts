// The report for a terminal: what needs mending, worst first, and how much there was of everything.
import type { Attack, Report } from './attack.js'

export const listOf = (attacks: readonly Attack[], _columns: number): readonly string[] =>
  attacks.map(({ id, title, spec }) => `${id}  ${title}  ${spec}`)
export const tableOf = (report: Report, _options: { isVerbose: boolean; columns: number }): readonly string[] =>
  report.findings.map(
    ({ attack, outcome }) =>
      `${outcome.verdict.padEnd(8)} ${attack.severity.padEnd(8)} ${attack.id.padEnd(32)} ${attack.title}: ${outcome.came}`,
  )
