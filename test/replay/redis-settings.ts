// What tests of the Redis store share: its settings, and what is measured.
import { setTimeout as sleep } from 'node:timers/promises'
import type { RedisSettings } from '../../src/config/config.js'
import type { ReplayStore } from '../../src/replay/store.js'

/** Settings as routes.yaml gives them. */
export const settings = (redis: { readonly url: string | null }, changes: Partial<RedisSettings> = {}): RedisSettings => ({
  url: redis.url,
  sentinels: [],
  primary: null,
  cluster: [],
  timeout: 0.1,
  username: null,
  password: null,
  key_prefix: 'holdfast:',
  tls: null,
  wait: 0,
  ...changes,
})

/** Answers and how long the slowest took (milliseconds). */
export async function timed(uses: Promise<string>[]): Promise<{ answers: Set<string>; ms: number }> {
  const start = performance.now()
  const answers = new Set(await Promise.all(uses))
  return { answers, ms: performance.now() - start }
}

/** Until the store takes proofs again; how long that took (milliseconds). */
export async function recovery(store: ReplayStore, longest = 10_000): Promise<number> {
  const start = performance.now()
  while (store.degraded() !== null) {
    if (performance.now() - start > longest) throw new Error(`still ${store.degraded()}`)
    await sleep(20)
  }
  return performance.now() - start
}
