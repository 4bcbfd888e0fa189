// How the rows name their tests: a file, and titles of it.
import type { Proof } from './row.js'

export const of =
  (file: string) =>
  (...titles: readonly string[]): readonly Proof[] =>
    titles.map((title) => ({ file, title }))

/** The titles that a negative table makes of its reasons and whys. */
export const denies = (reason: string, ...whys: readonly string[]): readonly string[] =>
  whys.map((why) => `denies ${reason}: ${why}`)
