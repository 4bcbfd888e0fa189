// Ids of traces, which requests have one, and what a client's traceparent says (W3C Trace Context).
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { isSampled, readTraceparent, spanIdOf, traceIdOf, traceparentOf } from '../../src/tracing/context.js'

t.test('ids are those of the request and the assertion', async (t) => {
  const [request, assertion] = ['a7a0c4c2-4c56-4a0b-9d0d-5b8b8b6f8e01', '5d1c7b0e-93a4-4f0e-b6a1-0f6f2c9d7e32']
  t.equal(traceIdOf(request), 'a7a0c4c24c564a0b9d0d5b8b8b6f8e01')
  t.equal(spanIdOf(assertion), 'b6a10f6f2c9d7e32')
  t.equal(traceparentOf(request, assertion, true), '00-a7a0c4c24c564a0b9d0d5b8b8b6f8e01-b6a10f6f2c9d7e32-01')
  t.match(traceparentOf(request, assertion, false), /-00$/)
})

t.test('a share is what it says, all is all, none is none, and a smaller share is part of a larger', async (t) => {
  const ids = Array.from({ length: 20_000 }, () => randomUUID())
  const chosen = (share: number) => ids.filter((id) => isSampled(id, share))
  t.equal(chosen(1).length, ids.length)
  t.equal(chosen(0).length, 0)
  // 2000 are expected; a deviation of 300 is seven sigma.
  t.ok(Math.abs(chosen(0.1).length - 2000) < 300, `${chosen(0.1).length} of 20,000`)
  t.ok(chosen(0.1).every((id) => isSampled(id, 0.2)))
  t.ok(isSampled('ffffffff-ffff-4fff-bfff-ffffffffffff', 1))
  t.notOk(isSampled('00000000-0000-4000-8000-000000000000', 0))
})

t.test('traceparent of a client', async (t) => {
  const trace = '4bf92f3577b34da6a3ce929d0e0e4736'
  const span = '00f067aa0ba902b7'
  const read = (...values: string[]) => readTraceparent(['Host', 'x', ...values.flatMap((value) => ['TraceParent', value])])
  t.strictSame(read(`00-${trace}-${span}-01`), { traceId: trace, spanId: span, isSampled: true })
  t.strictSame(read(`00-${trace}-${span}-02`), { traceId: trace, spanId: span, isSampled: false })
  t.strictSame(read(`cc-${trace}-${span}-01-what-the-future-will-be-like`), { traceId: trace, spanId: span, isSampled: true })
  for (const broken of [
    '',
    `ff-${trace}-${span}-01`,
    `00-${trace}-${span}-01-more`,
    `00-${trace}-${span}-1`,
    `00-${trace}-${span}`,
    `0-${trace}-${span}-01`,
    `00-${'0'.repeat(32)}-${span}-01`,
    `00-${trace}-${'0'.repeat(16)}-01`,
    `00-${trace.toUpperCase()}-${span}-01`,
    ` 00-${trace}-${span}-01`,
    `00-${trace}${trace}-${span}-01`,
  ])
    t.equal(read(broken), null, broken)
  t.equal(read(), null)
  t.equal(read(`00-${trace}-${span}-01`, `00-${trace}-${span}-01`), null, 'two are none')
})
