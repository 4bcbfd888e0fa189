// Which HTTP does a connection speak? HTTP/2 begins with a preface that is no request of HTTP/1.1 (RFC 9113 §3.4); what was read to tell is put
// back. For listeners that are asked by gRPC.

import type { Socket } from 'node:net'
import type { Seconds } from '../verify/scalars.js'

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

/** Looks at a connection that nothing was read of. Calls `done` once, or never where it ends; one that is silent is taken for HTTP/1.1. */
export function tellHttp2(socket: Socket, patience: Seconds, done: (isHttp2: boolean) => void): void {
  let received = Buffer.alloc(0)
  const end = (isHttp2: boolean): void => {
    clearTimeout(timer)
    socket.off('readable', read).off('close', gone)
    if (received.length > 0) socket.unshift(received)
    done(isHttp2)
  }
  const read = (): void => {
    for (let chunk = socket.read(); chunk !== null; chunk = socket.read()) received = Buffer.concat([received, chunk as Buffer])
    const length = Math.min(received.length, PREFACE.length)
    if (!received.subarray(0, length).equals(PREFACE.subarray(0, length))) end(false)
    else if (length === PREFACE.length) end(true)
  }
  const gone = (): void => clearTimeout(timer)
  const timer = setTimeout(() => end(false), patience * 1000)
  // Its error would end the process: nobody else listens yet.
  socket
    .on('error', () => undefined)
    .on('close', gone)
    .on('readable', read)
}
