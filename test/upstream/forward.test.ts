import { once } from 'node:events'
import http from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { Outcome } from '../../src/audit/types.js'
import type { Upstream } from '../../src/verify/types.js'
import { Denial } from '../../src/verify/verdict.js'
import { call, closed, type Front, type FrontSettings, type Hit, openFront, openRawUpstream, talk } from '../support/front.js'
import { makeRoute, makeToken, makeUpstream } from '../support/grants.js'

type Setup = Omit<Partial<FrontSettings>, 'route'> & { upstream?: Partial<Upstream>; max_body?: number }

/** A front before a raw upstream; both are closed when the test ends. */
async function withRaw(
  t: Test,
  answer: (hit: Hit) => void,
  { upstream: change = {}, max_body = 1024 ** 2, ...rest }: Setup = {},
) {
  const upstream = await openRawUpstream(answer)
  const front = await openFront({ route: makeRoute(makeUpstream(upstream.url, change), { max_body }), ...rest })
  t.teardown(async () => {
    await front.close()
    upstream.close()
  })
  return { upstream, front }
}

const ok = (body: string) => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`
const timeouts = (change: Partial<Upstream['timeouts']>) => ({ timeouts: { connect: 2, headers: 30, body: 30, ...change } })
const headerIn = (hit: Hit | undefined, name: string) => new RegExp(`^${name}: (.*)$`, 'im').exec(hit?.head ?? '')?.[1]
const claimsIn = (hit: Hit | undefined) =>
  JSON.parse(Buffer.from(headerIn(hit, 'holdfast-assertion')?.split('.')[1] ?? '', 'base64url').toString()) as Record<
    string,
    unknown
  >

async function denied(t: Test, front: Front, reason: string): Promise<void> {
  const reply = await call(front.port)
  t.same(JSON.parse(reply.body), { reason })
  const result = await front.settled(front.results.length)
  t.ok(result instanceof Denial)
  t.notMatch(String((result as Denial).detail), /127\.0\.0\.1|:\d{4}/, 'no address in the detail')
}

t.test('forwards a request and its answer', async (t) => {
  const { upstream, front } = await withRaw(t, ({ socket }) =>
    socket.write('HTTP/1.1 200 Whatever\r\nContent-Length: 2\r\nContent-Encoding: gzip\r\nX-Own: 1\r\n\r\nhi'),
  )
  const reply = await call(front.port, { path: '/cases/1?a=b', headers: { accept: 'text/plain', te: 'trailers' } })
  t.match(reply, { status: 200, statusMessage: 'OK', body: 'hi', complete: true })
  t.match(reply.headers, { 'content-length': '2', 'content-encoding': 'gzip', 'x-own': '1', 'x-request-id': 'ours' })
  const [hit] = upstream.hits
  t.match(hit?.head, /^GET \/cases\/1\?a=b HTTP\/1\.1\r\n/)
  t.equal(headerIn(hit, 'host'), new URL(upstream.url).host)
  t.equal(headerIn(hit, 'accept'), 'text/plain')
  t.equal(headerIn(hit, 'expect'), undefined)
  t.match(claimsIn(hit), { aud: 'cases', target: '/cases/1?a=b', htm: 'GET' })
  t.same(await front.settled(1), { upstreamStatus: 200, reason: null, bytes: 2, domainDecision: null })
})

t.test('frames what it sends by itself', async (t) => {
  const { upstream, front } = await withRaw(t, async ({ socket, body }) => socket.write(ok(await body)))
  t.test('a body with a length', async (t) => {
    const reply = await call(front.port, { method: 'POST', headers: { 'content-length': '5' }, body: 'hello' })
    t.equal(reply.body, 'hello')
    t.equal(headerIn(upstream.hits.at(-1), 'content-length'), '5')
    t.equal(headerIn(upstream.hits.at(-1), 'transfer-encoding'), undefined)
  })
  t.test('a chunked body, without its trailers', async (t) => {
    const head = 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\nTrailer: X-Remote-User\r\n\r\n'
    const reply = await talk(front.port, head, '3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nX-Remote-User: root\r\n\r\n')
    const hit = upstream.hits.at(-1)
    t.match(reply, /^HTTP\/1\.1 200 OK/)
    t.equal(headerIn(hit, 'transfer-encoding'), 'chunked')
    t.equal(headerIn(hit, 'content-length'), undefined)
    const sent = (await hit?.body) ?? ''
    t.equal(sent.replace(/[0-9a-f]+\r\n([a-e]*)\r\n/g, '$1').trim(), 'abcde')
    t.notMatch(sent + hit?.head, /remote-user|ext=/i)
  })
  t.test('a chunked body of nothing', async (t) => {
    await talk(front.port, 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n')
    t.equal(headerIn(upstream.hits.at(-1), 'content-length'), '0')
  })
  t.test('no body', async (t) => {
    await call(front.port, { method: 'DELETE' })
    t.notMatch(upstream.hits.at(-1)?.head, /^(content-length|transfer-encoding)/im)
  })
  t.test('a GET with a body', async (t) => {
    const reply = await call(front.port, { headers: { 'content-length': '3' }, body: 'abc' })
    t.equal(reply.body, 'abc')
    t.equal(headerIn(upstream.hits.at(-1), 'content-length'), '3')
  })
})

t.test('sends a held body with its length', async (t) => {
  const { upstream, front } = await withRaw(t, async ({ socket, body }) => socket.write(ok(await body)), { hold: true })
  const reply = await call(front.port, { method: 'POST', headers: { 'transfer-encoding': 'chunked' }, body: 'held' })
  t.equal(reply.body, 'held')
  t.equal(headerIn(upstream.hits[0], 'content-length'), '4')
  t.ok(claimsIn(upstream.hits[0]).bdh)
})

t.test('answers without body are complete with their head', async (t) => {
  const lines: Record<string, string> = {
    '/head': 'HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n',
    '/204': 'HTTP/1.1 204 No\r\n\r\n',
    '/204-with-length': 'HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\nabc',
    '/304': 'HTTP/1.1 304 Not\r\nContent-Length: 1234\r\nETag: "1"\r\n\r\n',
  }
  const { front } = await withRaw(t, ({ socket, head }) => socket.write(lines[head.split(' ')[1] ?? ''] ?? ok('next')))
  const requests = ['HEAD /head', 'GET /204', 'GET /204-with-length', 'GET /304', 'GET /last']
  const text = await talk(
    front.port,
    requests.map((line, i) => `${line} HTTP/1.1\r\nHost: a\r\n${i === 4 ? 'Connection: close\r\n' : ''}\r\n`).join(''),
  )
  const heads = text.split(/(?=HTTP\/1\.1 )/)
  t.same(
    heads.map((head) => head.slice(9, 12)),
    ['200', '204', '204', '304', '200'],
    'one answer each, on one connection',
  )
  t.match(heads[0], /content-length: 1234/i)
  t.notMatch(heads[2], /content-length|abc/i, 'a 204 has no length')
  t.match(heads[3], /content-length: 1234/i)
  t.match(heads[4], /next$/)
  t.same(
    (front.results as Outcome[]).map(({ reason }) => reason),
    [null, null, null, null, null],
  )
})

t.test('denies upstream_invalid: an answer that breaks HTTP', async (t) => {
  const rows: Record<string, string> = {
    'length and chunked': 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
    'chunked and length': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
    'two lengths': 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd',
    'a list of lengths': 'HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc',
    'a negative length': 'HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabc',
    'an unknown transfer coding': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nConnection: close\r\n\r\nabc',
    'a transfer coding not undone': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
    'a folded header': 'HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 3\r\n\r\nabc',
    'NUL in a header': 'HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 3\r\n\r\nabc',
    'CR in a header': 'HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 3\r\n\r\nabc',
    'bare LF': 'HTTP/1.1 200 OK\nContent-Length: 3\n\nabc',
    'status 000': 'HTTP/1.1 000 OK\r\nContent-Length: 3\r\n\r\nabc',
    'status 099': 'HTTP/1.1 099 OK\r\nContent-Length: 3\r\n\r\nabc',
    'status 600': 'HTTP/1.1 600 OK\r\nContent-Length: 3\r\n\r\nabc',
    'status 20': 'HTTP/1.1 20 OK\r\nContent-Length: 3\r\n\r\nabc',
    garbage: '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
    'HTTP/0.9': 'hello',
    'head cut': 'HTTP/1.1 200 OK\r\nConte',
    'one byte': 'H',
    'a huge head': `HTTP/1.1 200 OK\r\n${`X-Filler: ${'x'.repeat(1000)}\r\n`.repeat(40)}\r\n`,
    'many small headers': `HTTP/1.1 200 OK\r\n${'a: b\r\n'.repeat(20_000)}\r\n`,
    'an unasked-for 100': `HTTP/1.1 100 Continue\r\n\r\n${ok('abc')}`,
    'an unasked-for 101': 'HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
    'a 101 without upgrade': 'HTTP/1.1 101 Switching\r\n\r\n',
    'interim answers without end': `${'HTTP/1.1 103 Early\r\nLink: x\r\n\r\n'.repeat(50)}${ok('abc')}`,
    'its own 401': 'HTTP/1.1 401 No\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n',
    'its own 407': 'HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n',
  }
  for (const [name, bytes] of Object.entries(rows)) {
    t.test(name, async (t) => {
      const { upstream, front } = await withRaw(t, ({ socket }) => socket.end(Buffer.from(bytes, 'latin1')))
      await denied(t, front, 'upstream_invalid')
      t.equal(upstream.hits.length, 1)
    })
  }
})

t.test('does not pass interim answers on', async (t) => {
  const { front } = await withRaw(t, ({ socket }) => socket.write(`HTTP/1.1 103 Early\r\nLink: x\r\n\r\n${ok('abc')}`))
  const text = await talk(front.port, 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  t.match(text, /^HTTP\/1\.1 200 /)
  t.notMatch(text, /103|link/i)
})

t.test('passes 401 on where the token is passed on', async (t) => {
  const answer = 'HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer\r\nContent-Length: 0\r\n\r\n'
  const { front } = await withRaw(t, ({ socket }) => socket.write(answer), { upstream: { pass_token: true } })
  const reply = await call(front.port)
  t.equal(reply.status, 401)
  t.equal(reply.headers['www-authenticate'], 'Bearer')
})

t.test('denies upstream_unreachable', async (t) => {
  t.test('nobody listens', async (t) => {
    const { upstream, front } = await withRaw(t, () => undefined)
    upstream.close()
    await denied(t, front, 'upstream_unreachable')
  })
  t.test('no such name', async (t) => {
    const front = await openFront({ route: makeRoute(makeUpstream('http://upstream.invalid:8080')) })
    t.teardown(() => front.close())
    await denied(t, front, 'upstream_unreachable')
  })
  t.test('closed in silence', async (t) => {
    const { upstream, front } = await withRaw(t, ({ socket }) => socket.end())
    await denied(t, front, 'upstream_unreachable')
    t.equal(upstream.hits.length, 1, 'a new connection is not tried again')
  })
  t.test('reset in silence', async (t) => {
    const { upstream, front } = await withRaw(t, ({ socket }) => socket.resetAndDestroy())
    await denied(t, front, 'upstream_unreachable')
    t.equal(upstream.hits.length, 1)
  })
})

t.test('denies upstream_timeout', async (t) => {
  t.test('no answer', async (t) => {
    const { upstream, front } = await withRaw(t, () => undefined, { upstream: timeouts({ headers: 0.2 }) })
    await denied(t, front, 'upstream_timeout')
    await closed(upstream.sockets[0])
  })
  t.test('a head that trickles', async (t) => {
    const trickle = ({ socket }: Hit) => {
      socket.write('HTTP/1.1 200 OK\r\nX-Slow: ')
      const timer = setInterval(() => socket.write('x'), 50)
      socket.on('close', () => clearInterval(timer))
    }
    const { front } = await withRaw(t, trickle, { upstream: timeouts({ headers: 0.2 }) })
    await denied(t, front, 'upstream_timeout')
  })
  t.test('no free connection', async (t) => {
    const { upstream, front } = await withRaw(t, () => undefined, { upstream: { connections: 1, ...timeouts({ connect: 0.2 }) } })
    const first = call(front.port).catch(() => null)
    while (upstream.hits.length === 0) await sleep(5)
    const reply = await call(front.port)
    t.same(JSON.parse(reply.body), { reason: 'upstream_timeout' })
    upstream.hits[0]?.socket.write(ok('late'))
    t.equal((await first)?.body, 'late')
    const next = call(front.port)
    while (upstream.hits.length === 1) await sleep(5)
    upstream.hits[1]?.socket.write(ok('next'))
    t.equal((await next).body, 'next')
    t.equal(upstream.hits.length, 2, 'what was given up was not sent')
    t.equal(upstream.sockets.length, 1, 'and its turn cost no connection')
  })
  t.test('a TLS handshake that never comes', async (t) => {
    const silent = net.createServer((socket) => void socket.on('error', () => undefined)).listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const url = `https://127.0.0.1:${(silent.address() as AddressInfo).port}`
    const front = await openFront({ route: makeRoute(makeUpstream(url, timeouts({ connect: 0.2 }))) })
    t.teardown(async () => {
      await front.close()
      silent.close()
    })
    await denied(t, front, 'upstream_timeout')
  })
})

