// How is a request answered that Node has let go of, because it asks for another protocol (Upgrade) or a tunnel (CONNECT)? As any
// other, on a response of our own; the connection ends with it, so that what was sent behind the request is never read as one.

import { type IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Connections } from './connections.js'

/** Null: there is no one to answer, or an answer is still under way that this one can't follow (the connection is cut). */
export function answerOn(request: IncomingMessage, socket: Socket, connections: Connections): ServerResponse | null {
  // Node looks after this socket no longer: without a listener its error would end the process.
  socket.on('error', () => undefined)
  if (connections.of(socket)?.turns.length !== 0) {
    socket.destroy()
    return null
  }
  const response = new ServerResponse(request)
  response.shouldKeepAlive = false
  response.assignSocket(socket)
  socket.on('drain', () => response.emit('drain'))
  socket.on('timeout', () => socket.destroy())
  response.on('finish', () => {
    // Read and thrown away, so that the client's own end is seen.
    socket.resume()
    socket.destroySoon()
  })
  return response
}
