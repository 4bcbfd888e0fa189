// The frames of a WebSocket, as the tunnel counts them: whatever comes, in whatever pieces, it says the same of where frames end as a
// naive reader that has all the bytes at once (RFC 6455 §5.2).
import { frameReader } from '../../../src/upstream/frames.js'
import { judge, type Target, type Verdict } from '../target.js'

/** Positions at which a frame has ended. */
function endsOf(bytes: Buffer): ReadonlySet<number> {
  const ends = new Set([0])
  for (let at = 0; at + 2 <= bytes.length; ) {
    const short = bytes.readUInt8(at + 1) & 0x7f
    const extended = short === 127 ? 8 : short === 126 ? 2 : 0
    if (at + 2 + extended > bytes.length) break
    const size = extended === 8 ? bytes.readBigUInt64BE(at + 2) : BigInt(extended === 2 ? bytes.readUInt16BE(at + 2) : short)
    const mask = bytes.readUInt8(at + 1) & 0x80 ? 4 : 0
    const end = BigInt(at + 2 + extended + mask) + size
    if (end > BigInt(bytes.length)) break
    at = Number(end)
    ends.add(at)
  }
  return ends
}

/** The first byte says how large the pieces are. */
function check(input: Buffer): Verdict {
  const step = 1 + (input[0] ?? 0)
  const bytes = input.subarray(1)
  const ends = endsOf(bytes)
  const frames = frameReader()
  let agrees = true
  for (let at = 0; at < bytes.length; at += step) {
    frames.read(bytes.subarray(at, at + step))
    agrees &&= frames.isBetweenFrames() === ends.has(Math.min(bytes.length, at + step))
  }
  return judge(`${Math.min(20, ends.size)} frames${frames.isBetweenFrames() ? '' : ' and a part'}`, [
    [agrees, 'loses count of frames'],
  ])
}

const frame = (size: number, isMasked: boolean): Buffer => {
  const bit = isMasked ? 0x80 : 0
  const head = size < 126 ? [0x82, bit | size] : [0x82, bit | 126, size >> 8, size & 0xff]
  return Buffer.concat([Buffer.from(head), Buffer.alloc(size + (isMasked ? 4 : 0), 0x81)])
}

export const FRAMES: Target = {
  name: 'frames',
  most: 16 * 1024,
  slowest: 50,
  together: 1,
  open: async () => ({
    seeds: [
      Buffer.from([0, 0x88, 0x02, 0x03, 0xf0]),
      Buffer.concat([Buffer.from([3]), frame(0, false), frame(5, true), frame(300, false)]),
      Buffer.concat([Buffer.from([255]), frame(126, true), Buffer.from([0x82, 127, 0, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3])]),
    ],
    words: ['7e', '7f', 'fe', 'ff', '007e', '8200', 'ffffffffffffffff', '8000000000000000', '0000000000000001'].map((hex) =>
      Buffer.from(hex, 'hex'),
    ),
    check,
  }),
}