t.test('an answer that stops short is seen as short', async (t) => {
  const rows: Record<string, [bytes: string, reason: string]> = {
    'too little for its length': ['HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nabc', 'upstream_invalid'],
    'too little, announced close': ['HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 30\r\n\r\nabc', 'upstream_invalid'],
    'a cut chunk': ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc', 'upstream_invalid'],
    'no last chunk': ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n', 'upstream_invalid'],
    'a broken chunk': ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n', 'upstream_invalid'],
  }
  for (const [name, [bytes, reason]] of Object.entries(rows)) {
    t.test(name, async (t) => {
      const { front } = await withRaw(t, ({ socket }) => {
        socket.write(bytes)
        setTimeout(() => socket.end(), 30)
      })
      const reply = await call(front.port)
      t.equal(reply.complete, false)
      t.match(await front.settled(1), { upstreamStatus: 200, reason })
    })
  }
  t.test('silence', async (t) => {
    const { front } = await withRaw(t, ({ socket }) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nabc'), {
      upstream: timeouts({ body: 0.2 }),
    })
    t.match(await call(front.port), { complete: false, body: 'abc' })
    t.match(await front.settled(1), { upstreamStatus: 200, reason: 'upstream_timeout' })
  })
  t.test('a client of HTTP/1.0 is reset, not ended', async (t) => {
    const { front } = await withRaw(t, ({ socket }) => {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n')
      setTimeout(() => socket.end(), 30)
    })
    const socket = net.connect(front.port, '127.0.0.1')
    socket.write('GET / HTTP/1.0\r\nHost: a\r\n\r\n')
    socket.resume()
    const [error] = await once(socket, 'error')
    t.equal((error as NodeJS.ErrnoException).code, 'ECONNRESET')
  })
})

