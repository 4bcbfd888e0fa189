// `npm run bench`: measures, keeps what was measured in bench/results.json, and prints docs/benchmarks.md from it.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { type BenchArguments, readArguments, usage } from './arguments.js'
import { hasWrk } from './load.js'
import { readMachine } from './machine.js'
import { benchmarksPage, type Recorded, type Records, resultTable } from './page.js'
import { openPlace, problemOf } from './place.js'
import { runScenario, type Scenario } from './scenario.js'
import { scenariosOf } from './scenarios.js'

const RESULTS = 'bench/results.json'
const PAGE = 'docs/benchmarks.md'

const say = (line: string) => process.stderr.write(`${line}\n`)

async function main(argv: readonly string[]): Promise<number> {
  const names = scenariosOf(1).map(({ name }) => name)
  const asked = readArguments(argv, names)
  if (asked === 'help') {
    process.stdout.write(usage(names))
    return 0
  }
  const problem = 'problem' in asked ? asked.problem : problemOf(asked)
  if (problem !== null || 'problem' in asked) {
    say(`bench: ${problem}`)
    say('try: npm run bench -- --help')
    return 2
  }
  const scenarios = scenariosOf(asked.minutes)
  if (asked.isPageOnly) {
    writeFileSync(PAGE, benchmarksPage(scenarios, readResults()))
    return 0
  }
  if (!hasWrk()) {
    say('bench: wrk is not installed and could not be: install it (apt-get install wrk) and try again')
    return 1
  }
  return bench(asked, scenarios)
}

async function bench(asked: BenchArguments, all: readonly Scenario[]): Promise<number> {
  const { rounds, seconds } = asked
  const chosen = all.filter(({ name, isDefault }) => (asked.scenarios.length === 0 ? isDefault : asked.scenarios.includes(name)))
  const machine = readMachine()
  const place = await openPlace(asked)
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void place.close().finally(() => process.exit(130)))
  const since = performance.now()
  let failed = 0
  try {
    for (const [i, scenario] of chosen.entries()) {
      const left =
        i === 0 ? '' : `, about ${Math.ceil(((performance.now() - since) / i / 60_000) * (chosen.length - i))} minutes left`
      say(`${scenario.title} (${i + 1} of ${chosen.length}${left})`)
      try {
        const result = await runScenario(scenario, place, rounds, say)
        process.stdout.write(`\n${scenario.title}\n\n${resultTable(scenario, result)}\n\n`)
        // A comparison of two builds is nobody's benchmark page.
        if (asked.against.length === 0)
          record(
            scenario,
            {
              ...result,
              at: new Date().toISOString(),
              machine,
              seconds: scenario.seconds === undefined ? seconds : scenario.seconds,
            },
            all,
          )
      } catch (error) {
        failed += 1
        say(`bench: ${scenario.name}: ${error instanceof Error ? error.message : String(error)}`)
      }
    }
  } finally {
    await place.close()
  }
  say(asked.against.length === 0 ? `${PAGE} and ${RESULTS} written` : 'no file written, because two builds were compared')
  return failed === 0 ? 0 : 1
}

const readResults = (): Records => (existsSync(RESULTS) ? JSON.parse(readFileSync(RESULTS, 'utf8')) : {})

/** After each scenario, so that a run that is broken off has lost nothing; what was not measured now stays as it was. */
function record({ name }: Scenario, measured: Recorded, scenarios: readonly Scenario[]): void {
  writeFileSync(RESULTS, `${JSON.stringify({ ...readResults(), [name]: measured }, rounded, 1)}\n`)
  writeFileSync(PAGE, benchmarksPage(scenarios, readResults()))
}

/** More digits than these say nothing. */
const rounded = (_: string, value: unknown): unknown => (typeof value === 'number' ? Number(value.toPrecision(5)) : value)

process.exitCode = await main(process.argv.slice(2))
