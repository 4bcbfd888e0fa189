// How do requests come in? One listener, with TLS or behind who ends it: Fastify on a server of ours, each request handed on as it came, unparsed and unread.
// Decides nothing about a request; what Node can't make one of is refused here (contract §4, §9; RFC 9112).

import { createServer as createPlainServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer, Server as SecureServer } from 'node:https'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import Fastify from 'fastify'
import type { Limits, Listener } from '../config/config.js'
import type { Seconds } from '../verify/scalars.js'
import { type Brought, balancersOf, takeProxyHeader } from './balancer.js'
import { answerBroken, type BrokenRequest } from './broken.js'
import { type Connection, type Connections, createConnections, type EdgeCounts, type Line } from './connections.js'
import { openDoor } from './door.js'
import { closeWhenQuiet, listen } from './listen.js'
import { plainAddress } from './peer.js'
import { tellHttp2 } from './preface.js'
import { ticketKeysOf } from './tickets.js'
import { asksForCertificate, handshakeOf, secureContextOf, tlsOptionsOf } from './tls.js'
import { answerOn } from './upgrade.js'

export type { BrokenRequest } from './broken.js'
export type { Connection, EdgeCounts } from './connections.js'

/** One request and the answer to it. */
export type EdgeExchange = {
  readonly request: IncomingMessage
  /** For an Upgrade too, which is answered on it as a plain request unless `upgrade` is used. */
  readonly response: ServerResponse
  readonly connection: Connection
  /** Byte for byte as sent. */
  readonly rawTarget: string
  /** Sends 100 Continue, once, where an HTTP/1.1 client asked for it and no answer has begun. */
  sendContinue(): void
  /** Set where an HTTP/1.1 client asked for another protocol: the connection, and what it sent behind its request. */
  readonly upgrade: Upgrade | null
}

/** What a tunnel is made from. `response` is the exchange's own, already on the socket. */
export type Upgrade = { readonly socket: Socket; readonly head: Buffer; readonly response: ServerResponse }

export type EdgeOptions = {
  readonly listener: Listener
  /** False: someone else accepts connections and gives them to `take`. */
  readonly listens: boolean
  /** This process's share. */
  readonly limits: Limits
  /** Shared by all processes that serve this listener (tickets.ts); base64. */
  readonly ticketSecret: string
  /** Serves one request. Must not throw. */
  readonly handle: (exchange: EdgeExchange) => void
  /** The whole HTTP/1.1 answer to bytes that are no request. */
  readonly refuse: (broken: BrokenRequest) => string
  /** Left out: HTTP/1.1 is all that is spoken. */
  readonly http2?: Http2
}

/** Serves connections that speak HTTP/2. */
export type Http2 = {
  /** One whose preface is unread. */
  take(socket: Socket, connection: Connection): void
  /** Tells all to come no more, and closes each once it is quiet; those that are not, after so long. */
  drain(quiet: Seconds): void
}

export type Edge = {
  /** `host:port`; null where it does not listen. */
  readonly address: string | null
  /** Serves a connection that someone else accepted. */
  take(socket: Socket): void
  /** New keys, certificates, CAs, CRLs for all handshakes from now on; connections stay. Throws, and changes nothing, for bad ones. */
  setTls(listener: Listener): void
  /** Encrypts session tickets by another secret; those of before are good no longer. */
  setTicketSecret(secret: string): void
  /** New limits; those of a handshake and of headers on connections that are there already stay. */
  setLimits(limits: Limits): void
  counts(): EdgeCounts
  /** Closes connections that presented a certificate after their current answer: what it was worth is judged in a new handshake. */
  closeCertified(): void
  /**
   * Takes no new connection and lets those that are there come to their end: every request that was sent before its client could know is
   * answered, the last one on each connection with `Connection: close`. Resolves when all have ended: to how many were owed an answer when
   * they were cut off, after `deadline` seconds.
   */
  close(deadline: Seconds): Promise<number>
}

/** How often (milliseconds) Node looks for requests whose head is late. */
const CHECK_MS = 500

/**
 * How long, while draining, a connection without a request may bring another one. To close it at once would be to close it in the face
 * of a client that is just sending: in this time, one that asks often is told, and one that does not has other connections or makes one.
 */
