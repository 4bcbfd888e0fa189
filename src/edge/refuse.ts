// Writes a refusal to the client, in the one form there is (contract §4), and leaves the connection in a state that nothing can
// be smuggled through: what was not read of the request is drained within bounds, or the connection is closed.

import type { IncomingMessage, ServerResponse } from 'node:http'
import { type Refusal, type RefusalContext, refusal } from '../verify/challenge.js'
import type { Reason } from '../verify/reasons.js'
import type { Denial } from '../verify/verdict.js'

/** After these nobody knows where the next request begins, or the sender is no one to go on talking to. */
const CLOSING: ReadonlySet<Reason> = new Set<Reason>([
  'hop_untrusted',
  'request_malformed',
  'request_timeout',
  'headers_too_large',
  'target_too_long',
  'expectation_failed',
  'body_too_large',
])

/** How much of an unread body is read and thrown away so that the client hears the refusal (bytes, milliseconds). */
const DRAIN_BYTES = 256 * 1024
const DRAIN_MS = 2000

/**
 * Answers with the refusal, or with what `narrow` makes of it for who can't take all of it; returns its status. Where an answer has begun
 * already, the connection is cut instead.
 */
export function refuse(
  request: IncomingMessage,
  response: ServerResponse,
  denial: Denial,
  context: RefusalContext,
  narrow: (whole: Refusal) => Refusal = (whole) => whole,
): number {
  const { status, headers, body } = narrow(refusal(denial, context))
  if (response.headersSent) {
    response.destroy()
    return status
  }
  // A client that waits for 100 Continue may send its body or not: only a new connection is unambiguous (RFC 9110 §10.1.1).
  const closes = CLOSING.has(denial.reason) || request.headers.expect !== undefined
  response.writeHead(status, closes ? [...headers, 'Connection', 'close'] : [...headers])
  response.end(request.method === 'HEAD' ? undefined : body)
  if (!request.complete) drain(request)
  return status
}

/** The same for a socket on which no request could be parsed. */
export function refusalText(denial: Denial, context: RefusalContext): string {
  const { status, headers, body } = refusal(denial, context)
  const lines = [`HTTP/1.1 ${status} `, `Date: ${new Date().toUTCString()}`, 'Connection: close']
  for (let i = 0; i < headers.length; i += 2) lines.push(`${headers[i]}: ${headers[i + 1]}`)
  return `${lines.join('\r\n')}\r\n\r\n${body}`
}

/** Reads and throws away what is left of a body, within bounds; beyond them the connection is cut. */
export function drain(request: IncomingMessage): void {
  let left = DRAIN_BYTES
  const cut = () => request.socket.destroy()
  const timer = setTimeout(cut, DRAIN_MS)
  timer.unref()
  request.on('data', (chunk: Buffer) => {
    left -= chunk.length
    if (left < 0) cut()
  })
  request.once('close', () => clearTimeout(timer))
  request.once('end', () => clearTimeout(timer))
  request.resume()
}