t.test('cuts what is more than the length', async (t) => {
  const { upstream, front } = await withRaw(t, ({ socket }) => socket.write(`${ok('abc')}${ok('smuggled')}`))
  t.equal((await call(front.port)).body, 'abc')
  t.equal((await call(front.port)).body, 'abc', 'the second answer is nobody’s')
  t.equal(upstream.sockets.length, 2)
})

t.test('sends a second time', async (t) => {
  /** Answers the first request, then does `then` to the next on the same connection. */
  const afterFirst = (then: (hit: Hit) => void) => (hit: Hit) => {
    if (hit.number === 2) then(hit)
    else hit.socket.write(ok(`answer ${hit.number}`))
  }
  for (const method of ['GET', 'HEAD']) {
    t.test(`a ${method} whose reused connection closed in silence`, async (t) => {
      const { upstream, front } = await withRaw(
        t,
        afterFirst(({ socket }) => socket.end()),
      )
      await call(front.port)
      t.match(await call(front.port, { method }), { status: 200, body: method === 'GET' ? 'answer 3' : '' })
      t.equal(upstream.hits.length, 3)
      const [, second, third] = upstream.hits.map(claimsIn)
      t.equal(second?.txn, third?.txn)
      t.not(second?.jti, third?.jti)
    })
  }
  t.test('one whose reused connection was reset', async (t) => {
    const { upstream, front } = await withRaw(
      t,
      afterFirst(({ socket }) => socket.resetAndDestroy()),
    )
    await call(front.port)
    t.equal((await call(front.port)).body, 'answer 3')
    t.equal(upstream.hits.length, 3)
  })
  t.test('but once only', async (t) => {
    const { upstream, front } = await withRaw(t, (hit) =>
      hit.number < 2 ? hit.socket.write(ok('answer')) : hit.socket.resetAndDestroy(),
    )
    await call(front.port)
    await denied(t, front, 'upstream_unreachable')
    t.equal(upstream.hits.length, 3)
  })
  t.test('but no POST', async (t) => {
    for (const body of [undefined, 'abc']) {
      const { upstream, front } = await withRaw(
        t,
        afterFirst(({ socket }) => socket.end()),
      )
      await call(front.port)
      const headers = { 'content-length': String(body?.length ?? 0) }
      t.equal((await call(front.port, { method: 'POST', headers, ...(body === undefined ? {} : { body }) })).status, 502)
      t.equal(upstream.hits.length, 2)
    }
  })
  t.test('but no GET with a body', async (t) => {
    const { upstream, front } = await withRaw(
      t,
      afterFirst(({ socket }) => socket.end()),
    )
    await call(front.port)
    t.equal((await call(front.port, { headers: { 'content-length': '3' }, body: 'abc' })).status, 502)
    t.equal(upstream.hits.length, 2)
  })
  t.test('but none whose answer had begun', async (t) => {
    const { upstream, front } = await withRaw(
      t,
      afterFirst(({ socket }) => socket.end('H')),
    )
    await call(front.port)
    await denied(t, front, 'upstream_invalid')
    t.equal(upstream.hits.length, 2)
  })
  t.test('but none that timed out', async (t) => {
    const { upstream, front } = await withRaw(
      t,
      afterFirst(() => undefined),
      { upstream: timeouts({ headers: 0.2 }) },
    )
    await call(front.port)
    await denied(t, front, 'upstream_timeout')
    t.equal(upstream.hits.length, 2)
  })
  t.test('never: one whose idle connection broke before it was written', async (t) => {
    for (const how of ['end', 'resetAndDestroy'] as const) {
      const { upstream, front } = await withRaw(t, async ({ socket, number, body }) => {
        await body
        socket.write(ok(`answer ${number}`))
      })
      const client = net.connect(front.port, '127.0.0.1')
      client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
      await once(client, 'data')
      await sleep(20)
      // Both reach the gateway in one turn of its event loop, the request first.
      client.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc')
      upstream.sockets[0]?.[how]()
      const [reply] = (await once(client, 'data')) as [Buffer]
      t.match(reply.toString(), /answer 2$/, how)
      t.equal(await upstream.hits[1]?.body, 'abc')
      t.same([upstream.hits.length, upstream.sockets.length], [2, 2])
      client.destroy()
    }
  })
})

