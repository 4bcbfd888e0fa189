// What is said to bytes that Node can't make a request of? The refusal they deserve, once, and the end of the connection; never
// into the middle of an answer, and nothing where no handshake was made or the client is gone.

import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Reason } from '../verify/reasons.js'
import type { Connection, Connections } from './connections.js'

/** What the refusal of bytes without a request is made from. */
export type BrokenRequest = { readonly reason: Reason } & Pick<Connection, 'peer' | 'stranger'>

type Answering = {
  readonly socket: Socket
  readonly connections: Connections
  readonly refuse: (broken: BrokenRequest) => string
}

/** Node's `clientError`: a parser error, a late head, or anything else that befell the socket. */
export function answerBroken(error: NodeJS.ErrnoException, { socket, connections, refuse }: Answering): void {
  const line = connections.of(socket)
  const reason = reasonOf(error.code ?? '')
  if (reason === null || line === undefined || !socket.writable) return void socket.destroy()
  // Node reports each further read of a broken stream.
  if (line.isBroken) return
  line.isBroken = true
  line.isClosing = true
  const [current] = line.turns
  const say = () => {
    const { peer, stranger } = line.connection
    socket.write(refuse({ reason, peer, stranger }))
    socket.destroySoon()
  }
  // What broke is the body of a request that has its answer: a second one would be taken for that of the next request.
  if (current === undefined && line.last?.complete === false) return void socket.destroySoon()
  if (current === undefined) return void say()

  const { request, response } = current
  connections.closeSoon(line)
  // What follows a whole request is broken: that request is answered, and then the connection ends.
  if (request.complete) return
  if (response.headersSent) return void socket.destroy()
  // Its own body is broken. Whoever holds bodies refuses it with all that is known of it; else it is taken from whoever streams it.
  if (request.listenerCount('error') > 0) return void request.emit('error', error)
  response.detachSocket(line.socket)
  say()
  destroyDetached(response)
}

/** So that whoever works on the answer stops. Newer versions of Node say `close` of an answer without socket themselves. */
function destroyDetached(response: ServerResponse): void {
  let isSaid = false
  response.once('close', () => {
    isSaid = true
  })
  response.destroy()
  setImmediate(() => {
    if (!isSaid) response.emit('close')
  })
}

/** Null: nobody is there to be told. */
function reasonOf(code: string): Reason | null {
  if (code === 'HPE_HEADER_OVERFLOW') return 'headers_too_large'
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return 'request_timeout'
  // The client ended in the middle of a message.
  if (code === 'HPE_INVALID_EOF_STATE') return null
  return code.startsWith('HPE_') ? 'request_malformed' : null
}
