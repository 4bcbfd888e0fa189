// Where does everything of the demo listen? Every port in one table, all of them on loopback; a shift moves all at once.

import { createServer } from 'node:net'

/** Port of each party; those that routes.yaml names are moved in it too. */
const PORTS = {
  gateway: 8443,
  'the gateway for operators': 9090,
  'legacy backend': 9300,
  'authorization server': 9400,
  'authorization server for certificates': 9401,
  'holdfast client': 8080,
  'page for browsers': 9500,
} as const

export type Places = {
  readonly gateway: string
  readonly admin: string
  readonly backend: string
  readonly issuer: string
  readonly client: string
  /** The origin of examples/browser. */
  readonly page: string
  readonly portOf: (party: keyof typeof PORTS) => number
  /** routes.yaml with its ports moved. */
  readonly shift: (routes: string) => string
}

/** All addresses, `offset` ports above their usual place. */
export function placesAt(offset: number): Places {
  const portOf = (party: keyof typeof PORTS): number => PORTS[party] + offset
  return {
    gateway: `https://localhost:${portOf('gateway')}`,
    admin: `http://127.0.0.1:${portOf('the gateway for operators')}`,
    backend: `http://127.0.0.1:${portOf('legacy backend')}`,
    issuer: `http://localhost:${portOf('authorization server')}`,
    client: `http://127.0.0.1:${portOf('holdfast client')}`,
    page: `http://localhost:${portOf('page for browsers')}`,
    portOf,
    shift: (routes) => routes.replace(/\b(8443|9090|9300|9400|9500)\b/g, (port) => String(Number(port) + offset)),
  }
}

/** One sentence for each port that is taken; none: all are free. */
export async function takenPorts({ portOf }: Places): Promise<readonly string[]> {
  const parties = Object.keys(PORTS) as (keyof typeof PORTS)[]
  const taken = await Promise.all(parties.map(async (party) => ({ party, free: await isFree(portOf(party)) })))
  return taken.filter(({ free }) => !free).map(({ party }) => `port ${portOf(party)} (${party}) is in use`)
}

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
