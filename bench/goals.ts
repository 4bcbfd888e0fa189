// What the figures must come to. A ratio is one of medians, between contenders that were measured in turn in one run; the ratios of
// the single rounds stand beside it, and say how steady it is.
import type { Result } from './scenario.js'
import { median } from './statistics.js'

export type Goal = {
  readonly text: string
  readonly scenario: string
  readonly most?: number
  readonly least?: number
  /** The contender, its metric, and the contender it is divided by; without one, the goal is a number of megabytes. */
  readonly of: string
  readonly metric: string
  readonly by?: string
}

export type Reached = {
  /** `Node 26.10` where several were measured, else ''. */
  readonly variant: string
  readonly value: number
  /** Of each round. */
  readonly rounds: readonly number[]
}

const REFUSALS = ['wrong signature', 'replay', 'wrong key', 'garbage token', 'no credentials']

export const GOALS: readonly Goal[] = [
  { text: 'proven request, of the floor', scenario: 'proven', most: 2, of: 'holdfast', metric: 'cpu', by: 'floor' },
  {
    text: 'proven request, of Apache + mod_oauth2',
    scenario: 'proven',
    most: 0.45,
    of: 'holdfast',
    metric: 'cpu',
    by: 'Apache + mod_oauth2',
  },
  {
    text: 'bearer token, of haproxy `jwt_verify`',
    scenario: 'bearer',
    most: 1.1,
    of: 'holdfast',
    metric: 'cpu',
    by: 'haproxy jwt_verify',
  },
  {
    text: 'public route, of Fastify + @fastify/http-proxy',
    scenario: 'public',
    most: 0.9,
    of: 'holdfast',
    metric: 'cpu',
    by: 'Fastify + http-proxy',
  },
  ...REFUSALS.map((of) => ({
    text: `refusal (${of}), of a grant`,
    scenario: 'attack',
    most: 0.6,
    of,
    metric: 'cpu',
    by: 'grant',
  })),
  { text: 'memory store, 100,000 live proofs', scenario: 'memory', most: 20, of: 'memory store', metric: 'memory' },
  { text: 'Redis, 100,000 live proofs', scenario: 'memory', most: 12, of: 'Redis', metric: 'memory' },
  {
    text: 'two workers, CPU for each request, of one worker',
    scenario: 'workers',
    most: 1.1,
    of: '2 workers',
    metric: 'cpu',
    by: '1 worker',
  },
  {
    text: 'two workers, capacity, of one worker',
    scenario: 'workers',
    least: 1.8,
    of: '2 workers',
    metric: 'capacity',
    by: '1 worker',
  },
  {
    text: 'registry, tenant and 1,000,000 revocations, CPU for each request, of none',
    scenario: 'governed',
    most: 1.05,
    of: 'all of it',
    metric: 'cpu',
    by: 'none of it',
  },
  {
    text: 'a question to the decision API, of the same request proxied',
    scenario: 'decisions',
    most: 0.8,
    of: 'question',
    metric: 'cpu',
    by: 'proxied',
  },
  {
    text: 'a question by gRPC, our share of it, of the same request proxied',
    scenario: 'decisions',
    most: 0.8,
    of: 'question by gRPC',
    metric: 'cpu',
    by: 'proxied',
  },
  {
    text: 'nginx that asks the decision API, both together, of the same request proxied by us alone',
    scenario: 'decisions',
    most: 1.5,
    of: 'nginx and its question',
    metric: 'cpu',
    by: 'proxied',
  },
  { text: 'latency at half of peak, p99 of p50', scenario: 'latency', most: 3, of: 'holdfast', metric: 'tail' },
  { text: 'soak, memory of one worker in the last minute', scenario: 'soak', most: 160, of: 'last minute', metric: 'rss' },
  {
    text: 'soak, memory in the last minute, of the first',
    scenario: 'soak',
    most: 1.1,
    of: 'last minute',
    metric: 'rss',
    by: 'first minute',
  },
]

/** Of each variant of ours; empty: it, or what it is compared with, was not measured. */
export function reached({ of, metric, by }: Goal, { rows }: Result): readonly Reached[] {
  const samplesOf = (name: string): readonly number[] =>
    rows.find((row) => row.name === name)?.samples.flatMap((sample) => sample[metric] ?? []) ?? []
  const labels = rows.map(({ name }) => name).filter((name) => name === of || name.startsWith(`${of}, `))
  return labels.flatMap((name) => {
    const label = name.slice(of.length)
    const ours = samplesOf(name)
    if (ours.length === 0) return []
    const variant = label.replace(/^, /, '')
    if (by === undefined) return [{ variant, value: median(ours), rounds: ours }]
    // A peer that is not of node has no variants.
    const base = [by + label, by].map(samplesOf).find((values) => values.length > 0)
    if (base === undefined) return []
    const rounds = ours.flatMap((value, i) => (base[i] === undefined ? [] : [value / base[i]]))
    return [{ variant, value: median(ours) / median(base), rounds }]
  })
}

export const digitsOf = ({ by, metric }: Goal): number => (by === undefined && metric !== 'tail' ? 1 : 2)

/** As it is shown: 1.104 is 1.10. */
export function isReached(goal: Goal, value: number): boolean {
  const shown = Number(value.toFixed(digitsOf(goal)))
  return (goal.most === undefined || shown <= goal.most) && (goal.least === undefined || shown >= goal.least)
}
