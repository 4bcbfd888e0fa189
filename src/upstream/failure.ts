// Which refusal is an error of the upstream leg? (contract §4: upstream_unreachable, upstream_timeout, upstream_invalid)
// Only the error's code is kept: its text holds the upstream's address.

import { type Denial, deny } from '../verify/verdict.js'

/** Too slow, to connect as well as to answer. */
const TIMEOUTS: ReadonlySet<string> = new Set([
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'ETIMEDOUT',
])

/** What undici and Node refuse to write: a mistake of ours, or a header that should have been refused before. */
const FAULTS: ReadonlySet<string> = new Set([
  'UND_ERR_INVALID_ARG',
  'UND_ERR_NOT_SUPPORTED',
  'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH',
])

/** A connection that was closed or reset, as Node and undici report it. */
const CLOSED: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET'])

/** The code of an error, or its name: never its text. */
export function codeOf(error: Error): string {
  const { code } = error as { readonly code?: unknown }
  return typeof code === 'string' ? code : error.name
}

export const isClosed = (error: Error): boolean => CLOSED.has(codeOf(error))

/**
 * What a client is told of an error. `began`: the first byte of an answer had come; from there on a connection that closes is an
 * answer that stops short, so `upstream_invalid`; before it, `upstream_unreachable`.
 */
export function failure(error: Error, began: 'began' | 'silent'): Denial {
  const code = codeOf(error)
  if (TIMEOUTS.has(code)) return deny('upstream_timeout', code)
  if (began === 'began') return deny('upstream_invalid', code)
  if (FAULTS.has(code)) return deny('gateway_fault', code)
  return deny('upstream_unreachable', code)
}
