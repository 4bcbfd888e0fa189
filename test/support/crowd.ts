// Clients that keep a gateway busy in every way there is while something happens to it, and know of each request what became of it:
// answered, never taken, or lost.

import { setTimeout as sleep } from 'node:timers/promises'
import type { RawClient, RawResponse } from './raw.js'

export type CallerKind =
  /** Asks again when it is answered. */
  | 'asks on and on'
  /** Thinks for a moment before it asks again. */
  | 'pauses'
  /** Sends four requests at once. */
  | 'pipelines'
  /** Sends each head in two parts. */
  | 'writes in parts'
  /** A new connection for each request. */
  | 'arrives'

export type Tally = {
  answered: number
  /** Answers by their status. */
  readonly statuses: Map<number, number>
  /** Sent behind an answer that said it was the last: the client knows that it was not served (RFC 9112 §9.6). */
  unserved: number
  /** The listener was gone, or the connection ended before its handshake was complete. */
  refused: number
  broken: number
  /** What became of requests that were sent and not answered. */
  readonly lost: string[]
}

export type Callers = {
  readonly tally: Tally
  /** Resolves when no caller can connect any more, or was told to stop. */
  readonly done: Promise<void>
  stop(): void
}

export type CallersOptions = {
  readonly open: () => Promise<RawClient>
  readonly request: () => string | Buffer
  readonly kinds: Readonly<Partial<Record<CallerKind, number>>>
  /** Whether callers go on when nobody listens any more. */
  readonly stays?: boolean
}

/** Starts so many callers of each kind. */
export function startCallers({ open, request, kinds, stays = false }: CallersOptions): Callers {
  const tally: Tally = { answered: 0, statuses: new Map(), unserved: 0, refused: 0, broken: 0, lost: [] }
  let isOver = false

  const connect = async (): Promise<RawClient | null> => {
    while (!isOver) {
      try {
        return await open()
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ECONNREFUSED') tally.refused += 1
        else tally.broken += 1
        if (!stays && (error as NodeJS.ErrnoException).code === 'ECONNREFUSED') return null
        await sleep(20)
      }
    }
    return null
  }
  const send = async (client: RawClient, kind: CallerKind): Promise<void> => {
    const bytes = Buffer.from(request())
    if (kind !== 'writes in parts') return client.send(bytes)
    client.send(bytes.subarray(0, 20))
    await sleep(Math.random() * 40)
    client.send(bytes.subarray(20))
  }
  /** Asks once, or as often as it pipelines; false: this connection is over. */
  const ask = async (client: RawClient, kind: CallerKind): Promise<boolean> => {
    const count = kind === 'pipelines' ? 4 : 1
    const asked = new Date().toISOString()
    for (let i = 0; i < count; i++) await send(client, kind)
    for (let i = 0; i < count; i++) {
      let response: RawResponse
      try {
        response = await client.response()
      } catch (error) {
        tally.lost.push(`${kind}, sent ${asked}, ${i + 1} of ${count}: ${error instanceof Error ? error.message : error}`)
        return false
      }
      tally.answered += 1
      tally.statuses.set(response.status, (tally.statuses.get(response.status) ?? 0) + 1)
      if (response.header('connection') !== 'close') continue
      tally.unserved += count - i - 1
      return false
    }
    return kind !== 'arrives'
  }
  const call = async (kind: CallerKind): Promise<void> => {
    for (let client = await connect(); client !== null; client = isOver ? null : await connect()) {
      // Whoever sees that a connection has ended sends nothing on it.
      while (!isOver && !client.socket.readableEnded && client.socket.writable && (await ask(client, kind))) {
        if (kind === 'pauses') await sleep(Math.random() * 400)
      }
      client.close()
    }
  }
  const all = Object.entries(kinds).flatMap(([kind, count]) => Array.from({ length: count }, () => call(kind as CallerKind)))
  const done = Promise.all(all).then(() => undefined)
  // Whoever awaits it hears of it.
  done.catch(() => undefined)
  return {
    tally,
    done,
    stop: () => {
      isOver = true
    },
  }
}
