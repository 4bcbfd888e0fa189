// How are fields written that no HTTP/2 client would send? node:http2 talks to a server through this stream, and does all of RFC
// 9113 that a right client does; only the fields of its request are taken out and put in again as an attack wrote them.

import { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'

export type Field = readonly [name: string, value: string]

/** RFC 9113 §3.4. */
const PREFACE_BYTES = 24
const FRAME_HEAD_BYTES = 9
/** What a server takes that has said nothing else (RFC 9113 §4.2). */
const LARGEST_PAYLOAD = 16_384

const HEADERS = 1
const CONTINUATION = 9
const END_STREAM = 1
const END_HEADERS = 4

/** The bytes of an HPACK block (RFC 7541 §6.2.2): each field a literal, as it is, neither indexed nor compressed. */
export function blockOf(fields: readonly Field[]): Buffer {
  const text = (value: string): Buffer => {
    const bytes = Buffer.from(value, 'latin1')
    return Buffer.concat([integer(bytes.length), bytes])
  }
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]))
}

/** RFC 7541 §5.1, with a prefix of 7 bits and no Huffman flag. */
function integer(value: number): Buffer {
  if (value < 127) return Buffer.from([value])
  const bytes = [127]
  let rest = value - 127
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128)
  return Buffer.from([...bytes, rest])
}

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(FRAME_HEAD_BYTES)
  head.writeUIntBE(payload.length, 0, 3)
  head.writeUInt8(type, 3)
  head.writeUInt8(flags, 4)
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

/** One HEADERS frame, and as many of CONTINUATION as it takes. */
function headersFrames(block: Buffer, endStream: number, stream: number): Buffer {
  const pieces = Array.from({ length: Math.max(1, Math.ceil(block.length / LARGEST_PAYLOAD)) }, (_, i) =>
    block.subarray(i * LARGEST_PAYLOAD, (i + 1) * LARGEST_PAYLOAD),
  )
  const last = pieces.length - 1
  return Buffer.concat(
    pieces.map((piece, i) =>
      frame(i === 0 ? HEADERS : CONTINUATION, (i === 0 ? endStream : 0) + (i === last ? END_HEADERS : 0), stream, piece),
    ),
  )
}

/** Takes what a client wrote, gives what is to be sent: the same frames, the fields of every HEADERS frame replaced. */
function rewriting(fields: readonly Field[]): (bytes: Buffer) => Buffer {
  const block = blockOf(fields)
  let waiting: Buffer = Buffer.alloc(0)
  let isPrefaceSent = false
  return (bytes) => {
    waiting = Buffer.concat([waiting, bytes])
    const ready: Buffer[] = []
    const take = (length: number): Buffer => {
      const taken = waiting.subarray(0, length)
      waiting = waiting.subarray(length)
      return taken
    }
    if (!isPrefaceSent) {
      if (waiting.length < PREFACE_BYTES) return Buffer.alloc(0)
      ready.push(take(PREFACE_BYTES))
      isPrefaceSent = true
    }
    while (waiting.length >= FRAME_HEAD_BYTES && waiting.length >= FRAME_HEAD_BYTES + waiting.readUIntBE(0, 3)) {
      const whole = take(FRAME_HEAD_BYTES + waiting.readUIntBE(0, 3))
      const isHeaders = whole.readUInt8(3) === HEADERS
      ready.push(isHeaders ? headersFrames(block, whole.readUInt8(4) & END_STREAM, whole.readUInt32BE(5)) : whole)
    }
    return Buffer.concat(ready)
  }
}

/** The connection as node:http2 shall see it. */
export function withFields(socket: TLSSocket, fields: readonly Field[]): Duplex {
  const rewrite = rewriting(fields)
  const duplex = new Duplex({
    read: () => void socket.resume(),
    write: (chunk: Buffer, _encoding, done) => {
      const bytes = rewrite(chunk)
      if (bytes.length === 0 || socket.destroyed) done()
      else socket.write(bytes, () => done())
    },
    final: (done) => {
      socket.end()
      done()
    },
    destroy: (error, done) => {
      socket.destroy()
      done(error)
    },
  })
  socket.on('data', (chunk: Buffer) => {
    if (!duplex.push(chunk)) socket.pause()
  })
  socket.on('end', () => duplex.push(null))
  socket.on('close', () => duplex.destroy())
  return duplex
}
