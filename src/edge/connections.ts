// Which connections are there, and whose turn is it on each? Limits at accept; pipelined requests one after another, so that
// nothing behind a closing answer is ever served; and the ways a connection comes to its end without losing an answer.

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { Limits, Listener } from '../config/config.js'
import type { Seconds } from '../verify/scalars.js'
import type { Peer } from '../verify/types.js'
import { whyNotHop } from './hop/named.js'
import { plainAddress, readPeer } from './peer.js'
import { handshakeOf } from './tls.js'

/** What is known of a connection for all its requests. */
export type Connection = {
  readonly peer: Peer
  /** SNI in lower case; null where none was sent. */
  readonly servername: string | null
  /** Why this is not the hop that we are behind; null: it is, or we are the edge. */
  readonly stranger: string | null
}

/** One request and its answer, which `serve` begins. */
export type Turn = { readonly request: IncomingMessage; readonly response: ServerResponse; readonly serve: () => void }

/** A connection whose handshake is complete, where there is one. */
export type Line = {
  readonly connection: Connection
  readonly socket: Socket
  /** The first is being served, the others wait. */
  readonly turns: Turn[]
  /** The request that was answered last; its body may still be coming. */
  last: IncomingMessage | null
  /** Nothing new is served here; set once and for good. */
  isClosing: boolean
  /** While draining: the request whose answer says `Connection: close`. */
  farewell: Turn | null
  /** Bytes came that are no request; set once and for good. */
  isBroken: boolean
}

/** Connections that are open; of all there ever were, those closed at accept, and how their handshakes ended. */
export type EdgeCounts = {
  readonly open: number
  readonly refused: number
  readonly full: number
  readonly resumed: number
  readonly failed: number
}

export type Connections = {
  /** Counts a connection from accept on; closed at once where its address has too many, or where there are too many. */
  accept(socket: Socket): void
  /** Says whose connection it is that a balancer brought, before its handshake; closed at once where its client has too many. */
  name(socket: Socket, client: Pick<Peer, 'address' | 'port'>): void
  /** There will be no handshake: it failed, or its connection ended. */
  failed(): void
  /** The handshake is complete. */
  open(socket: Socket, listener: Listener): void
  of(socket: Socket): Line | undefined
  /** Serves now, or when the requests before it are answered, or, on a connection that closes, never. */
  enqueue(line: Line, turn: Turn): void
  /** Closes after the current answer; at once where there is none. */
  closeSoon(line: Line): void
  /** Its time without a request or a byte of an answer is over: ends it, in good order where no answer is owed. */
  silent(socket: Socket): void
  /** From now on the answer to the last request of each connection says that it is; those without one may still bring one for `quiet`. */
  drain(quiet: Seconds): void
  /** Resolves when none is left. */
  ended(): Promise<void>
  /** Drops the handshakes under way. */
  dropHandshakes(): void
  /** Closes connections that presented a certificate after their current answer; those whose handshake is under way, when it is complete. */
  closeCertified(): void
  lines(): Iterable<Line>
  counts(): EdgeCounts
  /** Destroys every connection; returns how many were owed an answer. */
  destroyAll(): number
}

/** Requests that may wait behind the one being served. Few clients pipeline at all; more than this is memory taken for free. */
const PIPELINED = 16

/** How long (milliseconds) a client that is still sending is heard out after its last answer (RFC 9112 §9.6). */
const LINGER_MS = 2000

export type Accepting = {
  /** Asked at each accept, because a reload may change it. */
  readonly limits: () => Pick<Limits, 'connections' | 'connections_per_address'>
  /** Does one address speak for many clients? */
  readonly isShared: (address: string) => boolean
}

