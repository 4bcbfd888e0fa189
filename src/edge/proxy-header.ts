// What does a TCP balancer say before the first byte of its client? PROXY protocol, versions 1 and 2 (haproxy.org, doc/proxy-protocol.txt).
// Pure. Strict: addresses of streams alone. Extensions of version 2 are passed over: what they say of a client's TLS is not ours to believe.

import { isIP } from 'node:net'

export type Address = { readonly address: string; readonly port: number }

/** `bytes`: how long the header is. `client`: null where the balancer speaks for itself, or can't say for whom. */
export type ProxyHeader = { readonly bytes: number; readonly client: Address | null }

const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const V1 = 'PROXY '

/** With its line end (§2.1), and of version 2 far more than any extension takes. */
const LONGEST_V1 = 107
const LONGEST_V2 = 4096

/** From the first bytes of a connection; `more`: it is not whole yet; null: it is none. */
export function readProxyHeader(bytes: Buffer): ProxyHeader | 'more' | null {
  if (beginsLike(bytes, SIGNATURE)) return bytes.length < SIGNATURE.length + 4 ? 'more' : readV2(bytes)
  return beginsLike(bytes, Buffer.from(V1)) ? readV1(bytes) : null
}

const beginsLike = (bytes: Buffer, what: Buffer): boolean => {
  const length = Math.min(bytes.length, what.length)
  return bytes.subarray(0, length).equals(what.subarray(0, length))
}

const LINE = /^PROXY TCP([46]) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) (\d{1,5}) (\d{1,5})$/

function readV1(bytes: Buffer): ProxyHeader | 'more' | null {
  const end = bytes.subarray(0, LONGEST_V1).indexOf('\r\n')
  if (end < 0) return bytes.length < LONGEST_V1 ? 'more' : null
  const line = bytes.toString('latin1', 0, end)
  const found = { bytes: end + 2, client: null }
  if (/^PROXY UNKNOWN(?: |$)/.test(line)) return found
  const [, family, source = '', destination = '', port, ownPort] = LINE.exec(line) ?? []
  const isGood = [source, destination].every((address) => isIP(address) === Number(family))
  return isGood && isPort(port) && isPort(ownPort) ? { ...found, client: { address: source, port: Number(port) } } : null
}

const isPort = (text = ''): boolean => String(Number(text)) === text && Number(text) <= 65535

const LOCAL = 0x20
const PROXY = 0x21
const UNSPECIFIED = 0x00
const TCP4 = 0x11
const TCP6 = 0x21
const UNIX_STREAM = 0x31

/** Of both ends: addresses, then ports. */
const LENGTHS: Readonly<Record<number, number>> = { [UNSPECIFIED]: 0, [TCP4]: 12, [TCP6]: 36, [UNIX_STREAM]: 216 }

function readV2(bytes: Buffer): ProxyHeader | 'more' | null {
  const [command, family] = [bytes.readUInt8(12), bytes.readUInt8(13)]
  const length = bytes.readUInt16BE(14)
  const whole = 16 + length
  if ((command !== LOCAL && command !== PROXY) || whole > LONGEST_V2) return null
  // Whatever stands in the header of a balancer that asks for itself, it is to be passed over (§2.2).
  if (command === PROXY && length < (LENGTHS[family] ?? Number.POSITIVE_INFINITY)) return null
  if (bytes.length < whole) return 'more'
  return { bytes: whole, client: command === PROXY ? clientOf(family, bytes.subarray(16, whole)) : null }
}

function clientOf(family: number, ends: Buffer): Address | null {
  if (family === TCP4) return { address: ends.subarray(0, 4).join('.'), port: ends.readUInt16BE(8) }
  if (family !== TCP6) return null
  const groups = Array.from({ length: 8 }, (_, i) => ends.readUInt16BE(2 * i).toString(16))
  return { address: new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1), port: ends.readUInt16BE(32) }
}