const QUIET: Seconds = 5

/** Opens a listener. Rejects with the reason when its address can't be had. */
export async function openEdge(options: EdgeOptions): Promise<Edge> {
  const { handle, refuse, listens, http2 } = options
  let { listener, limits, ticketSecret } = options
  let isBalancer = balancersOf(listener)
  const connections = createConnections({
    limits: () => limits,
    isShared: (address) => listener.behind !== null || isBalancer(address),
  })
  const take = takerOf(connections, handle)

  const app = Fastify({
    serverFactory: (route) => {
      const http = httpOptionsOf(limits)
      const ticketKeys = ticketKeysOf(ticketSecret, listener)
      const isPlain = listener.tls === null
      const server = isPlain
        ? createPlainServer(http, route)
        : createServer({ ...tlsOptionsOf(listener, limits), ticketKeys, ...http }, route)
      // Node keeps these two from `request`; we judge Expect ourselves.
      return server.on('checkContinue', route).on('checkExpectation', route)
    },
    clientErrorHandler: (error, socket) => answerBroken(error, { socket, connections, refuse }),
    // Fastify's router sees one path, whatever was asked for: the route table is ours.
    rewriteUrl: () => '/',
    genReqId: () => '',
    return503OnClosing: false,
  })
  app.addHook('onRequest', ({ raw, originalUrl }, reply) => {
    reply.hijack()
    raw.url = originalUrl
    take(raw, reply.raw, null)
  })
  app.all('/', () => undefined)
  await app.ready()

  const server: Server = app.server
  const secure = server instanceof SecureServer ? server : null
  applyLimits(server, limits)
  secure?.on('tlsClientError', connections.failed)
  server.on('timeout', (socket: Socket) => connections.silent(socket))
  const takeHttp2 = (socket: Socket): void => {
    const line = connections.of(socket)
    if (line !== undefined) http2?.take(socket, line.connection)
  }
  if (secure !== null && http2 !== undefined) divertHttp2(secure, takeHttp2)
  server.prependListener(secure === null ? 'connection' : 'secureConnection', (socket: Socket) =>
    connections.open(socket, listener),
  )
  const leave = (request: IncomingMessage, socket: Socket, head: Buffer): void => {
    const response = answerOn(request, socket, connections)
    if (response === null) return
    // HTTP/1.0 knows no Upgrade (RFC 9110 §7.8), and CONNECT is no route's.
    const asks = request.httpVersion === '1.1' && request.method !== 'CONNECT'
    take(request, response, asks ? { socket, head, response } : null)
  }
  server.on('upgrade', (request, socket, head) => leave(request, socket as Socket, head))
  server.on('connect', (request, socket, head) => leave(request, socket as Socket, head))
  const serve = (socket: Socket): void => {
    server.emit('connection', socket)
    // It was accepted without being read; TLS reads it by itself.
    if (secure === null) socket.resume()
  }
  const begin = (socket: Socket): void => {
    if (http2 === undefined || secure !== null) {
      serve(socket)
      return
    }
    tellHttp2(socket, limits.headers, (isHttp2) => {
      if (isHttp2) {
        connections.open(socket, listener)
        takeHttp2(socket)
      } else serve(socket)
    })
  }
  const enter = (socket: Socket): void => {
    if (isBalancer(plainAddress(socket.remoteAddress)))
      takeProxyHeader(socket, limits.handshake, (client) => bring(socket, client))
    else begin(socket)
  }
  const bring = (socket: Socket, client: Brought): void => {
    if (client === 'broken' || client === 'late') {
      connections.failed()
      socket.destroy()
      return
    }
    if (client !== null) connections.name(socket, client)
    if (!socket.destroyed) begin(socket)
  }
  const door = openDoor(connections.accept, enter)
  const address = listens ? await listen(door, listener) : null
  // What Node does when it begins to listen: it looks for late heads from now on.
  server.emit('listening')

  let closed: Promise<number> | null = null
  const end = async (deadline: Seconds): Promise<number> => {
    // The HTTP server is closed last: Node then destroys what it takes for idle, also a connection whose last answer is still on its way,
    // and one whose next request is; and looks for late heads no more.
    await closeWhenQuiet(door)
    const quiet = Math.min(QUIET, deadline / 2)
    server.keepAliveTimeout = quiet * 1000
    connections.drain(quiet)
    http2?.drain(quiet)
    // Who has not said yet which HTTP it will be.
    if (http2 !== undefined) setTimeout(connections.dropHandshakes, quiet * 1000).unref()
    let cut = 0
    const timer = setTimeout(() => {
      cut = connections.destroyAll()
    }, deadline * 1000)
    await connections.ended()
    clearTimeout(timer)
    await new Promise<void>((resolve) => server.close(() => resolve()))
    await app.close()
    return cut
  }
  return {
    address,
    take: (socket) => {
      connections.accept(socket)
      if (!socket.destroyed) enter(socket)
    },
    setTls(next) {
      secure?.setSecureContext({ ...secureContextOf(next), ticketKeys: ticketKeysOf(ticketSecret, next) })
      const isJudgedAnew = handshakeOf(next).mode !== handshakeOf(listener).mode
      listener = next
      isBalancer = balancersOf(next)
      // Node reads it for each new connection.
      Object.assign(server, { requestCert: asksForCertificate(next) })
      if (isJudgedAnew) connections.closeCertified()
    },
    setTicketSecret(next) {
      ticketSecret = next
      secure?.setTicketKeys(ticketKeysOf(next, listener))
    },
    setLimits(next) {
      limits = next
      applyLimits(server, next)
    },
    counts: connections.counts,
    closeCertified: connections.closeCertified,
    close: (deadline) => {
      closed ??= end(deadline)
      return closed
    },
  }
}

