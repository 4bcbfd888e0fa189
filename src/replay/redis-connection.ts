// A connection to Redis as the gateway wants it: no queue while it is away, no command twice, back within a second when it returns.
// Standalone, Sentinel or Cluster, as routes.yaml says. Does not know what it is used for.

import { Cluster, Redis } from 'ioredis'
import type { RedisSettings } from '../config/config.js'
import type { Seconds } from '../verify/scalars.js'

export type RedisConnection = Redis | Cluster

/** For what is sent one command at a time; left out: nothing is waited for or bundled. */
export type CommandOptions = { readonly commandTimeout?: number; readonly enableAutoPipelining?: boolean }

const SENTINEL_PORT = 26379
const REDIS_PORT = 6379

/** Milliseconds between attempts to connect: quick at first, never more than a second apart. */
const retryDelay = (attempt: number): number => Math.min(50 * 2 ** Math.min(attempt, 5), 1000)

/** Connects in the background and for ever. Errors are the connection's own state; whoever sends a command sees it fail. */
export function connectRedis(settings: RedisSettings, commands: CommandOptions = {}): RedisConnection {
  const connection = open(settings, commands)
  connection.on('error', () => undefined)
  return connection
}

/** From its next connection on; the client of a cluster keeps those that it was made with. */
export function renewCredentials(connection: RedisConnection, settings: RedisSettings): void {
  if (connection.isCluster) return
  const { username, password } = { ...credentialsOf(settings.url ?? ''), ...credentialsIn(settings) }
  Object.assign(connection.options, { username, password, ...tlsOf(settings) })
  if (settings.sentinels.length > 0) Object.assign(connection.options, sentinelsOf(settings))
}

/** Asks a cluster anew which node has which keys: its client does so only for commands that it may send again, and none of ours is. */
export function findNodes(connection: RedisConnection): void {
  if (connection instanceof Cluster) connection.refreshSlotsCache(() => undefined)
}

function open(settings: RedisSettings, commands: CommandOptions): RedisConnection {
  const { sentinels, primary, cluster } = settings
  const options = { ...optionsOf(settings), ...commands }
  if (cluster.length > 0) {
    const { enableOfflineQueue, retryStrategy, reconnectOnError: _, enableAutoPipelining = false, ...redisOptions } = options
    return new Cluster(
      cluster.map((url) => addressOf(url, REDIS_PORT)),
      {
        enableOfflineQueue,
        enableAutoPipelining,
        clusterRetryStrategy: retryStrategy,
        // Each of these sends a command again that may have been carried out.
        retryDelayOnFailover: 0,
        retryDelayOnClusterDown: 0,
        redisOptions: { ...credentialsOf(cluster[0]), ...redisOptions },
      },
    )
  }
  if (sentinels.length > 0) return new Redis({ ...options, ...sentinelsOf(settings), name: primary ?? '' })
  const url = settings.url ?? ''
  return new Redis({ ...addressOf(url, REDIS_PORT), ...databaseOf(url), ...credentialsOf(url), ...options })
}

function optionsOf(settings: RedisSettings) {
  const { timeout } = settings
  return {
    // A SET that waits in a queue, or is sent again, is a proof that was used twice or not at all.
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    connectTimeout: patience(timeout),
    // A host that vanished says nothing at all: without this the old connection would be waited for until TCP gives up.
    socketTimeout: patience(timeout),
    disconnectTimeout: 200,
    maxLoadingRetryTime: 500,
    // A right more that a user would need, and not every server knows its name.
    disableClientInfo: true,
    retryStrategy: retryDelay,
    // A primary that became a replica: ask again who the primary is.
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
    ...credentialsIn(settings),
    ...tlsOf(settings),
  }
}

const credentialsIn = ({ username, password }: RedisSettings): { readonly username?: string; readonly password?: string } => ({
  ...(username === null ? {} : { username }),
  ...(password === null ? {} : { password }),
})

/** How long a silent connection is kept (milliseconds). */
const patience = (timeout: Seconds): number => Math.max(1000, timeout * 2000)

function sentinelsOf({ sentinels, timeout, ...settings }: RedisSettings) {
  const { username, password } = credentialsOf(sentinels[0])
  const { tls } = tlsOf({ ...settings, sentinels, timeout })
  return {
    sentinels: sentinels.map((url) => addressOf(url, SENTINEL_PORT)),
    sentinelCommandTimeout: patience(timeout),
    ...(username === undefined ? {} : { sentinelUsername: username }),
    ...(password === undefined ? {} : { sentinelPassword: password }),
    // Without `enableTLSForSentinelMode` ioredis would speak plain TCP to the primary, whatever `tls` says.
    ...(tls === undefined ? {} : { sentinelTLS: tls, enableTLSForSentinelMode: true }),
  }
}

/** With `rediss://`: the server's certificate is always verified; PEM text. */
function tlsOf({ tls, url, sentinels, cluster }: RedisSettings) {
  const isTls = [url, ...sentinels, ...cluster].some((one) => one?.startsWith('rediss:'))
  if (!isTls) return {}
  const { ca = null, cert = null, key = null } = tls ?? {}
  return {
    tls: {
      rejectUnauthorized: true,
      ...(ca === null ? {} : { ca }),
      ...(cert === null ? {} : { cert }),
      ...(key === null ? {} : { key }),
    },
  }
}

function addressOf(url: string, defaultPort: number) {
  const { hostname, port } = new URL(url)
  return { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || defaultPort) }
}

function databaseOf(url: string) {
  const db = Number(new URL(url).pathname.slice(1))
  return Number.isInteger(db) && db > 0 ? { db } : {}
}

function credentialsOf(url = ''): { readonly username?: string; readonly password?: string } {
  if (url === '') return {}
  const { username, password } = new URL(url)
  return {
    ...(username === '' ? {} : { username: decodeURIComponent(username) }),
    ...(password === '' ? {} : { password: decodeURIComponent(password) }),
  }
}
