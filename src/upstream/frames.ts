// Where does one WebSocket frame end and the next begin (RFC 6455 §5.2)? Only as much of it as a tunnel needs to put in a close
// frame of its own. Does not judge frames: the two ends do.

/** Normal ends that we announce ourselves: the token ended, or the gateway stops (RFC 6455 §7.4.1). */
export type CloseCode = 1001 | 1008

/** A server's close frame: FIN, opcode 8, not masked, two bytes of payload. */
export const closeFrame = (code: CloseCode): Buffer => Buffer.from([0x88, 0x02, code >> 8, code & 0xff])

export type FrameReader = {
  read(chunk: Uint8Array): void
  /** Nothing, or only whole frames, went by: another frame may stand here, even within a fragmented message. */
  isBetweenFrames(): boolean
}

export function frameReader(): FrameReader {
  const header = new Uint8Array(14)
  let have = 0
  let payload = 0

  return {
    read(chunk) {
      let at = 0
      while (at < chunk.length) {
        if (payload > 0) {
          const taken = Math.min(payload, chunk.length - at)
          payload -= taken
          at += taken
          continue
        }
        header[have++] = chunk[at++] ?? 0
        if (have < 2 || have < headerLength(header)) continue
        payload = payloadLength(header)
        have = 0
      }
    },
    isBetweenFrames: () => have === 0 && payload === 0,
  }
}

const shortLength = (header: Uint8Array): number => (header[1] ?? 0) & 0x7f

function headerLength(header: Uint8Array): number {
  const short = shortLength(header)
  const extended = short === 127 ? 8 : short === 126 ? 2 : 0
  const mask = (header[1] ?? 0) & 0x80 ? 4 : 0
  return 2 + extended + mask
}

function payloadLength(header: Uint8Array): number {
  const short = shortLength(header)
  const view = new DataView(header.buffer)
  if (short === 127) return Number(view.getBigUint64(2))
  return short === 126 ? view.getUint16(2) : short
}
