// Clients that take their time on purpose, eleven kinds of them at once against one process: each is let go when its limit says so, the
// process stays small, and whoever comes from elsewhere is served all the while (RFC 9110 §15.5.9, contract §2 `limits`).
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage } from 'node:http'
import net, { type AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type TLSSocket } from 'node:tls'
import t from 'tap'
import { makeDraft, printDraft } from '../support/draft.js'
import { exchange } from '../support/http.js'
import { anonymous, bearer } from '../support/kinds.js'
import { startProcess } from '../support/process.js'
import { openRaw, type RawClient } from '../support/raw.js'

const HOST = 'api.example.com'
const MIB = 1024 ** 2
const LARGE = 32 * MIB
/** Of each kind. */
const MANY = 8

/** Requests that the upstream lost before they were answered to their end. */
const cut = new Set<string>()
const chunk = Buffer.alloc(64 * 1024, 'x')
const upstream = createServer((request, response) => {
  const url = request.url ?? ''
  response.on('close', () => response.writableFinished || cut.add(url))
  request.resume()
  if (!url.startsWith('/large')) return void request.on('end', () => response.end(url))
  let left = LARGE
  const more = () => {
    for (; left > 0; left -= chunk.length) if (!response.write(chunk)) return
    response.end()
  }
  response.writeHead(200, { 'Content-Length': LARGE })
  response.on('drain', () => {
    left -= chunk.length
    more()
  })
  more()
})
  .on('upgrade', (request: IncomingMessage, socket: Duplex) => {
    const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`
    const accept = createHash('sha1').update(key).digest('base64')
    socket.write(`HTTP/1.1 101 \r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`)
    socket.on('error', () => undefined).on('close', () => cut.add(request.url ?? ''))
    socket.resume()
    const frame = Buffer.concat([Buffer.from([0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]), chunk])
    const more = (): void => {
      while (socket.write(frame));
      socket.once('drain', more)
    }
    more()
  })
  .listen(0, '127.0.0.1')
await once(upstream, 'listening')
const gateway = await startProcess(
  HOST,
  `limits: { handshake: 3s, headers: 1s, idle: 1s, body_idle: 1s, body_total: 2s, connections: 200, connections_per_address: 20 }
tiers: { open: { extends: public, rate_limit: off }, held: { extends: low_user, body_digest: on } }
upstreams: { u: { url: 'http://127.0.0.1:${(upstream.address() as AddressInfo).port}', connections: 200 } }
routes:
  - { path: /large, methods: [GET], tier: open, upstream: u }
  - { path: /ws, methods: [GET], tier: open, upstream: u, websocket: true }
  - { path: /open, methods: [GET, POST], tier: open, upstream: u }
  - { path: /held, methods: [POST], tier: held, upstream: u }
`,
)
t.teardown(async () => {
  await gateway.stop()
  upstream.closeAllConnections()
  upstream.close()
})

const tls = (localAddress: string) => ({ servername: HOST, ca: gateway.ca, localAddress })
const get = (path = '/open', lines = '') => `GET ${path} HTTP/1.1\r\nHost: ${HOST}\r\n${lines}\r\n`
const post = (length: number) => `POST /open HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: ${length}\r\n\r\n`
/** One value of /proc/PID/status, in MiB. */
const memory = (name: 'VmRSS' | 'VmHWM'): number => {
  const text = readFileSync(`/proc/${gateway.child.pid}/status`, 'utf8')
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1] ?? 0) / 1024
}

type Ending = { readonly text: string; readonly ms: number }

/** What came until the other side ended the connection, and after how long. */
async function endingOf(client: RawClient, began = Date.now()): Promise<Ending> {
  const text = await client.ended(12_000)
  client.close()
  return { text, ms: Date.now() - began }
}

/** The same of a connection that never comes to speak TLS. */
function silent(localAddress: string, bytes: Buffer): Promise<Ending> {
  const began = Date.now()
  return new Promise((resolve) => {
    let text = ''
    const socket = net.connect({ port: gateway.port, host: '127.0.0.1', localAddress }, () => socket.write(bytes))
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
    })
    socket.on('error', () => undefined)
    socket.on('close', () => resolve({ text, ms: Date.now() - began }))
  })
}

/** Sends `text` byte by byte, for as long as the connection takes it. */
function drip(client: RawClient, text: string): void {
  let at = 0
  const timer = setInterval(() => {
    if (client.socket.writable && at < text.length) client.send(text.charAt(at++))
    else clearInterval(timer)
  }, 100)
}

/** Sends this for as long as the connection is there. */
const repeatedly = (text: string) => (socket: TLSSocket) => {
  const timer = setInterval(() => socket.write(text, 'latin1'), 300)
  socket.once('close', () => clearInterval(timer))
}

const UPGRADE = `Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n`
/** A ping without content, masked with nothing (RFC 6455 §5.5.2). */
const PING = '\x89\x80\0\0\0\0'

let readers = 0

/** Asks for much and takes none of it until the upstream was let go; then looks at what was on its way. */
async function readNothing(
  localAddress: string,
  meanwhile: (socket: TLSSocket) => void = () => undefined,
  { path = '/large', lines = '' } = {},
): Promise<Ending> {
  const url = `${path}?${readers++}`
  const began = Date.now()
  const socket = connect({ port: gateway.port, host: '127.0.0.1', ...tls(localAddress) })
  socket.on('error', () => undefined)
  socket.pause().write(get(url, lines))
  meanwhile(socket)
  while (!cut.has(url) && Date.now() - began < 15_000) await sleep(20)
  const ms = Date.now() - began
  let bytes = 0
  socket.on('data', ({ length }: Buffer) => {
    bytes += length
  })
  socket.resume()
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve))
  return { text: bytes < LARGE ? 'cut' : 'whole', ms }
}

/** Each kind has an address of its own: what a client does, and how it ends. */
const KINDS: Readonly<Record<string, (address: string) => Promise<Ending>>> = {
  'connects and says nothing': (address) => silent(address, Buffer.alloc(0)),
  'stops within its TLS handshake': (address) => silent(address, Buffer.from('1603010200010001fc0303', 'hex')),
  'says nothing after its handshake': async (address) => endingOf(await openRaw(gateway.port, tls(address))),
  'sends its head byte by byte': async (address) => {
    const client = await openRaw(gateway.port, tls(address))
    drip(client, get('/open', `X: ${'x'.repeat(200)}\r\n`))
    return endingOf(client)
  },
  'stops within its body': async (address) => {
    const client = await openRaw(gateway.port, tls(address))
    client.send(post(100), 'x'.repeat(10))
    return endingOf(client)
  },
  'sends byte by byte what is held': async (address) => {
    const client = await openRaw(gateway.port, tls(address))
    const request = bearer(makeDraft({ host: HOST, path: '/held', method: 'POST' }))
    request.headers = [['Content-Length', '200']]
    client.send(printDraft(request))
    drip(client, 'x'.repeat(200))
    return endingOf(client)
  },
  'reads nothing of a large answer': (address) => readNothing(address),
  'reads nothing, and goes on asking': (address) => readNothing(address, repeatedly(get())),
  'reads nothing, and sends its next head byte by byte': (address) =>
    readNothing(address, (socket) => {
      socket.write(get('/open', 'X: ').slice(0, -4))
      repeatedly('x')(socket)
    }),
  'reads nothing of its WebSocket, and pings': (address) =>
    readNothing(address, repeatedly(PING), { path: '/ws', lines: UPGRADE }),
  'stays when it was answered': async (address) => {
    const client = await openRaw(gateway.port, tls(address))
    client.send(get())
    await client.response()
    return endingOf(client)
  },
}

const before = memory('VmRSS')
const attacks = Object.entries(KINDS).map(([kind, attack], index) => {
  const endings = Promise.all(Array.from({ length: MANY }, () => attack(`127.0.0.${index + 11}`)))
  // Whoever awaits it below hears of it.
  endings.catch(() => undefined)
  return [kind, endings] as const
})

t.test('whoever comes from elsewhere is served meanwhile', async (t) => {
  let slowest = 0
  for (let i = 0; i < 10; i++) {
    const began = Date.now()
    const request = anonymous(makeDraft({ host: HOST, path: '/open' }))
    const reply = await exchange(printDraft(request), { port: gateway.port, ...tls('127.0.0.1') })
    t.equal(reply.status, 200)
    slowest = Math.max(slowest, Date.now() - began)
    await sleep(100)
  }
  t.ok(slowest < 5_000, `${slowest} ms at most`)
})

/** The answer of each kind that gets one, and between what times (milliseconds) its connection ends. */
const ENDINGS: Readonly<Record<string, readonly [answer: RegExp, from: number, to: number]>> = {
  'connects and says nothing': [/^$/, 2_900, 9_000],
  'stops within its TLS handshake': [/^(?!.*HTTP)/s, 2_900, 9_000],
  'says nothing after its handshake': [/^HTTP\/1\.1 408 [\s\S]*"request_timeout"/, 900, 9_000],
  'sends its head byte by byte': [/^HTTP\/1\.1 408 [\s\S]*"request_timeout"/, 900, 9_000],
  'stops within its body': [/^HTTP\/1\.1 408 [\s\S]*"request_timeout"/, 900, 9_000],
  'sends byte by byte what is held': [/^HTTP\/1\.1 408 [\s\S]*"request_timeout"/, 1_900, 9_000],
  'reads nothing of a large answer': [/^cut$/, 900, 14_000],
  'reads nothing, and goes on asking': [/^cut$/, 900, 14_000],
  'reads nothing, and sends its next head byte by byte': [/^cut$/, 900, 14_000],
  'reads nothing of its WebSocket, and pings': [/^cut$/, 900, 14_000],
  'stays when it was answered': [/^$/, 900, 9_000],
}

t.test('each kind is let go in its time', async (t) => {
  for (const [kind, running] of attacks) {
    await t.test(`drops a client that ${kind}`, async (t) => {
      const [answer, from, to] = ENDINGS[kind] ?? [/^(?!)/, 0, 0]
      for (const { text, ms } of await running) {
        t.match(text, answer)
        t.ok(ms >= from && ms <= to, `${ms} ms`)
      }
    })
  }
})

t.test('and the process stays small', { skip: process.platform !== 'linux' && 'needs /proc' }, async (t) => {
  const more = Math.round(memory('VmHWM') - before)
  t.comment(`${MANY * attacks.length} slow clients: at most ${more} MiB more than before`)
  t.ok(more < 128, `${more} MiB more than before`)
})

t.test('one address has only so many connections, and others go on', async (t) => {
  const clients = await Promise.all(Array.from({ length: 20 }, () => openRaw(gateway.port, tls('127.0.0.40'))))
  await t.rejects(openRaw(gateway.port, tls('127.0.0.40')), 'one more is closed at accept')
  const reply = await exchange(get(), { port: gateway.port, ...tls('127.0.0.1') })
  t.equal(reply.status, 200, 'for another address there is room')
  for (const client of clients) client.close()
  await sleep(100)
  t.equal((await exchange(get(), { port: gateway.port, ...tls('127.0.0.40') })).status, 200, 'and again when they are gone')
})

t.test('all addresses together have only so many', async (t) => {
  // Without a handshake, so that all are there before the first is let go.
  let closed = 0
  const sockets = Array.from({ length: 260 }, (_, i) => {
    const localAddress = `127.0.0.${50 + Math.floor(i / 20)}`
    const socket = net.connect({ port: gateway.port, host: '127.0.0.1', localAddress })
    return socket.on('error', () => undefined).on('close', () => closed++)
  })
  for (let i = 0; i < 150 && closed < 60; i++) await sleep(10)
  t.ok(closed >= 60, `${closed} are closed at accept`)
  for (const socket of sockets) socket.destroy()
  await sleep(100)
  t.equal((await exchange(get(), { port: gateway.port, ...tls('127.0.0.1') })).status, 200)
})

t.test('half a connection', async (t) => {
  t.test('gives a client that has ended its side all of an answer or nothing', async (t) => {
    // TLS 1.2 lets it expect nothing more (RFC 5246 §7.2.1).
    const client = await openRaw(gateway.port, tls('127.0.0.1'))
    client.send(get())
    client.socket.end()
    t.match(await client.ended(), /^(?:HTTP\/1\.1 200 [\s\S]*\r\n\r\n\/open)?$/)
    t.equal((await exchange(get(), { port: gateway.port, ...tls('127.0.0.1') })).status, 200)
  })
  t.test('drops half a body of a client that has ended its side, and half a request with it', async (t) => {
    const client = await openRaw(gateway.port, tls('127.0.0.1'))
    client.send(post(100), 'x'.repeat(10))
    await sleep(50)
    client.socket.end()
    t.notMatch(await client.ended(), /HTTP\/1\.1 2/)
    for (let i = 0; i < 100 && !cut.has('/open'); i++) await sleep(10)
    t.ok(cut.has('/open'), 'the upstream does not take it for a whole one')
  })
})
