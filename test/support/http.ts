// One exchange over a TLS connection of its own: bytes out, one parsed reply back.
import { type ConnectionOptions, connect } from 'node:tls'

export type Reply = {
  readonly status: number
  /** Head and body as they came. */
  readonly text: string
  readonly body: string
  header(name: string): string | undefined
  headers(name: string): readonly string[]
}

/** Sends and reads one reply, by its framing. Rejects after 10 s, or when the connection ends before a head came. */
export function exchange(bytes: string | Buffer, options: ConnectionOptions): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', ...options }, () => socket.write(bytes))
    let received = Buffer.alloc(0)
    const timer = setTimeout(
      () => finish(new Error(`no reply within 10 s: ${received.toString('latin1').slice(0, 200)}`)),
      10_000,
    )
    const finish = (result: Reply | Error) => {
      clearTimeout(timer)
      socket.destroy()
      if (result instanceof Error) reject(result)
      else resolve(result)
    }
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk])
      const reply = parseReply(received, 'open')
      if (reply !== null) finish(reply)
    })
    socket.on('end', () =>
      finish(parseReply(received, 'ended') ?? new Error(`connection ended: ${received.toString('latin1').slice(0, 200)}`)),
    )
    socket.on('error', (error) => finish(parseReply(received, 'ended') ?? error))
  })
}

/** null: not all there yet. Interim answers are skipped. */
export function parseReply(received: Buffer, connection: 'open' | 'ended'): Reply | null {
  const end = received.indexOf('\r\n\r\n')
  if (end < 0) return null
  const [start = '', ...lines] = received.subarray(0, end).toString('latin1').split('\r\n')
  const status = Number(start.split(' ')[1])
  if (status >= 100 && status < 200 && status !== 101) return parseReply(received.subarray(end + 4), connection)
  const pairs = lines.map(
    (line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()] as const,
  )
  const headers = (name: string) => pairs.filter(([key]) => key === name.toLowerCase()).map(([, value]) => value)
  const rest = received.subarray(end + 4)
  const body = readBody(rest, {
    length: headers('content-length')[0],
    coding: headers('transfer-encoding')[0],
    bodyless: status === 204 || status === 304,
  })
  if (body === null && connection === 'open') return null
  return {
    status,
    text: received.toString('latin1'),
    body: (body ?? rest).toString('utf8'),
    header: (name) => headers(name)[0],
    headers,
  }
}

function readBody(
  rest: Buffer,
  framing: { length: string | undefined; coding: string | undefined; bodyless: boolean },
): Buffer | null {
  if (framing.bodyless) return Buffer.alloc(0)
  if (framing.length !== undefined) return rest.length >= Number(framing.length) ? rest.subarray(0, Number(framing.length)) : null
  if (framing.coding !== 'chunked') return null
  const chunks: Buffer[] = []
  for (let at = 0; ; ) {
    const line = rest.indexOf('\r\n', at)
    if (line < 0) return null
    const size = Number.parseInt(rest.subarray(at, line).toString(), 16)
    if (size === 0) return Buffer.concat(chunks)
    if (rest.length < line + 2 + size + 2) return null
    chunks.push(rest.subarray(line + 2, line + 2 + size))
    at = line + 2 + size + 2
  }
}
