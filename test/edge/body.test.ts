import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { createBodyHolder } from '../../src/edge/body.js'
import { sha256 } from '../../src/verify/hashes.js'
import type { HeldBody } from '../../src/verify/types.js'
import { Denial } from '../../src/verify/verdict.js'
import { LIMITS, openTestEdge } from '../support/edge.js'
import { ask, openRaw } from '../support/raw.js'

const HOST = 'Host: localhost\r\n'
const post = (headers: string, body = '') => `POST /a HTTP/1.1\r\n${HOST}${headers}\r\n${body}`
const chunked = (...chunks: readonly string[]) =>
  [...chunks, ''].map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join('')
const CHUNKED = 'Transfer-Encoding: chunked\r\n'

type Changes = Partial<typeof LIMITS> & { readonly maxBody?: number; readonly answerAfter?: number }

/** An edge that holds bodies and answers with them, or with the reason. */
async function openHolder({ maxBody = 1000, answerAfter = 0, ...limits }: Changes = {}) {
  const holder = createBodyHolder({ ...LIMITS, ...limits })
  const results: (HeldBody | Denial)[] = []
  const edge = await openTestEdge({
    handle: async (exchange) => {
      const { request, response } = exchange
      const result = await holder.hold(exchange, maxBody)
      results.push(result)
      await sleep(answerAfter)
      const isRefused = result instanceof Denial
      const text = isRefused ? Buffer.from(result.reason) : result.bytes
      response.writeHead(isRefused ? 400 : 200, [
        'Content-Length',
        String(text.length),
        ...(isRefused ? ['Connection', 'close'] : []),
      ])
      response.end(text)
      request.resume()
    },
  })
  return { ...edge, holder, results }
}

t.test('holds the whole body, however it comes', async (t) => {
  const { port, holder, results, close } = await openHolder()
  t.teardown(close)
  const whole = async (bytes: string) => (await ask(port, bytes)).body.toString('latin1')
  t.equal(await whole(post('Content-Length: 4\r\n', 'abcd')), 'abcd')
  t.equal(await whole(post(CHUNKED, chunked('ab', 'c', 'd'))), 'abcd')
  t.equal(await whole(post(CHUNKED, chunked(...new Array(1000).fill('x')))), 'x'.repeat(1000))
  t.equal(await whole(post(`Content-Length: 1000\r\n`, 'y'.repeat(1000))), 'y'.repeat(1000))
  const client = await openRaw(port)
  client.send(post('Content-Length: 6\r\n'))
  for (const part of ['ab', 'cd', 'ef']) {
    await sleep(20)
    client.send(part)
  }
  t.equal((await client.response()).body.toString(), 'abcdef')
  t.match(results.at(-1), { digest: sha256('abcdef') }, 'hashed as it came')
  client.close()
  await sleep(20)
  t.equal(holder.heldBytes(), 0, 'the budget is given back')
})

t.test('no body is an empty one, at once', async (t) => {
  const { port, holder, results, close } = await openHolder({ digest_buffer: 0 })
  t.teardown(close)
  for (const headers of ['', 'Content-Length: 0\r\n']) {
    t.equal((await ask(port, post(headers))).status, 200)
    t.same(results.at(-1), { bytes: Buffer.alloc(0), digest: null })
  }
  t.equal((await ask(port, post(CHUNKED, chunked()))).body.toString(), 'overloaded', 'a chunked one is not known to be empty')
  t.equal(holder.heldBytes(), 0)
})

t.test('refuses body_too_large', async (t) => {
  const { port, holder, close } = await openHolder()
  t.teardown(close)
  const reason = async (bytes: string) => (await ask(port, bytes)).body.toString()
  t.equal(await reason(post('Content-Length: 1001\r\n')), 'body_too_large', 'declared, nothing read')
  t.equal(await reason(post('Content-Length: 1001\r\nExpect: 100-continue\r\n')), 'body_too_large', 'and not asked for')
  t.equal(await reason(post(CHUNKED, chunked('x'.repeat(600), 'x'.repeat(401)))), 'body_too_large', 'received')
  t.equal(holder.heldBytes(), 0)
})

t.test('sends 100 Continue before it waits', async (t) => {
  const { port, close } = await openHolder()
  t.teardown(close)
  const client = await openRaw(port)
  client.send(post('Content-Length: 2\r\nExpect: 100-continue\r\n'))
  t.equal((await client.response()).status, 100)
  client.send('ab')
  t.equal((await client.response()).body.toString(), 'ab')
  client.close()
})

