// How does a request go over HTTP/1.1 exactly as an attack wrote it? A connection of our own, by TLS but to backends that have none, to the one confirmed address,
// and just enough of RFC 9112 to read answers. Never repairs, never folds, never reuses a connection for another attack.

import { connect as connectPlain, isIP, type Socket } from 'node:net'
import { connect, type TLSSocket } from 'node:tls'
import type { Identity, Printed } from './draft.js'

export type Answer = {
  /** 0: no answer came; `lost` says why. */
  readonly status: number
  /** Names in lower case, in the order in which they came. */
  readonly headers: readonly (readonly [name: string, value: string])[]
  /** At most 64 KiB of it, as latin1. */
  readonly body: string
  readonly lost: 'closed' | 'timed out' | 'refused' | null
}

/** Where connections go, and what they trust. */
export type Route = {
  /** The confirmed IP address. */
  readonly address: string
  readonly port: number
  /** The name in SNI, verified in the certificate. */
  readonly hostname: string
  /** PEM; null: the system's. */
  readonly ca: string | null
  /** The client's certificate and key, PEM; null: it has none. */
  readonly own: { readonly cert: string; readonly key: string } | null
  /** A backend without TLS. */
  readonly isPlain?: boolean
}

export const ANSWER_TIMEOUT_MS = 10_000
const BODY_LIMIT = 64 * 1024

/** Opens a verified TLS connection. Rejects when the certificate is not the host's, or nobody listens. */
export function openTls(route: Route, identity: Identity, protocols: readonly string[]): Promise<TLSSocket> {
  const material = identity === 'own' ? route.own : identity === 'none' ? null : identity
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: route.address,
      port: route.port,
      ...(isIP(route.hostname) === 0 ? { servername: route.hostname } : {}),
      ALPNProtocols: [...protocols],
      rejectUnauthorized: true,
      minVersion: 'TLSv1.2',
      ...(route.ca === null ? {} : { ca: route.ca }),
      ...(material === null ? {} : { cert: material.cert, key: material.key }),
    })
    whenOpen(socket, 'secureConnect', () => resolve(socket), reject)
  })
}

const openPlain = ({ address, port }: Route): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connectPlain({ host: address, port })
    whenOpen(socket, 'connect', () => resolve(socket), reject)
  })

function whenOpen(socket: Socket, event: string, resolve: () => void, reject: (error: Error) => void): void {
  const timer = setTimeout(() => socket.destroy(new Error('timed out')), ANSWER_TIMEOUT_MS)
  socket.once(event, () => {
    clearTimeout(timer)
    socket.off('error', reject)
    socket.on('error', () => undefined)
    resolve()
  })
  socket.once('error', (error) => {
    clearTimeout(timer)
    reject(error)
  })
}

/** The bytes of a request. Host and Content-Length are ours unless the lines name them. */
export function bytesOf({ method, path, host, lines, body }: Printed): Buffer {
  const has = (name: string): boolean => lines.some(([one]) => one.toLowerCase() === name)
  const head = [
    `${method} ${path} HTTP/1.1`,
    ...(has('host') ? [] : [`Host: ${host}`]),
    ...lines.map(([name, value]) => `${name}: ${value}`),
    ...(body === null || has('content-length') || has('transfer-encoding') ? [] : [`Content-Length: ${body.length}`]),
  ]
  return Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`, 'latin1'), body ?? Buffer.alloc(0)])
}

export type Connection = {
  readonly socket: Socket
  readonly send: (bytes: Buffer) => void
  /** The next answer; `method` decides whether it may have a body. */
  readonly answer: (method: string) => Promise<Answer>
  readonly close: () => void
}

/** A connection over which any bytes can be sent and answers are read one after the other. */
export async function openConnection(route: Route, identity: Identity): Promise<Connection> {
  const socket = route.isPlain ? await openPlain(route) : await openTls(route, identity, ['http/1.1'])
  let received: Buffer = Buffer.alloc(0)
  let ended = false
  let wake: () => void = () => undefined
  socket.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk])
    wake()
  })
  for (const event of ['end', 'close'] as const) {
    socket.on(event, () => {
      ended = true
      wake()
    })
  }
  const more = (until: number): Promise<boolean> =>
    new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), Math.max(0, until - Date.now()))
      wake = () => {
        clearTimeout(timer)
        resolve(true)
      }
    })

  const answer = async (method: string): Promise<Answer> => {
    const until = Date.now() + ANSWER_TIMEOUT_MS
    for (;;) {
      const parsed = parseAnswer(received, method, ended)
      if (parsed !== null) {
        received = received.subarray(parsed.length)
        if (parsed.answer.status >= 100 && parsed.answer.status < 200 && parsed.answer.status !== 101) continue
        return parsed.answer
      }
      if (ended) return { status: 0, headers: [], body: '', lost: 'closed' }
      if (!(await more(until))) return { status: 0, headers: [], body: '', lost: 'timed out' }
    }
  }
  return {
    socket,
    send: (bytes) => void socket.write(bytes),
    answer,
    close: () => void socket.destroy(),
  }
}

type Parsed = { readonly answer: Answer; readonly length: number }

/** The first whole answer in `bytes` (RFC 9112 §6.3); null: there is more to come. */
function parseAnswer(bytes: Buffer, method: string, ended: boolean): Parsed | null {
  const end = bytes.indexOf('\r\n\r\n')
  if (end < 0) return null
  const [start = '', ...fields] = bytes.toString('latin1', 0, end).split('\r\n')
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(start)?.[1] ?? 0)
  const headers = fields.map((line) => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const
  })
  const from = end + 4
  const body = bodyOf(bytes.subarray(from), { method, status, headers, ended })
  if (body === null) return null
  const text = body.data.toString('latin1', 0, BODY_LIMIT)
  return { answer: { status, headers, body: text, lost: null }, length: from + body.length }
}

type Frame = { readonly method: string; readonly status: number; readonly headers: Answer['headers']; readonly ended: boolean }

function bodyOf(bytes: Buffer, { method, status, headers, ended }: Frame): { data: Buffer; length: number } | null {
  const value = (name: string): string | undefined => headers.find(([one]) => one === name)?.[1]
  if (method === 'HEAD' || status < 200 || status === 204 || status === 304) return { data: Buffer.alloc(0), length: 0 }
  if (/chunked/i.test(value('transfer-encoding') ?? '')) return chunksOf(bytes, ended)
  const declared = value('content-length')
  const length = declared === undefined ? (ended ? bytes.length : null) : Number(declared)
  if (length === null || Number.isNaN(length) || (bytes.length < length && !ended)) return null
  return { data: bytes.subarray(0, length), length: Math.min(length, bytes.length) }
}

function chunksOf(bytes: Buffer, ended: boolean): { data: Buffer; length: number } | null {
  const parts: Buffer[] = []
  for (let at = 0; ; ) {
    const line = bytes.indexOf('\r\n', at)
    const size = line < 0 ? Number.NaN : Number.parseInt(bytes.toString('latin1', at, line), 16)
    if (Number.isNaN(size)) return ended ? { data: Buffer.concat(parts), length: bytes.length } : null
    const from = line + 2
    if (size > 0) {
      parts.push(bytes.subarray(from, from + size))
      at = from + size + 2
      continue
    }
    const last = bytes.indexOf('\r\n\r\n', line)
    if (last < 0) return ended ? { data: Buffer.concat(parts), length: bytes.length } : null
    return { data: Buffer.concat(parts), length: last + 4 }
  }
}
