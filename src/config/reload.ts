// What can't change while the gateway runs (contract §2 Reload): addresses, the admin listener, workers, replay, audit, tracing. A reload that
// changes one is refused with its line, because half of it would be worse than none.

import { isDeepStrictEqual } from 'node:util'
import type { Config } from './config.js'
import type { Findings } from './problems.js'
import type { Place } from './source.js'

const FIXED: Readonly<Record<string, (config: Config) => unknown>> = {
  listen: ({ listeners }) => listeners.map(({ host, port }) => ({ host, port })),
  admin: ({ admin }) => admin,
  workers: ({ workers }) => workers,
  replay: ({ replay }) => replay,
  audit: ({ audit }) => audit,
  tracing: ({ tracing }) => tracing,
}

/** Finds what `next` changes that `running` can't. */
export function demandFixed(running: Config, next: Config, found: { at: (key: string) => Place; findings: Findings }): void {
  for (const [key, value] of Object.entries(FIXED)) {
    if (!isDeepStrictEqual(value(running), value(next)))
      found.findings.problem(found.at(key), 'cannot change while the gateway runs: restart it, or change it back')
  }
}
