// Is this a WebSocket handshake, and is that its answer (RFC 6455 §4.2.1, §4.1)? Pure; header lists are flat, as they came.

import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

/** What makes a handshake, and is passed on. */
const NAMES = ['sec-websocket-key', 'sec-websocket-version', 'sec-websocket-protocol', 'sec-websocket-extensions']

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

export type Handshake = {
  readonly key: string
  readonly protocols: readonly string[]
  readonly hasExtensions: boolean
  /** The client's Sec-WebSocket-* headers as they came, flat. */
  readonly headers: readonly string[]
}

/** The handshake of a request that asks for an upgrade, or what is wrong with it (for `detail`). */
export function readHandshake(request: IncomingMessage): Handshake | string {
  const raw = request.rawHeaders
  if (request.method !== 'GET' || request.httpVersion !== '1.1') return 'websocket: not a GET of HTTP/1.1'
  const { 'content-length': length = '0', 'transfer-encoding': coding } = request.headers
  if (coding !== undefined || Number(length) !== 0) return 'websocket: body'
  if (only(raw, 'upgrade')?.toLowerCase() !== 'websocket') return 'websocket: Upgrade'
  if (only(raw, 'sec-websocket-version') !== '13') return 'websocket: Sec-WebSocket-Version'
  const key = only(raw, 'sec-websocket-key')
  // 16 bytes: 22 characters, of which the last has four spare bits, and the padding.
  if (key === undefined || !/^[A-Za-z0-9+/]{21}[AQgw]==$/.test(key)) return 'websocket: Sec-WebSocket-Key'
  return {
    key,
    protocols: valuesOf(raw, 'sec-websocket-protocol').flatMap((value) => value.split(',').map((name) => name.trim())),
    hasExtensions: valuesOf(raw, 'sec-websocket-extensions').length > 0,
    headers: pick(raw, NAMES),
  }
}

/** RFC 6455 §4.2.2 (5.4). SHA-1 here is a checksum against servers that speak something else; nothing relies on it. */
export const acceptFor = (key: string): string =>
  createHash('sha1')
    .update(key + GUID)
    .digest('base64')

/** Why the headers of a 101 are no answer to this handshake (for `detail`), or null. */
export function acceptanceProblem(raw: readonly string[], { key, protocols, hasExtensions }: Handshake): string | null {
  if (only(raw, 'upgrade')?.toLowerCase() !== 'websocket') return 'websocket: Upgrade'
  if (only(raw, 'sec-websocket-accept') !== acceptFor(key)) return 'websocket: Sec-WebSocket-Accept'
  const chosen = valuesOf(raw, 'sec-websocket-protocol')
  if (chosen.length > 1 || chosen.some((name) => !protocols.includes(name))) return 'websocket: Sec-WebSocket-Protocol'
  if (!hasExtensions && valuesOf(raw, 'sec-websocket-extensions').length > 0) return 'websocket: Sec-WebSocket-Extensions'
  return null
}

function pick(raw: readonly string[], names: readonly string[]): readonly string[] {
  return raw.flatMap((name, index) => (index % 2 === 0 && names.includes(name.toLowerCase()) ? [name, raw[index + 1] ?? ''] : []))
}

const valuesOf = (raw: readonly string[], name: string): readonly string[] =>
  pick(raw, [name]).filter((_, index) => index % 2 === 1)

/** The value of a header that is there exactly once. */
function only(raw: readonly string[], name: string): string | undefined {
  const values = valuesOf(raw, name)
  return values.length === 1 ? values[0] : undefined
}
