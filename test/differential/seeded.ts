// Runs a property over generated cases, so that a run can be repeated: the seed is told every time. HOLDFAST_SEED takes one, HOLDFAST_RUNS
// the number of cases (without the limit of time that the ordinary run has; tap's own is lifted by TAP_TIMEOUT=0).
import fc from 'fast-check'
import type { Test } from 'tap'

const { HOLDFAST_SEED, HOLDFAST_RUNS } = process.env
export const SEED = HOLDFAST_SEED === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(HOLDFAST_SEED)

export type Bounds = {
  /** Cases of the ordinary run. */
  readonly runs: number
  /** Milliseconds after which the ordinary run looks at no more of them. */
  readonly patience: number
}

/** Fails with the smallest case that was found, and how to find it again. Resolves with the number of cases that were looked at. */
export async function holds<T>(t: Test, { runs, patience }: Bounds, property: fc.IAsyncProperty<T>): Promise<number> {
  const asked = HOLDFAST_RUNS === undefined ? null : Number(HOLDFAST_RUNS)
  const details = await fc.check(property, {
    seed: SEED,
    numRuns: asked ?? runs,
    ...(asked === null ? { interruptAfterTimeLimit: patience, markInterruptAsFailure: false } : {}),
  })
  t.comment(`${details.numRuns} cases, HOLDFAST_SEED=${SEED}`)
  if (details.failed) t.comment((await fc.asyncDefaultReportMessage(details)) ?? '')
  t.notOk(details.failed, 'holds for every case')
  t.ok(details.failed || details.numRuns >= Math.min(asked ?? runs, 50), 'there was time for enough cases to say something')
  return details.numRuns
}

/** How often each thing was seen, for the comment at the end of a run. */
export function makeTally() {
  const counts = new Map<string, number>()
  return {
    count: (name: string): void => void counts.set(name, (counts.get(name) ?? 0) + 1),
    of: (name: string): number => counts.get(name) ?? 0,
    report: (t: Test): void => {
      for (const [name, count] of [...counts].sort(([, a], [, b]) => b - a)) t.comment(`${String(count).padStart(6)}  ${name}`)
    },
  }
}