t.test('refuses request_timeout', async (t) => {
  t.test('of a body that stalls', async (t) => {
    const { port, results, holder, close } = await openHolder({ body_idle: 0.2 })
    t.teardown(close)
    const client = await openRaw(port)
    client.send(post('Content-Length: 10\r\n', 'abc'))
    await sleep(100)
    t.equal(holder.heldBytes(), 3)
    client.send('d')
    await sleep(150)
    t.equal(results.length, 0, 'each byte starts the time anew')
    t.equal((await client.response()).body.toString(), 'request_timeout')
    t.match(results[0], { detail: 'body_idle' })
    t.equal(holder.heldBytes(), 0)
    await client.ended()
  })

  t.test('of a body that drips', async (t) => {
    const { port, results, close } = await openHolder({ body_idle: 0.2, body_total: 0.4 })
    t.teardown(close)
    const client = await openRaw(port)
    client.send(post('Content-Length: 100\r\n'))
    const drip = setInterval(() => client.send('x'), 50)
    t.equal((await client.response()).body.toString(), 'request_timeout')
    clearInterval(drip)
    t.match(results[0], { detail: 'body_total' })
    await client.ended()
  })
})

t.test('refuses overloaded when the budget is full, and counts only what has arrived', async (t) => {
  const { port, holder, close } = await openHolder({ digest_buffer: 1500, answerAfter: 100 })
  t.teardown(close)
  const promising = await Promise.all([1, 2, 3, 4].map(() => openRaw(port)))
  for (const client of promising) client.send(post('Content-Length: 1000\r\n', 'x'))
  await sleep(30)
  t.equal(holder.heldBytes(), 4, 'a declared length is no bytes')
  promising[0]?.send('x'.repeat(999))
  await sleep(30)
  t.equal(holder.heldBytes(), 1003)
  promising[1]?.send('x'.repeat(999))
  t.equal((await promising[1]?.response())?.body.toString(), 'overloaded')
  t.equal((await promising[0]?.response())?.body.length, 1000, 'what was taken is served')
  await sleep(30)
  t.equal(holder.heldBytes(), 2, 'and given back when it is answered')
  promising[2]?.send('x'.repeat(999))
  t.equal((await promising[2]?.response())?.body.length, 1000)
  for (const client of promising) client.close()
  await sleep(30)
  t.equal(holder.heldBytes(), 0, 'a client that goes gives back too')
})

t.test('a body that breaks off, or breaks framing, is request_malformed', async (t) => {
  const { port, results, holder, close } = await openHolder()
  t.teardown(close)
  for (const end of ['destroy', 'end'] as const) {
    const client = await openRaw(port)
    client.send(post('Content-Length: 10\r\n', 'abc'))
    await sleep(30)
    client.socket[end]()
    await sleep(30)
    t.match(results.pop(), { reason: 'request_malformed' }, end)
    client.close()
  }
  const client = await openRaw(port)
  client.send(post(CHUNKED), 'zz\r\n')
  t.equal((await client.response()).body.toString(), 'request_malformed')
  await client.ended()
  t.equal(holder.heldBytes(), 0)
})

t.test('gives the budget back when the client goes before it is answered', async (t) => {
  const { port, holder, close } = await openHolder({ answerAfter: 100 })
  t.teardown(close)
  const client = await openRaw(port)
  client.send(post('Content-Length: 3\r\n', 'abc'))
  await sleep(30)
  t.equal(holder.heldBytes(), 3)
  client.close()
  await sleep(30)
  t.equal(holder.heldBytes(), 0)
})

t.test('does not wait for a client that has gone', async (t) => {
  const holder = createBodyHolder(LIMITS)
  const results: unknown[] = []
  const { port, close } = await openTestEdge({
    handle: async (exchange) => {
      await sleep(100)
      results.push(await holder.hold(exchange, 1000))
    },
  })
  t.teardown(close)
  const client = await openRaw(port)
  client.send(post('Content-Length: 3\r\n', 'a'))
  await sleep(30)
  client.close()
  await sleep(150)
  t.match(results, [{ reason: 'request_malformed' }])
  t.equal(holder.heldBytes(), 0)
})

t.test('a body sent byte by byte costs about its own size', async (t) => {
  const size = 300_000
  const { port, close } = await openHolder({ maxBody: size })
  t.teardown(close)
  const bytes = `1\r\nx\r\n`.repeat(size)
  const before = process.memoryUsage()
  const { body } = await ask(port, post(CHUNKED, `${bytes}0\r\n\r\n`))
  t.equal(body.length, size)
  t.ok(process.memoryUsage().external - before.external < 20 * size)
})
