// The two connections of an accepted WebSocket, joined: bytes pass as they are, with backpressure, and each end's going is the
// other's. It knows frames only so far as to say goodbye between two of them (contract §6: close 1008 when the token ends).

import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Bytes, Seconds } from '../verify/scalars.js'
import { type CloseCode, closeFrame, frameReader } from './frames.js'

/** How long, in milliseconds, one end may stay after it was told that the other has gone, and how long telling it may take. */
const GRACE_MS = 2_000
const DELIVERY_MS = 30_000

/** How often, in milliseconds, TCP asks whether a silent peer is still there: no HTTP time-out looks after a WebSocket. */
const KEEP_ALIVE_MS = 60_000

export type Tunnel = {
  /** Says goodbye to the client with this code, and ends both connections. */
  close(code: CloseCode): void
}

export type TunnelSettings = {
  /** How long the client may take nothing of what we have for it. */
  readonly patience: Seconds
  /** Called once, when both connections are closed, with the bytes sent to the client. */
  readonly ended: (bytes: Bytes) => void
}

/** Starts to pass bytes. */
export function joinSockets(client: Socket, upstream: Duplex, { patience, ended }: TunnelSettings): Tunnel {
  const frames = frameReader()
  let goodbye: CloseCode | null = null
  let said = false
  let bytes = 0
  let open = 2
  let grace: NodeJS.Timeout | undefined
  let stalled: NodeJS.Timeout | undefined

  const destroy = (): void => {
    client.destroy()
    upstream.destroy()
  }
  const finishWithin = (milliseconds: number): void => {
    clearTimeout(grace)
    if (open > 0) grace = setTimeout(destroy, milliseconds)
  }
  const sayGoodbye = (): void => {
    if (goodbye === null || said || !frames.isBetweenFrames()) return
    said = true
    bytes += 4
    client.end(closeFrame(goodbye))
    upstream.end()
  }
  const toClient = (chunk: Buffer): boolean => {
    if (said) return true
    frames.read(chunk)
    bytes += chunk.length
    const more = client.write(chunk)
    // A timer of our own: a socket's begins anew with each frame that the client sends.
    if (!more) stalled ??= setTimeout(destroy, patience * 1000)
    sayGoodbye()
    return more
  }

  const watch = (socket: Duplex, other: Duplex): void => {
    let finished = false
    socket.on('end', () => {
      finished = true
      if (grace === undefined) finishWithin(DELIVERY_MS)
      // Called when a slow reader has taken all that was on its way.
      other.end(() => finishWithin(GRACE_MS))
    })
    // A reset, or an error: there is nothing more to come and nothing to wait for.
    socket.on('error', () => undefined)
    socket.on('close', () => {
      if (!finished) other.destroy()
      if (--open > 0) return
      clearTimeout(grace)
      ended(bytes)
    })
  }

  client.on('drain', () => {
    clearTimeout(stalled)
    stalled = undefined
  })
  client.on('close', () => clearTimeout(stalled))
  client.setTimeout(0)
  client.setNoDelay(true)
  client.setKeepAlive(true, KEEP_ALIVE_MS)
  watch(client, upstream)
  watch(upstream, client)
  pump(upstream, client, toClient)
  pump(client, upstream, (chunk) => goodbye !== null || upstream.write(chunk))

  return {
    close(code) {
      goodbye ??= code
      finishWithin(GRACE_MS)
      sayGoodbye()
    },
  }
}

/** What one end may bring in one turn of the event loop before others are heard: as in request-body.ts. */
const SHARE: Bytes = 64 * 1024

/** `take` passes a chunk on and says whether more may come at once. */
function pump(from: Duplex, to: Duplex, take: (chunk: Buffer) => boolean): void {
  let share = 0
  let turn: NodeJS.Immediate | undefined
  let waits = false
  const endTurn = (): void => {
    turn = undefined
    share = 0
    if (!waits) from.resume()
  }
  from.on('data', (chunk: Buffer) => {
    share += chunk.length
    turn ??= setImmediate(endTurn)
    const more = take(chunk)
    if (more && share < SHARE) return
    from.pause()
    if (more || waits) return
    waits = true
    to.once('drain', () => {
      waits = false
      if (turn === undefined) from.resume()
    })
  })
  from.resume()
}
