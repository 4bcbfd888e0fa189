// What can be fuzzed: something that takes bytes, and the properties that must hold whatever they are.
import type { Random } from './random.js'

export type Verdict = {
  /** What must never be; null: all is well. */
  readonly problem: string | null
  /** What came of it, in a few words: an input with a new outcome is one to go on from. */
  readonly outcome: string
}

export type Session = {
  readonly seeds: readonly Buffer[]
  readonly words: readonly Buffer[]
  /** Makes an input that has the structure of a good one; left out: all inputs are mutated seeds. */
  readonly make?: (random: Random) => Buffer
  check(input: Buffer): Verdict | Promise<Verdict>
  /** Asked between batches: does it still work, is nothing left over? */
  readonly settle?: () => Promise<string | null>
  readonly close?: () => Promise<void>
}

export type Target = {
  readonly name: string
  /** The most bytes of an input. */
  readonly most: number
  /** The longest (milliseconds) one input may take; of what waits for sockets, without the waiting. */
  readonly slowest: number
  /** How many inputs are under way together; 1 for what has no I/O. */
  readonly together: number
  open(): Promise<Session>
}

export const fine = (outcome: string): Verdict => ({ problem: null, outcome })
export const bad = (problem: string): Verdict => ({ problem, outcome: 'a finding' })

/** The first property that does not hold, or the outcome. */
export function judge(outcome: string, properties: readonly (readonly [holds: boolean, sentence: string])[]): Verdict {
  const broken = properties.find(([holds]) => !holds)
  return broken === undefined ? fine(outcome) : bad(broken[1])
}
