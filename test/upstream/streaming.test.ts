import { once } from 'node:events'
import http from 'node:http'
import type net from 'node:net'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { openFront } from '../support/front.js'
import { makeRoute, makeUpstream } from '../support/grants.js'

// All three ends are in this process, so that its memory is what the whole way holds.
const SIZE = 256 * 1024 ** 2
const CHUNK = Buffer.alloc(64 * 1024, 'x')
const ALLOWED_GROWTH = 96 * 1024 ** 2

/** Writes SIZE bytes as fast as they are taken. */
async function pour(to: net.Socket | http.ServerResponse): Promise<void> {
  for (let left = SIZE; left > 0; left -= CHUNK.length) if (!to.write(CHUNK)) await once(to, 'drain')
}

/** Samples the resident set until stopped; returns by how much it grew at most. */
function watchMemory() {
  const before = process.memoryUsage().rss
  let highest = before
  const timer = setInterval(() => {
    highest = Math.max(highest, process.memoryUsage().rss)
  }, 20)
  return () => {
    clearInterval(timer)
    return highest - before
  }
}

async function frontFor(t: Test, listener: http.RequestListener) {
  const upstream = http.createServer(listener).listen(0, '127.0.0.1')
  await once(upstream, 'listening')
  const url = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`
  const front = await openFront({ route: makeRoute(makeUpstream(url), { max_body: 1024 ** 3 }) })
  t.teardown(async () => {
    await front.close()
    upstream.closeAllConnections()
    upstream.close()
  })
  return front
}

/** Reads a little at a time at first, so that everything before it fills up, then at full speed. */
async function countSlowly(from: NodeJS.ReadableStream): Promise<number> {
  let bytes = 0
  let pauses = 20
  for await (const chunk of from) {
    bytes += (chunk as Buffer).length
    if (pauses-- > 0) await sleep(20)
  }
  return bytes
}

t.test('a large answer to a slow client takes no memory', async (t) => {
  for (const framing of ['length', 'chunked'] as const) {
    const front = await frontFor(t, async (_, response) => {
      if (framing === 'length') response.setHeader('Content-Length', SIZE)
      await pour(response)
      response.end()
    })
    const grown = watchMemory()
    const request = http.get({ port: front.port, host: '127.0.0.1', agent: false })
    const [response] = (await once(request, 'response')) as [http.IncomingMessage]
    t.equal(await countSlowly(response), SIZE, framing)
    const growth = grown()
    t.ok(growth < ALLOWED_GROWTH, `${framing}: grew by ${Math.round(growth / 1024 ** 2)} MiB`)
    t.match(await front.settled(1), { bytes: SIZE, reason: null })
  }
})

t.test('a large body to a slow upstream takes no memory', async (t) => {
  for (const framing of ['length', 'chunked'] as const) {
    const front = await frontFor(t, async (request, response) => {
      response.end(String(await countSlowly(request)))
    })
    const grown = watchMemory()
    const headers = framing === 'length' ? { 'content-length': SIZE } : { 'transfer-encoding': 'chunked' }
    const request = http.request({ port: front.port, host: '127.0.0.1', method: 'POST', headers, agent: false })
    const answered = once(request, 'response') as Promise<[http.IncomingMessage]>
    for (let left = SIZE; left > 0; left -= CHUNK.length) if (!request.write(CHUNK)) await once(request, 'drain')
    request.end()
    const [response] = await answered
    t.equal(Buffer.concat(await response.toArray()).toString(), String(SIZE), framing)
    const growth = grown()
    t.ok(growth < ALLOWED_GROWTH, `${framing}: grew by ${Math.round(growth / 1024 ** 2)} MiB`)
  }
})
