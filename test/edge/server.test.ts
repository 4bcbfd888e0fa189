import { once } from 'node:events'
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import tls from 'node:tls'
import t from 'tap'
import type { EdgeExchange } from '../../src/edge/server.js'
import { makeCa, makeServer } from '../support/certs.js'
import { echo, openTestEdge } from '../support/edge.js'
import { ask, openRaw, type RawClient } from '../support/raw.js'

const HOST = 'Host: localhost\r\n'
const get = (path: string, more = '') => `GET ${path} HTTP/1.1\r\n${HOST}${more}\r\n`

/** Resolves with the error code of a handshake that must fail. */
const handshakeError = (port: number, options: tls.ConnectionOptions): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options }, () => {
      // In TLS 1.3 the client is done before the server has judged.
      socket.once('close', () => resolve('closed'))
    })
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    setTimeout(() => reject(new Error('still open')), 5_000).unref()
  })

t.test('every request comes to be served, with its target as it was sent', async (t) => {
  const { port, seen, close } = await openTestEdge()
  t.teardown(close)
  const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND', 'M-SEARCH', 'REPORT', 'PURGE']
  for (const method of methods) {
    const client = await openRaw(port)
    client.send(`${method} /a HTTP/1.1\r\n${HOST}\r\n`)
    const { status } = await client.response({ method })
    t.equal(status, 200, method)
    client.close()
  }
  const targets = [
    '/',
    '//',
    '/a//b',
    '/%',
    '/%zz',
    '/%2e%2e/',
    '/a;b=c',
    '/a?b?c',
    '/a?access_token=%2',
    '*',
    'https://localhost/x',
    `/${'a'.repeat(8000)}`,
  ]
  for (const target of targets) {
    const { status, body } = await ask(port, `GET ${target} HTTP/1.1\r\n${HOST}\r\n`)
    t.same([status, body.toString()], [200, `GET ${target}`], target.slice(0, 40))
  }
  const versioned = await ask(port, get('/', 'Accept-Version: 1.x\r\nX-Request-Id: theirs\r\n'))
  t.equal(versioned.status, 200, 'a header that Fastify routes by changes nothing')
  t.equal(seen.at(-1)?.request.headers['accept-version'], '1.x')
  t.equal(seen.at(-1)?.request.url, '/')
})

t.test('CONNECT comes to be served, and closes', async (t) => {
  const { port, seen, close } = await openTestEdge()
  t.teardown(close)
  const client = await openRaw(port)
  client.send(`CONNECT other:443 HTTP/1.1\r\n${HOST}\r\nGET /behind HTTP/1.1\r\n${HOST}\r\n`)
  const { status, header, body } = await client.response()
  t.same([status, header('connection'), body.toString()], [200, 'close', 'CONNECT other:443'])
  t.equal(await client.ended(), '')
  t.equal(seen.length, 1)
  t.equal(seen[0]?.upgrade, null)
})

t.test('says who is connected, once for each connection', async (t) => {
  const { port, seen, close } = await openTestEdge()
  t.teardown(close)
  const client = await openRaw(port, { servername: 'API.Example.com' })
  client.send(get('/1'))
  await client.response()
  client.send(get('/2'))
  await client.response()
  const [first, second] = seen
  t.equal(first?.connection.servername, 'api.example.com')
  t.equal(first?.connection.peer.address, '127.0.0.1')
  t.equal(first?.connection.peer.port, client.socket.localPort)
  t.equal(first?.connection, second?.connection)
  client.close()
  await ask(port, get('/3'))
  t.equal(seen[2]?.connection.servername, null)
})

t.test('names an IPv4 peer of a dual-stack listener as IPv4', async (t) => {
  const { port, seen, close } = await openTestEdge({ listener: { host: '::' } })
  t.teardown(close)
  await ask(port, get('/'))
  t.equal(seen[0]?.connection.peer.address, '127.0.0.1')
})

