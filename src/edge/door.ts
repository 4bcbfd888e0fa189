// Which new connection begins its handshake, and when? A handshake costs more than most requests, so one begins in each turn of the event
// loop, and the addresses they come from take turns: whoever floods waits for himself, and not those who are connected.

import { createServer, type Server, type Socket } from 'node:net'
import { createFairQueue } from './fair-queue.js'

/**
 * libuv accepts one connection a turn. While more come, none is let in for so many turns, which are short then: in the kernel's queue
 * there is no order but that of coming, so they must be here before anyone's turn can be told.
 */
const TURNS_OF_COMING = 64

/** Connections that may wait here. */
export const MOST_WAITING = 4096

/**
 * A server that is not listening yet. `arrive` is called for each connection at once, and may destroy it; `enter`, when its turn has
 * come.
 */
export function openDoor(arrive: (socket: Socket) => void, enter: (socket: Socket) => void): Server {
  const waiting = createFairQueue<Socket>(MOST_WAITING)
  let isTurning = false
  let hasCome = false
  let turns = 0

  const endTurn = (): void => {
    turns += 1
    if (!hasCome || turns >= TURNS_OF_COMING) {
      turns = 0
      const socket = waiting.shift()
      if (socket !== undefined && !socket.destroyed) enter(socket)
    }
    hasCome = false
    isTurning = waiting.size() > 0
    if (isTurning) setImmediate(endTurn)
  }
  return createServer({ pauseOnConnect: true, noDelay: true }, (socket) => {
    arrive(socket)
    if (socket.destroyed) return
    waiting.push(socket.remoteAddress ?? '', socket)?.destroy()
    hasCome = true
    if (!isTurning) setImmediate(endTurn)
    isTurning = true
  })
}
