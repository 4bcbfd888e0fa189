// Revocations as `holdfast revoke` writes them, without a process for each.

import type { RedisSettings } from '../../src/config/config.js'
import { connectRedis } from '../../src/replay/redis-connection.js'
import { isScoped, nameOf } from '../../src/revocations/entry.js'
import { createList, type HeldList } from '../../src/revocations/list.js'
import { openStore, type RevocationStore } from '../../src/revocations/store.js'
import type { Kind, Terms } from '../../src/verify/revocations.js'
import { settings } from '../replay/redis-settings.js'
import type { RunningRedis } from './redis.js'

export const ISSUER = 'https://as.example.com'

/** Terms that refuse everything for ever. */
export const termsOf = (changes: Partial<Terms> = {}): Terms => ({
  effect: 'refuse',
  issued_before: null,
  until: null,
  at: 1_800_000_000,
  by: 'alice@example',
  reason: 'a test',
  ...changes,
})

/** The name of an entry; what is an issuer's is of the one that drafts are of. */
export const entryName = (kind: Kind, value: string, issuer = ISSUER): string =>
  nameOf({ kind, scope: isScoped(kind) ? issuer : '', value })

export type Entry = readonly [kind: Kind, value: string, terms?: Partial<Terms>, issuer?: string]

export function listOf(...entries: readonly Entry[]): HeldList {
  const list = createList()
  for (const [kind, value, terms, issuer] of entries) list.set(entryName(kind, value, issuer), JSON.stringify(termsOf(terms)))
  return list
}

/** Works on the list of a Redis, or of the set that `changes` name. */
export async function withList<T>(
  redis: RunningRedis,
  task: (store: RevocationStore) => Promise<T>,
  changes: Partial<RedisSettings> = {},
): Promise<T> {
  const connection = connectRedis(settings(redis, { timeout: 10, ...changes }))
  try {
    if (connection.status !== 'ready') await new Promise((resolve) => connection.once('ready', resolve))
    return await task(openStore(connection, changes.key_prefix ?? 'holdfast:'))
  } finally {
    connection.disconnect()
  }
}

export const revoke = (redis: RunningRedis, ...entries: readonly Entry[]): Promise<void> =>
  withList(redis, async (store) => {
    for (const [kind, value, terms, issuer] of entries) await store.revoke(entryName(kind, value, issuer), termsOf(terms))
  })
