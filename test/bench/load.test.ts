// A real load on a real server: what is counted must be what was answered.
import t from 'tap'
import { hasWrk, measure } from '../../bench/load.js'
import { hasNginx, startNginx } from '../../bench/peers.js'
import { openPlace } from '../../bench/place.js'
import { replay } from '../../bench/replay.js'
import { usedBy } from '../../bench/resources.js'
import { type Row, runScenario } from '../../bench/scenario.js'

const skip = hasNginx() && hasWrk() ? false : 'nginx and wrk are not installed'

const place = skip ? null : await openPlace({ nodes: [], against: [], seconds: 1 })
t.teardown(() => place?.close())

t.test('loads are counted, whoever makes them', { skip }, async (t) => {
  if (place === null) return
  const server = place.keep(await startNginx(place.root, place.upstreamPort))
  const url = `https://localhost:${server.port}/`
  const plan = { url, connections: 4, pid: server.pid, seconds: 1, requests: [] }

  const endless = await measure({ ...plan, folder: place.folder(), expect: 200 })
  t.ok(endless.answered > 100 && endless.perSecond > 100, `${endless.answered} answers`)
  t.ok(endless.cpu > 1 && endless.cpu < 10_000, `${endless.cpu} us`)
  t.ok(endless.p50 <= endless.p99 && endless.rss > 1 && endless.generator > 0)

  const requests = Array.from({ length: 50 }, (_, i) => ({ 'X-Number': String(i) }))
  const once = await measure({ ...plan, folder: place.folder(), requests, expect: 200 })
  t.ok(once.answered >= 40 && once.answered <= 50 + 4, `each is sent once: ${once.answered} of 50`)
  t.ok(once.perSecond > 100, `and counted by the time it took, not by the time that was allowed: ${once.perSecond}/s`)

  await t.rejects(measure({ ...plan, folder: place.folder(), expect: 401 }), /were not 401 but 200/)

  const ours = { mode: 'closed', server, path: '/', connections: 4, certified: false } as const
  const replayed = await replay(place, { ...ours, requests, expect: 200 })
  t.equal(replayed.answered, 50, 'each is sent once')
  await t.rejects(replay(place, { ...ours, requests, expect: 401 }), /50 of 50 answers were not 401/)
  const mortal = place.keep(await startNginx(place.root, place.upstreamPort))
  setTimeout(() => process.kill(mortal.pid, 'SIGKILL'), 500)
  const asked = replay(place, { ...ours, server: mortal, requests: [{}], expect: 200 })
  await t.rejects(
    asked,
    /answers were not 200|ended with 1/,
    'a server that goes away is not measured, nor one that was gone before',
  )
  const dialled = await replay(place, { ...ours, mode: 'handshakes', requests: [{}], resumes: true, expect: 200 })
  t.ok(dialled.resumed > 0 && dialled.resumed < dialled.answered, `${dialled.resumed} of ${dialled.answered} resumed`)
  const timed = await replay(place, { ...ours, mode: 'open', rate: 40, requests, expect: 200 })
  t.ok(timed.answered >= 30 && timed.answered <= 45, `40 a second: ${timed.answered}`)
})

t.test('contenders take turns, after each has warmed up; rows are what the scenario makes of them', { skip }, async (t) => {
  if (place === null) return
  const order: string[] = []
  const contender = (name: string, warmUp: number) => ({
    name,
    warmUp,
    measure: async () => {
      order.push(name)
      return { answered: 10, cpu: order.length }
    },
  })
  const scenario = {
    name: 'turns',
    title: '',
    about: '',
    reading: '',
    columns: [],
    isDefault: false,
    open: async (_: unknown, skip: (what: string) => void) => {
      skip('nobody else is here')
      return [contender('a', 25), contender('b', 0)]
    },
    rows: (rows: readonly Row[]) => rows.toReversed(),
  }
  const said: string[] = []
  const { rows, skipped } = await runScenario(scenario, place, 2, (line) => said.push(line))
  t.same(
    order,
    ['a', 'a', 'a', 'a', 'b', 'b', 'a'],
    'thrice ten requests warm the first up, none the second; then each starts a round',
  )
  t.same(
    rows.map(({ name, samples }) => [name, samples.map(({ cpu }) => cpu)]),
    [
      ['b', [5, 6]],
      ['a', [4, 7]],
    ],
  )
  t.same(skipped, ['nobody else is here'])
  t.match(said.at(-1), /^turns, round 2 of 2, 0 s left: a/)
})

t.test('CPU and memory are those of a process and its children', async (t) => {
  const used = usedBy(process.pid)
  t.ok(used.cpu > 0.05 && used.rss > 20e6)
  t.same(usedBy(0x7fffffff), { cpu: 0, rss: 0 }, 'no such process')
})
