// What a scenario is, and how one is run: its contenders in turn, round after round, so that whatever else this machine does meets
// all of them alike.
import type { Place } from './place.js'

/** Metric and value. */
export type Sample = Readonly<Record<string, number>>

/** A server, or a way to ask it, that is measured beside others. */
export type Contender = {
  readonly name: string
  /** Requests that it answers before any round counts; left out: those of one measurement. 0: none. */
  readonly warmUp?: number
  measure(): Promise<Sample>
}

/** Of a server on node: until all that is hot is compiled. */
export const NODE_WARM_UP = 20_000

/** Measurements of a warm-up, at most: a machine may be too slow for 20,000 requests. */
const MOST_WARM_UPS = 15

const MOST_TRIES = 4

/** How a metric is shown. */
export type Column = { readonly metric: string; readonly title: string; readonly digits: number }

/** A contender's samples, one of each round. */
export type Row = { readonly name: string; readonly samples: readonly Sample[] }

export type Scenario = {
  readonly name: string
  readonly title: string
  /** What is asked for, in Markdown. */
  readonly about: string
  /** How to read it, and what the peers leave out. */
  readonly reading: string
  readonly columns: readonly Column[]
  /** False: it runs only when it is named. */
  readonly isDefault: boolean
  /** Seconds of one load; left out: those asked for. null: there are none. */
  readonly seconds?: number | null
  /** How many rounds make sense when so many are asked for; left out: so many. */
  readonly rounds?: (asked: number) => number
  /** Starts what is measured. `skip` tells of a contender that can't be had, and why. */
  open(place: Place, skip: (what: string) => void): Promise<readonly Contender[]>
  /** The rows of the page, of those that were measured; left out: the same. */
  readonly rows?: (measured: readonly Row[]) => readonly Row[]
}

/** What was measured of a scenario. */
export type Result = { readonly rows: readonly Row[]; readonly skipped: readonly string[] }

export type Progress = (line: string) => void

/** Warms each contender up, then measures all of them in turn, `rounds` times. */
export async function runScenario(scenario: Scenario, place: Place, rounds: number, progress: Progress): Promise<Result> {
  const { name, rounds: counted = (asked) => asked, rows = (measured) => measured } = scenario
  const skipped: string[] = []
  const skip = (what: string) => {
    skipped.push(what)
    progress(`${name}: ${what}`)
  }
  const last = counted(rounds)
  try {
    const contenders = await scenario.open(place, skip)
    for (const contender of contenders) await warmUp(contender, (line) => progress(`${name}, warming up: ${line}`))
    const measured = contenders.map((contender) => ({ name: contender.name, samples: [] as Sample[] }))
    const since = performance.now()
    for (let round = 1; round <= last; round++) {
      for (let turn = 0; turn < contenders.length; turn++) {
        // Each round starts with the next one: to be first after a pause, or after a heavy neighbour, is nobody's lot for good.
        const i = (turn + round - 1) % contenders.length
        const contender = contenders[i] as Contender
        const sample = await persistently(contender, progress)
        measured[i]?.samples.push(sample)
        const done = (round - 1) * contenders.length + turn + 1
        const left = ((performance.now() - since) / done) * (last * contenders.length - done)
        const when = `round ${round} of ${last}, ${Math.round(left / 1000)} s left`
        progress(`${name}, ${when}: ${contender.name}: ${told(sample, scenario)}`)
      }
    }
    return { rows: rows(measured), skipped }
  } finally {
    await place.stopServers()
  }
}

/** A machine that stands still for a moment makes any server refuse some; what is wrong with the server stays wrong. */
async function persistently({ name, measure }: Pick<Contender, 'name' | 'measure'>, progress: Progress): Promise<Sample> {
  for (let tries = 1; ; tries++) {
    try {
      return await measure()
    } catch (error) {
      if (tries === MOST_TRIES) throw error
      progress(`${name}: once more, because ${error instanceof Error ? error.message : String(error)}`)
    }
  }
}

async function warmUp({ name, measure, warmUp = 1 }: Contender, progress: Progress): Promise<void> {
  let answered = 0
  for (let i = 0; i < MOST_WARM_UPS && answered < warmUp; i++) {
    const sample = await persistently({ name, measure }, progress)
    answered += sample.answered ?? warmUp
    progress(`${name}: ${sample.answered === undefined ? 'done' : `${answered} of ${Math.max(answered, warmUp)} requests`}`)
  }
}

const told = (sample: Sample, { columns }: Scenario): string =>
  columns
    .filter(({ metric }) => sample[metric] !== undefined)
    .map(({ metric, title, digits }) => `${title} ${sample[metric]?.toFixed(digits)}`)
    .join(', ')

export const LOAD_COLUMNS: readonly Column[] = [
  { metric: 'cpu', title: 'CPU us a request', digits: 0 },
  { metric: 'perSecond', title: 'requests/s', digits: 0 },
  { metric: 'p50', title: 'p50 ms', digits: 2 },
  { metric: 'p99', title: 'p99 ms', digits: 2 },
  { metric: 'rss', title: 'RSS MB', digits: 0 },
  { metric: 'generator', title: 'generator', digits: 2 },
]
