import { once } from 'node:events'
import net, { type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { WebSocket } from 'undici'
import type { Tunnel } from '../../src/upstream/tunnel.js'
import type { Upstream } from '../../src/verify/types.js'
import { closed, type FrontSettings, type Hit, openFront, openRawUpstream, talk } from '../support/front.js'
import { makeRoute, makeToken, makeUpstream } from '../support/grants.js'

type Setup = Omit<Partial<FrontSettings>, 'route'> & { upstream?: Partial<Upstream> }

async function withRaw(t: Test, answer: (hit: Hit) => void, { upstream: change = {}, ...rest }: Setup = {}) {
  const upstream = await openRawUpstream(answer)
  const front = await openFront({ route: makeRoute(makeUpstream(upstream.url, change), { websocket: true }), ...rest })
  t.teardown(async () => {
    await front.close()
    upstream.close()
  })
  return { upstream, front }
}

// The example of RFC 6455 §1.3.
const KEY = 'dGhlIHNhbXBsZSBub25jZQ=='
const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='

const handshakeLines = {
  Host: 'api.example.com',
  Connection: 'keep-alive, Upgrade',
  Upgrade: 'websocket',
  'Sec-WebSocket-Key': KEY,
  'Sec-WebSocket-Version': '13',
}
const handshake = (change: Record<string, string | null> = {}, line = 'GET /events HTTP/1.1') => {
  const lines = Object.entries({ ...handshakeLines, ...change }).filter(([, value]) => value !== null)
  return `${line}\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`
}
const switching = (extra = '', accept = ACCEPT) =>
  `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n${extra}\r\n`

/** Accepts with the key that was sent; bytes after that are given back as they come. */
const acceptAndEcho =
  (extra = '') =>
  ({ socket, head }: Hit) => {
    socket.removeAllListeners('data')
    socket.write(switching(extra, acceptOf(head)))
    socket.on('data', (chunk) => socket.write(chunk))
    socket.on('end', () => socket.end())
  }
const acceptOf = (head: string) => (head.includes(KEY) ? ACCEPT : 'unknown')

/** A client's connection that collects what comes. */
function dial(port: number, ...parts: (string | Buffer)[]) {
  const socket = net.connect(port, '127.0.0.1')
  const client = { socket, data: Buffer.alloc(0), ended: false }
  socket.on('data', (chunk) => {
    client.data = Buffer.concat([client.data, chunk])
  })
  socket.on('end', () => {
    client.ended = true
  })
  socket.on('error', () => undefined)
  for (const part of parts) socket.write(part)
  return client
}
type Client = ReturnType<typeof dial>

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 3000 && !condition(); i++) await sleep(5)
}
const text = (client: Client) => client.data.toString('latin1')
const afterHead = (client: Client) => client.data.subarray(client.data.indexOf('\r\n\r\n') + 4)

t.test('joins client and upstream', async (t) => {
  const extra =
    'Sec-WebSocket-Protocol: v2\r\nSec-WebSocket-Extensions: permessage-deflate\r\nX-Remote-User: root\r\nHoldfast-Decision: seen\r\nContent-Length: 5\r\n'
  const { upstream, front } = await withRaw(t, acceptAndEcho(extra))
  const offer = { 'Sec-WebSocket-Protocol': 'v1, v2', 'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits' }
  const client = dial(front.port, handshake({ ...offer, 'X-Remote-User': 'root' }))
  await until(() => text(client).includes('\r\n\r\n'))

  const [hit] = upstream.hits
  t.match(hit?.head, /^GET \/events HTTP\/1\.1\r\n/)
  t.match(hit?.head, /^connection: upgrade\r\nupgrade: websocket\r\n/im)
  t.match(hit?.head, `Sec-WebSocket-Key: ${KEY}`)
  t.match(hit?.head, 'Sec-WebSocket-Version: 13')
  t.match(hit?.head, 'Sec-WebSocket-Protocol: v1, v2')
  t.match(hit?.head, 'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits')
  t.match(hit?.head, /^holdfast-assertion: /im)
  t.notMatch(hit?.head, /remote-user/i)

  t.match(text(client), /^HTTP\/1\.1 101 Switching Protocols\r\n/)
  t.match(text(client), /^connection: upgrade\r\nupgrade: websocket\r\n/im)
  t.match(text(client), `Sec-WebSocket-Accept: ${ACCEPT}\r\n`)
  t.match(text(client), 'Sec-WebSocket-Protocol: v2\r\n')
  t.match(text(client), 'Sec-WebSocket-Extensions: permessage-deflate\r\n')
  t.match(text(client), 'X-Request-Id: ours\r\n')
  t.notMatch(text(client), /remote-user|holdfast-decision|transfer-encoding|content-length/i)

  client.socket.write(Buffer.from([0x81, 0x82, 1, 2, 3, 4, 5, 6]))
  await until(() => afterHead(client).length === 8)
  t.same([...afterHead(client)], [0x81, 0x82, 1, 2, 3, 4, 5, 6], 'bytes pass as they are')
  client.socket.end()
  t.same(await front.settled(1), { upstreamStatus: 101, reason: null, bytes: 8, domainDecision: 'seen' })
  await Promise.all([closed(client.socket), closed(upstream.sockets[0])])
})

