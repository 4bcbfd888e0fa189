// The long run: `npm run fuzz -- [--minutes N | --forever] [--only NAME] [--seed N]`, and with `--only NAME --input FILE` one input again.
// Each finding becomes a file in fuzz-findings/; exit 1 when there is one.
import { createHash, randomInt } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { parseArgs } from 'node:util'
import { type Finding, fuzz, type Progress, tryInput } from './engine.js'
import { seeded } from './random.js'
import type { Target } from './target.js'
import { TARGETS } from './targets.js'
import { type Watchdog, watch } from './watchdog.js'

const FINDINGS = join(process.cwd(), 'fuzz-findings')
const HELP = `npm run fuzz -- [--minutes N | --forever] [--only NAME] [--seed N] [--input FILE]

  --minutes N   all targets together, 10 when left out; the targets take turns
  --forever     until Ctrl-C
  --only NAME   one target: ${TARGETS.map(({ name }) => name).join(', ')}
  --seed N      the same inputs as the run that printed this number
  --input FILE  only this input, which a run has put into fuzz-findings/; with --only

Exit: 0 nothing found, 1 findings, 2 wrong usage.
`

/** How long (seconds) a target has the machine to itself; short enough for all to come round in a short run. */
const LONGEST_TURN = 120

/** What waits for sockets gets less done in its time. */
const weightOf = ({ together }: Target): number => (together === 1 ? 1 : 4)

const say = (line: string): void => void process.stdout.write(`${line}\n`)
const isTerminal = process.stderr.isTTY === true
const rate = ({ runs, seconds }: Progress): string => `${runs} inputs, ${Math.round(runs / Math.max(0.001, seconds))}/s`

function show(progress: Progress): void {
  const line = `${progress.target}: ${rate(progress)}, ${progress.outcomes.size} outcomes, ${progress.findings.length} findings`
  if (isTerminal) process.stderr.write(`\r\x1b[K${line}`)
}

/** Writes the input down, and says how to have it again. */
function keep({ target, problem, input }: Finding): void {
  const name = `${target}-${createHash('sha256').update(input).digest('hex').slice(0, 12)}.bin`
  mkdirSync(FINDINGS, { recursive: true })
  writeFileSync(join(FINDINGS, name), input)
  say(`\nFOUND ${target}: ${problem}`)
  say(
    `  again: node ${relative(process.cwd(), import.meta.filename)} --only ${target} --input ${relative(process.cwd(), join(FINDINGS, name))}`,
  )
}

async function once(target: Target, file: string, watchdog: Watchdog): Promise<number> {
  const session = await target.open()
  try {
    const { problem, outcome } = await tryInput(target, session, readFileSync(file), watchdog)
    const later = problem ?? (await session.settle?.()) ?? null
    say(later === null ? `fine: ${outcome}` : `FOUND ${target.name}: ${later}`)
    return later === null ? 0 : 1
  } finally {
    await session.close?.()
  }
}

type Plan = { readonly targets: readonly Target[]; readonly seconds: number; readonly seed: number; readonly watchdog: Watchdog }

/** Turns of all targets until the time is up. */
async function run({ targets, seconds, seed, watchdog }: Plan): Promise<number> {
  const end = Date.now() + seconds * 1000
  const total = new Map<string, Progress>()
  const found = new Set<string>()
  const weights = targets.reduce((sum, target) => sum + weightOf(target), 0)
  for (let turn = 0; turn === 0 || Date.now() < end; turn++) {
    for (const target of targets) {
      const share = Math.max(1, Math.min(LONGEST_TURN, (seconds * weightOf(target)) / weights))
      const random = seeded(seed + turn * 1000 + TARGETS.indexOf(target))
      const progress = await fuzz(target, { random, seconds: share, watchdog, told: show })
      for (const finding of progress.findings) {
        if (!found.has(`${finding.target} ${finding.problem}`)) keep(finding)
        found.add(`${finding.target} ${finding.problem}`)
      }
      total.set(target.name, sum(total.get(target.name), progress))
    }
  }
  if (isTerminal) process.stderr.write('\r\x1b[K')
  for (const progress of total.values()) say(`${progress.target}: ${rate(progress)}, ${progress.outcomes.size} outcomes`)
  say(`${found.size} findings; seed ${seed}`)
  return found.size === 0 ? 0 : 1
}

const sum = (before: Progress | undefined, now: Progress): Progress => ({
  ...now,
  runs: (before?.runs ?? 0) + now.runs,
  seconds: (before?.seconds ?? 0) + now.seconds,
  outcomes: new Map([...(before?.outcomes ?? []), ...now.outcomes]),
})

function readPlan(): { readonly values: ReturnType<typeof readArguments>; readonly targets: readonly Target[] } | string {
  try {
    const values = readArguments()
    const targets = TARGETS.filter(({ name }) => values.only === undefined || name === values.only)
    if (targets.length === 0) return `there is no target ${values.only}`
    const numbers = [values.minutes, values.seed].filter((text) => text !== undefined)
    if (!numbers.every((text) => Number.isFinite(Number(text)))) return 'expected a number'
    return values.input !== undefined && values.only === undefined ? '--input needs --only' : { values, targets }
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

const readArguments = () =>
  parseArgs({
    options: {
      minutes: { type: 'string' },
      forever: { type: 'boolean' },
      only: { type: 'string' },
      seed: { type: 'string' },
      input: { type: 'string' },
      help: { type: 'boolean' },
    },
  }).values

async function main(): Promise<number> {
  const plan = readPlan()
  if (typeof plan === 'string') {
    process.stderr.write(`${plan}\n\n${HELP}`)
    return 2
  }
  const { values, targets } = plan
  if (values.help) {
    say(HELP)
    return 0
  }
  const seed = values.seed === undefined ? randomInt(2 ** 31) : Number(values.seed)
  const watchdog = watch(FINDINGS)
  try {
    const [target] = targets
    if (values.input !== undefined && target !== undefined) return await once(target, values.input, watchdog)
    say(`seed ${seed}`)
    // A year is for ever, and a number that timers are not asked to wait for.
    const seconds = values.forever ? 365 * 86_400 : Number(values.minutes ?? 10) * 60
    return await run({ targets, seconds, seed, watchdog })
  } finally {
    await watchdog.close()
  }
}

process.exitCode = await main()
