// The upstream of the fairness tests, as a thread: whoever floods it must not hold up the clock of the test beside it.
// Says on which port it listens. What it answers is in the path.
import { createHash } from 'node:crypto'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { parentPort } from 'node:worker_threads'

const chunk = Buffer.alloc(64 * 1024, 'x')
const streams = new Set<ServerResponse>()
const MANY_HEADERS = Array.from({ length: 100 }, (_, i) => [`X-Name-${i}`, 'v'.repeat(290)]).flat()

/** Bytes without end, as fast as they are taken. */
function flood(response: ServerResponse): void {
  const more = () => {
    while (response.write(chunk));
  }
  response.writeHead(200, { 'Content-Type': 'application/octet-stream' })
  response.on('drain', more)
  more()
}

const server = createServer({ maxHeaderSize: 64 * 1024 }, (request, response) => {
  const [, kind = ''] = /^\/([a-z-]+)/.exec(request.url ?? '') ?? []
  if (kind === 'large') return flood(response)
  if (kind === 'events') {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' })
    response.write('data: 0\n\n')
    streams.add(response)
    return void response.on('close', () => streams.delete(response))
  }
  if (kind === 'many-headers') return void response.writeHead(200, [...MANY_HEADERS, 'Content-Length', '0']).end()
  request.on('end', () => response.writeHead(200, { 'Content-Length': 2 }).end('ok'))
  request.resume()
})
// A WebSocket that sends back what it gets, frame for frame.
server.on('upgrade', (request, socket) => {
  const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`
  const accept = createHash('sha1').update(key).digest('base64')
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  )
  socket.pipe(socket)
  socket.on('error', () => undefined)
})
setInterval(() => {
  for (const stream of streams) stream.write(`data: ${Date.now()}\n\n`)
}, 10)
server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () =>
  parentPort?.postMessage((server.address() as AddressInfo).port),
)
