// How does the client's body reach the upstream? (RFC 9112 §6) As a stream of our own between the two: undici destroys what it
// is given when an upstream answers early, and the client's message must survive that. Trailers are not passed on.

import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import type { Bytes, Seconds } from '../verify/scalars.js'
import { type Denial, deny } from '../verify/verdict.js'

/** `null`: none. `length` is null where the body is chunked. */
export type Framing = { readonly length: Bytes | null } | null

/** Of a message that Node's parser accepted, so that at most one of the two headers is there, and well formed (RFC 9112 §6.3). */
export function framingOf(request: IncomingMessage): Framing {
  if (request.headers['transfer-encoding'] !== undefined) return { length: null }
  const length = Number(request.headers['content-length'] ?? 0)
  return length > 0 ? { length } : null
}

export type ClientBody = {
  /** Destroying it lets go of the client's message; what is left of that stays unread. */
  readonly stream: Readable
  /** Starts to read: when the upstream is there to take it. */
  start(): void
  /** Bytes still to come; Infinity when that is unknown. */
  rest(): Bytes
}

/**
 * What one body may bring in one turn of the event loop before others are heard: left alone, libuv goes on reading a fast client. A
 * chunk counts for more than its bytes, because each of them costs a call from the parser, and a client may send a byte in each.
 */
const SHARE: Bytes = 64 * 1024
const CHUNK: Bytes = 128

type Limits = { readonly max_body: Bytes; readonly body_idle: Seconds }

/**
 * The body of a message, with backpressure. `refuse` is called once, with `body_too_large` or, when the client is silent for
 * `body_idle` while we are ready to read, with `request_timeout`. Time in which the upstream holds us up does not count.
 */
export function clientBody(request: IncomingMessage, limits: Limits, refuse: (denial: Denial) => void): ClientBody {
  const length = framingOf(request)?.length ?? null
  let received = 0
  let reading = false
  let idle: NodeJS.Timeout | undefined
  /** What came in this turn goes on as one piece: a write to the upstream costs as much for a byte as for a thousand. */
  let gathered: Buffer[] = []
  let share = 0
  let turn: NodeJS.Immediate | undefined

  const stop = (): void => {
    reading = false
    clearTimeout(idle)
    clearImmediate(turn)
    request.off('data', take).off('end', finish)
    request.pause()
  }
  const give = (denial: Denial): void => {
    stop()
    refuse(denial)
  }
  const take = (chunk: Buffer): void => {
    received += chunk.length
    if (received > limits.max_body) return void give(deny('body_too_large'))
    gathered.push(chunk)
    share += chunk.length + CHUNK
    turn ??= setImmediate(endTurn)
    if (share >= SHARE) request.pause()
  }
  const passOn = (): boolean => {
    const [first] = gathered
    if (first === undefined) return true
    const piece = gathered.length === 1 ? first : Buffer.concat(gathered)
    gathered = []
    return stream.push(piece)
  }
  const endTurn = (): void => {
    turn = undefined
    share = 0
    if (!passOn()) return void request.pause()
    idle?.refresh()
    request.resume()
  }
  const finish = (): void => {
    passOn()
    stop()
    stream.push(null)
  }
  const stream = new Readable({
    read() {
      // Within a turn, its end decides.
      if (!reading || turn !== undefined) return
      idle?.refresh()
      request.resume()
    },
    destroy(error, done) {
      if (reading) stop()
      done(error)
    },
  })
  // undici listens only while it writes; an error after that is nobody's, and would end the process.
  stream.on('error', () => undefined)
  return {
    stream,
    start() {
      reading = true
      idle = setTimeout(() => {
        if (!request.isPaused()) give(deny('request_timeout', 'body'))
      }, limits.body_idle * 1000)
      request.on('data', take).on('end', finish).resume()
    },
    rest: () => (request.complete ? 0 : length === null ? Number.POSITIVE_INFINITY : length - received),
  }
}
