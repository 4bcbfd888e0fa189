// What /metrics tells of a real gateway: decisions, caches, connections; and of several processes together.
import t from 'tap'
import { createCache, newCounts } from '../../src/metrics/caches.js'
import { createMetrics, type MetricsJson, type Readings } from '../../src/metrics/registry.js'
import { addEnded, sumMetrics } from '../../src/metrics/sum.js'
import { deny } from '../../src/verify/verdict.js'
import { makeDraft } from '../support/draft.js'
import { makeGrant } from '../support/granted.js'
import { bearer } from '../support/kinds.js'
import { HOST, startLab } from '../support/lab.js'

const lab = await startLab({
  store: 'memory',
  yaml: (parts) => ({
    ...parts,
    tiers: `${parts.tiers}  moving: { extends: bound_read, binding: dpop, report_only_until: 2099-01-01 }\n`,
    routes: `${parts.routes}
  - { path: /moving, methods: [GET], tier: moving, upstream: cases, issuers: [https://as.example.com] }`,
  }),
})
t.teardown(() => lab.stop())

const READINGS: Readings = {
  version: 'test',
  policyVersion: 'sha256:0',
  inFlight: 0,
  connections: 0,
  handshakes: { full: 0, resumed: 0 },
  degraded: 0,
  audit: { dropped: 0, syncs: 0, counted: 0 },
  caches: {},
}

const draft = (path: string) => makeDraft({ host: HOST, path })

/** The value of one line of the text; 0 where there is none, as Prometheus takes it. */
async function read(line: string): Promise<number> {
  const { status, body } = await lab.admin('/metrics')
  t.equal(status, 200)
  const found = body.split('\n').find((one) => one.startsWith(`${line} `))
  return Number(found?.slice(line.length + 1) ?? 0)
}

t.test('decisions by route, tier and reason', async (t) => {
  const permits = 'holdfast_decisions_total{route="/read/:id",tier="bound_read",decision="permit",reason=""}'
  const denials = 'holdfast_decisions_total{route="/read/:id",tier="bound_read",decision="deny",reason="proof_replayed"}'
  const unknown = 'holdfast_decisions_total{route="",tier="",decision="deny",reason="route_unknown"}'
  for (let i = 0; i < 3; i++) t.equal((await lab.send(draft('/read/1'))).status, 200)
  const again = draft('/read/2')
  t.equal((await lab.send(again)).status, 200)
  t.equal((await lab.send(again)).status, 401)
  t.equal((await lab.send(draft('/nowhere'))).status, 404)
  t.same([await read(permits), await read(denials), await read(unknown)], [4, 1, 1])
  t.same([await read(permits), await read(denials)], [4, 1], 'asking counts nothing twice')
  t.equal((await lab.send(draft('/read/1'))).status, 200)
  t.equal(await read(permits), 5)
})

t.test('who must still be moved to bound tokens, by client', async (t) => {
  const one = draft('/moving')
  bearer(one)
  t.equal((await lab.send(one)).status, 200)
  t.equal(await read('holdfast_decisions_total{route="/moving",tier="moving",decision="would_deny",reason="token_unbound"}'), 1)
  t.equal(await read(`holdfast_would_deny_total{client_id="${one.token.claims.client_id}",reason="token_unbound"}`), 1)
})

t.test('hits and misses of the caches', async (t) => {
  const counts = async (cache: string) => [
    await read(`holdfast_cache_hits_total{cache="${cache}"}`),
    await read(`holdfast_cache_misses_total{cache="${cache}"}`),
    await read(`holdfast_cache_entries{cache="${cache}"}`),
  ]
  const [hits = 0, misses = 0, entries = 0] = await counts('proof_keys')
  t.ok(entries >= 1)
  t.ok((await read('holdfast_cache_bytes{cache="tokens"}')) > 500)
  t.equal((await lab.send(draft('/read/1'))).status, 200)
  t.same(await counts('proof_keys'), [hits + 1, misses, entries], 'one client has one header')
})

t.test('connections, handshakes, what runs', async (t) => {
  t.ok((await read('holdfast_tls_handshakes_full_total')) >= 1)
  t.equal(await read('holdfast_degraded_parts'), 0)
  const { body } = await lab.admin('/metrics')
  t.match(body, /^holdfast_build_info\{version="test",node="[\d.]+",policy_version="sha256:[0-9a-f]{64}"\} 1$/m)
  t.match(body, /^nodejs_eventloop_lag_p99_seconds /m)
  t.match(body, /^# HELP holdfast_decisions_total \S/m)
})

t.test('nothing that a client says becomes a label', async (t) => {
  const strange = 'x-strange-text-of-a-client'
  const one = draft(`/${strange}`)
  one.method = 'BREW'
  one.host = `${strange}.example.com`
  await lab.send(one)
  await lab.send(draft(`/read/${strange}`))
  t.notMatch((await lab.admin('/metrics')).body, strange)
})

t.test('counts survive a reload, and the end of a process', async (t) => {
  const line = 'holdfast_decisions_total{route="/read/:id",tier="bound_read",decision="permit",reason=""}'
  const before = await read(line)
  const hits = await read('holdfast_cache_hits_total{cache="tokens"}')
  await lab.reload((parts) => parts)
  t.equal((await lab.send(draft('/read/1'))).status, 200)
  t.equal(await read(line), before + 1)
  t.ok((await read('holdfast_cache_hits_total{cache="tokens"}')) >= hits)

  const mine = await lab.gateway.metrics()
  const countIn = (text: string) =>
    Number(
      text
        .split('\n')
        .find((one) => one.startsWith(`${line} `))
        ?.split(' ')
        .at(-1),
    )
  t.equal(countIn(await sumMetrics([mine, mine])), 2 * (before + 1), 'two processes')
  let ended: MetricsJson = []
  for (let i = 0; i < 3; i++) ended = await addEnded(ended, mine)
  t.equal(countIn(await sumMetrics([ended, mine])), 4 * (before + 1), 'three that have ended, and one that runs')
  t.notOk(
    ended.some(({ type }) => String(type) === 'gauge'),
    'what an ended process had at the moment is gone',
  )
})

t.test('clients are told apart up to a number, and then are others', async (t) => {
  const granted = makeGrant()
  const token = granted.evidence.token
  if (token === null) throw new Error('a token was granted')
  const metrics = createMetrics(() => READINGS)
  const reported = [deny('token_unbound')]
  for (let i = 0; i < 1100; i++) {
    const evidence = { ...granted.evidence, token: { ...token, clientId: `client-${i}` }, reported }
    metrics.decided({ route: granted.route, captured: {} }, { ...granted, evidence })
  }
  const text = await sumMetrics([await metrics.asJson()])
  const lines = text.split('\n').filter((line) => line.startsWith('holdfast_would_deny_total{'))
  t.equal(lines.length, 1001)
  t.match(text, /^holdfast_would_deny_total\{client_id="other",reason="token_unbound"\} 100$/m)
})

t.test('a cache is bounded in entries and in bytes', async (t) => {
  const cache = createCache<{ value: number }>({ entries: 3, bytes: 100, size: () => 40 }, newCounts())
  for (let i = 0; i < 5; i++) cache.set(`key ${i}`, { value: i })
  t.same(cache.readings(), { hits: 0, misses: 0, evictions: 3, entries: 2, bytes: 80 })
  t.same(cache.get('key 4'), { value: 4 })
  t.equal(cache.get('key 0'), undefined)
  t.match(cache.readings(), { hits: 1, misses: 1 })
})
