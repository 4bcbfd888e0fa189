// Traces of a real gateway, as a collector gets them: which spans, whose ids, what they say and what they must not; and that no
// collector, however broken, is felt by a request.
import { randomUUID } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import t, { type Test } from 'tap'
import { newTimes } from '../../src/times.js'
import { openTraces } from '../../src/tracing/otlp.js'
import type { TracedRequest } from '../../src/tracing/traces.js'
import { deny } from '../../src/verify/verdict.js'
import { makeCertificates } from '../support/certificates.js'
import { attributesOf, type Collector, type Span, startCollector, until } from '../support/collector.js'
import { makeDraft } from '../support/draft.js'
import { HOST, type Lab, type LabOptions, startLab } from '../support/lab.js'

const traced = (t: Test, tracing: string, options: LabOptions = {}): Promise<Lab> =>
  startLab({ store: 'memory', yaml: (parts) => ({ ...parts, tracing }), ...options }).then((lab) => {
    t.teardown(() => lab.stop())
    return lab
  })

const draft = (path: string) => makeDraft({ host: HOST, path })
const traceIdOf = (requestId: string | undefined): string => (requestId ?? '').replaceAll('-', '')
const ms = (nanoseconds: string): number => Number(BigInt(nanoseconds) / 1000n) / 1000

/** The value of a line of /metrics. */
async function metric(lab: Lab, line: string): Promise<number> {
  const { body } = await lab.admin('/metrics')
  return Number(
    body
      .split('\n')
      .find((one) => one.startsWith(`${line} `))
      ?.slice(line.length + 1),
  )
}

function span(trace: ReadonlyMap<string, Span>, name: string): Span {
  const found = trace.get(name)
  if (found === undefined) throw new Error(`no span ${name} among ${[...trace.keys()]}`)
  return found
}

