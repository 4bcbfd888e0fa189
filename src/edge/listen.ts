// Opens a listening socket, or says to the operator why it can't be had; and closes one without losing who has just come.

import type { AddressInfo, Server } from 'node:net'
import { setImmediate as endOfTurn } from 'node:timers/promises'
import type { Listener } from '../config/config.js'

/** Connections that the kernel keeps until they are accepted; with Node's 511 a flood makes others wait for a second SYN. */
const BACKLOG = 4096

/** Rejects with what to change in routes.yaml. */
export function listen(server: Server, { host, port }: Pick<Listener, 'host' | 'port'>): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void =>
      reject(new Error(`can't listen on ${host}:${port} (${error.message}): choose another \`port\` or \`host\` in \`listen\``))
    server.once('error', fail)
    server.listen({ host, port, backlog: BACKLOG }, () => {
      server.off('error', fail)
      resolve(server.address() as AddressInfo)
    })
  })
}

export const printAddress = ({ address, port }: AddressInfo): string => `${address}:${port}`

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
