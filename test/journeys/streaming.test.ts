// Bodies in both directions as they come: event streams, clients that leave, and sizes that must not be held in memory.
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'node:tls'
import t from 'tap'
import { makeDraft, printDraft } from '../support/draft.js'
import { bearer } from '../support/kinds.js'
import { HOST, startLab } from '../support/lab.js'
import { type RunningGateway, startProcess } from '../support/process.js'

const MIB = 1024 ** 2
const draft = (path = '/read/1', method = 'GET') => makeDraft({ host: HOST, path, method })

t.test('an event stream is passed on event by event, and ends in good order when the token does', async (t) => {
  let send: (event: string) => void = () => undefined
  let closed = false
  const lab = await startLab({
    store: 'memory',
    upstream: (_, response) => {
      response.writeHead(200, { 'Content-Type': 'text/event-stream' })
      response.flushHeaders()
      send = (event) => void response.write(`data: ${event}\n\n`)
      response.on('close', () => {
        closed = true
      })
    },
  })
  t.teardown(() => lab.stop())
  const request = draft()
  request.token.claims.exp = request.now + 3
  const client = await lab.open()
  t.teardown(() => client.close())
  let seen = ''
  client.socket.on('data', (chunk: Buffer) => {
    seen += chunk.toString('latin1')
  })
  const comes = async (what: string) => {
    for (let i = 0; i < 100 && !seen.includes(what); i++) await sleep(5)
    t.match(seen, what)
  }
  client.send(printDraft(request))
  await comes('text/event-stream')
  for (const event of ['one', 'two']) {
    send(event)
    await comes(`data: ${event}`)
  }
  const answer = await client.response()
  const late = Date.now() / 1000 - (request.now + 3)
  t.ok(late >= 0 && late < 1, `${late.toFixed(2)} s after the token`)
  t.equal(answer.body.toString(), 'data: one\n\ndata: two\n\n', 'complete in its framing')
  await sleep(50)
  t.ok(closed, 'the upstream is let go')
  t.notOk(client.socket.destroyed, 'the connection can be used again')
})

t.test('a client that leaves takes its request to the upstream with it', async (t) => {
  let left: () => void = () => undefined
  let asked: () => void = () => undefined
  const lab = await startLab({
    store: 'memory',
    upstream: (_, response) => {
      response.on('close', () => left())
      asked()
    },
  })
  t.teardown(() => lab.stop())
  for (const body of ['whole', 'half']) {
    const isAsked = new Promise<void>((resolve) => {
      asked = resolve
    })
    const isLeft = new Promise<string>((resolve) => {
      left = () => resolve('left')
    })
    const request = draft('/read/1', 'POST')
    request.headers = [['Content-Length', '10']]
    const client = await lab.open()
    client.send(printDraft(request), body === 'whole' ? '0123456789' : '01234')
    await isAsked
    client.close()
    t.equal(await Promise.race([isLeft, sleep(2000, 'still there')]), 'left', `with its ${body} body sent`)
  }
})

// Enough to show a leak; HOLDFAST_TEST_MIB=1024 sends a gigabyte each way.
const SIZE = Number(process.env.HOLDFAST_TEST_MIB ?? 256) * MIB

t.test('large bodies in both directions take no memory', { skip: process.platform !== 'linux' && 'needs /proc' }, async (t) => {
  const chunk = Buffer.alloc(64 * 1024, 'x')
  let received = 0
  const upstream = createServer(async (request, response) => {
    if (request.method === 'GET') {
      response.writeHead(200, { 'Content-Length': SIZE })
      for (let sent = 0; sent < SIZE; sent += chunk.length) if (!response.write(chunk)) await once(response, 'drain')
      return void response.end()
    }
    request.on('data', ({ length }: Buffer) => {
      received += length
    })
    request.on('end', () => response.end('thanks'))
  }).listen(0, '127.0.0.1')
  await once(upstream, 'listening')
  const gateway = await startProcess(
    HOST,
    `tiers: { large: { extends: low_user, max_body: 2GiB } }
upstreams: { u: { url: 'http://127.0.0.1:${(upstream.address() as AddressInfo).port}' } }
routes: [{ path: /large, methods: [GET, PUT], tier: large, upstream: u }]
`,
  )
  t.teardown(async () => {
    await gateway.stop()
    upstream.close()
  })
  const atStart = peakMemory(gateway)
  const start = performance.now()
  await upload(gateway, chunk)
  t.equal(received, SIZE)
  t.equal(await download(gateway), SIZE)
  const peak = peakMemory(gateway)
  const seconds = ((performance.now() - start) / 1000).toFixed(1)
  t.comment(`${SIZE / MIB} MiB each way in ${seconds} s; at most ${peak} MiB of memory, ${atStart} before`)
  t.ok(peak - atStart < 128, `${peak - atStart} MiB more than before`)
})

/** The most memory it ever had, in MiB, code and all. */
function peakMemory({ child }: RunningGateway): number {
  const [, kibibytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8')) ?? []
  return Math.round(Number(kibibytes) / 1024)
}

const dial = async ({ port, ca }: RunningGateway) => {
  const socket = connect({ port, host: '127.0.0.1', servername: HOST, ca })
  await once(socket, 'secureConnect')
  return socket
}

async function upload(gateway: RunningGateway, chunk: Buffer): Promise<void> {
  const socket = await dial(gateway)
  const request = bearer(draft('/large', 'PUT'))
  request.headers = [['Content-Length', String(SIZE)]]
  socket.write(printDraft(request))
  for (let sent = 0; sent < SIZE; sent += chunk.length) if (!socket.write(chunk)) await once(socket, 'drain')
  const [answer] = (await once(socket, 'data')) as [Buffer]
  if (!answer.includes('200 OK')) throw new Error(answer.toString())
  socket.destroy()
}

/** How many bytes of body came. */
async function download(gateway: RunningGateway): Promise<number> {
  const socket = await dial(gateway)
  const request = bearer(draft('/large'))
  request.headers = [['Connection', 'close']]
  socket.write(printDraft(request))
  let bytes = 0
  let isHead = true
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    bytes += isHead ? chunk.length - (chunk.indexOf('\r\n\r\n') + 4) : chunk.length
    isHead = false
  }
  return bytes
}
