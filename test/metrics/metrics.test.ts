// What /metrics tells of a real gateway: decisions, caches, connections; and of several processes together.
import { X509Certificate } from 'node:crypto'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { createCaches, newCacheCounts } from '../../src/caches.js'
import { createCache, newCounts } from '../../src/metrics/caches.js'
import { METRICS } from '../../src/metrics/catalogue.js'
import { createHistogram } from '../../src/metrics/histogram.js'
import { createMetrics, type MetricsJson, type Readings } from '../../src/metrics/registry.js'
import { addEnded, sumMetrics } from '../../src/metrics/sum.js'
import { newTimes } from '../../src/times.js'
import { deny } from '../../src/verify/verdict.js'
import { makeDraft } from '../support/draft.js'
import { makeGrant } from '../support/granted.js'
import { bearer } from '../support/kinds.js'
import { HOST, startLab } from '../support/lab.js'
import { READINGS } from '../support/readings.js'

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

/** Until it holds; far longer than it can take. */
async function until(condition: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 600 && !(await condition()); i++) await sleep(50)
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
  t.equal(await read('holdfast_refusals_total{reason="proof_replayed"}'), 1)
  t.match((await lab.admin('/metrics')).body, /^holdfast_refusals_total\{reason="gateway_fault"\} 0$/m, 'there before it happens')
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
  t.ok((await read('holdfast_tls_handshakes_total{result="full"}')) >= 1)
  t.equal(await read('holdfast_degraded{part="reload"}'), 0)
  const failed = await read('holdfast_tls_handshakes_total{result="failed"}')
  connect(lab.port, '127.0.0.1').end('no handshake')
  await until(async () => (await read('holdfast_tls_handshakes_total{result="failed"}')) > failed)
  const reloads = { taken: 2, refused: 1, takenAt: 1_800_000_000, problem: null }
  lab.gateway.reportReload({ ...reloads, problem: 'a reload that was not taken' })
  t.equal(await read('holdfast_degraded{part="reload"}'), 1)
  t.equal(await read('holdfast_config_last_reload_successful'), 0)
  lab.gateway.reportReload(reloads)
  t.equal(await read('holdfast_config_last_reload_successful'), 1)
  t.same([await read('holdfast_reloads_total{result="taken"}'), await read('holdfast_reloads_total{result="refused"}')], [2, 1])
  const { body } = await lab.admin('/metrics')
  t.match(body, /^holdfast_build_info\{version="test",node="[\d.]+",policy_version="sha256:[0-9a-f]{64}"\} 1$/m)
  t.match(body, /^nodejs_eventloop_lag_p99_seconds /m)
  t.match(body, /^# HELP holdfast_decisions_total \S/m)
})

t.test('what a request spent its time on, and what came of it', async (t) => {
  const counts = async () => [
    await read('holdfast_phase_duration_seconds_count{phase="verify"}'),
    await read('holdfast_phase_duration_seconds_count{phase="replay"}'),
    await read('holdfast_phase_duration_seconds_count{phase="sign"}'),
    await read('holdfast_phase_duration_seconds_count{phase="upstream"}'),
    await read('holdfast_request_duration_seconds_count{tier="bound_read"}'),
    await read('holdfast_upstream_answers_total{upstream="cases",answer="2xx"}'),
  ]
  const before = await counts()
  const granted = draft('/read/1')
  t.equal((await lab.send(granted)).status, 200)
  const [verify = 0, replay = 0, sign = 0, upstream = 0, all = 0, answers = 0] = before
  t.same(await counts(), [verify + 1, replay + 1, sign + 1, upstream + 1, all + 1, answers + 1])
  t.equal((await lab.send(granted)).status, 401, 'a replay is neither signed nor sent')
  t.same(await counts(), [verify + 2, replay + 2, sign + 1, upstream + 1, all + 2, answers + 1])
  t.equal((await lab.send(draft('/nowhere'))).status, 404, 'and what no route judges has none of these')
  t.same(await counts(), [verify + 2, replay + 2, sign + 1, upstream + 1, all + 2, answers + 1])
  const spent = await read('holdfast_phase_duration_seconds_sum{phase="upstream"}')
  const took = await read('holdfast_request_duration_seconds_sum{tier="bound_read"}')
  t.ok(spent > 0 && spent < took, 'seconds, and the part is less than the whole')
})

