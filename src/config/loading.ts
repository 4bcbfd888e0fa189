// What every step of loading is given: where findings go, and what it is loaded with.

import type { Environment } from './interpolate.js'
import type { Findings } from './problems.js'

export type Loading = { readonly findings: Findings; readonly env: Environment }

/** Rules between settings: [broken, what is reported where]. */
export type Rule = readonly [isBroken: boolean, setting: string, sentence: string]
