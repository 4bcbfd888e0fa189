// What can't change while the gateway runs (contract §2 Reload): addresses, the admin listener, workers, replay, audit, tracing. A
// reload that changes one is refused with its line, because half of it would be worse than none. Keys, certificates and passwords are
// no such change there either: machines renew them, and a renewal must not keep a new revocation list out.

import { isDeepStrictEqual } from 'node:util'
import type { Behind, Config, Listener, RedisSettings } from './config.js'
import type { Findings } from './problems.js'
import type { Place } from './source.js'

const FIXED: Readonly<Record<string, (config: Config) => unknown>> = {
  listen: ({ listeners }) => listeners.filter(({ decides }) => !decides).map(fixedOf),
  decision_api: ({ listeners }) => listeners.filter(({ decides }) => decides).map(fixedOf),
  admin: ({ admin: { host, port, tls } }) => ({ host, port, tls: tls !== null }),
  workers: ({ workers }) => workers,
  replay: ({ replay }) => (replay.store === 'redis' ? { ...replay, redis: withoutCredentials(replay.redis) } : replay),
  audit: ({ audit: { stream, ...audit } }) => ({
    ...audit,
    stream: stream && { ...stream, redis: withoutCredentials(stream.redis) },
  }),
  tracing: ({ tracing }) => tracing && { otlp: tracing.otlp },
}

const fixedOf = ({ host, port, socket, tls, behind }: Listener): object => ({
  host,
  port,
  socket,
  tls: tls !== null,
  hop: kindOf(behind),
})

/** How a connection comes to be the hop's is settled when it is opened. */
const kindOf = (behind: Behind | null): string =>
  behind === null ? 'none' : typeof behind.hop === 'string' ? behind.hop : 'certificate'

/** The client of a cluster takes no others while it runs: there they are as fixed as the rest. */
const withoutCredentials = (redis: RedisSettings): object =>
  redis.cluster.length > 0 ? redis : { ...redis, username: null, password: null, tls: redis.tls !== null }

/** Finds what `next` changes that `running` can't. */
export function demandFixed(running: Config, next: Config, found: { at: (key: string) => Place; findings: Findings }): void {
  for (const [key, value] of Object.entries(FIXED)) {
    if (!isDeepStrictEqual(value(running), value(next)))
      found.findings.problem(found.at(key), 'cannot change while the gateway runs: restart it, or change it back')
  }
}
