// A wire to Redis that can be cut: connections stay open and say nothing more, as when a host vanishes. New ones work.
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

export type Wire = {
  readonly url: string
  /** Nothing passes any more on the connections that are open. */
  cut(): void
  /** Commands still arrive, answers do not. */
  cutAnswers(): void
  /** New connections go to this port. */
  to(port: number): void
  close(): void
}

type Pair = { readonly client: Socket; readonly server: Socket; isCut: boolean; isDumb: boolean }

export async function openWire(port: number): Promise<Wire> {
  let target = port
  const pairs = new Set<Pair>()
  const listener = createServer((client) => {
    const server = connect(target, '127.0.0.1')
    const pair: Pair = { client, server, isCut: false, isDumb: false }
    pairs.add(pair)
    client.on('data', (data) => void (pair.isCut || server.write(data)))
    server.on('data', (data) => void (pair.isCut || pair.isDumb || client.write(data)))
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      one.on('error', () => undefined)
      one.on('close', () => {
        pairs.delete(pair)
        if (!pair.isCut) other.destroy()
      })
    }
  }).listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const address = listener.address()
  return {
    url: `redis://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`,
    cut: () => {
      for (const pair of pairs) pair.isCut = true
    },
    cutAnswers: () => {
      for (const pair of pairs) pair.isDumb = true
    },
    to: (next) => {
      target = next
    },
    close: () => {
      listener.close()
      for (const { client, server } of pairs) for (const socket of [client, server]) socket.destroy()
    },
  }
}
