// An upstream of its own, plain or with TLS, that writes down what it is asked and answers as a test tells it to.
import { once } from 'node:events'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'

export type Recorder = {
  readonly origin: string
  readonly port: number
  readonly asked: IncomingMessage[]
  close(): void
}

export type RecorderOptions = {
  readonly tls?: { readonly cert: string; readonly key: string }
  readonly answer?: (request: IncomingMessage, response: ServerResponse) => void
  readonly upgrade?: (request: IncomingMessage, socket: Duplex) => void
}

/** Listens on any port of loopback. */
export async function openRecorder({ tls, answer, upgrade }: RecorderOptions = {}): Promise<Recorder> {
  const asked: IncomingMessage[] = []
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    asked.push(request)
    if (answer !== undefined) answer(request, response)
    else response.end('{}')
  }
  const server = tls === undefined ? http.createServer(listener) : https.createServer(tls, listener)
  if (upgrade !== undefined)
    server.on('upgrade', (request, socket) => {
      asked.push(request)
      upgrade(request, socket)
    })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    origin: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    port,
    asked,
    close: () => {
      server.close()
      server.closeAllConnections()
    },
  }
}
