// Opens a listening socket, or says to the operator why it can't be had.

import type { AddressInfo, Server } from 'node:net'
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
