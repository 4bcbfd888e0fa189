// Is this still the store that remembers what we told it? Redis restarts empty, a replica is promoted, someone flushes it: then nobody
// knows which proofs were used, and those made before that moment must not be accepted (contract §9). Also: can it be written, may
// it evict. Asks; does not decide what follows.

import { randomBytes } from 'node:crypto'
import { Cluster, type Redis } from 'ioredis'
import { sha256 } from '../verify/hashes.js'
import type { Seconds } from '../verify/scalars.js'
import type { RedisConnection } from './redis-connection.js'

export type StoreIdentity = {
  /** Proofs dated before this may have been used without the store knowing. */
  floor(): Seconds
  /** Why its memory is not to be relied on although it answers; null: it is. */
  distrust(): string | null
  /** What must be answered when this key is read: else the store has been emptied. Null where there is no such key. */
  epoch(): Epoch | null
  /** Was the connection that gave these answers, to those commands, looked at? Of a cluster alone: see `CONNECTION`. */
  isKnown(answers: readonly unknown[]): boolean
  /** It was found to be emptied. */
  lost(): void
  /** Looks at it: what keeps it from recording; null: nothing. Rejects when it does not answer. */
  look(): Promise<string | null>
}

/**
 * Asked behind each record of a cluster, because its client goes on with other nodes, and to a node that came back, on connections of
 * its own making: which node is this, and which of its connections? By what was looked at, a promoted replica is told from the
 * primary it replaces, and a primary that came back empty from the one that it was.
 */
export const CONNECTION = [
  ['cluster', 'MYID'],
  ['client', 'ID'],
] as const

type Epoch = { readonly key: string; readonly value: string }

export type IdentityOptions = {
  readonly redis: RedisConnection
  readonly prefix: string
  readonly clock: () => Seconds
  readonly clockSkew: Seconds
  /** This gateway ran a moment ago, so a store without our epoch is one that lost it. */
  readonly ranBefore: boolean
  /** Replicas that must have each record, and how long they may take (milliseconds). */
  readonly wait: number
  readonly waitMs: number
  readonly log: (message: string) => void
}

/** How long a clock is taken for one of a gateway that runs. */
const CLOCK_MS = 5000

/** Ends of keys that lie evenly among the slots of a cluster, so that each primary of up to sixteen has one of them. */
const PARTS = '18 5x dj 3r d2 pv uh iy ly h9 uv q6 9s 5f dt ha'.split(' ').map((tag) => `{${tag}}`)

/**
 * Our own record in the store says since when it remembers: `<floor>:<random>`, without expiry, one for each server it may be
 * (run id and replication id), so that every process reads the same and all agree on who was first to write it. Beside it stands which server
 * that was. In a cluster each primary has both.
 */
