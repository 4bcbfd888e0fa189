// A front of forwarder and tunnels without the edge before them: what an HTTP server gives goes straight to a Grant. And raw
// upstreams, which say on their sockets what no HTTP server would.

import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import http from 'node:http'
import net, { type AddressInfo, type Socket } from 'node:net'
import type { Outcome } from '../../src/audit/types.js'
import { loadSigningKeys } from '../../src/keys/signing.js'
import { newTimes } from '../../src/times.js'
import { createForwarder } from '../../src/upstream/forward.js'
import { createPools } from '../../src/upstream/pools.js'
import { createOpenStreams } from '../../src/upstream/streams.js'
import type { Tunnel } from '../../src/upstream/tunnel.js'
import { createTunnels } from '../../src/upstream/websocket.js'
import { reasonRow } from '../../src/verify/reasons.js'
import type { AccessToken, Route } from '../../src/verify/types.js'
import { Denial } from '../../src/verify/verdict.js'
import { makeGrant } from './grants.js'

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const keys = loadSigningKeys([privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()])

export type FrontSettings = {
  readonly route: Route
  readonly body_idle?: number
  readonly token?: AccessToken | null
  /** Holds bodies before forwarding, as tiers with `body_digest` do. */
  readonly hold?: boolean
  readonly opened?: (tunnel: Tunnel) => void
}

export type Front = {
  readonly port: number
  /** What came of each request, in order. */
  readonly results: (Outcome | Denial)[]
  /** Waits until there are so many results. */
  settled(count?: number): Promise<Outcome | Denial>
  close(): Promise<void>
}