t.test('how far the clocks of clients are off', async (t) => {
  const upTo = (bound: string) => read(`holdfast_proof_age_seconds_bucket{le="${bound}"}`)
  const [ahead, young, all] = [await upTo('-30'), await upTo('60'), await upTo('+Inf')]
  const statusOf = async (claims: object): Promise<number> => {
    const one = draft('/read/1')
    Object.assign(one.proof?.claims ?? {}, claims)
    return (await lab.send(one)).status
  }
  const { now } = draft('/read/1')
  t.equal(await statusOf({ iat: now + 100 }), 401)
  t.equal(await statusOf({ iat: now - 500 }), 401)
  t.equal(await statusOf({}), 200)
  t.equal(await statusOf({ iat: now - 500, htm: 'PUT' }), 401, 'refused for something else: says nothing of a clock')
  t.same([await upTo('-30'), await upTo('60'), await upTo('+Inf')], [ahead + 1, young + 2, all + 3])
})

t.test('when something ends, and which key signs', async (t) => {
  const { body } = await lab.admin('/metrics')
  const ends = [...body.matchAll(/^holdfast_expiry_timestamp_seconds\{kind="(\w+)",name="([^"]+)"\} (\d+)$/gm)]
  t.same(
    ends.map(([, kind, name]) => [kind, name]),
    [
      ['listener', '127.0.0.1:0'],
      ['client_ca', '127.0.0.1:0'],
    ],
  )
  const { validTo } = new X509Certificate(lab.certificates.files['server.crt'] ?? '')
  t.equal(Number(ends[0]?.[3]), Date.parse(validTo) / 1000)
  t.match(body, /^holdfast_assertion_key_info\{kid="[\w-]{43}",signs="true"\} 1$/m)
  t.equal(await read('holdfast_issuer_keys{issuer="https://as.example.com"}'), 1)
})

t.test('every metric of the catalogue is there, with its labels and no others', async (t) => {
  t.equal((await lab.send(draft('/public'))).status, 200)
  const families = new Map((await lab.gateway.metrics()).map((family) => [family.name, family]))
  for (const [name, { type, labels, help }] of Object.entries(METRICS)) {
    const family = families.get(name)
    if (family === undefined) {
      t.fail(`${name} is not told`)
      continue
    }
    t.match({ type: String(family.type), help: family.help }, { type, help })
    for (const value of family.values) {
      const own = Object.keys(value.labels).filter((label) => label !== 'le')
      t.strictSame(own.sort(), [...labels].sort(), name)
    }
  }
  const ours = [...families.keys()].filter((name) => name.startsWith('holdfast_'))
  t.strictSame(ours.sort(), Object.keys(METRICS).sort())
})

t.test('what several workers come to', async (t) => {
  const told = (readings: Partial<Readings>) => createMetrics(() => ({ ...READINGS, ...readings })).asJson()
  const text = await sumMetrics([
    await told({
      inFlight: 3,
      degraded: { ...READINGS.degraded, replay_store: true },
      issuers: [{ issuer: 'https://as', keys: 2 }],
      expiries: [
        { kind: 'crl', name: 'one', at: 30 },
        { kind: 'crl', name: 'one', at: 20 },
      ],
      eventLoopDelay: { bounds: [1], cumulative: [3, 4], sum: 5 },
    }),
    await told({
      inFlight: 4,
      issuers: [{ issuer: 'https://as', keys: 0 }],
      expiries: [{ kind: 'crl', name: 'one', at: 25 }],
      eventLoopDelay: { bounds: [1], cumulative: [1, 1], sum: 0.5 },
    }),
  ])
  for (const line of [
    'holdfast_workers 2',
    'holdfast_requests_in_flight 7',
    'holdfast_degraded{part="replay_store"} 1',
    'holdfast_degraded{part="audit"} 0',
    'holdfast_issuer_keys{issuer="https://as"} 0',
    'holdfast_expiry_timestamp_seconds{kind="crl",name="one"} 20',
    'holdfast_event_loop_delay_seconds_bucket{le="1"} 4',
    'holdfast_event_loop_delay_seconds_bucket{le="+Inf"} 5',
    'holdfast_event_loop_delay_seconds_sum 5.5',
    'holdfast_event_loop_delay_seconds_count 5',
  ])
    t.ok(text.split('\n').includes(line), line)
  t.equal(text.split('\n').filter((line) => line.startsWith('holdfast_build_info{')).length, 1)
})

t.test('a histogram puts a value where Prometheus looks for it', async (t) => {
  const { observe, readings } = createHistogram([-1, 0, 5])
  for (const value of [-2, -1, -0.5, 0, 5, 5.1]) observe(value)
  t.same(readings().cumulative, [2, 4, 5, 6])
  t.ok(Math.abs(readings().sum - 6.6) < 1e-9)
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
    metrics.decided({
      match: { route: granted.route, captured: {} },
      verdict: { ...granted, evidence },
      outcome: null,
      receivedAt: 0,
      times: newTimes(0),
      durationMs: 1,
    })
  }
  const text = await sumMetrics([await metrics.asJson()])
  const lines = text.split('\n').filter((line) => line.startsWith('holdfast_would_deny_total{'))
  t.equal(lines.length, 1001)
  t.match(text, /^holdfast_would_deny_total\{client_id="other",reason="token_unbound"\} 100$/m)
})

