import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { GOALS, isReached, reached } from '../../bench/goals.js'
import type { Machine } from '../../bench/machine.js'
import { benchmarksPage, type Recorded, resultTable } from '../../bench/page.js'
import type { Row, Scenario } from '../../bench/scenario.js'
import { scenariosOf } from '../../bench/scenarios.js'

const MACHINE: Machine = { cpu: 'Some CPU', cores: 2, memoryGb: 8, kernel: '6.1', versions: { Node: '20.1.0', nginx: '1.22.1' } }
const row = (name: string, ...cpu: readonly number[]): Row => ({ name, samples: cpu.map((value) => ({ cpu: value })) })
const recorded = (rows: readonly Row[], change: Partial<Recorded> = {}): Recorded => ({
  rows,
  skipped: [],
  at: '2026-11-23T10:00:00.000Z',
  machine: MACHINE,
  seconds: 2,
  ...change,
})

const named = (name: string): Scenario => {
  const found = scenariosOf(5).find((scenario) => scenario.name === name)
  if (found === undefined) throw new Error(`there is no scenario ${name}`)
  return found
}
const goal = (text: string) => {
  const found = GOALS.find((one) => one.text === text)
  if (found === undefined) throw new Error(`there is no goal ${text}`)
  return found
}

t.test('a table has medians, spreads and what each costs of the first', async (t) => {
  const table = resultTable(named('proven'), { rows: [row('holdfast', 200, 180, 220), row('nginx TLS proxy', 20, 20, 24)] })
  t.equal(
    table,
    [
      '| | CPU us a request | of holdfast |',
      '| --- | ---: | ---: |',
      '| holdfast | 200 (180-220) | 1.00 |',
      '| nginx TLS proxy | 20 (20-24) | 0.10 |',
    ].join('\n'),
  )
})

t.test('a goal is a ratio of medians, with the ratios of the rounds', async (t) => {
  const rows = [row('holdfast', 200, 240, 220), row('floor', 100, 120, 100)]
  const [one] = reached(goal('proven request, of the floor'), recorded(rows))
  t.same(one, { variant: '', value: 2.2, rounds: [2, 2, 2.2] })
})

t.test('a goal is computed for each node, with what was measured on that node where there is such', async (t) => {
  const rows = [
    row('holdfast, Node 20.1', 200),
    row('holdfast, Node 26.1', 180),
    row('floor, Node 20.1', 100),
    row('floor, Node 26.1', 90),
    row('Apache + mod_oauth2', 400),
  ]
  const valuesOf = (text: string) => reached(goal(text), recorded(rows)).map(({ variant, value }) => [variant, value])
  t.same(valuesOf('proven request, of the floor'), [
    ['Node 20.1', 2],
    ['Node 26.1', 2],
  ])
  t.same(valuesOf('proven request, of Apache + mod_oauth2'), [
    ['Node 20.1', 0.5],
    ['Node 26.1', 0.45],
  ])
})

t.test('what was not measured is not reached, nor is what it would be compared with', async (t) => {
  t.same(reached(goal('proven request, of the floor'), recorded([row('holdfast', 200)])), [])
  t.same(reached(goal('proven request, of the floor'), recorded([row('floor', 100)])), [])
})

t.test('a goal is judged by the figure that is shown', async (t) => {
  const ratio = goal('proven request, of Apache + mod_oauth2')
  t.equal(isReached(ratio, 0.4549), true)
  t.equal(isReached(ratio, 0.4551), false)
  const least = goal('two workers, capacity, of one worker')
  t.equal(isReached(least, 1.8), true)
  t.equal(isReached(least, 1.79), false)
})

t.test('every goal is one of a scenario that there is', async (t) => {
  for (const { scenario } of GOALS) t.equal(named(scenario).name, scenario)
})

t.test('the page has the goals, the sections in their order, what was left out and where it was measured', async (t) => {
  const results = {
    bearer: recorded([row('holdfast', 150)], { skipped: ['haproxy is left out: the package haproxy is not installed'] }),
    proven: recorded([row('holdfast', 200, 210), row('floor', 100, 100)], {
      at: '2026-11-22T10:00:00.000Z',
      machine: { ...MACHINE, cpu: 'Other CPU' },
    }),
  }
  const page = benchmarksPage(scenariosOf(5), results)
  t.match(page, '**The machine**: 2 cores of Some CPU, 8 GB, Linux 6.1; Node 20.1.0, nginx 1.22.1.')
  t.match(page, '| proven request, of the floor | at most 2.00 | 2.05 | 2.05 (2.00-2.10) | **not reached** |')
  t.match(page, '| memory store, 100,000 live proofs | at most 20.0 MB | not measured | | |')
  t.ok(page.indexOf('## The proven request') < page.indexOf('## A bearer token'), 'in the order of the list, not of the file')
  t.match(page, '\nHaproxy is left out: the package haproxy is not installed.\n')
  t.match(page, '<sub>`npm run bench -- bearer`, 2026-11-23, loads of 2 s</sub>', 'the machine is not said twice')
  t.match(page, '2026-11-22, 2 rounds, loads of 2 s; 2 cores of Other CPU', 'another one is')
  t.notMatch(page, '## Soak', 'what was never measured has no section')
})

t.test('docs/benchmarks.md is what bench/results.json says', async (t) => {
  const root = join(import.meta.dirname, '..', '..', '..')
  const page = benchmarksPage(scenariosOf(5), JSON.parse(readFileSync(join(root, 'bench', 'results.json'), 'utf8')))
  t.equal(readFileSync(join(root, 'docs', 'benchmarks.md'), 'utf8'), page, 'npm run bench -- --page prints it anew')
})
