// Each target of test/fuzz for a moment, with inputs that differ from run to run: what holds of all inputs holds of these. HOLDFAST_SEED
// gives those of a run that failed; `npm run fuzz` goes on for longer.
import { randomInt } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { fuzz } from './engine.js'
import { seeded } from './random.js'
import { TARGETS } from './targets.js'
import { watch } from './watchdog.js'

/** What waits for sockets gets more time, for it gets less done. */
const secondsFor = (together: number): number => (together === 1 ? 0.2 : 0.4)
const LEAST = 20
const seed = Number(process.env.HOLDFAST_SEED ?? randomInt(2 ** 31))
t.comment(`HOLDFAST_SEED=${seed}`)

const watchdog = watch(join(tmpdir(), 'holdfast-fuzz-findings'))
t.teardown(() => watchdog.close())

for (const [i, target] of TARGETS.entries()) {
  t.test(`refuses without fail what is nearly right: ${target.name}`, async (t) => {
    const { findings, runs, outcomes } = await fuzz(target, {
      random: seeded(seed + i),
      seconds: secondsFor(target.together),
      least: LEAST,
      watchdog,
    })
    const told = findings.map(({ problem, input }) => `${problem}: ${input.subarray(0, 2000).toString('base64')}`)
    t.same(told, [], `HOLDFAST_SEED=${seed}`)
    t.ok(runs >= LEAST, `${runs} inputs with ${outcomes.size} outcomes`)
  })
}