t.test('serves a WebSocket client that knows nothing of it', async (t) => {
  const { createHash } = await import('node:crypto')
  const { front } = await withRaw(t, ({ socket, head }) => {
    const key = /^sec-websocket-key: (.*)$/im.exec(head)?.[1] ?? ''
    const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
    socket.removeAllListeners('data')
    socket.write(switching('', accept))
    socket.on('data', (frame) => {
      const opcode = (frame[0] ?? 0) & 0x0f
      const payload = frame.subarray(6).map((byte, i) => byte ^ (frame[2 + (i % 4)] ?? 0))
      socket.write(Buffer.concat([Buffer.from([0x80 | opcode, payload.length]), payload]))
      if (opcode === 8) socket.end()
    })
  })
  const socket = new WebSocket(`ws://127.0.0.1:${front.port}/events`)
  await once(socket, 'open')
  socket.send('hello')
  const [message] = (await once(socket, 'message')) as [MessageEvent]
  t.equal(message.data, 'hello')
  socket.close(1000)
  const [close] = (await once(socket, 'close')) as [{ code: number; wasClean: boolean }]
  t.match(close, { code: 1000, wasClean: true })
  t.match(await front.settled(1), { upstreamStatus: 101, reason: null })
})

t.test('passes not a byte of the client’s before the upstream accepts', async (t) => {
  const early = 'GET /admin HTTP/1.1\r\nHost: a\r\n\r\n'
  t.test('and what was early then', async (t) => {
    let seen = ''
    const { upstream, front } = await withRaw(t, ({ socket }) => {
      socket.removeAllListeners('data')
      socket.on('data', (chunk) => {
        seen += chunk
      })
      setTimeout(() => {
        t.equal(seen, '')
        socket.write(switching())
      }, 50)
    })
    const client = dial(front.port, handshake() + early)
    await until(() => seen.length === early.length)
    t.equal(seen, early)
    t.equal(upstream.hits.length, 1)
    client.socket.destroy()
  })
  t.test('and nothing when it refuses', async (t) => {
    const { upstream, front } = await withRaw(t, ({ socket }) =>
      socket.write('HTTP/1.1 403 No\r\nContent-Length: 6\r\nX-Remote-User: root\r\n\r\nreason'),
    )
    const reply = await talk(front.port, handshake() + early)
    t.match(reply, /^HTTP\/1\.1 403 Forbidden\r\n/)
    t.match(reply, /connection: close\r\n/i)
    t.match(reply, /\r\n\r\nreason$/)
    t.notMatch(reply, /remote-user/i)
    t.match(await front.settled(1), { upstreamStatus: 403, reason: null, bytes: 6 })
    t.equal(upstream.hits.length, 1)
  })
})

t.test('gives a long refusal to a slow client', async (t) => {
  const size = 4 * 1024 ** 2
  const { front } = await withRaw(t, ({ socket }) => {
    socket.write(`HTTP/1.1 426 Upgrade Required\r\nTransfer-Encoding: chunked\r\n\r\n${size.toString(16)}\r\n`)
    socket.write(Buffer.alloc(size, 'x'))
    socket.write('\r\n0\r\n\r\n')
  })
  const client = dial(front.port, handshake())
  client.socket.pause()
  setTimeout(() => client.socket.resume(), 300)
  await until(() => client.ended)
  t.match(text(client).slice(0, 100), /^HTTP\/1\.1 426 /)
  t.equal(text(client).match(/x/g)?.length, size)
  t.match(await front.settled(1), { upstreamStatus: 426, bytes: size })
})

