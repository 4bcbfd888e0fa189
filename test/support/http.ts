// One exchange on a TLS connection of its own, for tests that ask what came of it and not how it was framed.
import type { Socket } from 'node:net'
import type { ConnectionOptions } from 'node:tls'
import { openRaw, type RawClient } from './raw.js'

export type Reply = {
  readonly status: number
  /** Head and body. */
  readonly text: string
  readonly body: string
  header(name: string): string | undefined
  headers(name: string): readonly string[]
}

/** Sends bytes and reads the final answer. Rejects when there is none within 10 s. */
export async function exchange(
  bytes: string | Buffer,
  { port, ...options }: ConnectionOptions & { port: number },
): Promise<Reply> {
  return exchangeOn(await openRaw(port, options), bytes)
}

/** The same on a connection that is there already, and is closed then. */
export async function exchangeOn(client: RawClient<Socket>, bytes: string | Buffer): Promise<Reply> {
  client.socket.setTimeout(10_000, () => client.socket.destroy())
  try {
    client.send(bytes)
    // `HEAD ` begins no other method.
    const asked = { method: bytes.toString('latin1').startsWith('HEAD ') ? 'HEAD' : 'GET' }
    let answer = await client.response(asked)
    while (answer.status >= 100 && answer.status < 200 && answer.status !== 101) answer = await client.response(asked)
    const { status, lines, body } = answer
    const headers = (name: string) =>
      lines
        .filter((line) => line.toLowerCase().startsWith(`${name.toLowerCase()}:`))
        .map((line) => line.slice(name.length + 1).trim())
    return {
      status,
      text: `${lines.join('\n')}\n\n${body.toString('latin1')}`,
      body: body.toString('utf8'),
      header: (name) => headers(name)[0],
      headers,
    }
  } finally {
    client.close()
  }
}
