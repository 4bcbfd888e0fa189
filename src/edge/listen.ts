// Opens a listening socket, or says to the operator why it can't be had; and closes one without losing who has just come.

import { lstat, unlink } from 'node:fs/promises'
import { connect, type Server } from 'node:net'
import { setImmediate as endOfTurn } from 'node:timers/promises'
import type { Listener } from '../config/config.js'

/** Connections that the kernel keeps until they are accepted; with Node's 511 a flood makes others wait for a second SYN. */
const BACKLOG = 4096

/** Where a listener listens. */
export type ListenPlace = Pick<Listener, 'host' | 'port' | 'socket' | 'decides'>

/** Resolves to the address as it is logged; rejects with what to change in routes.yaml. */
export async function listen(server: Server, place: ListenPlace): Promise<string> {
  if (place.socket !== null) await removeStale(place.socket)
  return bind(server, place)
}

function bind(server: Server, { host, port, socket, decides }: ListenPlace): Promise<string> {
  return new Promise((resolve, reject) => {
    const [where, advice] = socket === null ? [`${host}:${port}`, '`port` or `host`'] : [socket, '`socket`']
    const fail = (error: Error): void =>
      reject(
        new Error(
          `can't listen on ${where} (${error.message}): choose another ${advice} in \`${decides ? 'decision_api' : 'listen'}\``,
        ),
      )
    server.once('error', fail)
    server.listen({ ...(socket === null ? { host, port } : { path: socket }), backlog: BACKLOG }, () => {
      server.off('error', fail)
      const address = server.address()
      resolve(typeof address === 'object' && address !== null ? `${address.address}:${address.port}` : where)
    })
  })
}

/** A gateway that was killed leaves its socket behind; one at which somebody answers, or a file that is no socket, stays. */
async function removeStale(path: string): Promise<void> {
  const isStale = await new Promise<boolean>((resolve) => {
    const probe = connect(path, () => {
      probe.destroy()
      resolve(false)
    })
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'))
  })
  if (isStale && (await lstat(path)).isSocket()) await unlink(path)
}

/** What is waited for at most, where connections come without end. */
const MOST_TURNS = 256

/**
 * Closes it when none has come for two turns of the event loop: what still waits in the kernel's queue, from which libuv takes one a turn,
 * would be reset.
 */
export async function closeWhenQuiet(server: Server): Promise<void> {
  let hasCome = false
  const note = (): void => {
    hasCome = true
  }
  server.on('connection', note)
  for (let quiet = 0, turns = 0; quiet < 2 && turns < MOST_TURNS; turns++) {
    hasCome = false
    await endOfTurn()
    quiet = hasCome ? 0 : quiet + 1
  }
  server.close()
}