export function createConnections({ limits, isShared }: Accepting): Connections {
  const perAddress = new Map<string, number>()
  /** Every socket as accepted, by its far end, until it closes; of those in `handshaking`, the handshake is not complete. */
  const accepted = new Set<Socket>()
  const handshaking = new Map<string, Socket>()
  /** Their handshakes began under a configuration that is gone, and are judged by that. */
  const outdated = new WeakSet<Socket>()
  const lines = new Map<Socket, Line>()
  /** Whose connections balancers brought. */
  const brought = new WeakMap<Socket, Pick<Peer, 'address' | 'port'>>()
  let refused = 0
  let full = 0
  let resumed = 0
  let failed = 0
  let draining: Seconds | null = null
  let ended: (() => void) | null = null

  const count = (address: string, change: 1 | -1): number => {
    const now = (perAddress.get(address) ?? 0) + change
    if (now > 0) perAddress.set(address, now)
    else perAddress.delete(address)
    return now
  }
  const closeSoon = (line: Line): void => {
    line.isClosing = true
    const [current] = line.turns
    if (current === undefined) return void line.socket.destroySoon()
    // Node then says `Connection: close` and closes behind it; where the head is out already, `next` does.
    current.response.shouldKeepAlive = false
  }
  /**
   * The last request that is there gets the last answer: a request that was sent before its client could know is answered, however
   * many are sent at once. Only what is sent behind an answer that says `close` is not served (RFC 9112 §9.6).
   */
  const sayFarewell = (line: Line): void => {
    const last = line.turns.at(-1)
    if (last === undefined) return void line.socket.setTimeout((draining ?? 0) * 1000)
    const { farewell } = line
    // Said already; or this answer has begun and could not say it, so a later one will, or the silence behind it.
    if (farewell?.response.headersSent || last.response.headersSent) return
    if (farewell !== null) farewell.response.shouldKeepAlive = true
    // An answer that closes for reasons of its own goes on doing so, and so does any to HTTP/1.0.
    line.farewell = last.response.shouldKeepAlive && last.request.httpVersion === '1.1' ? last : null
    last.response.shouldKeepAlive = false
  }
  const next = (line: Line): void => {
    line.last = line.turns.shift()?.request ?? null
    // A socket that Node ended behind an answer with `Connection: close`: what follows on it was never asked.
    if (line.isClosing || !line.socket.writable) {
      line.turns.length = 0
      line.isClosing = true
      line.socket.destroySoon()
      return
    }
    line.turns[0]?.serve()
  }

  return {
    accept(socket) {
      const address = plainAddress(socket.remoteAddress)
      const isCounted = !isShared(address)
      const farEnd = farEndOf(socket)
      accepted.add(socket)
      handshaking.set(farEnd, socket)
      socket.once('close', () => {
        accepted.delete(socket)
        if (handshaking.get(farEnd) === socket) handshaking.delete(farEnd)
        if (isCounted) count(address, -1)
        if (accepted.size === 0) ended?.()
      })
      const { connections, connections_per_address } = limits()
      // Not Node's `maxConnections`: in a cluster, workers that are all full hand a connection round between them without end.
      const ofAddress = isCounted ? count(address, 1) : 0
      if (ofAddress <= connections_per_address && accepted.size <= connections) return
      refused += 1
      socket.destroy()
    },
    name(socket, client) {
      brought.set(socket, client)
      socket.once('close', () => count(client.address, -1))
      if (count(client.address, 1) <= limits().connections_per_address) return
      refused += 1
      socket.destroy()
    },
    failed() {
      failed += 1
    },
    open(socket, listener) {
      const farEnd = farEndOf(socket)
      const below = handshaking.get(farEnd)
      handshaking.delete(farEnd)
      const tls = socket instanceof TLSSocket ? socket : null
      if (tls?.isSessionReused()) resumed += 1
      else if (tls !== null) full += 1
      const { behind } = listener
      const connection = {
        peer: { ...readPeer(socket, handshakeOf(listener).mode), ...(below && brought.get(below)) },
        servername: typeof tls?.servername === 'string' ? tls.servername.toLowerCase() : null,
        stranger: behind === null ? null : whyNotHop(socket, behind),
      }
      const line: Line = { connection, socket, turns: [], last: null, isClosing: false, farewell: null, isBroken: false }
      lines.set(socket, line)
      socket.once('close', () => lines.delete(socket))
      // Node ends a connection with this. A reset would take from the client the answer to what it is still sending.
      socket.destroySoon = () => lingerAndClose(socket)
      if (below !== undefined && outdated.has(below) && connection.peer.certificate !== null) closeSoon(line)
      if (draining !== null) sayFarewell(line)
    },
    of: (socket) => lines.get(socket),
    enqueue(line, turn) {
      if (line.isClosing) return
      if (line.turns.length > PIPELINED) return void line.socket.destroy()
      line.turns.push(turn)
      if (draining !== null) sayFarewell(line)
      turn.response.once('close', () => next(line))
      if (line.turns.length === 1) turn.serve()
    },
    closeSoon,
    silent(socket) {
      const line = lines.get(socket)
      if (line === undefined || line.turns.length > 0) return void socket.destroy()
      closeSoon(line)
    },
    drain(quiet) {
      draining = quiet
      for (const line of lines.values()) sayFarewell(line)
    },
    ended: () =>
      new Promise((resolve) => {
        ended = resolve
        if (accepted.size === 0) resolve()
      }),
    dropHandshakes() {
      for (const socket of handshaking.values()) socket.destroy()
    },
    closeCertified() {
      for (const socket of handshaking.values()) outdated.add(socket)
      for (const line of lines.values()) if (line.connection.peer.certificate !== null) closeSoon(line)
    },
    lines: () => lines.values(),
    counts: () => ({ open: accepted.size, refused, full, resumed, failed }),
    destroyAll() {
      const owed = [...lines.values()].filter(({ turns }) => turns.length > 0).length
      for (const socket of accepted) socket.destroy()
      return owed
    },
  }
}

/** Names a connection on both layers, because node:tls gives its socket and the one below it separately. */
const farEndOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`

/** Ends our side, and, once all of it is sent, the whole: when the client has ended its own side or its time is up. */
function lingerAndClose(socket: Socket): void {
  if (socket.destroyed || socket.writableEnded) return
  socket.end(() => {
    const timer = setTimeout(() => socket.destroy(), LINGER_MS)
    socket.once('close', () => clearTimeout(timer))
  })
}