export async function openFront(settings: FrontSettings): Promise<Front> {
  const { route, token, body_idle = 30 } = settings
  const pools = createPools([route.upstream])
  const options = {
    pools,
    signingKeys: () => keys,
    assertion: { issuer: 'https://gateway.example.com', ttl: 30, header: 'Holdfast-Assertion' },
    clock: () => Date.now() / 1000,
    isTraced: () => false,
    limits: { body_idle },
    streams: createOpenStreams(() => false),
  }
  const forwarder = createForwarder(options)
  const tunnels = createTunnels(options)
  const results: (Outcome | Denial)[] = []
  const waiters: { count: number; resolve: (result: Outcome | Denial) => void }[] = []
  const settle = (result: Outcome | Denial): void => {
    results.push(result)
    for (const { count, resolve } of waiters) if (results.length === count) resolve(result)
  }

  const grantFor = (request: http.IncomingMessage, body: Buffer | null) =>
    makeGrant({
      route,
      method: request.method ?? 'GET',
      url: request.url ?? '/',
      rawHeaders: request.rawHeaders,
      body,
      ...(token === undefined ? {} : { token }),
    })
  const serve = async (request: http.IncomingMessage, response: http.ServerResponse, expects: boolean): Promise<void> => {
    let expected = expects
    const sendContinue = (): void => {
      if (expected) response.writeContinue()
      expected = false
    }
    const chunks: Buffer[] = []
    if (settings.hold) for await (const chunk of request) chunks.push(chunk as Buffer)
    const own = ['X-Request-Id', 'ours']
    const grant = grantFor(request, settings.hold ? Buffer.concat(chunks) : null)
    const result = await forwarder.forward(grant, { request, response, own, times: newTimes(0), sendContinue })
    if (result instanceof Denial) {
      const { status } = reasonRow(result.reason)
      response.writeHead(status, { 'Content-Type': 'application/problem+json', Connection: 'close' })
      response.end(JSON.stringify({ reason: result.reason }))
      request.resume()
    }
    settle(result)
  }
  const server = http.createServer((request, response) => void serve(request, response, false))
  server.on('checkContinue', (request, response) => void serve(request, response, true))
  server.on('upgrade', async (request, socket, head) => {
    const own = ['X-Request-Id', 'ours']
    const opened = settings.opened === undefined ? {} : { opened: settings.opened }
    const result = await tunnels.open(grantFor(request, null), {
      request,
      socket: socket as Socket,
      head,
      own,
      times: newTimes(0),
      ...opened,
    })
    if (result instanceof Denial) {
      socket.end(`HTTP/1.1 ${reasonRow(result.reason).status} Refused\r\nConnection: close\r\n\r\n${result.reason}`)
    }
    settle(result)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    results,
    settled(count = results.length + 1) {
      const done = results[count - 1]
      if (done !== undefined) return Promise.resolve(done)
      return new Promise((resolve) => waiters.push({ count, resolve }))
    },
    async close() {
      server.closeAllConnections()
      server.close()
      await pools.destroy()
    },
  }
}

/** One request as it came to a raw upstream. */
export type Hit = {
  readonly head: string
  /** Position among all requests, from 1; and of its connection, from 1. */
  readonly number: number
  readonly connection: number
  readonly socket: Socket
  /** Resolves with what came behind the head, when it is as long as its framing says. */
  readonly body: Promise<string>
}

export type RawUpstream = {
  readonly url: string
  readonly hits: Hit[]
  readonly sockets: Socket[]
  close(): void
}

/** A TCP server that reads requests and answers with whatever `answer` writes. */
export async function openRawUpstream(answer: (hit: Hit) => void): Promise<RawUpstream> {
  const hits: Hit[] = []
  const sockets: Socket[] = []
  const server = net.createServer((socket) => {
    const connection = sockets.push(socket)
    socket.on('error', () => undefined)
    let text = ''
    let finish: ((body: string) => void) | null = null
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
      for (;;) {
        const end = text.indexOf('\r\n\r\n')
        if (finish === null) {
          if (end < 0) return
          const head = text.slice(0, end)
          text = text.slice(end + 4)
          const body = new Promise<string>((resolve) => {
            finish = resolve
          })
          const hit = { head, number: hits.length + 1, connection, socket, body }
          hits.push(hit)
          answer(hit)
        }
        const last = hits.at(-1)?.head ?? ''
        const length = Number(/^content-length: (\d+)/im.exec(last)?.[1] ?? 0)
        const chunked = /^transfer-encoding: chunked/im.test(last)
        const whole = chunked ? text.indexOf('0\r\n\r\n') + 5 : length
        if (chunked ? whole < 5 : text.length < whole) return
        const done: ((body: string) => void) | null = finish
        finish = null
        done?.(text.slice(0, whole))
        text = text.slice(whole)
        if (text === '') return
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    hits,
    sockets,
    close() {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

export type Reply = {
  readonly status: number
  readonly statusMessage: string
  readonly headers: http.IncomingHttpHeaders
  readonly body: string
  /** False: the connection ended before the message did. */
  readonly complete: boolean
}

export type Call = {
  readonly method?: string
  readonly path?: string
  readonly headers?: http.OutgoingHttpHeaders
  readonly body?: string
}

/** One request on a connection of its own. */
export function call(port: number, { method = 'GET', path = '/', headers = {}, body }: Call = {}): Promise<Reply> {
  return new Promise((resolve, reject) => {
    let answered = false
    const request = http.request({ port, host: '127.0.0.1', method, path, headers, agent: false }, (response) => {
      answered = true
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', () => undefined)
      response.on('close', () =>
        resolve({
          status: response.statusCode ?? 0,
          statusMessage: response.statusMessage ?? '',
          headers: response.headers,
          body: Buffer.concat(chunks).toString('latin1'),
          complete: response.complete,
        }),
      )
    })
    request.on('error', (error) => {
      if (!answered) reject(error)
    })
    request.end(body)
  })
}

/** Resolves when a socket is closed, or at once if it is. */
export async function closed(socket: Socket | undefined): Promise<void> {
  // Not `once`, which rejects when an error comes first.
  if (socket !== undefined && !socket.closed) await new Promise((resolve) => socket.once('close', resolve))
}

/** Sends bytes as they are and resolves with all that came back when the other side has closed. */
export function talk(port: number, ...parts: readonly (string | Buffer)[]): Promise<string> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1')
    const chunks: Buffer[] = []
    socket.on('data', (chunk) => chunks.push(chunk))
    socket.on('error', () => undefined)
    socket.on('close', () => resolve(Buffer.concat(chunks).toString('latin1')))
    for (const part of parts) socket.write(part)
  })
}