t.test('a client that goes takes its request with it', async (t) => {
  const start = (front: Front, ...parts: string[]) => {
    const socket = net.connect(front.port, '127.0.0.1')
    for (const part of parts) socket.write(part)
    return socket
  }
  const gone = async (t: Test, { upstream, front }: Awaited<ReturnType<typeof withRaw>>, client: net.Socket) => {
    while (upstream.hits.length === 0) await sleep(5)
    await sleep(20)
    const started = performance.now()
    client.destroy()
    await Promise.all([closed(upstream.sockets[0]), front.settled(1)])
    t.ok(performance.now() - started < 500, 'promptly')
    t.match(await front.settled(1), { reason: null })
  }
  t.test('before an answer', async (t) => {
    const both = await withRaw(t, () => undefined)
    await gone(t, both, start(both.front, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'))
  })
  t.test('within an answer', async (t) => {
    const both = await withRaw(t, ({ socket }) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc'))
    await gone(t, both, start(both.front, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'))
  })
  t.test('within its body', async (t) => {
    const both = await withRaw(t, () => undefined)
    await gone(t, both, start(both.front, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc'))
  })
})

t.test('denies body_too_large', async (t) => {
  t.test('by its declared length, without asking the upstream', async (t) => {
    const { upstream, front } = await withRaw(t, () => undefined, { max_body: 10 })
    const reply = await call(front.port, { method: 'POST', headers: { 'content-length': '11' }, body: 'x'.repeat(11) })
    t.equal(reply.status, 413)
    t.equal(upstream.sockets.length, 0)
  })
  t.test('when chunks come to more', async (t) => {
    const { upstream, front } = await withRaw(t, () => undefined, { max_body: 10 })
    const head = 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n'
    const reply = await talk(front.port, head, '6\r\nabcdef\r\n', '6\r\nabcdef\r\n')
    t.match(reply, /^HTTP\/1\.1 413 /)
    t.match(await front.settled(1), { reason: 'body_too_large' })
    await closed(upstream.sockets[0])
  })
  t.test('and not at the limit', async (t) => {
    const { front } = await withRaw(t, async ({ socket, body }) => socket.write(ok(String((await body).length))), {
      max_body: 10,
    })
    t.equal((await call(front.port, { method: 'POST', headers: { 'content-length': '10' }, body: 'x'.repeat(10) })).body, '10')
  })
})

t.test('denies request_timeout when a body stops coming', async (t) => {
  const { upstream, front } = await withRaw(t, () => undefined, { body_idle: 0.2 })
  const reply = await talk(front.port, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc')
  t.match(reply, /^HTTP\/1\.1 408 /)
  await closed(upstream.sockets[0])
})

t.test('does not count time in which the upstream holds the body up', async (t) => {
  const size = 16 * 1024 ** 2
  let received = 0
  const slow = net.createServer((socket) => {
    socket.on('error', () => undefined)
    socket.once('data', (chunk) => {
      received += chunk.length
      socket.pause()
      setTimeout(() => {
        socket.on('data', (more) => {
          received += more.length
          if (received >= size) socket.write(ok('done'))
        })
        socket.resume()
      }, 700)
    })
  })
  slow.listen(0, '127.0.0.1')
  await once(slow, 'listening')
  const url = `http://127.0.0.1:${(slow.address() as AddressInfo).port}`
  const front = await openFront({ route: makeRoute(makeUpstream(url), { max_body: size }), body_idle: 0.2 })
  t.teardown(async () => {
    await front.close()
    slow.close()
  })
  const reply = await call(front.port, { method: 'POST', headers: { 'content-length': String(size) }, body: 'x'.repeat(size) })
  t.equal(reply.body, 'done')
})

t.test('lets the client send its body only when the upstream is there', async (t) => {
  const expecting = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n'
  t.test('there', async (t) => {
    const { upstream, front } = await withRaw(t, async ({ socket, body }) => socket.write(ok(await body)))
    const socket = net.connect(front.port, '127.0.0.1')
    socket.write(expecting)
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk
      if (text === 'HTTP/1.1 100 Continue\r\n\r\n') socket.write('abc')
    })
    await once(socket, 'close')
    t.match(text, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK\r\n[\s\S]*abc$/)
    t.equal(headerIn(upstream.hits[0], 'expect'), undefined)
  })
  t.test('not there', async (t) => {
    const { upstream, front } = await withRaw(t, () => undefined)
    upstream.close()
    t.match(await talk(front.port, expecting), /^HTTP\/1\.1 502 /)
  })
})

t.test('an answer that comes before the body has ended', async (t) => {
  t.test('reaches a client that is still sending, and ends its connection', async (t) => {
    const { front } = await withRaw(t, ({ socket }) => socket.write('HTTP/1.1 413 Too\r\nContent-Length: 3\r\n\r\nbig'), {
      max_body: 1024 ** 3,
    })
    const socket = net.connect(front.port, '127.0.0.1')
    const errors: Error[] = []
    socket.on('error', (error) => errors.push(error))
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk
    })
    socket.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n')
    const sending = setInterval(() => socket.write('x'.repeat(100_000)), 10)
    await sleep(300)
    t.match(text, /big$/)
    t.notOk(socket.closed || socket.readableEnded, 'who is still sending is heard out')
    clearInterval(sending)
    await closed(socket)
    t.same(errors, [], 'no reset takes the answer away')
    t.match(text, /^HTTP\/1\.1 413 Payload Too Large\r\n/)
    t.match(text, /connection: close/i)
    t.match(text, /big$/)
    t.match(await front.settled(1), { upstreamStatus: 413, reason: null, bytes: 3 })
  })
  t.test('leaves the connection in step when little is left', async (t) => {
    const { upstream, front } = await withRaw(t, ({ socket, number }) => socket.write(ok(`answer ${number}`)))
    const socket = net.connect(front.port, '127.0.0.1')
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk
    })
    socket.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\nGET ')
    while (!text.includes('answer 1')) await sleep(5)
    socket.write('/smuggled HTTP/1.1\r\nHost: a\r\nX-Junk: \r\n'.slice(0, 36))
    await sleep(30)
    socket.write('GET /honest HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
    await once(socket, 'close')
    t.match(text, /answer 2$/)
    t.equal(upstream.hits.length, 2)
    t.match(upstream.hits[1]?.head, /^GET \/honest /)
  })
})

t.test('event streams', async (t) => {
  const head = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n'
  t.test('are passed on as they come', async (t) => {
    const { front } = await withRaw(
      t,
      ({ socket }) => {
        socket.write(head)
        const timer = setInterval(() => socket.write(`10\r\ndata: ${String(Date.now() % 1e8).padStart(8, '0')}\n\n\r\n`), 400)
        socket.on('close', () => clearInterval(timer))
      },
      { upstream: timeouts({ body: null }) },
    )
    const request = http.get({ port: front.port, host: '127.0.0.1', agent: false })
    const started = performance.now()
    const [response] = (await once(request, 'response')) as [http.IncomingMessage]
    t.ok(performance.now() - started < 350, 'the head does not wait for an event')
    let late = 0
    for (let i = 0; i < 3; i++) {
      const [chunk] = (await once(response, 'data')) as [Buffer]
      late = Math.max(late, (Date.now() % 1e8) - Number(/data: (\d+)/.exec(chunk.toString())?.[1]))
    }
    t.ok(late < 300, `events are at most ${late} ms late`)
    request.destroy()
  })
  t.test('end when the token does', async (t) => {
    const { upstream, front } = await withRaw(t, ({ socket }) => socket.write(`${head}5\r\ndata:\r\n`), {
      token: makeToken(Date.now() / 1000 + 0.4),
    })
    const reply = await call(front.port)
    t.match(reply, { status: 200, body: 'data:', complete: true })
    t.match(await front.settled(1), { upstreamStatus: 200, reason: null, bytes: 5 })
    await closed(upstream.sockets[0])
  })
  t.test('with a length are cut then, not completed', async (t) => {
    const { front } = await withRaw(
      t,
      ({ socket }) => socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 100\r\n\r\ndata:'),
      { token: makeToken(Date.now() / 1000 + 0.3) },
    )
    const request = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
    const text = await talk(front.port, request, request)
    t.equal(text.match(/HTTP/g)?.length, 1, 'nothing follows that could pass for the rest')
  })
  t.test('of public routes do not', async (t) => {
    const { front } = await withRaw(
      t,
      ({ socket }) => {
        socket.write(`${head}5\r\ndata:\r\n`)
        setTimeout(() => socket.write('0\r\n\r\n'), 300)
      },
      { token: null },
    )
    t.match(await call(front.port), { complete: true })
  })
})

t.test('a client that takes nothing is let go', async (t) => {
  const { upstream, front } = await withRaw(
    t,
    ({ socket }) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n')
      const chunk = Buffer.alloc(1_000_000)
      const more = () => {
        while (!socket.destroyed && socket.write(chunk));
      }
      socket.on('drain', more)
      more()
    },
    { body_idle: 0.3 },
  )
  const socket = net.connect(front.port, '127.0.0.1')
  socket.on('error', () => undefined)
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  socket.pause()
  await front.settled(1)
  await closed(upstream.sockets[0])
  socket.destroy()
})
