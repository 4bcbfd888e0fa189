// A connection to the list for one command of an operator: there at once, or not at all.

import { once } from 'node:events'
import type { RedisSettings } from '../config/config.js'
import { connectRedis } from '../replay/redis-connection.js'
import { phrase } from '../replay/redis-errors.js'
import { openStore, type RevocationStore } from './store.js'

/** How long Redis may take for one answer, and to be there (milliseconds). */
const PATIENCE = 5000

/** Runs `task` with the list of a configuration. Rejects with a message for the operator: never of an address or a password. */
export async function withStore<T>(settings: RedisSettings, task: (store: RevocationStore) => Promise<T>): Promise<T> {
  const redis = connectRedis({ ...settings, timeout: PATIENCE / 1000 }, { commandTimeout: PATIENCE })
  try {
    if (redis.status !== 'ready') await once(redis, 'ready', { signal: AbortSignal.timeout(PATIENCE) })
    return await task(openStore(redis, settings.key_prefix))
  } catch (error) {
    throw new Error(`Redis, where the list is, can't be asked: ${phrase(error)}`)
  } finally {
    redis.disconnect()
  }
}
