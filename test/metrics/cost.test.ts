// Telemetry that costs more than it tells would be turned off. The bounds are some times what bench/telemetry.ts measures on a quiet
// machine (docs/decisions.md); CPU time, so that a busy one changes little.
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'

type Costs = Readonly<Record<'metrics' | 'counting' | 'tracingOff' | 'notSampled' | 'traced', { ns: number; bytes: number }>>

t.test('metrics cost a request little, and traces nothing where they are off', async (t) => {
  const program = join(import.meta.dirname, '..', '..', 'bench', 'telemetry.js')
  const costs = JSON.parse(execFileSync(process.execPath, ['--expose-gc', program], { encoding: 'utf8' })) as Costs
  t.comment(JSON.stringify(costs))
  t.ok(costs.metrics.ns < 5000, 'moments and counting: 0.5 us')
  t.ok(costs.tracingOff.ns < 100, 'the question whether there are traces: 5 ns')
  t.ok(costs.tracingOff.bytes < 1, 'and not a byte')
  t.ok(costs.notSampled.ns < 2000, 'the question whether this one is traced: a tenth of a us')
  t.ok(costs.traced.ns < 100_000, 'four spans: 6 us once warm')
})