t.test('denies request_malformed: a handshake that is none', async (t) => {
  const rows: Record<string, string> = {
    POST: handshake({}, 'POST /events HTTP/1.1'),
    'HTTP/1.0': handshake({}, 'GET /events HTTP/1.0'),
    'another protocol': handshake({ Upgrade: 'h2c' }),
    'a choice of protocols': handshake({ Upgrade: 'websocket, h2c' }),
    'another version': handshake({ 'Sec-WebSocket-Version': '8' }),
    'no version': handshake({ 'Sec-WebSocket-Version': null }),
    'no key': handshake({ 'Sec-WebSocket-Key': null }),
    'a short key': handshake({ 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZQ==' }),
    'a key with spare bits': handshake({ 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZR==' }),
    'two keys': handshake({ 'sec-websocket-key': KEY }),
    'a body': `${handshake({ 'Content-Length': '5' })}hello`,
    'a chunked body': `${handshake({ 'Transfer-Encoding': 'chunked' })}0\r\n\r\n`,
  }
  for (const [why, bytes] of Object.entries(rows)) {
    t.test(why, async (t) => {
      const { upstream, front } = await withRaw(t, acceptAndEcho())
      t.match(await talk(front.port, bytes), /^HTTP\/1\.1 400 [\s\S]*request_malformed$/)
      t.equal(upstream.sockets.length, 0)
    })
  }
})

t.test('denies upstream_invalid: an acceptance that is none', async (t) => {
  const rows: Record<string, string> = {
    'no Sec-WebSocket-Accept': 'HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
    'a wrong Sec-WebSocket-Accept': switching('', 'AAAAAAAAAAAAAAAAAAAAAAAAAAA='),
    'two Sec-WebSocket-Accept': switching(`Sec-WebSocket-Accept: ${ACCEPT}\r\n`),
    'another protocol': switching().replace('Upgrade: websocket', 'Upgrade: h2c'),
    'no upgrade': `HTTP/1.1 101 S\r\nSec-WebSocket-Accept: ${ACCEPT}\r\n\r\n`,
    'a subprotocol that was not offered': switching('Sec-WebSocket-Protocol: v9\r\n'),
    'an extension where none was offered': switching('Sec-WebSocket-Extensions: permessage-deflate\r\n'),
    'its own 401': 'HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n',
    garbage: 'SSH-2.0-OpenSSH_9.2\r\n',
  }
  for (const [why, bytes] of Object.entries(rows)) {
    t.test(why, async (t) => {
      const { upstream, front } = await withRaw(t, ({ socket }) => socket.write(bytes))
      t.match(await talk(front.port, handshake({ 'Sec-WebSocket-Protocol': 'v1' })), /^HTTP\/1\.1 502 [\s\S]*upstream_invalid$/)
      await closed(upstream.sockets[0])
    })
  }
})

t.test('denies what keeps it from the upstream', async (t) => {
  t.test('upstream_unreachable', async (t) => {
    const { upstream, front } = await withRaw(t, acceptAndEcho())
    upstream.close()
    t.match(await talk(front.port, handshake()), /^HTTP\/1\.1 502 [\s\S]*upstream_unreachable$/)
  })
  t.test('upstream_timeout', async (t) => {
    const { front } = await withRaw(t, () => undefined, { upstream: { timeouts: { connect: 1, headers: 0.2, body: 1 } } })
    t.match(await talk(front.port, handshake()), /^HTTP\/1\.1 504 [\s\S]*upstream_timeout$/)
  })
})

t.test('ends with the token', async (t) => {
  const soon = () => makeToken(Date.now() / 1000 + 0.3)
  t.test('with a close frame 1008', async (t) => {
    const { upstream, front } = await withRaw(t, acceptAndEcho(), { token: soon() })
    const client = dial(front.port, handshake())
    await until(() => client.ended)
    t.same([...afterHead(client)], [0x88, 0x02, 0x03, 0xf0])
    client.socket.end()
    t.match(await front.settled(1), { upstreamStatus: 101, reason: null, bytes: 4 })
    await closed(upstream.sockets[0])
  })
  t.test('between two frames, not within one', async (t) => {
    const { front } = await withRaw(
      t,
      ({ socket }) => {
        socket.write(switching())
        socket.write(Buffer.from([0x82, 0x7e, 0x00, 0x80, ...Array(28).fill(7)]))
        setTimeout(() => socket.write(Buffer.alloc(100, 8)), 600)
        setTimeout(() => socket.write(Buffer.from([0x81, 0x00])), 700)
      },
      { token: soon() },
    )
    const client = dial(front.port, handshake())
    await until(() => client.ended)
    const frames = afterHead(client)
    t.equal(frames.length, 4 + 128 + 4)
    t.same([...frames.subarray(-5)], [8, 0x88, 0x02, 0x03, 0xf0])
    client.socket.destroy()
  })
  t.test('even where the upstream answers with an event stream', async (t) => {
    const { upstream, front } = await withRaw(
      t,
      ({ socket }) => socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n'),
      { token: soon() },
    )
    t.match(await talk(front.port, handshake()), /^HTTP\/1\.1 200 OK\r\n[\s\S]*data: 1\n\n\r\n0\r\n\r\n$/)
    t.match(await front.settled(1), { upstreamStatus: 200, reason: null })
    await closed(upstream.sockets[0])
  })
  t.test('even when nobody listens to it', async (t) => {
    const { upstream, front } = await withRaw(
      t,
      ({ socket }) => {
        socket.removeAllListeners('data')
        socket.write(switching())
        socket.write(Buffer.from([0x82, 0x7e, 0xff]))
        socket.resume()
      },
      { token: soon() },
    )
    const client = dial(front.port, handshake())
    const started = performance.now()
    await Promise.all([closed(client.socket), closed(upstream.sockets[0])])
    t.ok(performance.now() - started < 4000)
    t.match(await front.settled(1), { upstreamStatus: 101 })
  })
})

t.test('can be ended from outside', async (t) => {
  const tunnels: Tunnel[] = []
  const { front } = await withRaw(t, acceptAndEcho(), { opened: (tunnel) => tunnels.push(tunnel) })
  const client = dial(front.port, handshake())
  await until(() => tunnels.length === 1)
  tunnels[0]?.close(1001)
  await until(() => client.ended)
  t.same([...afterHead(client)], [0x88, 0x02, 0x03, 0xe9])
  client.socket.end()
  await front.settled(1)
})

t.test('each end’s going is the other’s', async (t) => {
  const open = async (t: Test) => {
    const { upstream, front } = await withRaw(t, acceptAndEcho())
    const client = dial(front.port, handshake())
    await until(() => text(client).includes('\r\n\r\n'))
    return { upstream: upstream.sockets[0] as Socket, front, client: client.socket }
  }
  for (const how of ['end', 'destroy', 'resetAndDestroy'] as const) {
    for (const who of ['client', 'upstream'] as const) {
      t.test(`${who} ${how}`, async (t) => {
        const ends = await open(t)
        const other = ends[who === 'client' ? 'upstream' : 'client']
        ends[who][how]()
        await closed(other)
        t.match(await ends.front.settled(1), { upstreamStatus: 101, reason: null })
      })
    }
  }
  t.test('a client that goes while the upstream is asked', async (t) => {
    const { upstream, front } = await withRaw(t, () => undefined)
    const client = dial(front.port, handshake())
    await until(() => upstream.hits.length === 1)
    client.socket.resetAndDestroy()
    await closed(upstream.sockets[0])
    t.match(await front.settled(1), { upstreamStatus: null, reason: null })
  })
})

t.test('waits for whoever is slow', async (t) => {
  const size = 64 * 1024 ** 2
  let sent = 0
  const { front } = await withRaw(t, ({ socket }) => {
    socket.removeAllListeners('data')
    socket.write(switching())
    const chunk = Buffer.alloc(64 * 1024)
    const more = () => {
      while (sent < size) {
        sent += chunk.length
        if (!socket.write(chunk)) return
      }
      socket.end()
    }
    socket.on('drain', more)
    more()
  })
  const client = dial(front.port, handshake())
  await until(() => text(client).includes('\r\n\r\n'))
  client.socket.pause()
  // Until nothing has moved for a while: how long that takes is the machine's business.
  for (let before = -1; before !== sent; await sleep(300)) before = sent
  t.ok(sent < size, 'a stopped client stops the upstream')
  client.socket.removeAllListeners('data')
  let received = 0
  client.socket.on('data', (chunk) => {
    received += chunk.length
  })
  client.socket.resume()
  await until(() => client.ended)
  client.socket.end()
  t.match(await front.settled(1), { bytes: size })
  t.ok(received > size - 1024 ** 2)
})
