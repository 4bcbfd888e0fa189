// What every step of loading is given: where findings go, and what it is loaded with.

import type { Config } from './config.js'
import type { Disk } from './disk.js'
import type { Environment } from './interpolate.js'
import type { Findings } from './problems.js'

export type Loading = {
  readonly findings: Findings
  readonly env: Environment
  /** What every file is read from. */
  readonly disk: Disk
  /** What the gateway runs on, where this is a reload. */
  readonly running: Config | null
  /** Whether choices that are weak are looked for as well. */
  readonly isCheck: boolean
}

/** Rules between settings: [broken, what is reported where]. */
export type Rule = readonly [isBroken: boolean, setting: string, sentence: string]
