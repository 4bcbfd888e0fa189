// An edge alone: real TLS on loopback, and in place of the decision whatever a test hands it.

import { randomBytes } from 'node:crypto'
import type { Limits, Listener } from '../../src/config/config.js'
import { type BrokenRequest, type Edge, type EdgeExchange, openEdge } from '../../src/edge/server.js'
import { type Credential, makeCa, makeServer } from './certs.js'

export const LIMITS: Limits = {
  header_bytes: 32 * 1024,
  header_count: 100,
  target_bytes: 8 * 1024,
  credential_bytes: 8 * 1024,
  proof_bytes: 8 * 1024,
  handshake: 10,
  headers: 10,
  idle: 75,
  body_idle: 30,
  body_total: 60,
  connections: 10_000,
  connections_per_address: 1000,
  requests: 5000,
  digest_buffer: 64 * 1024 * 1024,
  event_loop_delay: 30,
}

export type TestEdge = {
  readonly edge: Edge
  readonly port: number
  readonly listener: Listener
  /** Every request that came to be served, in order. */
  readonly seen: EdgeExchange[]
  /** What was refused without being a request. */
  readonly broken: BrokenRequest[]
  close(): Promise<number>
}

export type EdgeSettings = {
  readonly listener?: Partial<Listener>
  readonly limits?: Partial<Limits>
  readonly ticketSecret?: string
  /** Answers 200 with the target when left out. */
  readonly handle?: (exchange: EdgeExchange) => void
}

let server: Promise<Credential> | undefined

/** The certificate that every edge of this run has. */
export const serverCredential = (): Promise<Credential> => {
  server ??= makeCa('Test CA').then((ca) => makeServer(ca))
  return server
}

export async function openTestEdge(settings: EdgeSettings = {}): Promise<TestEdge> {
  const { listener: changes, limits, handle = echo, ticketSecret = randomBytes(32).toString('base64') } = settings
  const { cert, key } = await serverCredential()
  const listener: Listener = {
    host: '127.0.0.1',
    port: 0,
    socket: null,
    tls: { cert, key },
    behind: null,
    proxy_protocol: null,
    decides: false,
    client_certificates: 'off',
    client_ca: null,
    crl: [],
    origins: ['https://localhost'],
    ...changes,
  }
  const seen: EdgeExchange[] = []
  const broken: BrokenRequest[] = []
  const edge = await openEdge({
    listener,
    listens: true,
    limits: { ...LIMITS, ...limits },
    ticketSecret,
    handle: (exchange) => {
      seen.push(exchange)
      handle(exchange)
    },
    refuse: (one) => {
      broken.push(one)
      return `HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: ${one.reason.length}\r\n\r\n${one.reason}`
    },
  })
  return { edge, port: Number(edge.address?.split(':').at(-1)), listener, seen, broken, close: () => edge.close(0) }
}

/** Says what was asked for. */
export function echo({ response, rawTarget, request }: EdgeExchange): void {
  const body = `${request.method} ${rawTarget}`
  response.writeHead(200, ['Content-Length', String(body.length)])
  response.end(request.method === 'HEAD' ? undefined : body)
}
