// An upstream that believes nothing: keeps every byte of every connection, reads them by the strictest letter of RFC 9112 and answers
// only what is a whole request. So a test sees exactly what reached the other side, and that nothing else did.
import { once } from 'node:events'
import net, { type AddressInfo, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** A whole request. */
export type Seen = { readonly line: string; readonly head: string; readonly body: string }

export type Witness = {
  readonly port: number
  /** In the order in which they were whole, of all connections. */
  readonly requests: readonly Seen[]
  /** Bytes that no request begins with, as they came. */
  readonly faults: readonly string[]
  /** The beginnings of requests on connections that are still open. */
  pending(): readonly string[]
  /** Resolves when no connection is left that holds half a request; rejects after two seconds. */
  settled(): Promise<void>
  close(): void
}

type Connection = { readonly socket: Socket; rest: string }

/** Opens one; it answers each request with its line and body as JSON. */
export async function openWitness(): Promise<Witness> {
  const connections = new Set<Connection>()
  const requests: Seen[] = []
  const faults: string[] = []
  const server = net.createServer((socket) => {
    const connection: Connection = { socket, rest: '' }
    connections.add(connection)
    socket.on('error', () => undefined)
    socket.on('close', () => connections.delete(connection))
    socket.on('data', (chunk) => {
      connection.rest += chunk.toString('latin1')
      for (;;) {
        const read = readRequest(connection.rest)
        if (read === 'incomplete') return
        if (read === 'broken') {
          faults.push(connection.rest)
          return void socket.destroy()
        }
        connection.rest = connection.rest.slice(read.used)
        requests.push(read.seen)
        const body = JSON.stringify({ line: read.seen.line, body: read.seen.body })
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`, 'latin1')
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const pending = () => [...connections].map(({ rest }) => rest).filter((rest) => rest !== '')
  return {
    port: (server.address() as AddressInfo).port,
    requests,
    faults,
    pending,
    async settled() {
      for (let i = 0; i < 400 && pending().length > 0; i++) await sleep(5)
      if (pending().length > 0) throw new Error(`half a request stays open: ${JSON.stringify(pending())}`)
    },
    close() {
      for (const { socket } of connections) socket.destroy()
      server.close()
    },
  }
}

type Read = 'incomplete' | 'broken' | { readonly seen: Seen; readonly used: number }

function readRequest(text: string): Read {
  const end = text.indexOf('\r\n\r\n')
  const head = end < 0 ? text : text.slice(0, end)
  if (/[^\r]\n|\r[^\n]|^\n|\0/.test(head)) return 'broken'
  if (end < 0) return 'incomplete'
  const [line = '', ...headers] = head.split('\r\n')
  if (!/^[A-Z]+ \/[\x21-\x7e]* HTTP\/1\.1$/.test(line)) return 'broken'
  if (!headers.every((header) => /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+: ?[\t\x20-\x7e\x80-\xff]*$/.test(header))) return 'broken'
  const values = (name: string) => headers.filter((header) => header.toLowerCase().startsWith(`${name}:`))
  const lengths = values('content-length')
  const codings = values('transfer-encoding')
  if (lengths.length + codings.length > 1 || values('host').length !== 1) return 'broken'
  const rest = text.slice(end + 4)
  const body = codings.length > 0 ? readChunks(codings[0] ?? '', rest) : readLength(lengths[0], rest)
  if (typeof body === 'string') return body
  return { seen: { line, head, body: body.text }, used: end + 4 + body.used }
}

type Body = 'incomplete' | 'broken' | { readonly text: string; readonly used: number }

function readLength(header: string | undefined, rest: string): Body {
  const [, digits] = /^content-length: ?(\d+)$/i.exec(header ?? 'content-length: 0') ?? []
  if (digits === undefined) return 'broken'
  const length = Number(digits)
  return rest.length < length ? 'incomplete' : { text: rest.slice(0, length), used: length }
}

/** Without extensions and trailers: ours have none. */
function readChunks(header: string, rest: string): Body {
  if (!/^transfer-encoding: ?chunked$/i.test(header)) return 'broken'
  let text = ''
  for (let at = 0; ; ) {
    const end = rest.indexOf('\r\n', at)
    if (end < 0) return 'incomplete'
    const line = rest.slice(at, end)
    if (!/^[0-9a-f]+$/i.test(line)) return 'broken'
    const size = Number.parseInt(line, 16)
    const next = end + 2 + size + 2
    if (rest.length < next) return 'incomplete'
    if (rest.slice(next - 2, next) !== '\r\n') return 'broken'
    text += rest.slice(end + 2, next - 2)
    at = next
    if (size === 0) return { text, used: at }
  }
}
