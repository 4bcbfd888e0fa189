// W3C Trace Context as far as a gateway needs it: what our traces are called, which requests have one, and what a client says of its
// own (contract §6: at most a link). Pure, and all that a request pays where traces are off.

/**
 * A trace is called as its request is, and the request to the upstream as its assertion, so that a trace leads to the audit event and
 * back. Both are random UUIDs, whose version and variant bits keep them from being all zeros, which would be invalid (§3.2.2).
 */
export const traceIdOf = (requestId: string): string => requestId.replaceAll('-', '')
export const spanIdOf = (assertionId: string): string => assertionId.slice(19).replaceAll('-', '')

/** W3C Trace Context §3.2: what the upstream goes on from. */
export const traceparentOf = (requestId: string, assertionId: string, isTraced: boolean): string =>
  `00-${traceIdOf(requestId)}-${spanIdOf(assertionId)}-${isTraced ? '01' : '00'}`

/** Of a UUID, the last 48 bits are random all over. */
const RANDOM_DIGITS = 12
const RANDOM_RANGE = 16 ** RANDOM_DIGITS

/**
 * Has this request a trace? By chance, which is the request id's own: whoever asks gets the same answer, a smaller share is part of
 * every larger one, and no client can choose it.
 */
export const isSampled = (requestId: string, share: number): boolean =>
  Number.parseInt(requestId.slice(-RANDOM_DIGITS), 16) < share * RANDOM_RANGE

/** The span of another that a request says it comes from. */
export type RemoteSpan = { readonly traceId: string; readonly spanId: string; readonly isSampled: boolean }

/** §3.2.2: version 00 has these four parts; a later one may have more behind them. */
const TRACEPARENT = /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/

/** What a client's `traceparent` names; null where there is none, more than one, or one that is broken. Names and values are flat. */
export function readTraceparent(rawHeaders: readonly string[]): RemoteSpan | null {
  let text: string | null = null
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if ((rawHeaders[i] ?? '').toLowerCase() !== 'traceparent') continue
    if (text !== null) return null
    text = rawHeaders[i + 1] ?? ''
  }
  const [, version, traceId, spanId, flags = '', more] = TRACEPARENT.exec(text ?? '') ?? []
  if (traceId === undefined || spanId === undefined || (version === '00' && more !== undefined)) return null
  return { traceId, spanId, isSampled: (Number.parseInt(flags, 16) & 1) === 1 }
}