t.test('with every request traced', async (t) => {
  const collector: Collector = await startCollector(t)
  const lab = await traced(t, `{ otlp: '${collector.url}', sample: 1 }`)
  const theirs = { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', spanId: '00f067aa0ba902b7' }
  const secret = 'a-name-in-a-path'

  await t.test('a granted request: four spans that are one trace, and the upstream goes on from ours', async (t) => {
    const one = draft(`/read/${secret}?account=${secret}`)
    one.headers.push(['traceparent', `00-${theirs.traceId}-${theirs.spanId}-01`])
    const before = Date.now()
    const reply = await lab.send(one)
    t.equal(reply.status, 200)
    const traceId = traceIdOf(reply.header('x-request-id'))
    const trace = await collector.trace(traceId, 4)
    const [server, verify, replay, upstream] = ['server', 'verify', 'replay', 'upstream'].map((name) => span(trace, name)) as [
      Span,
      Span,
      Span,
      Span,
    ]

    t.equal(server.parentSpanId ?? '', '', 'nobody else is its parent')
    t.strictSame(
      server.links.map(({ traceId, spanId }) => ({ traceId, spanId })),
      [theirs],
      "the client's is a link",
    )
    for (const child of [verify, replay, upstream]) t.equal(child.parentSpanId, server.spanId)
    t.equal(lab.calls.at(-1)?.headers.traceparent, `00-${traceId}-${upstream.spanId}-01`)
    t.equal(new Set([...trace.values()].map(({ spanId }) => spanId)).size, 4)

    const moments = [server, verify, replay, upstream].map((one) => [ms(one.startTimeUnixNano), ms(one.endTimeUnixNano)] as const)
    const [[began, ended], ...inside] = moments as [readonly [number, number], ...(readonly [number, number])[]]
    t.ok(began >= before - 1000 && ended <= Date.now() + 1000, 'by the clock')
    // Times are written in whole microseconds and come of two clocks.
    for (const [start, end] of inside)
      t.ok(start >= began - 0.1 && end <= ended + 0.1 && start <= end, 'a part lies within the whole')
    const starts = inside.map(([start]) => start)
    t.strictSame(
      starts,
      [...starts].sort((a, b) => a - b),
      'one after the other',
    )

    t.equal(server.name, 'GET /read/:id')
    t.strictSame(attributesOf(server.attributes), {
      'http.request.method': 'GET',
      'url.scheme': 'https',
      'network.protocol.version': '1.1',
      'server.address': HOST,
      'http.route': '/read/:id',
      'holdfast.route': '/read/:id',
      'holdfast.tier': 'bound_read',
      'holdfast.decision': 'permit',
      'holdfast.request_id': reply.header('x-request-id'),
      'http.response.status_code': 200,
    })
    t.equal(upstream.name, 'GET')
    t.match(attributesOf(upstream.attributes), {
      'http.request.method': 'GET',
      'server.address': '127.0.0.1',
      'holdfast.upstream': 'cases',
      'http.response.status_code': 200,
    })
    t.match(collector.resources().at(-1), { 'service.name': 'holdfast', 'service.version': 'test', 'service.instance.id': /\S/ })
  })

  await t.test('a refused one says why, and was sent nowhere', async (t) => {
    const one = draft('/read/1')
    await lab.send(one)
    const reply = await lab.send(one)
    t.equal(reply.status, 401)
    const trace = await collector.trace(traceIdOf(reply.header('x-request-id')), 3)
    t.strictSame([...trace.keys()].sort(), ['replay', 'server', 'verify'])
    t.match(attributesOf(span(trace, 'server').attributes), {
      'holdfast.decision': 'deny',
      'holdfast.reason': 'proof_replayed',
      'http.response.status_code': 401,
    })
    t.equal(span(trace, 'server').status.code ?? 0, 0, "a client's mistake is no error of the server (semantic conventions)")
  })

  await t.test('one that no route judges has a span, and nothing of its target in it', async (t) => {
    const one = draft(`/${secret}`)
    one.method = 'BREW'
    const reply = await lab.send(one)
    const trace = await collector.trace(traceIdOf(reply.header('x-request-id')), 1)
    t.strictSame([...trace.keys()], ['server'])
    t.equal(span(trace, 'server').name, 'HTTP')
    t.match(attributesOf(span(trace, 'server').attributes), { 'http.request.method': '_OTHER', 'holdfast.decision': 'deny' })
  })

  await t.test('a traceparent that is broken, or there twice, is no link', async (t) => {
    const good = `00-${theirs.traceId}-${theirs.spanId}-01`
    const cases = [[good, good], [`ff${good.slice(2)}`], [`${good}-more`], [good.replace(theirs.traceId, '0'.repeat(32))], ['']]
    const replies = await Promise.all(
      cases.map((values) => {
        const one = draft('/read/1')
        for (const value of values) one.headers.push(['traceparent', value])
        return lab.send(one)
      }),
    )
    for (const [i, reply] of replies.entries()) {
      t.equal(reply.status, 200)
      const trace = await collector.trace(traceIdOf(reply.header('x-request-id')), 4)
      t.strictSame(span(trace, 'server').links, [], `case ${i}`)
    }
  })

  await t.test('nothing of a token, a proof, a path or a query goes to the collector', async (t) => {
    const all = collector.bodies.join('\n')
    t.notMatch(all, secret)
    t.notMatch(all, /eyJ[\w-]{10}/)
    t.notMatch(all, /192\.0\.2\.|client-1|user-1/)
    await until('all spans are told of as sent', async () => {
      const sent = await metric(lab, 'holdfast_trace_spans_total{result="sent"}')
      return sent === (await metric(lab, 'holdfast_trace_spans_total{result="made"}')) && sent === collector.spans().length
    })
    t.equal(await metric(lab, 'holdfast_trace_spans_total{result="failed"}'), 0)
  })
})

t.test('an upstream that fails is an error of its span and of the request', async (t) => {
  const collector = await startCollector(t)
  const lab = await traced(t, `{ otlp: '${collector.url}', sample: 1 }`, {
    upstream: (_request, response) => void response.socket?.destroy(),
  })
  const reply = await lab.send(draft('/read/1'))
  t.equal(reply.status, 502)
  const trace = await collector.trace(traceIdOf(reply.header('x-request-id')), 4)
  for (const name of ['server', 'upstream']) {
    t.equal(span(trace, name).status.code, 2, name)
    t.equal(attributesOf(span(trace, name).attributes)['error.type'], 'upstream_unreachable')
  }
})

/** A request that was refused before anything was known of it. */
const refused = (): TracedRequest => ({
  requestId: randomUUID(),
  receivedAt: Date.now() / 1000,
  method: 'GET',
  httpVersion: '1.1',
  rawHeaders: [],
  host: null,
  match: null,
  verdict: { denial: deny('route_unknown'), found: { token: null, scheme: null, proof: null } },
  outcome: null,
  times: newTimes(1),
  durationMs: 1,
})

t.test('the certificate of a collector is verified', async (t) => {
  const { files } = await makeCertificates('127.0.0.1')
  const tls = { key: files['server.key'] ?? '', cert: files['server.crt'] ?? '' }
  const collector = await startCollector(t, { tls })
  const logs: string[] = []
  const common = { url: collector.url, version: 'test', instance: 'one', log: (line: string) => void logs.push(line) }

  const trusting = openTraces({ ...common, tls: { ca: files['ca.crt'] ?? '' } })
  trusting.ended(refused())
  await trusting.close()
  t.equal(collector.spans().length, 1)
  const wary = openTraces({ ...common, tls: {} })
  wary.ended(refused())
  await wary.close()
  t.equal(collector.spans().length, 1)
  t.strictSame(wary.readings(), { made: 1, sent: 0, failed: 1 })
  t.match(logs.join('\n'), /^traces: the collector does not take them \([A-Z_]+\)$/)
})

t.test('a CA of the collector that a reload brings is used from then on', async (t) => {
  const { files } = await makeCertificates('127.0.0.1')
  const collector = await startCollector(t, { tls: { key: files['server.key'] ?? '', cert: files['server.crt'] ?? '' } })
  const lab = await startLab({
    store: 'memory',
    yaml: (parts) => ({ ...parts, tracing: `{ otlp: '${collector.url}', sample: 1, tls: { ca: collector.crt } }` }),
    files: { 'collector.crt': (await makeCertificates('other')).files['ca.crt'] ?? '' },
  })
  t.teardown(() => lab.stop())
  t.equal((await lab.send(draft('/read/1'))).status, 200)
  await until('spans are lost', async () => (await metric(lab, 'holdfast_trace_spans_total{result="failed"}')) > 0)
  lab.write('collector.crt', files['ca.crt'] ?? '')
  await lab.reload((parts) => parts)
  const sent = async () => metric(lab, 'holdfast_trace_spans_total{result="sent"}')
  t.equal((await lab.send(draft('/read/1'))).status, 200)
  await until('spans are sent', async () => (await sent()) > 0)
})

t.test('a collector that is away, refuses or hangs is felt by nobody', async (t) => {
  const nobody = createServer()
  await new Promise<void>((resolve) => nobody.listen(0, '127.0.0.1', resolve))
  const { port } = nobody.address() as AddressInfo
  await new Promise((resolve) => nobody.close(resolve))
  const refusing = await startCollector(t, { answer: () => 400 })
  const hanging = await startCollector(t, { answer: () => 'hang' })
  const bear = async (what: string, url: string): Promise<void> => {
    const lab = await startLab({ store: 'memory', yaml: (parts) => ({ ...parts, tracing: `{ otlp: '${url}', sample: 1 }` }) })
    for (let i = 0; i < 3; i++) t.equal((await lab.send(draft('/read/1'))).status, 200, what)
    await until(
      `${what}: lost spans are counted`,
      async () => (await metric(lab, 'holdfast_trace_spans_total{result="failed"}')) >= 12,
    )
    t.equal((await lab.send(draft('/read/1'))).status, 200, what)
    t.match(await lab.admin('/readyz'), { status: 200, body: /"degraded":\[\]/ }, 'nothing is degraded for it')
    t.equal(lab.logs.filter((line) => line.startsWith('traces:')).length, 1, 'it is said once')
    await lab.stop()
  }
  await Promise.all([
    bear('away', `http://127.0.0.1:${port}/v1/traces`),
    bear('refuses', refusing.url),
    bear('hangs', hanging.url),
  ])
})

t.test('the queue of spans is bounded', async (t) => {
  const hanging = await startCollector(t, { answer: () => 'hang' })
  const traces = openTraces({ url: hanging.url, tls: {}, version: 'test', instance: 'one', log: () => undefined })
  const before = process.memoryUsage().heapUsed
  for (let i = 0; i < 40_000; i++) traces.ended(refused())
  t.ok(process.memoryUsage().heapUsed - before < 200 * 1024 ** 2)
  await traces.close()
  const { made, sent, failed } = traces.readings()
  t.equal(made, 40_000)
  t.equal(sent, 0)
  t.ok(failed <= 8192 + 256, `${failed} were tried, the others dropped`)
})

t.test('what waits is sent before the gateway ends', async (t) => {
  const collector = await startCollector(t)
  const lab = await startLab({
    store: 'memory',
    yaml: (parts) => ({ ...parts, tracing: `{ otlp: '${collector.url}', sample: 1 }` }),
  })
  const reply = await lab.send(draft('/public'))
  await lab.stop()
  const own = collector.spans().filter(({ traceId }) => traceId === traceIdOf(reply.header('x-request-id')))
  t.strictSame(own.map(({ kind }) => kind).sort(), [1, 2, 3])
})

t.test('a share of requests, and none where tracing is off', async (t) => {
  const collector = await startCollector(t)
  const none = await traced(t, `{ otlp: '${collector.url}', sample: 0 }`)
  t.equal((await none.send(draft('/read/1'))).status, 200)
  t.match(none.calls.at(-1)?.headers.traceparent, /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/, 'the upstream has ids, and need not trace')
  t.equal(await metric(none, 'holdfast_trace_spans_total{result="made"}'), 0)
  const off = await startLab({ store: 'memory' })
  t.teardown(() => off.stop())
  t.equal((await off.send(draft('/read/1'))).status, 200)
  t.match(off.calls.at(-1)?.headers.traceparent, /-00$/)
})
