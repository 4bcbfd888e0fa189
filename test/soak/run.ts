// `npm run soak`: minutes by default, hours on demand.
import { parseArgs } from 'node:util'
import { megabytes, type SoakReport, soak } from './soak.js'
import type { Ledger } from './traffic.js'

const HELP = `npm run soak -- [--minutes N] [--workers N] [--connections N] [--pause N]

Runs the gateway at full load while it is reloaded, its keys are rotated, Redis freezes and restarts empty, the audit disk is full,
workers are killed, the backend resets and is away, and clients replay, forge, dawdle and hang up; then says what was granted that
should not have been, what was not answered, which durable record is missing and what leaked.

  --minutes N      how long (default 3)
  --workers N      processes (default 2)
  --connections N  clients (default 32)
  --pause N        seconds between one trouble and the next (default 5)
  --help           this text

Exit: 0 all is well, 1 problems, 2 wrong usage.
`

const say = (line: string): void => void process.stdout.write(`${line}\n`)
const isTerminal = process.stderr.isTTY === true

const countOf = ({ kinds }: Ledger): number =>
  [...kinds.values()].flatMap((ends) => [...ends.values()]).reduce((sum, count) => sum + count, 0)

function print({ ledger, troubles, forwarded, durable, before, after, problems }: SoakReport): void {
  for (const [kind, ends] of ledger.kinds)
    say(`${kind.padEnd(32)} ${[...ends].map(([end, count]) => `${count} ${end}`).join(', ')}`)
  for (const [trouble, times] of troubles) say(`${trouble.padEnd(32)} ${times} times`)
  say(`${forwarded} requests reached the backend, ${durable} of them with evidence on disk first`)
  say(`longest wait ${ledger.slowest.toFixed(0)} ms`)
  say(
    `memory ${megabytes(before.rss)} MB at first, ${megabytes(after.rss)} MB at the end; open files ${before.handles}, ${after.handles}`,
  )
  for (const problem of problems) say(`PROBLEM ${problem}`)
  say(problems.length === 0 ? 'all is well' : `${problems.length} problems`)
}

function readNumbers(): Record<'minutes' | 'workers' | 'connections' | 'pause', number> | 'help' | string {
  try {
    const text = { type: 'string' } as const
    const { values } = parseArgs({
      options: { minutes: text, workers: text, connections: text, pause: text, help: { type: 'boolean', short: 'h' } },
    })
    if (values.help) return 'help'
    const { minutes = '3', workers = '2', connections = '32', pause = '5' } = values
    const numbers = { minutes: Number(minutes), workers: Number(workers), connections: Number(connections), pause: Number(pause) }
    return Object.values(numbers).every((number) => number > 0) ? numbers : 'expected numbers above 0'
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

async function main(): Promise<number> {
  const numbers = readNumbers()
  if (typeof numbers === 'string') {
    process[numbers === 'help' ? 'stdout' : 'stderr'].write(numbers === 'help' ? HELP : `${numbers}\n\n${HELP}`)
    return numbers === 'help' ? 0 : 2
  }
  const { minutes, workers, connections, pause } = numbers
  const endings: (() => unknown)[] = []
  try {
    const report = await soak(
      { teardown: (end) => void endings.unshift(end) },
      {
        ...{ seconds: minutes * 60, workers, connections, pause },
        tell: ({ seconds, ledger, held }) => {
          const line = `${seconds.toFixed(0)} of ${minutes * 60} s, ${countOf(ledger)} requests, ${ledger.problems.length} problems, ${megabytes(held.rss)} MB`
          if (isTerminal) process.stderr.write(`\r\x1b[K${line}`)
        },
      },
    )
    if (isTerminal) process.stderr.write('\r\x1b[K')
    print(report)
    return report.problems.length === 0 ? 0 : 1
  } finally {
    for (const end of endings) await end()
  }
}

process.exitCode = await main()
