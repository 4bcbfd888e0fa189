// The command line of `npm run bench`.
import { parseArgs } from 'node:util'

export type BenchArguments = {
  /** Empty: all that run by default. */
  readonly scenarios: readonly string[]
  readonly rounds: number
  /** Seconds of one load. */
  readonly seconds: number
  /** Minutes of the soak. */
  readonly minutes: number
  /** Other nodes to run ours on. */
  readonly nodes: readonly string[]
  /** Folders of other builds of ours. */
  readonly against: readonly string[]
  /** Measures nothing. */
  readonly isPageOnly: boolean
}

export const usage = (names: readonly string[]): string => `npm run bench -- [SCENARIO ...] [options]

Measures Holdfast beside other servers, round by round in one run, and writes bench/results.json and docs/benchmarks.md.
What is not measured now keeps the figures of the run before.

  SCENARIO         ${names.join(', ')}; none: all but soak
  --rounds N       rounds that are counted (default 5)
  --seconds N      how long one load takes (default 2)
  --minutes N      how long the soak takes (default 5)
  --node PATH      another node to run Holdfast on as well; may be repeated
  --against DIR    another build (what tsc wrote) to compare with; may be repeated. Its figures are printed, and no file is written
  --page           only prints docs/benchmarks.md anew, from bench/results.json
  --help           this text
`

const NUMBERS = { rounds: '5', seconds: '2', minutes: '5' } as const

/** What was asked for; `help`; or what is wrong with it. */
export function readArguments(argv: readonly string[], names: readonly string[]): BenchArguments | 'help' | { problem: string } {
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        rounds: { type: 'string', default: NUMBERS.rounds },
        seconds: { type: 'string', default: NUMBERS.seconds },
        minutes: { type: 'string', default: NUMBERS.minutes },
        node: { type: 'string', multiple: true, default: [] },
        against: { type: 'string', multiple: true, default: [] },
        page: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h' },
      },
    })
    if (values.help) return 'help'
    const unknown = positionals.find((name) => !names.includes(name))
    if (unknown !== undefined) return { problem: `there is no scenario ${unknown}: choose of ${names.join(', ')}` }
    for (const name of ['rounds', 'seconds', 'minutes'] as const)
      if (!/^[1-9]\d*$/.test(values[name])) return { problem: `--${name} is a whole number above 0, not ${values[name]}` }
    return {
      scenarios: positionals,
      rounds: Number(values.rounds),
      seconds: Number(values.seconds),
      minutes: Number(values.minutes),
      nodes: values.node,
      against: values.against,
      isPageOnly: values.page,
    }
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) }
  }
}
