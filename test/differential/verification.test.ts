// Do others judge tokens and proofs as src/verify/ does? jose and oauth4webapi read the same requests, good ones and ones with up to three
// things changed. We never grant what both refuse; what we refuse and another grants, and what we grant and one refuses, has a class with
// a reason in stricter.ts and looser.ts, or the test fails with the smallest case. And nothing is ever thrown, nor does a cache that has
// seen the unchanged request change an answer.
// The seed gives the same cases again; keys and signatures are new in each run.
import fc from 'fast-check'
import t from 'tap'
import { LOOSER, type Looser } from './looser.js'
import { bases, mutations } from './mutations.js'
import { joseReads, makePorts, oauthReads, ours } from './readers.js'
import { type Base, type Mutation, type Wire, wireOf } from './requests.js'
import { holds, makeTally } from './seeded.js'
import { type Read, readWire, STRICTER, type Stricter } from './stricter.js'

type Case = { readonly base: Base; readonly mutations: readonly Mutation[] }
type Answers = {
  readonly ours: Awaited<ReturnType<typeof ours>>
  readonly jose: string | null
  readonly oauth4webapi: string | null
}

const BASE: Base = {
  binding: 'dpop',
  issuerKey: 'es',
  clientKey: 'es',
  hasKid: true,
  method: 'GET',
  target: '/read/1',
  age: 10,
  life: 240,
  proofAge: 0,
  extra: {},
}

const judge = async (wire: Wire): Promise<Answers> => ({
  ours: await ours(wire, makePorts()),
  jose: await joseReads(wire),
  oauth4webapi: await oauthReads(wire),
})

const stricterClass = (read: Read, reason: string): Stricter | undefined =>
  STRICTER.find((row) => (row.reasons as readonly string[]).includes(reason) && row.matches(read))

const looserClass = (read: Read, by: 'jose' | 'oauth4webapi', said: string): Looser | undefined =>
  LOOSER.find((row) => row.by[by]?.test(said) && row.matches(read))

const tally = makeTally()

/** What is wrong with the answers; null: nothing. */
function problemOf(answers: Answers, wire: Wire): string | null {
  const read = readWire(wire)
  const others = [answers.jose, answers.oauth4webapi]
  if (answers.ours !== null) {
    if (!others.includes(null)) tally.count('refused by all')
    if (!others.includes(null)) return null
    const row = stricterClass(read, answers.ours)
    tally.count(`stricter: ${row?.name}`)
    return row === undefined ? 'we refuse what another grants, for a reason that has no class in stricter.ts' : null
  }
  if (others.every((answer) => answer === null)) tally.count('granted by all')
  for (const by of ['jose', 'oauth4webapi'] as const) {
    const said = answers[by]
    if (said === null) continue
    const row = looserClass(read, by, said)
    if (row === undefined)
      return others.includes(null) ? `we grant what ${by} refuses, and no class in looser.ts says why` : 'WE ALONE GRANT'
    tally.count(`${others.includes(null) ? '' : 'we alone grant; '}${by} refuses: ${row.name}`)
  }
  return null
}

/** The answer of a process that has just granted the unchanged request. */
async function warm(honest: Wire, wire: Wire): Promise<Answers['ours']> {
  const ports = makePorts()
  await ours(honest, ports)
  return ours(wire, ports)
}

const cases: fc.Arbitrary<Case> = fc.record({ base: bases, mutations })

t.test('grants nothing that jose and oauth4webapi refuse, and refuses nothing they grant without a reason', async (t) => {
  const number = await holds(
    t,
    { runs: 2500, patience: 4_000 },
    fc.asyncProperty(cases, async ({ base, mutations }) => {
      const wire = wireOf(base, mutations)
      const answers = await judge(wire)
      const problem = problemOf(answers, wire)
      if (problem !== null) throw new Error(`${problem}: ${JSON.stringify(answers)}\n${JSON.stringify(wire)}`)
      if (mutations.length === 0 && answers.ours !== null) throw new Error(`an honest request is ${answers.ours}`)
      const remembered = await warm(wireOf(base, []), wire)
      if (remembered !== answers.ours) throw new Error(`the caches make ${remembered} of ${answers.ours}`)
    }),
  )
  tally.report(t)
  t.ok(tally.of('granted by all') >= Math.floor(number / 10), 'a good part was granted by all')
  t.ok(tally.of('refused by all') >= Math.floor(number / 10), 'a good part was refused by all')
})

t.test('every class of stricter.ts has an example', async (t) => {
  for (const row of STRICTER) {
    const wire = wireOf({ ...BASE, ...row.example.base }, row.example.mutations)
    const answers = await judge(wire)
    t.ok(answers.ours !== null && stricterClass(readWire(wire), answers.ours) === row, `${row.name}: ${answers.ours}`)
    t.ok(answers.jose === null || answers.oauth4webapi === null, `${row.name}: another grants it`)
  }
})

t.test('every class of looser.ts has an example', async (t) => {
  for (const row of LOOSER) {
    const wire = wireOf({ ...BASE, ...row.example.base }, row.example.mutations)
    const answers = await judge(wire)
    t.equal(answers.ours, null, `${row.name}: we grant it`)
    const refusing = (['jose', 'oauth4webapi'] as const).filter((by) => answers[by] !== null)
    t.ok(refusing.length > 0, `${row.name}: ${refusing.join(' and ')} refuses it`)
    for (const by of refusing) t.equal(looserClass(readWire(wire), by, answers[by] ?? ''), row, `${row.name}: ${answers[by]}`)
  }
})
