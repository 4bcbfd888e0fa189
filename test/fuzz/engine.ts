// Fuzzes one target for a while: takes an input that is known, spoils it, looks whether every property still holds, and keeps what had
// an outcome not seen before. A finding is made as small as it gets.
import { performance } from 'node:perf_hooks'
import { mutate } from './mutate.js'
import type { Random } from './random.js'
import type { Session, Target } from './target.js'
import type { Watchdog } from './watchdog.js'

export type Finding = { readonly target: string; readonly problem: string; readonly input: Buffer }

export type Progress = {
  readonly target: string
  runs: number
  seconds: number
  /** How often each outcome came. */
  readonly outcomes: Map<string, number>
  readonly findings: Finding[]
}

export type FuzzOptions = {
  readonly random: Random
  readonly seconds: number
  /** So many inputs at least, however slow the machine is. */
  readonly least?: number
  readonly watchdog: Watchdog
  readonly told?: (progress: Progress) => void
}

/** After so many a target is broken rather than found out about. */
const MOST_FINDINGS = 5
const MOST_KEPT = 2000
const TOLD_EVERY_MS = 2000
const SHRINKING_MS = 5000
/** How much memory (bytes) a batch may leave in use. */
const MOST_MEMORY = 768 * 1024 ** 2

export async function fuzz(target: Target, options: FuzzOptions): Promise<Progress> {
  const session = await target.open()
  const progress: Progress = { target: target.name, runs: 0, seconds: 0, outcomes: new Map(), findings: [] }
  try {
    await work({ target, session, progress, ...options })
  } finally {
    options.watchdog.rest()
    await session.close?.()
  }
  return progress
}

type Work = FuzzOptions & { readonly target: Target; readonly session: Session; readonly progress: Progress }

async function work({ target, session, progress, ...options }: Work): Promise<void> {
  const { random, seconds, least = 0, watchdog, told } = options
  const known = [...session.seeds]
  const started = performance.now()
  let lastTold = started
  const trial = async (input: Buffer): Promise<void> => {
    const { problem, outcome: told } = await tryInput(target, session, input, watchdog)
    const outcome = progress.outcomes.size < MOST_KEPT || progress.outcomes.has(told) ? told : 'and others'
    progress.runs += 1
    const times = progress.outcomes.get(outcome) ?? 0
    progress.outcomes.set(outcome, times + 1)
    if (problem === null) {
      if (times < 3 && known.length < MOST_KEPT) known.push(input)
      return
    }
    if (progress.findings.some((finding) => finding.problem === problem)) return
    const small = await shrink(input, async (less) => (await tryInput(target, session, less, watchdog)).problem === problem)
    progress.findings.push({ target: target.name, problem, input: small })
  }
  const draw = (): Buffer => {
    const make = session.make
    if (make !== undefined && random.chance(0.4)) return make(random).subarray(0, target.most)
    return mutate(random.pick(known), { random, words: session.words, others: known, most: target.most })
  }
  const until = started + seconds * 1000
  const isOver = (): boolean =>
    (performance.now() >= until && progress.runs >= least) || progress.findings.length >= MOST_FINDINGS
  const batch = target.together * (target.together === 1 ? 50 : 8)
  // A few as they are, so that it is known what is no news.
  let inputs = Array.from({ length: Math.min(8, known.length) }, () => random.pick(known))
  while (!isOver()) {
    // One that waits for a time-out does not hold up the others.
    const rest = inputs.values()
    const lane = async (): Promise<void> => {
      for (const input of rest) {
        if (isOver()) break
        await trial(input)
      }
    }
    await Promise.all(Array.from({ length: target.together }, lane))
    watchdog.rest()
    const broken = (await session.settle?.()) ?? leftOver()
    if (broken !== null) progress.findings.push({ target: target.name, problem: broken, input: Buffer.concat(inputs) })
    // Timers and sockets have their turn.
    await new Promise((resolve) => setImmediate(resolve))
    inputs = Array.from({ length: batch }, draw)
    progress.seconds = (performance.now() - started) / 1000
    if (told !== undefined && performance.now() - lastTold > TOLD_EVERY_MS) {
      lastTold = performance.now()
      told(progress)
    }
  }
  progress.seconds = (performance.now() - started) / 1000
}

const leftOver = (): string | null => {
  const { heapUsed, external } = process.memoryUsage()
  const used = heapUsed + external
  return used > MOST_MEMORY ? `${Math.round(used / 1024 ** 2)} MiB are in use after this batch` : null
}

/** One input; whatever escapes is a finding, and so is what takes too long, however often it is tried. */
export async function tryInput(target: Target, session: Session, input: Buffer, watchdog: Watchdog) {
  const timed = async () => {
    watchdog.begin(target.name, input)
    const before = performance.now()
    const verdict = await session.check(input)
    return { verdict, ms: performance.now() - before }
  }
  try {
    let { verdict, ms } = await timed()
    // Once may be the machine's fault, or the garbage collector's.
    for (let i = 0; i < 4 && ms > target.slowest && verdict.problem === null; i++) ({ verdict, ms } = await timed())
    if (ms <= target.slowest || verdict.problem !== null) return verdict
    return { problem: `takes longer than ${target.slowest} ms`, outcome: 'a finding' }
  } catch (error) {
    const { name, message, stack } = error instanceof Error ? error : { name: 'no error', message: String(error), stack: '' }
    // Where it was thrown tells one bug from another; what it says may hold the input.
    const place = stack?.split('\n').find((line) => line.includes('/src/') || line.includes('/test/fuzz/'))
    return { problem: `throws ${name} ${place?.trim().replace(/\(.*\/(?=src|test)/, '(') ?? message}`, outcome: 'a finding' }
  }
}

/** Leaves out all that can be left out, larger parts first. */
async function shrink(input: Buffer, fails: (less: Buffer) => Promise<boolean>): Promise<Buffer> {
  let small = input
  const until = performance.now() + SHRINKING_MS
  for (
    let size = Math.ceil(small.length / 2);
    size >= 1 && performance.now() < until;
    size = size === 1 ? 0 : Math.ceil(size / 2)
  ) {
    for (let at = 0; at < small.length && performance.now() < until; ) {
      const less = Buffer.concat([small.subarray(0, at), small.subarray(at + size)])
      if (await fails(less)) small = less
      else at += size
    }
  }
  return small
}
