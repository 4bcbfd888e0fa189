// A TLS client that sends bytes as they are, so that a test can say what no HTTP client would; answers are read by their framing.

import { once } from 'node:events'
import { connect as connectPlain, type NetConnectOpts, type Socket } from 'node:net'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'

export type RawResponse = {
  readonly status: number
  readonly version: string
  /** Header lines as they came. */
  readonly lines: readonly string[]
  /** The value of the only line of this name; undefined: there is none. Throws where there are more. */
  header(name: string): string | undefined
  readonly body: Buffer
}

export type RawClient<S extends Socket = TLSSocket> = {
  readonly socket: S
  send(...bytes: readonly (string | Buffer)[]): void
  /** The next answer on this connection; interim ones are answers too. Rejects when the connection ends before it is whole. */
  response(to?: { readonly method: string }): Promise<RawResponse>
  /** Resolves with what came and no answer took, when the other side has ended. Rejects after `patience` milliseconds. */
  ended(patience?: number): Promise<string>
  close(): void
}

/** Connects to 127.0.0.1 without verifying whom. Rejects when the handshake fails. */
export async function openRaw(port: number, options: ConnectionOptions = {}): Promise<RawClient> {
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options })
  const client = clientOn(socket)
  await once(socket, 'secureConnect')
  client.begin()
  return client
}

/** The same without TLS, for a listener that someone else ends it for. Rejects when nobody listens there. */
export async function openPlain(place: NetConnectOpts): Promise<RawClient<Socket>> {
  const socket = connectPlain(place)
  const client = clientOn(socket)
  await once(socket, 'connect')
  client.begin()
  return client
}

/** Reads from the first byte on; from `begin` on, an end is one of answers and not of the attempt to connect. */
function clientOn<S extends Socket>(socket: S): RawClient<S> & { begin(): void } {
  let received: Buffer = Buffer.alloc(0)
  let isEnded = false
  let wake = (): void => undefined
  socket.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk])
    wake()
  })
  const end = (): void => {
    isEnded = true
    wake()
  }
  const change = () =>
    new Promise<void>((resolve) => {
      wake = resolve
    })
  return {
    socket,
    begin: () => void socket.on('end', end).on('close', end).on('error', end),
    send: (...bytes) => {
      for (const part of bytes) socket.write(typeof part === 'string' ? Buffer.from(part, 'latin1') : part)
    },
    async response({ method } = { method: 'GET' }) {
      for (;;) {
        const parsed = parseResponse(received, { method, isEnded })
        if (parsed !== null) {
          received = parsed.rest
          return parsed.response
        }
        if (isEnded) throw new Error(`the connection ended within an answer: ${JSON.stringify(received.toString('latin1'))}`)
        await change()
      }
    },
    async ended(patience = 5_000) {
      const deadline = Date.now() + patience
      while (!isEnded) {
        const timer = setTimeout(() => wake(), deadline - Date.now())
        await change()
        clearTimeout(timer)
        if (!isEnded && Date.now() >= deadline) throw new Error(`the connection is still open after ${patience} ms`)
      }
      return received.toString('latin1')
    },
    close: () => void socket.destroy(),
  }
}

/** One exchange on a connection of its own. */
export async function ask(port: number, bytes: string | Buffer, options: ConnectionOptions = {}): Promise<RawResponse> {
  const client = await openRaw(port, options)
  try {
    client.send(bytes)
    return await client.response()
  } finally {
    client.close()
  }
}

type Parsed = { readonly response: RawResponse; readonly rest: Buffer }
type Reading = { readonly method: string; readonly isEnded: boolean }

/** RFC 9112 §6.3, of an answer to `method`. Null: not all of it is there. */
function parseResponse(received: Buffer, { method, isEnded }: Reading): Parsed | null {
  const end = received.indexOf('\r\n\r\n')
  if (end < 0) return null
  const [start = '', ...lines] = received.subarray(0, end).toString('latin1').split('\r\n')
  const status = Number(start.slice(9, 12))
  const header = (name: string): string | undefined => {
    const found = lines.filter((line) => line.toLowerCase().startsWith(`${name.toLowerCase()}:`))
    if (found.length > 1) throw new Error(`${found.length} lines of ${name}`)
    return found[0]?.slice(name.length + 1).trim()
  }
  const rest = received.subarray(end + 4)
  const length = header('content-length')
  const give = (body: Buffer, used: number): Parsed => ({
    response: { status, version: start.slice(0, 8), lines, header, body },
    rest: rest.subarray(used),
  })
  if (method === 'HEAD' || status < 200 || status === 204 || status === 304) return give(Buffer.alloc(0), 0)
  if (header('transfer-encoding') === 'chunked') {
    const chunks = readChunks(rest)
    return chunks === null ? null : give(chunks.body, chunks.used)
  }
  if (length === undefined) return isEnded ? give(rest, rest.length) : null
  return rest.length < Number(length) ? null : give(rest.subarray(0, Number(length)), Number(length))
}

function readChunks(bytes: Buffer): { body: Buffer; used: number } | null {
  const chunks: Buffer[] = []
  for (let at = 0; ; ) {
    const line = bytes.indexOf('\r\n', at)
    if (line < 0) return null
    const size = Number.parseInt(bytes.subarray(at, line).toString('latin1'), 16)
    const next = line + 2 + size + 2
    if (bytes.length < next) return null
    if (size === 0) return { body: Buffer.concat(chunks), used: next }
    chunks.push(bytes.subarray(line + 2, line + 2 + size))
    at = next
  }
}