t.test('TLS is 1.3, or 1.2 with ECDHE and AES-GCM, and HTTP/1.1 alone', async (t) => {
  const { port, close } = await openTestEdge()
  t.teardown(close)
  const negotiated = async (options: tls.ConnectionOptions) => {
    const { socket, close } = await openRaw(port, options)
    t.teardown(close)
    return { protocol: socket.getProtocol(), cipher: socket.getCipher().name, alpn: socket.alpnProtocol }
  }
  t.match(await negotiated({}), { protocol: 'TLSv1.3', cipher: 'TLS_AES_128_GCM_SHA256' })
  t.match(await negotiated({ ALPNProtocols: ['h2', 'http/1.1'] }), { alpn: 'http/1.1' })
  t.match(await negotiated({ maxVersion: 'TLSv1.2' }), { protocol: 'TLSv1.2', cipher: 'ECDHE-ECDSA-AES128-GCM-SHA256' })
  t.match(await negotiated({ ciphers: 'TLS_AES_256_GCM_SHA384' }), { cipher: 'TLS_AES_256_GCM_SHA384' })

  t.match(await handshakeError(port, { ALPNProtocols: ['h2'] }), /NO_APPLICATION_PROTOCOL/)
  t.match(await handshakeError(port, { ciphers: 'TLS_CHACHA20_POLY1305_SHA256' }), /HANDSHAKE_FAILURE/)
  const old = { minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' } as const
  t.match(await handshakeError(port, { ...old, maxVersion: 'TLSv1' }), /PROTOCOL_VERSION/)
  t.match(await handshakeError(port, { ...old, maxVersion: 'TLSv1.1' }), /PROTOCOL_VERSION/)
  for (const ciphers of [
    'ECDHE-ECDSA-CHACHA20-POLY1305',
    'ECDHE-ECDSA-AES128-SHA256',
    'ECDHE-ECDSA-AES128-SHA',
    'AES128-GCM-SHA256',
    'DHE-RSA-AES128-GCM-SHA256',
  ]) {
    t.match(await handshakeError(port, { maxVersion: 'TLSv1.2', ciphers }), /HANDSHAKE_FAILURE/, ciphers)
  }
  t.match(await handshakeError(port, { ecdhCurve: 'P-521' }), /HANDSHAKE_FAILURE/)
})

t.test('renegotiation is not to be had', async (t) => {
  const { port, close } = await openTestEdge()
  t.teardown(close)
  const client = await openRaw(port, { maxVersion: 'TLSv1.2' })
  const error = await new Promise<Error | null>((resolve) => {
    client.socket.once('error', resolve)
    client.socket.renegotiate({}, (error) => resolve(error))
  })
  t.match(error?.message, /no.renegotiation/i)
  client.close()
})

t.test('refuses what is no request, once, and closes', async (t) => {
  const { port, broken, seen, close } = await openTestEdge({ limits: { header_bytes: 4096 } })
  t.teardown(close)
  const cases = [
    ['request_malformed', 'nonsense\r\n\r\n'],
    ['request_malformed', `GET / HTTP/1.1\r\n${HOST}A : b\r\n\r\n`],
    ['headers_too_large', get('/', `X: ${'a'.repeat(5000)}\r\n`)],
    ['headers_too_large', get(`/${'a'.repeat(5000)}`)],
    ['headers_too_large', `${get('/').slice(0, -2)}${'A: bcdefg\r\n'.repeat(1000)}`],
  ] as const
  for (const [reason, bytes] of cases) {
    broken.length = 0
    const client = await openRaw(port)
    client.send(bytes)
    t.equal((await client.response()).body.toString(), reason)
    client.send('more\r\n')
    t.equal(await client.ended(), '')
    t.equal(broken.length, 1, 'refused once')
    t.match(broken[0], { reason, peer: { address: '127.0.0.1', certificate: null } })
    client.close()
  }
  t.equal(seen.length, 0)
})

t.test('a client that leaves within a message is not told anything', async (t) => {
  const { port, broken, seen, close } = await openTestEdge()
  t.teardown(close)
  const client = await openRaw(port)
  client.send('GET / HTTP/1.1\r\nHost: loc')
  client.socket.end()
  t.equal(await client.ended(), '')
  const other = await openRaw(port)
  other.send('GET / HT')
  other.close()
  await sleep(50)
  t.same([broken.length, seen.length], [0, 0])
})

t.test('hides no header line that may be there, and never that there was one too many', async (t) => {
  const { port, seen, close } = await openTestEdge({ limits: { header_count: 100 } })
  t.teardown(close)
  const linesOf = async (fillers: number) => {
    await ask(port, get('/', `${'A: b\r\n'.repeat(fillers)}Authorization: second\r\n`))
    return seen.at(-1)?.request.rawHeaders ?? []
  }
  // With Host and the last one.
  t.equal((await linesOf(98)).at(-1), 'second')
  for (const fillers of [99, 100, 3000]) t.ok((await linesOf(fillers)).length / 2 > 100, `${fillers}: it is refused`)
})

t.test('pipelined requests are served one after another', async (t) => {
  const begun: EdgeExchange[] = []
  const { port, close } = await openTestEdge({ handle: (exchange) => void begun.push(exchange) })
  t.teardown(close)
  const client = await openRaw(port)
  client.send(get('/1') + get('/2') + get('/3'))
  await sleep(50)
  for (const [index, path] of ['/1', '/2', '/3'].entries()) {
    t.same(
      begun.map(({ rawTarget }) => rawTarget),
      ['/1', '/2', '/3'].slice(0, index + 1),
    )
    const exchange = begun[index]
    if (exchange !== undefined) echo(exchange)
    t.equal((await client.response()).body.toString(), `GET ${path}`)
    await sleep(20)
  }
  client.close()
})

t.test('nothing behind a closing answer is served', async (t) => {
  const { port, seen, close } = await openTestEdge({
    handle: ({ response }) => response.writeHead(400, ['Connection', 'close', 'Content-Length', '0']).end(),
  })
  t.teardown(close)
  const client = await openRaw(port)
  client.send(get('/1') + get('/2') + get('/3'))
  t.equal((await client.response()).status, 400)
  t.equal(await client.ended(), '')
  t.equal(seen.length, 1)
})

t.test('garbage behind a request ends the connection after its answer', async (t) => {
  const begun: EdgeExchange[] = []
  const { port, broken, close } = await openTestEdge({ handle: (exchange) => void begun.push(exchange) })
  t.teardown(close)
  const client = await openRaw(port)
  client.send(`${get('/1')}${get('/2')}garbage\r\n\r\n`)
  await sleep(50)
  for (const exchange of begun) echo(exchange)
  const { body, header } = await client.response()
  t.same([body.toString(), header('connection')], ['GET /1', 'close'])
  t.equal(await client.ended(), '')
  t.same([begun.length, broken.length], [1, 0])
})

t.test('more waiting requests than anyone needs end the connection', async (t) => {
  const { port, seen, close } = await openTestEdge({ handle: () => undefined })
  t.teardown(close)
  const client = await openRaw(port)
  client.send(get('/').repeat(100))
  await client.ended()
  t.equal(seen.length, 1)
})

t.test('100 Continue is sent when asked for, once, and not over HTTP/1.0', async (t) => {
  const { port, close } = await openTestEdge({
    handle: (exchange) => {
      exchange.sendContinue()
      exchange.sendContinue()
      exchange.request.resume().on('end', () => echo(exchange))
    },
  })
  t.teardown(close)
  const post = (version: string, expect: string) => `POST /a HTTP/${version}\r\n${HOST}Content-Length: 2\r\n${expect}\r\n`
  const client = await openRaw(port)
  client.send(post('1.1', 'Expect: 100-Continue\r\n'))
  t.equal((await client.response()).status, 100)
  client.send('ab')
  t.equal((await client.response()).status, 200)
  client.send(post('1.1', ''), 'ab')
  t.equal((await client.response()).status, 200)
  client.send(post('1.1', 'Expect: something\r\n'), 'ab')
  t.equal((await client.response()).status, 200, 'another expectation is for the decision to refuse')
  client.close()
  t.equal((await ask(port, `${post('1.0', 'Expect: 100-continue\r\n')}ab`)).status, 200)
})

t.test('no 100 Continue and no body where the answer comes at once', async (t) => {
  const { port, close } = await openTestEdge({
    handle: (exchange) => {
      exchange.response.writeHead(401, ['Content-Length', '0']).end()
      exchange.sendContinue()
    },
  })
  t.teardown(close)
  const { status } = await ask(port, `POST /a HTTP/1.1\r\n${HOST}Content-Length: 200000\r\nExpect: 100-continue\r\n\r\n`)
  t.equal(status, 401)
})

t.test('an answer that closes reaches a client that is still sending, without a reset behind it', async (t) => {
  const { port, close } = await openTestEdge({
    handle: ({ response }) => response.writeHead(413, ['Connection', 'close', 'Content-Length', '5']).end('large'),
  })
  t.teardown(close)
  for (let round = 0; round < 5; round++) {
    const client = await openRaw(port)
    const errors: (string | undefined)[] = []
    client.socket.on('error', ({ code }: NodeJS.ErrnoException) => errors.push(code))
    client.send(`POST /a HTTP/1.1\r\n${HOST}Content-Length: 80000000\r\n\r\n`, Buffer.alloc(8_000_000))
    const { status, body } = await client.response()
    t.same([status, body.toString()], [413, 'large'])
    await client.ended()
    await sleep(20)
    t.same(errors, [])
    client.close()
  }
})

t.test('a closing answer is not cut for a client that reads slowly', async (t) => {
  const size = 16_000_000
  const { port, close } = await openTestEdge({
    handle: ({ response }) =>
      response.writeHead(200, ['Connection', 'close', 'Content-Length', String(size)]).end(Buffer.alloc(size)),
  })
  t.teardown(close)
  const client = await openRaw(port)
  client.send(get('/'))
  await sleep(20)
  client.socket.pause()
  await sleep(2500)
  client.socket.resume()
  t.equal((await client.response()).body.length, size)
  t.equal(await client.ended(), '')
})

t.test('a client that stays after a closing answer is not waited for', async (t) => {
  const { port, close } = await openTestEdge({
    handle: ({ response }) => response.writeHead(200, ['Connection', 'close', 'Content-Length', '0']).end(),
  })
  t.teardown(close)
  const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  const client = await openRaw(port, { socket })
  client.send(get('/'))
  t.equal((await client.response()).status, 200)
  const drip = setInterval(() => client.socket.destroyed || client.send('x'), 50)
  const began = Date.now()
  await client.ended()
  await new Promise((resolve) => (client.socket.closed ? resolve(null) : client.socket.once('close', resolve)))
  clearInterval(drip)
  t.ok(Date.now() - began < 3000)
})

t.test('a body that breaks', async (t) => {
  const chunked = `POST /a HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n`
  const broken = `4\r\nabcd\r\nxx\r\n`

  t.test('is refused where nothing is answered yet, and the exchange is told', async (t) => {
    const closed: boolean[] = []
    const {
      port,
      broken: refused,
      close,
    } = await openTestEdge({
      handle: ({ request, response }) => {
        request.on('data', () => undefined)
        response.on('close', () => {
          closed.push(response.destroyed)
          response.writeHead(200).end('too late')
        })
      },
    })
    t.teardown(close)
    for (const body of [
      broken,
      '4_\r\n',
      '0x4\r\nabcd\r\n',
      '4 \r\nabcd\r\n',
      '4\nabcd\n',
      '4\r\nabcdXX',
      '10000000000000004\r\n',
      `4;${'a'.repeat(20_000)}`,
    ]) {
      const client = await openRaw(port)
      client.send(chunked)
      await sleep(10)
      client.send(body)
      t.equal((await client.response()).body.toString(), 'request_malformed', body.slice(0, 20))
      t.equal(await client.ended(), '')
      client.close()
    }
    await sleep(10)
    t.same(closed, new Array(8).fill(true))
    t.equal(refused.length, 8)
  })

  t.test('is told to whoever listens for errors of it, who answers', async (t) => {
    const {
      port,
      broken: refused,
      close,
    } = await openTestEdge({
      handle: ({ request, response }) => {
        request.resume().on('error', () => response.writeHead(400, ['Content-Length', '4']).end('mine'))
      },
    })
    t.teardown(close)
    const client = await openRaw(port)
    client.send(chunked, broken)
    const { body, header } = await client.response()
    t.same([body.toString(), header('connection')], ['mine', 'close'])
    t.equal(await client.ended(), '')
    t.equal(refused.length, 0)
  })

  t.test('cuts an answer that is under way', async (t) => {
    const {
      port,
      broken: refused,
      close,
    } = await openTestEdge({
      handle: ({ request, response }) => {
        request.resume()
        response.writeHead(200).write('part')
      },
    })
    t.teardown(close)
    const client = await openRaw(port)
    client.send(chunked)
    await sleep(30)
    client.send(broken)
    const text = await client.ended()
    t.match(text, /^HTTP\/1\.1 200 /)
    t.ok(text.endsWith('\r\n\r\n4\r\npart\r\n'), 'nothing is written into it')
    t.equal(refused.length, 0)
  })
})

t.test('an Upgrade', async (t) => {
  const websocket = 'Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n'

  t.test('is served as a plain request, and what follows it never as one', async (t) => {
    const { port, seen, close } = await openTestEdge()
    t.teardown(close)
    const client = await openRaw(port)
    client.send(get('/ws', websocket) + get('/behind'))
    const { status, header, body } = await client.response()
    t.same([status, header('connection'), body.toString()], [200, 'close', 'GET /ws'])
    t.equal(await client.ended(), '')
    t.equal(seen.length, 1)
    t.equal(seen[0]?.upgrade?.head.toString(), get('/behind'))
    t.equal(seen[0]?.request.complete, true)
  })

  t.test('can be taken over, socket and all', async (t) => {
    const { port, close } = await openTestEdge({
      handle: ({ upgrade, response }) => {
        if (upgrade === null) return
        response.writeHead(101, ['Connection', 'Upgrade', 'Upgrade', 'websocket'])
        response.flushHeaders()
        response.detachSocket(upgrade.socket)
        upgrade.socket.write(upgrade.head)
        upgrade.socket.pipe(upgrade.socket)
      },
    })
    t.teardown(close)
    const client = await openRaw(port)
    client.send(`${get('/ws', websocket)}head`)
    t.equal((await client.response()).status, 101)
    client.send('-echo')
    await sleep(50)
    client.socket.end()
    t.equal(await client.ended(), 'head-echo')
  })

  t.test('is ignored over HTTP/1.0', async (t) => {
    const { port, seen, close } = await openTestEdge()
    t.teardown(close)
    t.equal((await ask(port, `GET /ws HTTP/1.0\r\n${HOST}${websocket}\r\n`)).status, 200)
    t.equal(seen[0]?.upgrade, null)
  })

  t.test('streams a large answer with backpressure', async (t) => {
    const { port, close } = await openTestEdge({
      handle: ({ response }) => {
        let left = 64
        response.writeHead(200, ['Content-Length', String(64 * 65_536)])
        const write = () => {
          while (left > 0) {
            left -= 1
            if (!response.write(Buffer.alloc(65_536))) return void response.once('drain', write)
          }
          response.end()
        }
        write()
      },
    })
    t.teardown(close)
    t.equal((await ask(port, get('/ws', websocket))).body.length, 64 * 65_536)
  })

  t.test('behind a request that is not answered yet ends the connection', async (t) => {
    const { port, seen, close } = await openTestEdge({ handle: () => undefined })
    t.teardown(close)
    const client = await openRaw(port)
    client.send(get('/1') + get('/ws', websocket))
    t.equal(await client.ended(), '')
    t.equal(seen.length, 1)
  })
})

t.test('limits', async (t) => {
  t.test('a slow head is refused in time', async (t) => {
    const { port, close } = await openTestEdge({ limits: { headers: 1 } })
    t.teardown(close)
    const client = await openRaw(port)
    const began = Date.now()
    client.send('GET / HTTP/1.1\r\nHost: ')
    const drip = setInterval(() => client.send('a'), 100)
    t.equal((await client.response()).body.toString(), 'request_timeout')
    clearInterval(drip)
    const took = Date.now() - began
    t.ok(took > 900 && took < 2100, `${took} ms`)
    await client.ended()
  })

  t.test('a slow handshake and a plain HTTP request are closed without a word', async (t) => {
    const { port, broken, close } = await openTestEdge({ limits: { handshake: 1 } })
    t.teardown(close)
    const talk = (bytes: string): Promise<string> =>
      new Promise((resolve) => {
        let text = ''
        const socket = net.connect(port, '127.0.0.1', () => socket.write(bytes))
        socket.on('data', (chunk) => {
          text += chunk
        })
        socket.on('error', () => undefined)
        socket.on('close', () => resolve(text))
      })
    const began = Date.now()
    t.equal(await talk(''), '')
    t.ok(Date.now() - began < 2000)
    t.notMatch(await talk('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'), /HTTP/)
    t.equal(broken.length, 0)
  })

  t.test('an idle connection is closed', async (t) => {
    const { port, close } = await openTestEdge({ limits: { idle: 1 } })
    t.teardown(close)
    const client = await openRaw(port)
    client.send(get('/'))
    await client.response()
    const began = Date.now()
    t.equal(await client.ended(), '')
    t.ok(Date.now() - began < 3500)
  })

  t.test('connections beyond the limit are closed at accept, and the room comes back', async (t) => {
    for (const limits of [{ connections: 2 }, { connections_per_address: 2 }]) {
      const { port, close } = await openTestEdge({ limits })
      t.teardown(close)
      const clients: RawClient[] = [await openRaw(port), await openRaw(port)]
      await t.rejects(openRaw(port), JSON.stringify(limits))
      clients[0]?.close()
      await sleep(50)
      t.equal((await ask(port, get('/'))).status, 200)
      clients[1]?.close()
    }
  })

  t.test('handshakes that fail give their room back', async (t) => {
    const { port, close } = await openTestEdge({ limits: { connections_per_address: 2 } })
    t.teardown(close)
    for (let i = 0; i < 5; i++) await handshakeError(port, { ALPNProtocols: ['h2'] })
    await sleep(50)
    t.equal((await ask(port, get('/'))).status, 200)
  })

  t.test('can be changed', async (t) => {
    const { edge, port, close } = await openTestEdge()
    t.teardown(close)
    const { LIMITS } = await import('../support/edge.js')
    edge.setLimits({ ...LIMITS, connections_per_address: 1, header_bytes: 1000 })
    const client = await openRaw(port)
    await t.rejects(openRaw(port))
    client.send(get('/', `X: ${'a'.repeat(2000)}\r\n`))
    t.equal((await client.response()).body.toString(), 'headers_too_large')
  })
})

t.test('a new certificate is taken for new connections, and a bad one is refused', async (t) => {
  const { edge, port, listener, close } = await openTestEdge()
  t.teardown(close)
  const before = await openRaw(port)
  const { cert, key } = await makeServer(await makeCa('Another CA'))
  edge.setTls({ ...listener, tls: { cert, key } })
  t.throws(() => edge.setTls({ ...listener, tls: { cert: 'nonsense', key } }))
  const after = await openRaw(port)
  t.equal(after.socket.getPeerX509Certificate()?.issuer, 'CN=Another CA')
  before.send(get('/'))
  t.equal((await before.response()).status, 200, 'connections stay')
  before.close()
  after.close()
})

t.test('a port that is taken is said so', async (t) => {
  const { port, close } = await openTestEdge()
  t.teardown(close)
  await t.rejects(openTestEdge({ listener: { port } }), {
    message: /^can't listen on 127\.0\.0\.1:\d+ .*EADDRINUSE.*: choose another/,
  })
})

/** Resolves when nobody listens there any more. */
async function notListening(port: number): Promise<void> {
  for (;;) {
    try {
      const client = await openRaw(port)
      client.close()
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ECONNREFUSED') return
    }
  }
}

t.test('closing', async (t) => {
  t.test('answers all that was sent, and says so in the last answer', async (t) => {
    const begun = new Map<string, EdgeExchange>()
    const { edge, port } = await openTestEdge({ handle: (exchange) => void begun.set(exchange.rawTarget, exchange) })
    const arrived = async (target: string): Promise<EdgeExchange> => {
      for (;;) {
        const exchange = begun.get(target)
        if (exchange !== undefined) return exchange
        await sleep(10)
      }
    }
    const [idle, waiting, streaming] = [await openRaw(port), await openRaw(port), await openRaw(port)]
    waiting.send(get('/waiting') + get('/behind'))
    streaming.send(get('/streaming'))
    ;(await arrived('/streaming')).response.writeHead(200, ['Content-Length', '4']).write('ab')
    const waits = await arrived('/waiting')
    const closed = edge.close(60)
    await notListening(port)

    idle.send(get('/idle'))
    echo(await arrived('/idle'))
    t.equal((await idle.response()).header('connection'), 'close', 'a connection without a request may bring one more')
    echo(waits)
    t.equal((await waiting.response()).header('connection'), 'keep-alive')
    echo(await arrived('/behind'))
    t.equal((await waiting.response()).header('connection'), 'close', 'what was sent behind it is answered too')
    begun.get('/streaming')?.response.end('cd')
    t.equal((await streaming.response()).body.toString(), 'abcd')
    streaming.send(get('/next'))
    echo(await arrived('/next'))
    t.equal(
      (await streaming.response()).header('connection'),
      'close',
      'an answer that had begun could not say it: the next one does',
    )
    for (const client of [idle, waiting, streaming]) t.equal(await client.ended(20_000), '')
    t.equal(await closed, 0, 'nothing was cut off')
  })

  t.test('ends in good order a connection that brings nothing more, and one that was still in its handshake', async (t) => {
    const { edge, port } = await openTestEdge()
    const idle = await openRaw(port)
    const late = net.connect(port, '127.0.0.1')
    await once(late, 'connect')
    while (edge.counts().open < 2) await sleep(10)
    const closed = edge.close(4)
    const socket = tls.connect({ socket: late, rejectUnauthorized: false })
    await once(socket, 'secureConnect')
    socket.end(get('/late'))
    let text = ''
    for await (const chunk of socket) text += chunk
    t.match(text, /^HTTP\/1\.1 200 [\s\S]*Connection: close[\s\S]*GET \/late$/)
    t.equal(await idle.ended(20_000), '')
    t.equal(await closed, 0, 'nothing was cut off')
  })

  t.test('cuts off what is left at the deadline', async (t) => {
    const { edge, port } = await openTestEdge({ handle: ({ response }) => response.writeHead(200).write('for ever') })
    const client = await openRaw(port)
    client.send(get('/'))
    await sleep(50)
    const silent = net.connect(port, '127.0.0.1').on('error', () => undefined)
    await sleep(20)
    const began = Date.now()
    await edge.close(0.3)
    t.ok(Date.now() - began < 1000)
    await client.ended()
    silent.destroy()
  })

  t.test('can be asked for twice', async () => {
    const { edge } = await openTestEdge()
    await Promise.all([edge.close(1), edge.close(1)])
  })
})
