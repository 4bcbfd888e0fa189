import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { openFront } from '../support/front.js'
import { makeRoute, makeUpstream } from '../support/grants.js'

const SIZE = 256 * 1024 ** 2
const CHUNK = Buffer.alloc(64 * 1024, 'x')
/** What the whole way may hold: most of it are the kernel's buffers of two connections. */
const ALLOWED = 64 * 1024 ** 2

/** What has gone in on one side and has not come out on the other is held on the way. */
type Flow = { sent: number; held: number }

/** Writes SIZE bytes as fast as they are taken. */
async function pour(to: Writable, flow: Flow): Promise<void> {
  while (flow.sent < SIZE) {
    flow.sent += CHUNK.length
    if (!to.write(CHUNK)) await once(to, 'drain')
  }
  to.end()
}

/** Reads a little, then nothing until no more goes in, then all that is left. */
async function countSlowly(from: NodeJS.ReadableStream, flow: Flow): Promise<number> {
  let bytes = 0
  for await (const chunk of from) {
    bytes += (chunk as Buffer).length
    if (flow.held > 0) continue
    for (let sent = -1; sent < flow.sent; await sleep(250)) sent = flow.sent
    flow.held = flow.sent - bytes
  }
  return bytes
}

function isBounded(t: Test, { held }: Flow, framing: string): void {
  t.ok(held > 0 && held < ALLOWED, `${framing}: ${(held / 1024 ** 2).toFixed(1)} MiB are held on the way`)
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

t.test('a large answer to a slow client takes no memory', async (t) => {
  for (const framing of ['length', 'chunked'] as const) {
    const flow = { sent: 0, held: 0 }
    const front = await frontFor(t, async (_, response) => {
      if (framing === 'length') response.setHeader('Content-Length', SIZE)
      await pour(response, flow)
    })
    const request = http.get({ port: front.port, host: '127.0.0.1', agent: false })
    const [response] = (await once(request, 'response')) as [http.IncomingMessage]
    t.equal(await countSlowly(response, flow), SIZE, framing)
    isBounded(t, flow, framing)
    t.match(await front.settled(1), { bytes: SIZE, reason: null })
  }
})

t.test('a large body to a slow upstream takes no memory', async (t) => {
  for (const framing of ['length', 'chunked'] as const) {
    const flow = { sent: 0, held: 0 }
    const front = await frontFor(t, async (request, response) => {
      response.end(String(await countSlowly(request, flow)))
    })
    const headers = framing === 'length' ? { 'content-length': SIZE } : { 'transfer-encoding': 'chunked' }
    const request = http.request({ port: front.port, host: '127.0.0.1', method: 'POST', headers, agent: false })
    const answered = once(request, 'response') as Promise<[http.IncomingMessage]>
    await pour(request, flow)
    const [response] = await answered
    t.equal(Buffer.concat(await response.toArray()).toString(), String(SIZE), framing)
    isBounded(t, flow, framing)
  }
})
