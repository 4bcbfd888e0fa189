// Who gets a connection where several workers serve? The primary accepts them all and gives one at a time to each worker that has taken
// its last one, in turn, and the addresses they come from take turns too. It keeps hold of a connection until the worker has it: where that ends first, another worker gets it.
//
// node:cluster gives connections away in the same manner, but forgets the one that was on its way to a worker that ends, whose client
// then waits without end; and it goes on accepting until the last worker has stopped, with nobody to give to (docs/decisions.md).

import { createServer, type Server, type Socket } from 'node:net'
import { MOST_WAITING } from '../edge/door.js'
import { createFairQueue } from '../edge/fair-queue.js'
import { closeWhenQuiet, type ListenPlace, listen } from '../edge/listen.js'
import type { Peer } from './peer.js'

export type Acceptor = {
  /** `host:port` of each listener. */
  readonly addresses: readonly string[]
  /** Gives connections to this worker too. */
  add(peer: Peer): void
  /** Gives it none any more; resolves when none is on its way to it. */
  remove(peer: Peer): Promise<void>
  /** Listens no more; resolves when every connection that was accepted has been taken, or is not likely to be soon. */
  close(): Promise<void>
}

/** How long a stop waits (milliseconds) for a worker that does not answer: the others have requests to finish. */
const PATIENCE_MS = 2000

type Accepted = { readonly socket: Socket; readonly listener: number }

/** Listens on all of them; rejects where one can't be had. */
export async function acceptOn(listeners: readonly ListenPlace[]): Promise<Acceptor> {
  const waiting = createFairQueue<Accepted>(MOST_WAITING)
  /** Workers in the order of their turns, and what is on its way to one. */
  const free = new Set<Peer>()
  const giving = new Map<Peer, Promise<void>>()
  let isOpen = true
  let settled: () => void = () => undefined

  const queue = (accepted: Accepted): void => {
    waiting.push(accepted.socket.remoteAddress ?? '', accepted)?.socket.destroy()
  }
  const distribute = (): void => {
    for (const peer of free) {
      const next = waiting.shift()
      if (next === undefined) break
      free.delete(peer)
      giving.set(peer, give(next, peer))
    }
    if (!isOpen && waiting.size() === 0 && giving.size === 0) settled()
  }
  async function give(accepted: Accepted, peer: Peer): Promise<void> {
    const { socket, listener } = accepted
    const isTaken = await peer.call('connection', listener, socket).then(
      () => true,
      () => false,
    )
    const isStillThere = giving.delete(peer)
    if (isTaken || isStillThere) socket.destroy()
    else queue(accepted)
    if (isStillThere) free.add(peer)
    distribute()
  }

  const servers: Server[] = []
  const open = (place: ListenPlace, listener: number): Promise<string> => {
    const server = createServer({ pauseOnConnect: true, noDelay: true }, (socket) => {
      // Node would keep count, with every worker, of the sockets of a server that it passes on.
      Object.assign(socket, { server: null })
      socket.on('error', () => undefined)
      queue({ socket, listener })
      distribute()
    })
    servers.push(server)
    return listen(server, place)
  }
  const stopListening = (): void => {
    for (const server of servers) server.close()
  }
  const addresses = await Promise.all(listeners.map(open)).catch((error) => {
    stopListening()
    throw error
  })

  return {
    addresses,
    add(peer) {
      free.add(peer)
      distribute()
    },
    remove(peer) {
      free.delete(peer)
      const last = giving.get(peer) ?? Promise.resolve()
      giving.delete(peer)
      return last
    },
    async close() {
      await Promise.all(servers.map(closeWhenQuiet))
      isOpen = false
      return new Promise((resolve) => {
        const before = settled
        settled = () => {
          before()
          resolve()
        }
        distribute()
        setTimeout(resolve, PATIENCE_MS).unref()
      })
    },
  }
}