/** Gives connections that chose HTTP/2 in their handshake to `take`, and all others to Node's server as before. */
function divertHttp2(server: SecureServer, take: (socket: Socket) => void): void {
  const [serve] = server.listeners('secureConnection')
  if (serve === undefined) throw new Error('an HTTPS server serves what is secure')
  server.removeListener('secureConnection', serve as (socket: TLSSocket) => void)
  server.on('secureConnection', (socket) => (socket.alpnProtocol === 'h2' ? take(socket) : serve.call(server, socket)))
}

const httpOptionsOf = ({ header_bytes }: Limits) => ({
  maxHeaderSize: header_bytes,
  insecureHTTPParser: false,
  requireHostHeader: false,
  joinDuplicateHeaders: false,
  // Bodies are timed where they are read.
  requestTimeout: 0,
  connectionsCheckingInterval: CHECK_MS,
})

function applyLimits(server: Server, { headers, header_count, idle, header_bytes }: Limits): void {
  // Node cuts the list behind so many, silently: the one too many is what a request is refused for. Without a limit a list of
  // 30,000 empty lines would be put together anew for every few of them.
  server.maxHeadersCount = header_count + 1
  server.headersTimeout = headers * 1000
  server.keepAliveTimeout = idle * 1000
  // Node reads it for each new connection.
  Object.assign(server, { maxHeaderSize: header_bytes })
}

/** Makes an exchange of what Node gives, and has it served in its turn. */
function takerOf(connections: Connections, handle: EdgeOptions['handle']) {
  return (request: IncomingMessage, response: ServerResponse, upgrade: Upgrade | null): void => {
    const line = connections.of(request.socket)
    // Gone in between: there is no one to answer.
    if (line === undefined) return void request.socket.destroy()
    const exchange = exchangeOf(request, response, { line, upgrade })
    connections.enqueue(line, { request, response, serve: () => handle(exchange) })
  }
}

function exchangeOf(
  request: IncomingMessage,
  response: ServerResponse,
  { line, upgrade }: { line: Line; upgrade: Upgrade | null },
) {
  let waits = request.httpVersion === '1.1' && request.headers.expect?.toLowerCase() === '100-continue'
  return {
    request,
    response,
    connection: line.connection,
    rawTarget: request.url ?? '',
    sendContinue(): void {
      if (waits && !response.headersSent) response.writeContinue()
      waits = false
    },
    upgrade,
  }
}
