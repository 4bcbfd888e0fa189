// When is the configuration read again, and what became of that? At SIGHUP and when its files have changed; all of it is taken or none,
// and what was refused is tried again. One for a gateway: in its only process, or in the primary for all workers.

import type { Config } from '../config/config.js'
import { findCutOff } from '../config/cut-off.js'
import { areSameTexts, type Recording, recordingDisk, type Texts } from '../config/disk.js'
import type { Environment } from '../config/interpolate.js'
import { type Loaded, loadConfig } from '../config/load.js'
import { formatProblem } from '../config/problems.js'
import { areSame, lookAgain, type Stamps } from '../config/stamps.js'
import { watchFiles } from '../config/watch.js'
import type { ReloadReport } from '../metrics/registry.js'
import type { Seconds } from '../verify/scalars.js'
import { heedHangups } from './hangups.js'
import { messageOf, oneAfterAnother } from './process.js'

/** A configuration that was read and found good, and what anyone makes the same one from. */
export type Read = { readonly config: Config; readonly texts: Texts; readonly stamps: Stamps }

/** What there was to read. */
export type Reading = { readonly loaded: Loaded; readonly recording: Recording }

export type Log = {
  info(facts: object, message: string): void
  warn(facts: object, message: string): void
  error(facts: object, message: string): void
}

export type ReloadsOptions = {
  readonly first: Read
  /** `running` is what a reload may not change all of. */
  readonly read: (running: Read) => Reading
  /** Puts it to use. Resolves to why that could not be; null: it was. */
  readonly take: (next: Read) => Promise<string | null>
  /** Tells everyone who is asked; by then `current` is what is to be used. */
  readonly tell: (report: ReloadReport) => Promise<void>
  readonly log: Log
  /** Tests shorten it: after so long it is looked whether what was refused can be taken now, for not all that goes wrong is in the files. */
  readonly again?: Seconds
}

export type Reloads = {
  current(): Read
  report(): ReloadReport
  /** Begins a task when those before it are done, and no reload is under way. */
  inTurn(task: () => Promise<void>): Promise<void>
  stop(): void
}

/** Reads a configuration as it is on the disk now. */
export function readNow(file: string, env: Environment, running: Read | null): Reading {
  const recording = recordingDisk()
  const loaded = loadConfig(file, env, running?.config ?? null, recording.disk)
  const cut = running === null || loaded.config === null ? [] : findCutOff(running.texts, recording.texts)
  return { loaded: cut.length === 0 ? loaded : { ...loaded, config: null, problems: cut }, recording }
}

export const readOf = (config: Config, { texts, stamps }: Recording): Read => ({ config, texts, stamps })

const AGAIN: Seconds = 60

/** `asked`: by SIGHUP. */
type Why = 'asked' | 'changed' | 'again'

/** Reloads from now on, until it is told to stop. */
export function createReloads({ first, read, take, tell, log, again = AGAIN }: ReloadsOptions): Reloads {
  let current = first
  let { stamps } = first
  let report: ReloadReport = { taken: 0, refused: 0, takenAt: Date.now() / 1000, problem: null }
  let retry: NodeJS.Timeout | undefined
  const inTurn = oneAfterAnother((error) => log.error({}, messageOf(error)))
  const begin = (why: Why): Promise<void> => inTurn(() => reload(why))

  const reload = async (why: Why): Promise<void> => {
    clearTimeout(retry)
    const { loaded, recording } = read(current)
    stamps = recording.stamps
    // Written between two of the reads: the watch sees what is other than what was read, and waits for it to rest.
    if (why === 'changed' && !areSame(stamps, await lookAgain(stamps.keys()))) return
    const next = loaded.config === null ? null : readOf(loaded.config, recording)
    const isTouched = next !== null && areSameTexts(next.texts, current.texts)
    if (why === 'changed' && isTouched && report.problem === null) return
    const problem = next === null ? refusalOf(loaded) : await take(next)
    const isNews = why !== 'again' || problem !== report.problem
    if (problem === null && next !== null) {
      current = next
      report = { ...report, taken: report.taken + 1, takenAt: Date.now() / 1000, problem }
    } else {
      if (isNews) report = { ...report, refused: report.refused + 1, problem }
      if (current.config.watch !== null) retry = setTimeout(() => void begin('again'), again * 1000).unref()
    }
    await tell(report)
    // Last, so that whoever reads it finds what it says.
    if (problem === null) {
      for (const warning of loaded.warnings) log.warn({}, formatProblem(warning))
      log.info({ policy_version: current.config.policyVersion }, 'reloaded')
    } else if (isNews) {
      for (const one of loaded.problems) log.error({}, formatProblem(one))
      log.error({}, problem)
    }
  }

  const stopHeeding = heedHangups(() => void begin('asked'))
  const stopWatching = watchFiles({
    every: () => current.config.watch,
    stamps: () => stamps,
    changed: () => begin('changed'),
  })
  return {
    current: () => current,
    report: () => report,
    inTurn,
    stop: () => {
      stopHeeding()
      stopWatching()
      clearTimeout(retry)
    },
  }
}

/** What is said where a configuration is not taken; all its problems are logged. */
function refusalOf({ problems }: Loaded): string {
  const [first] = problems
  const where = first === undefined ? '' : `, first ${formatProblem(first)}`
  return `reload: ${problems.length} problem(s) in the configuration${where}; the old one serves on`
}
