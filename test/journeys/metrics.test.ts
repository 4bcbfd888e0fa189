// /metrics of several processes, as Prometheus scrapes it: one text, whoever is asked, and nothing falls when a worker ends.
import t from 'tap'
import { startCollector, until } from '../support/collector.js'
import { type Fleet, makePlace, OPEN, serve } from '../support/fleet.js'

const scrape = async (gateway: Fleet): Promise<string> => {
  const reply = await fetch(`http://127.0.0.1:${gateway.admin}/metrics`, { headers: { connection: 'close' } })
  return reply.text()
}

/** The value of one line; 0 where there is none. */
const read = (text: string, line: string): number =>
  Number(
    text
      .split('\n')
      .find((one) => one.startsWith(`${line} `))
      ?.slice(line.length + 1) ?? 0,
  )

const PERMITS = 'holdfast_decisions_total{route="/open",tier="open",decision="permit",reason=""}'
const DURATIONS = 'holdfast_request_duration_seconds_count{tier="open"}'

t.test('two workers are one gateway, and what an ended one counted is not lost', async (t) => {
  const place = await makePlace(t)
  const gateway = await serve(t, place, { workers: 2 })
  for (let i = 0; i < 8; i++) t.equal((await gateway.send(OPEN)).status, 200)
  const text = await scrape(gateway)
  t.same(
    [PERMITS, DURATIONS, 'holdfast_workers', 'holdfast_worker_ends_total', 'holdfast_degraded{part="replay_store"}'].map((line) =>
      read(text, line),
    ),
    [8, 8, 2, 0, 0],
  )
  const ends = [...text.matchAll(/^holdfast_expiry_timestamp_seconds\{kind="listener",name="[^"]+"\} (\d+)$/gm)]
  t.equal(ends.length, 1)
  t.ok(Number(ends[0]?.[1]) < 3e9, 'when one certificate ends, not the sum of two')
  t.equal(text.match(/^holdfast_build_info\{/gm)?.length, 1)

  gateway.killOne()
  // Not asked before: a connection that is handed to a worker in the moment in which it ends gets no answer (docs/decisions.md).
  await gateway.until(/a worker accepts requests in place of one that ended/)
  const later = await scrape(gateway)
  const told = [PERMITS, DURATIONS, 'holdfast_worker_ends_total', 'holdfast_workers'].map((line) => read(later, line))
  t.same(told, [8, 8, 1, 2])
})

t.test('each worker sends its traces, and all of them at the end', async (t) => {
  const place = await makePlace(t)
  const collector = await startCollector(t)
  const gateway = await serve(t, place, { workers: 2, more: `tracing: { otlp: '${collector.url}', sample: 1 }\n` })
  const requests = 8
  for (let i = 0; i < requests; i++) t.equal((await gateway.send(OPEN)).status, 200)
  gateway.child.kill('SIGTERM')
  t.equal(await gateway.ended, 0)
  const servers = () => collector.spans().filter(({ kind }) => kind === 2)
  await until('all of them', () => servers().length === requests)
  t.equal(new Set(collector.resources().map((resource) => resource['service.instance.id'])).size, 2)
})