export function identifyStore({ redis, prefix, clock, clockSkew, ranBefore, wait, waitMs, log }: IdentityOptions): StoreIdentity {
  const tags = redis.isCluster ? PARTS : ['']
  let seen: (Epoch & { readonly evicted: number }) | null = null
  let hasWarned = false
  let distrust: string | null = null
  let known: ReadonlySet<string> = new Set()
  let floor: Seconds = 0

  /** How far the clock of another gateway was ahead of ours, while all was well: it took proofs that are dated so much later. */
  let ahead: Seconds = 0

  const endOfDoubt = (): Seconds => Math.floor(clock() + ahead + clockSkew) + 1
  const lost = (): void => {
    const before = floor
    floor = Math.max(floor, endOfDoubt())
    // A recorder and the next look may both find out.
    if (floor - before <= clockSkew / 2) return
    log('replay store: it is another one or lost its memory; proofs made before now are not accepted')
  }
  /**
   * At first sight of an empty store there is nothing to doubt where we are new too: clients of a new deployment may send
   * proofs that are a minute old. After a restart of ours, proofs from before it may have been used: only whole seconds, as
   * `iat` has them, from now on are sure.
   */
  const firstFloor = (): Seconds => (ranBefore ? Math.floor(clock()) : 0)
  const newFloor = (isSuccessor: boolean): Seconds => (seen === null && !isSuccessor ? firstFloor() : endOfDoubt())

  async function look(): Promise<string | null> {
    const [unwritable, { info, connections }] = await Promise.all([tryToWrite(), readInfo(redis)])
    const of = (name: string): readonly string[] => info.get(name) ?? []
    if (of('role').some((role) => role !== 'master')) return 'it is a replica and cannot be written'
    if (unwritable !== null) return unwritable
    const evicting = of('maxmemory_policy').find((policy) => policy !== 'noeviction')
    distrust = evicting === undefined ? null : `it may evict records (${evicting}): set maxmemory-policy noeviction`

    warnOfTwoPrimaries(Math.max(...of('connected_slaves').map(Number)))

    const server = sha256([...of('run_id'), ...of('master_replid')].sort().join(' ')).slice(0, 22)
    const key = `${prefix}epoch:${server}`
    // Replicas have it too: so one that was promoted says by itself that it took another's place, even to a process that is new.
    const last = await read(`${prefix}server`)
    const isSuccessor = last.some((one) => one !== server) && last.some((one) => one !== null)
    await write(key, epochOf(newFloor(isSuccessor)), 'NX')
    const values = await read(key)
    // Not before: whoever finds itself named relies on the epoch to be there.
    if (last.some((one) => one !== server)) await write(`${prefix}server`, server)
    const value = values.join(' ')
    const evicted = of('evicted_keys').reduce((sum, count) => sum + Number(count), 0)
    if (seen !== null && (seen.key !== key || seen.value !== value || seen.evicted < evicted)) lost()
    // Another process wrote it, by its own clock.
    const told = Math.max(...values.map((one) => Number.parseInt(one ?? '', 10)))
    floor = Math.max(floor, Number.isNaN(told) ? endOfDoubt() : Math.min(told, endOfDoubt()))
    seen = { key, value, evicted }
    known = connections
    await compareClocks()
    // One that started after the loss took the store for a new one; whoever knows better tells it, and all that come later.
    if (told === 0 && floor > 0) {
      const better = epochOf(floor)
      await write(key, better)
      seen = { key, value: tags.map(() => better).join(' '), evicted }
    }
    return null
  }

  /** With more than twice as many replicas, a network that falls in two can leave enough on either side. */
  function warnOfTwoPrimaries(replicas: number): void {
    if (wait === 0 || replicas <= 2 * wait || hasWarned) return
    hasWarned = true
    log(`replay store: with ${replicas} replicas two primaries at once could both record: set wait to ${Math.ceil(replicas / 2)}`)
  }

  /** The foremost clock of all gateways stands in the store, a look old; one that is mad does not stop the others for long. */
  async function compareClocks(): Promise<void> {
    const key = `${prefix}clock`
    const [told, now] = [Number(await redis.get(key)), clock()]
    if (told <= now) await redis.set(key, String(now), 'PX', CLOCK_MS)
    const before = ahead
    ahead = told <= now ? 0 : Math.min(Math.ceil(told - now) + 1, clockSkew)
    if (before === 0 && ahead > 2) log(`replay store: the clock of another gateway is ${Math.round(told - now)} s ahead of ours`)
  }

  /** In each part of a cluster. */
  const read = (key: string): Promise<readonly (string | null)[]> => Promise.all(tags.map((tag) => redis.get(key + tag)))
  const write = (key: string, value: string, ...only: ['NX'] | []) =>
    Promise.all(tags.map((tag) => redis.set(key + tag, value, ...(only as ['NX']))))

  /** Writes, and waits for replicas where they are demanded: PING would also answer when it is full or read-only. */
  async function tryToWrite(): Promise<string | null> {
    const attempt = async (tag: string): Promise<string | null> => {
      const commands = redis.pipeline().set(`${prefix}probe${tag}`, '1', 'PX', 1000)
      if (wait > 0) commands.wait(wait, waitMs)
      const [set, replicas] = (await commands.exec()) ?? []
      for (const [error] of [set ?? [null], replicas ?? [null]]) if (error) throw error
      return wait > 0 && Number(replicas?.[1]) < wait ? 'too few replicas have its records' : null
    }
    const found = await Promise.all(tags.map(attempt))
    return found.find((problem) => problem !== null) ?? null
  }

  // In a cluster the key would have to be on the record's own node.
  const isKnown = (answers: readonly unknown[]): boolean => known.has(answers.join(' '))
  return { floor: () => floor, distrust: () => distrust, epoch: () => (redis.isCluster ? null : seen), isKnown, lost, look }
}

const epochOf = (floor: Seconds): string => `${floor}:${randomBytes(12).toString('base64url')}`

/** Name -> values; of a cluster each node says its own. And on which connections. */
type Told = { readonly info: ReadonlyMap<string, readonly string[]>; readonly connections: ReadonlySet<string> }

async function readInfo(redis: RedisConnection): Promise<Told> {
  const info = new Map<string, string[]>()
  const connections = new Set<string>()
  const add = (text: string): void => {
    for (const line of text.split(/\r?\n/)) {
      const colon = line.indexOf(':')
      if (colon <= 0) continue
      const name = line.slice(0, colon)
      const values = info.get(name)
      if (values === undefined) info.set(name, [line.slice(colon + 1)])
      else values.push(line.slice(colon + 1))
    }
  }
  if (!(redis instanceof Cluster)) add(await redis.info())
  else {
    const told = await Promise.all(redis.nodes('master').map(askNode))
    for (const { text, connection } of told) {
      add(text)
      connections.add(connection)
    }
  }
  return { info, connections }
}

async function askNode(node: Redis): Promise<{ readonly text: string; readonly connection: string }> {
  const commands = node.pipeline().info()
  for (const [name, ...args] of CONNECTION) commands.call(name, ...args)
  const replies = (await commands.exec()) ?? []
  const [text, ...connection] = replies.map(([error, reply]) => {
    if (error) throw error
    return reply
  })
  return { text: String(text), connection: connection.join(' ') }
}