t.test('what nobody asks for does not grow with each reload, and is not lost', async (t) => {
  const granted = makeGrant()
  const metrics = createMetrics(() => READINGS)
  for (let i = 0; i < 25_000; i++) {
    // As after a reload: the same route by another object.
    const route = { ...granted.route }
    const verdict = { denial: deny('token_expired'), found: { token: null, scheme: null, proof: null } }
    metrics.decided({ match: { route, captured: {} }, verdict, outcome: null, receivedAt: 0, times: newTimes(0), durationMs: 1 })
  }
  const text = await sumMetrics([await metrics.asJson()])
  t.match(text, /^holdfast_decisions_total\{[^}]*reason="token_expired"\} 25000$/m)
  t.match(text, /^holdfast_refusals_total\{reason="token_expired"\} 25000$/m)
})

t.test('a cache is bounded in entries and in bytes', async (t) => {
  const cache = createCache<{ value: number }>({ entries: 3, bytes: 100, size: () => 40 }, newCounts())
  for (let i = 0; i < 5; i++) cache.set(`key ${i}`, { value: i })
  t.same(cache.readings(), { hits: 0, misses: 0, evictions: 3, entries: 2, bytes: 80 })
  cache.set('key 4', { value: 4 })
  t.match(cache.readings(), { evictions: 3, entries: 2 }, 'what is replaced is not pushed out')
  t.same(cache.get('key 4'), { value: 4 })
  t.equal(cache.get('key 0'), undefined)
  t.match(cache.readings(), { hits: 1, misses: 1 })
})

t.test('an expired token that makes room is not counted, one that is good is', async (t) => {
  const { evidence } = makeGrant()
  const { token } = evidence
  if (token === null) throw new Error('a token was granted')
  const counts = newCacheCounts()
  let now = evidence.now
  const { tokens } = createCaches(counts, () => now)
  const claims = { text: 'x'.repeat(1024 ** 2) }
  const fill = (name: string, exp: number): void => {
    for (let i = 0; i < 100; i++) tokens.set(`${name} ${i}`, { token: { ...token, claims, exp }, generation: 1 })
  }
  fill('short', now + 10)
  const pushedOut = 100 - tokens.readings().entries
  t.ok(pushedOut > 0, 'it is full')
  t.equal(counts.tokens.evictions, pushedOut)
  now += 20
  fill('long', now + 1000)
  t.equal(counts.tokens.evictions, 2 * pushedOut, 'the expired ones went uncounted')
})
