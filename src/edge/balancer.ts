// Who brings connections of others, and for whom is this one? A balancer that is named must say it before the first byte of its client;
// anybody else who says it is not heard: to TLS it is noise.

import { BlockList, isIP, type Socket } from 'node:net'
import type { Listener } from '../config/config.js'
import type { Seconds } from '../verify/scalars.js'
import { plainAddress } from './peer.js'
import { type Address, type ProxyHeader, readProxyHeader } from './proxy-header.js'

/** Is it the address of a balancer that a listener names? */
export function balancersOf({ proxy_protocol }: Listener): (address: string) => boolean {
  const from = proxy_protocol?.from ?? []
  const list = new BlockList()
  for (const one of from) {
    const [address = '', prefix] = one.split('/')
    const family = familyOf(address)
    list.addSubnet(address, prefix === undefined ? (family === 'ipv4' ? 32 : 128) : Number(prefix), family)
  }
  return from.length === 0 ? () => false : (address) => isIP(address) !== 0 && list.check(address, familyOf(address))
}

const familyOf = (address: string): 'ipv4' | 'ipv6' => (isIP(address) === 4 ? 'ipv4' : 'ipv6')

/** The client; null: the balancer speaks for itself, or does not know; else what is wrong with what it says. */
export type Brought = Address | null | 'broken' | 'late'

/** Takes the header of a balancer off a connection that nothing was read of, and leaves what follows. Calls `done` once, or never where it ends. */
export function takeProxyHeader(socket: Socket, patience: Seconds, done: (client: Brought) => void): void {
  let received = Buffer.alloc(0)
  const end = (client: Brought): void => {
    clearTimeout(timer)
    socket.off('readable', read).off('close', gone)
    done(client)
  }
  const take = ({ bytes, client }: ProxyHeader): void => {
    if (received.length > bytes) socket.unshift(received.subarray(bytes))
    end(client && { ...client, address: plainAddress(client.address) })
  }
  const read = (): void => {
    for (let chunk = socket.read(); chunk !== null; chunk = socket.read()) received = Buffer.concat([received, chunk as Buffer])
    const header = readProxyHeader(received)
    if (header === null) end('broken')
    else if (header !== 'more') take(header)
  }
  const gone = (): void => clearTimeout(timer)
  const timer = setTimeout(() => end('late'), patience * 1000)
  // Its error would end the process: nobody else listens yet.
  socket
    .on('error', () => undefined)
    .on('close', gone)
    .on('readable', read)
}
