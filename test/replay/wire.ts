// A wire to Redis that can be cut: connections stay open and say nothing more, as when a host vanishes. New ones work.
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

export type Wire = {
  readonly url: string
  /** Nothing passes any more on the connections that are open. */
  cut(): void
  /** Commands still arrive, answers do not. */
  cutAnswers(): void
  /** Each answer comes so much later (milliseconds). */
  delay(ms: number): void
  /** Half of the next answer on each connection arrives, and then the connection ends. */
  halveAnswers(): void
  /** Bytes that were sent to Redis. */
  sent(): number
  /** New connections go to this port. */
  to(port: number): void
  close(): void
}

type Pair = { readonly client: Socket; readonly server: Socket; isCut: boolean; isDumb: boolean }

export async function openWire(port: number): Promise<Wire> {
  let target = port
  let lateBy = 0
  let isHalving = false
  let sent = 0
  const pairs = new Set<Pair>()
  const listener = createServer((client) => {
    const server = connect(target, '127.0.0.1')
    const pair: Pair = { client, server, isCut: false, isDumb: false }
    pairs.add(pair)
    const answer = (data: Buffer): void => {
      if (pair.isCut || pair.isDumb || client.destroyed) return
      if (isHalving) client.end(data.subarray(0, data.length >> 1))
      else client.write(data)
    }
    client.on('data', (data) => {
      sent += data.length
      if (!pair.isCut) server.write(data)
    })
    server.on('data', (data) => {
      if (lateBy === 0) answer(data)
      else setTimeout(answer, lateBy, data)
    })
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
    delay: (ms) => {
      lateBy = ms
    },
    halveAnswers: () => {
      isHalving = true
      setTimeout(() => {
        isHalving = false
      }, 200)
    },
    sent: () => sent,
    to: (next) => {
      target = next
    },
    close: () => {
      listener.close()
      for (const { client, server } of pairs) for (const socket of [client, server]) socket.destroy()
    },
  }
}
