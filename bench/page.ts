// docs/benchmarks.md from bench/results.json: pure.
import { digitsOf, GOALS, type Goal, isReached, reached } from './goals.js'
import type { Machine } from './machine.js'
import type { Column, Result, Row, Scenario } from './scenario.js'
import { median, shownSpread } from './statistics.js'

/** One scenario as it was measured last. */
export type Recorded = Result & {
  /** ISO 8601. */
  readonly at: string
  readonly machine: Machine
  /** Seconds of one load; null: there were none. */
  readonly seconds: number | null
}

/** bench/results.json: scenario by name. */
export type Records = Readonly<Record<string, Recorded>>

export function benchmarksPage(scenarios: readonly Scenario[], recorded: Records): string {
  const measured = scenarios.flatMap((scenario) => {
    const result = recorded[scenario.name]
    return result === undefined ? [] : [{ scenario, result }]
  })
  const newest = measured.map(({ result }) => result).reduce((a, b) => (b.at > a.at ? b : a))
  const sections = measured.map(({ scenario, result }) => section(scenario, result, newest.machine))
  return `# Benchmarks

\`npm run bench\` measures Holdfast beside other servers, prints this page from bench/results.json, and installs what it needs (Debian's packages). \`npm run bench -- --help\` names the scenarios.

**How to read it.** CPU is user and system time of all processes and threads of a server, from /proc, divided by the requests it answered: the one figure that stays true where the load generator takes
the other core. Every contender of a table was measured in turn, round after round, in one run, after a warm-up. A cell is the median of the rounds, with the least and the most in parentheses. Shared machines are
noisy: **read the ratios, not the absolutes, and compare nothing across tables.** "generator" is the share of one core that the load generator used; near 1, it was the generator that could do no more.

**The machine**: ${machineText(newest.machine)}.

## Goals

A ratio is one of medians of CPU for each request, where nothing else is said; beside it, the median and the spread of the ratios of the single rounds.

${goalsTable(recorded)}

${sections.join('\n')}`
}

const machineText = ({ cpu, cores, memoryGb, kernel, versions }: Machine): string =>
  `${cores} cores of ${cpu}, ${memoryGb} GB, Linux ${kernel}; ${Object.entries(versions)
    .map(([program, version]) => `${program} ${version}`)
    .join(', ')}`

function goalsTable(recorded: Records): string {
  const rows = GOALS.flatMap((goal) => {
    const result = recorded[goal.scenario]
    const all = result === undefined ? [] : reached(goal, result)
    if (all.length === 0) return [`| ${goal.text} | ${limit(goal)} | not measured | | |`]
    return all.map(({ variant, value, rounds }) => {
      const text = `${goal.text}${variant === '' ? '' : ` (${variant})`}`
      const spread = shownSpread(rounds, digitsOf(goal))
      const byRound = spread.includes('(') ? spread : ''
      const verdict = isReached(goal, value) ? 'reached' : '**not reached**'
      return `| ${text} | ${limit(goal)} | ${value.toFixed(digitsOf(goal))} | ${byRound} | ${verdict} |`
    })
  })
  return ['| what | goal | measured | round by round | |', '| --- | ---: | ---: | ---: | --- |', ...rows].join('\n')
}

const limit = (goal: Goal): string => {
  const { most, least, by, metric } = goal
  const unit = by === undefined && metric !== 'tail' ? ' MB' : ''
  return `${most === undefined ? 'at least' : 'at most'} ${(most ?? least ?? 0).toFixed(digitsOf(goal))}${unit}`
}

function section(scenario: Scenario, result: Recorded, machine: Machine): string {
  const { title, about, reading, name } = scenario
  const { skipped, at, seconds, rows } = result
  const rounds = Math.max(...rows.map(({ samples }) => samples.length))
  const how = [rounds > 1 ? `, ${rounds} rounds` : '', seconds === null ? '' : `, loads of ${seconds} s`].join('')
  const elsewhere = JSON.stringify(result.machine) === JSON.stringify(machine) ? '' : `; ${machineText(result.machine)}`
  return `## ${title}

${about}

${resultTable(scenario, result)}

${reading}
${skipped.map((line) => `\n${line[0]?.toUpperCase()}${line.slice(1)}.\n`).join('')}
<sub>\`npm run bench -- ${name}\`, ${at.slice(0, 10)}${how}${elsewhere}</sub>
`
}

/** With what each costs of the first, where they are compared by CPU. */
export function resultTable({ columns }: Pick<Scenario, 'columns'>, { rows }: Pick<Result, 'rows'>): string {
  const shown = columns.filter(({ metric }) => rows.some((row) => valuesOf(row, metric).length > 0))
  const [first] = rows
  const base = first === undefined ? 0 : median(valuesOf(first, 'cpu'))
  const isCompared = rows.length > 1 && shown[0]?.metric === 'cpu'
  const titles = shown.map(({ title }) => title).toSpliced(1, 0, ...(isCompared ? [`of ${first?.name}`] : []))
  const lines = rows.map((row) => {
    const share = isCompared ? [(median(valuesOf(row, 'cpu')) / base).toFixed(2)] : []
    const cells = shown.map((column) => cell(row, column)).toSpliced(1, 0, ...share)
    return `| ${row.name} | ${cells.join(' | ')} |`
  })
  return [`| | ${titles.join(' | ')} |`, `| --- |${' ---: |'.repeat(titles.length)}`, ...lines].join('\n')
}

const valuesOf = ({ samples }: Row, metric: string): readonly number[] => samples.flatMap((sample) => sample[metric] ?? [])

function cell(row: Row, { metric, digits }: Column): string {
  const values = valuesOf(row, metric)
  return values.length === 0 ? '' : shownSpread(values, digits)
}
