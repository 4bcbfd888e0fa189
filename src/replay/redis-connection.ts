// A connection to Redis as the gateway wants it: no queue while it is away, no command twice, back within a second when it returns.
// Standalone, Sentinel or Cluster, as routes.yaml says. Does not know what it is used for.

import { Cluster, Redis } from 'ioredis'
import type { RedisSettings } from '../config/config.js'

export type RedisConnection = Redis | Cluster

/** Milliseconds between attempts to connect: quick at first, never more than a second apart. */
const retryDelay = (attempt: number): number => Math.min(50 * 2 ** Math.min(attempt, 5), 1000)

/** Connects in the background and for ever. Errors are the connection's own state; whoever sends a command sees it fail. */
export function connectRedis(settings: RedisSettings): RedisConnection {
  const connection = open(settings)
  connection.on('error', () => undefined)
  return connection
}

function open(settings: RedisSettings): RedisConnection {
  const { url, sentinels, primary, cluster } = settings
  const options = optionsOf(settings)
  if (cluster.length > 0) {
    const clusterOptions = { enableOfflineQueue: false, clusterRetryStrategy: retryDelay }
    const { enableOfflineQueue: _, retryStrategy: __, ...redisOptions } = options
    return new Cluster(cluster.map(addressOf), { ...clusterOptions, redisOptions })
  }
  if (sentinels.length === 0) return new Redis({ ...options, ...addressOf(url ?? '') })
  return new Redis({ ...options, sentinels: sentinels.map(addressOf), name: primary ?? '' })
}

function optionsOf(settings: RedisSettings) {
  const { tls, username, password, timeout } = settings
  const isTls = tls !== null || settings.url?.startsWith('rediss:') === true
  return {
    // A SET that waits in a queue, or is sent again, is a proof that was used twice or not at all.
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    enableAutoPipelining: true,
    connectTimeout: Math.max(1000, timeout * 1000),
    retryStrategy: retryDelay,
    // A primary that became a replica: ask again who the primary is.
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
    ...(username === null ? {} : { username }),
    ...(password === null ? {} : { password }),
    ...(isTls ? { tls: tlsOf(tls) } : {}),
  }
}

/** The server's certificate is always verified; PEM text. */
function tlsOf(tls: RedisSettings['tls']) {
  const { ca = null, cert = null, key = null } = tls ?? {}
  return {
    rejectUnauthorized: true,
    ...(ca === null ? {} : { ca }),
    ...(cert === null ? {} : { cert }),
    ...(key === null ? {} : { key }),
  }
}

function addressOf(url: string) {
  const { hostname, port, pathname, username, password } = new URL(url)
  const db = Number(pathname.slice(1))
  return {
    host: hostname.replace(/^\[|\]$/g, ''),
    port: Number(port || 6379),
    ...(Number.isInteger(db) && db > 0 ? { db } : {}),
    ...(username === '' ? {} : { username: decodeURIComponent(username) }),
    ...(password === '' ? {} : { password: decodeURIComponent(password) }),
  }
}
