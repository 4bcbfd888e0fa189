// Is this still the store that remembers what we told it? Redis restarts empty, a replica is promoted, someone flushes it: then nobody
// knows which proofs were used, and those made before that moment must not be accepted (contract §9). Also: may it evict, can it
// be written. Asks; does not decide what follows.

import { randomBytes } from 'node:crypto'
import { Cluster } from 'ioredis'
import type { Seconds } from '../verify/scalars.js'
import type { RedisConnection } from './redis-connection.js'

export type Sight = {
  /** Changes when the store is another one, or has lost its memory. */
  readonly identity: string
  /** Proofs dated up to then may be unknown to it though they were used; as told by the process that noticed. */
  readonly floor: Seconds
  /** Why it must not be relied on although it answers; null: it may. */
  readonly problem: string | null
}

/** Our own record in the store: if it is gone, so are the others. `<random>:<floor>`. */
const epochKey = (prefix: string): string => `${prefix}epoch`

/** Looks at the store. `floor` is what to write down where there is no epoch yet. Rejects when it does not answer. */
export async function lookAtRedis(redis: RedisConnection, prefix: string, floor: Seconds): Promise<Sight> {
  const info = parseInfo(await readInfo(redis))
  const problem = problemOf(info)
  if (problem === null) await redis.set(epochKey(prefix), `${randomBytes(12).toString('base64url')}:${floor}`, 'NX')
  const epoch = (await redis.get(epochKey(prefix))) ?? ''
  const told = Number(epoch.split(':')[1])
  return {
    identity: `${values(info, 'run_id')} ${values(info, 'master_replid')} ${epoch}`,
    floor: Number.isFinite(told) ? told : 0,
    problem,
  }
}

/** Writes down that memory was lost, so that processes which start later know it too. */
export async function raiseFloor(redis: RedisConnection, prefix: string, floor: Seconds): Promise<void> {
  await redis.set(epochKey(prefix), `${randomBytes(12).toString('base64url')}:${floor}`)
}

const readInfo = async (redis: RedisConnection): Promise<string> =>
  redis instanceof Cluster ? (await Promise.all(redis.nodes('master').map((node) => node.info()))).join('\n') : redis.info()

/** Of a cluster each node says its own. */
type Info = ReadonlyMap<string, readonly string[]>

function parseInfo(text: string): Info {
  const info = new Map<string, string[]>()
  for (const line of text.split(/\r?\n/)) {
    const colon = line.indexOf(':')
    if (colon <= 0) continue
    const name = line.slice(0, colon)
    info.set(name, [...(info.get(name) ?? []), line.slice(colon + 1)])
  }
  return info
}

const values = (info: Info, name: string): string => [...(info.get(name) ?? [])].sort().join(',')

function problemOf(info: Info): string | null {
  const policies = info.get('maxmemory_policy') ?? []
  const evicting = policies.find((policy) => policy !== 'noeviction')
  if (evicting !== undefined) return `it may evict records (maxmemory-policy ${evicting}); set maxmemory-policy noeviction`
  const isReplica = (info.get('role') ?? []).some((role) => role !== 'master')
  return isReplica ? 'it is a replica and cannot be written' : null
}
