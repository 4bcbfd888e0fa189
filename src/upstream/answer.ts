// How does the upstream's answer reach the client? With our filtering, as it comes, in constant memory. An answer that stops
// short ends the client's connection, so that it is seen as short; it is never completed by us (RFC 9112 §8).

import type { IncomingMessage, ServerResponse } from 'node:http'
import { TLSSocket } from 'node:tls'
import type { Outcome } from '../audit/types.js'
import type { Times } from '../times.js'
import type { Reason } from '../verify/reasons.js'
import type { Bytes, Seconds } from '../verify/scalars.js'
import type { Grant } from '../verify/verdict.js'
import { responseHeaders } from './headers.js'

/** The client's side of a request that is being forwarded. */
export type Exchange = {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** What the edge adds to whatever answer goes to the client, flat: X-Request-Id, DPoP-Nonce, Cache-Control. */
  readonly own: readonly string[]
  /** Where it is written down when what happened. */
  readonly times: Times
  /** Sends `100 Continue`, once, where the client expects it. Called when its body is about to be read. */
  readonly sendContinue: () => void
}

export type Answer = {
  /** Writes the head. `resume` lets the upstream go on after `data` said false. Throws where Node refuses a header. */
  head(status: number, raw: readonly Buffer[], resume: () => void): void
  /** False: the client is slower than the upstream. */
  data(chunk: Buffer): boolean
  /** All of it is there. */
  end(): void
  /** It stops here, and a client must see that it does. Does nothing before the head. */
  cut(): void
  /** It stops here in good order, where its own framing allows that. */
  stop(): void
  isStarted(): boolean
  /** HEAD, 204, 304: complete with its head, whatever Content-Length says. */
  isBodyless(): boolean
  isEventStream(): boolean
  outcome(reason: Reason | null): Outcome
}

export type AnswerSettings = {
  readonly assertionHeader: string
  /** Bytes of the client's body still to come. */
  readonly rest: () => Bytes
  /** How long a client may take nothing of what we have for it. */
  readonly patience: Seconds
}

/** What of the client's body is discarded to keep its connection; where more is to come, the connection is closed. */
const SMALL_REST: Bytes = 64 * 1024

/** How long a client that is still sending is heard out, in milliseconds: a reset would take the answer away from it. */
const LINGER_MS = 1_000

/** The answer to one request; nothing is written before its head. */
export function startAnswer({ route, evidence }: Grant, exchange: Exchange, settings: AnswerSettings): Answer {
  const { rest, patience, assertionHeader } = settings
  const { target } = evidence.inbound
  const { request, response, own } = exchange
  let upstreamStatus: number | null = null
  let domainDecision: string | null = null
  let resumeUpstream: (() => void) | null = null
  let bodyless = false
  let eventStream = false
  let lengthKnown = false
  let bytes = 0

  let stalled: NodeJS.Timeout | undefined
  /** A timer of our own: a socket's begins anew with each byte that the client sends. */
  const limitPatience = (): void => {
    if (stalled === undefined) response.once('close', () => clearTimeout(stalled))
    clearTimeout(stalled)
    stalled = setTimeout(() => (response.socket ?? response).destroy(), patience * 1000)
  }
  const finish = (): void => {
    response.end()
    if (response.writableLength > 0) limitPatience()
  }

  return {
    head(status, raw, resume) {
      const judged = responseHeaders(raw, { route, target, assertionHeader, own })
      // RFC 9110 §8.6: a 204 has no length, not even of nothing.
      const headers = status === 204 ? withoutHeader(judged.headers, 'content-length') : judged.headers
      if (rest() > SMALL_REST) headers.push('Connection', 'close')
      // Without the upstream's status text: Node writes the standard one.
      response.writeHead(status, headers)
      upstreamStatus = status
      domainDecision = judged.domainDecision
      resumeUpstream = resume
      eventStream = valueIn(headers, 'content-type')?.toLowerCase().startsWith('text/event-stream') === true
      lengthKnown = valueIn(headers, 'content-length') !== undefined
      bodyless = request.method === 'HEAD' || status === 204 || status === 304
      // A head must not wait for a body that is not there yet; one that came with it shares its write.
      process.nextTick(() => {
        if (bytes === 0 && !response.writableEnded && !response.destroyed) response.flushHeaders()
      })
    },
    data(chunk) {
      // Node would throw the error of such a write at nobody, which ends the process.
      if (response.destroyed || response.writableEnded) return true
      bytes += chunk.length
      if (response.write(chunk)) return true
      limitPatience()
      // The socket's own, where there is one: after an Upgrade nobody passes it on to the response.
      const source = response.socket ?? response
      source.once('drain', () => {
        clearTimeout(stalled)
        resumeUpstream?.()
      })
      return false
    },
    end() {
      resumeUpstream = null
      if (rest() <= SMALL_REST) return finish()
      response.flushHeaders()
      hearOut(request, finish)
    },
    cut() {
      resumeUpstream = null
      if (upstreamStatus !== null) reset(response)
    },
    stop() {
      resumeUpstream = null
      if (lengthKnown) return reset(response)
      finish()
    },
    isStarted: () => upstreamStatus !== null,
    isBodyless: () => bodyless,
    isEventStream: () => eventStream,
    outcome: (reason) => ({ upstreamStatus, reason, bytes, domainDecision }),
  }
}

/** Discards what a client still sends, until it is done or its time is up (RFC 9112 §9.6). */
function hearOut(request: IncomingMessage, done: () => void): void {
  const stop = (): void => {
    clearTimeout(timer)
    request.off('end', stop).off('close', stop)
    done()
  }
  const timer = setTimeout(stop, LINGER_MS)
  request.once('end', stop).once('close', stop).resume()
}

/** A plain connection is reset, since its orderly end would pass for the end of an answer without length. */
function reset(response: ServerResponse): void {
  const { socket } = response
  // Without a socket it waits behind another answer: then its own turn ends the connection.
  if (socket === null || socket instanceof TLSSocket) response.destroy()
  else socket.resetAndDestroy()
}

/** A flat list without one name, which is in lower case. */
export const withoutHeader = (headers: readonly string[], name: string): string[] =>
  headers.filter((_, position) => headers[position - (position % 2)]?.toLowerCase() !== name)

function valueIn(headers: readonly string[], name: string): string | undefined {
  const index = headers.findIndex((text, position) => position % 2 === 0 && text.toLowerCase() === name)
  return index < 0 ? undefined : headers[index + 1]
}
