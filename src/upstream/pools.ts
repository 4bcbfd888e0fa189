// Which connections lead to the upstreams? One undici Pool for each, HTTP/1.1, certificates always verified (RFC 9525).
// Made once for a Config and closed when its last request is done. Does not decide what is sent: send.ts does.

import { buildConnector, Pool } from 'undici'
import type { Seconds } from '../verify/scalars.js'
import type { Upstream } from '../verify/types.js'

export type Lane = {
  readonly pool: Pool
  /** Requests that wait for a connection; also those that gave up waiting, because undici keeps them until there is one. */
  queued: number
}

export type Pools = {
  /** The connections to an upstream of this Config. Throws for any other: that is a mistake of ours. */
  get(upstream: Upstream): Lane
  /**
   * True only while a dial reports its end, good or bad. undici writes the first request of a connection, and fails those
   * that waited for it, within that report; so whoever is called back outside of it has to do with a reused connection.
   */
  dialling(): boolean
  /** Lets running requests finish, takes no new ones. */
  close(): Promise<void>
  /** Ends running requests. Upgraded connections are no longer the pool's: their tunnels end with their clients. */
  destroy(): Promise<void>
}

/** An upstream's head, in bytes: names and values, trailers too. */
const HEAD_BYTES = 32 * 1024

/** Below the 5 s that Node and Apache keep an idle connection; an upstream's own `Keep-Alive: timeout` goes before it. */
const IDLE_MS = 4_000
const IDLE_MAX_MS = 60_000

/** undici wants whole milliseconds, and reads 0 as "never". */
export const milliseconds = (seconds: Seconds): number => Math.max(1, Math.ceil(seconds * 1000))

/** Opens nothing yet: connections are made as requests need them. */
export function createPools(upstreams: readonly Upstream[]): Pools {
  let reporting = false
  const report = (tell: () => void): void => {
    reporting = true
    try {
      tell()
    } finally {
      reporting = false
    }
  }
  const lanes = new Map<Upstream, Lane>(
    upstreams.map((upstream) => [upstream, { pool: createPool(upstream, report), queued: 0 }]),
  )
  const each = async (action: (pool: Pool) => Promise<void>): Promise<void> => {
    await Promise.all([...lanes.values()].map(({ pool }) => action(pool)))
  }
  return {
    get(upstream) {
      const lane = lanes.get(upstream)
      if (lane === undefined) throw new Error(`upstream ${upstream.name} is not of this configuration`)
      return lane
    },
    dialling: () => reporting,
    close: () => each((pool) => pool.close()),
    destroy: () => each((pool) => pool.destroy()),
  }
}

function createPool(upstream: Upstream, report: (tell: () => void) => void): Pool {
  const { url, tls, timeouts, connections } = upstream
  const dial = buildConnector({
    ...tls,
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
    timeout: milliseconds(timeouts.connect),
  })
  return new Pool(url.origin, {
    connections,
    pipelining: 1,
    // The name to verify is the configured one: undici would take it from Host, which `preserve_host` makes the client's word.
    connect: ({ servername: _, ...options }, callback) =>
      dial(options, (...result) => {
        report(() => callback(...result))
      }),
    headersTimeout: milliseconds(timeouts.headers),
    bodyTimeout: timeouts.body === null ? 0 : milliseconds(timeouts.body),
    keepAliveTimeout: IDLE_MS,
    keepAliveMaxTimeout: IDLE_MAX_MS,
    maxHeaderSize: HEAD_BYTES,
    strictContentLength: true,
  })
}

/** The longest that a timer can wait, in milliseconds; beyond it Node fires at once. */
const LONGEST_TIMER = 2 ** 31 - 1

/** From `now` until `time`, in milliseconds that a timer can wait. */
export const untilTime = (time: Seconds, now: Seconds): number => Math.min(Math.max(0, (time - now) * 1000), LONGEST_TIMER)
