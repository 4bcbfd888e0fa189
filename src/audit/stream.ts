// A sink that is a Redis stream, one entry a line: durable when Redis has answered, and `wait` replicas of it. A lost answer says
// nothing, so each batch is sent again until it is known to be there, and a script sees to it that it is there once: it appends only
// behind the entry that we know as the last.

import { setTimeout as sleep } from 'node:timers/promises'
import type { RedisSettings } from '../config/config.js'
import { connectRedis, findNodes, type RedisConnection, renewCredentials } from '../replay/redis-connection.js'
import { phrase } from '../replay/redis-errors.js'
import { hashOfLine } from './chain.js'
import type { Appended, Sink, Trouble } from './sink.js'

export type StreamSettings = {
  readonly redis: RedisSettings
  /** Entries that are kept, about, in each stream. */
  readonly events: number
}

export type StreamOptions = StreamSettings & {
  /** Which gateway, by a name that it keeps over restarts, and which of its workers. */
  readonly host: string
  readonly worker: number
  readonly log: (message: string) => void
}

/** The set of all names of streams. */
const namesKey = ({ key_prefix }: RedisSettings): string => `${key_prefix}audit`
const streamKey = (redis: RedisSettings, host: string, worker: number): string => `${namesKey(redis)}:${host}:${worker}`

/** How long a start waits for Redis (milliseconds); the first line waits, where that was not enough. */
const START_MS = 1000
const SOONEST_MS = 50
const LATEST_MS = 1000

/**
 * KEYS: the stream. ARGV: id of its last entry as we know it (none: empty), entries to keep, lines. Returns whether they are there, and
 * the id of the last entry.
 */
const APPEND = `
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local id = last and last[1] or ''
if last and last[2][2] == ARGV[#ARGV] then return {1, id} end
if id ~= ARGV[1] then return {0, id} end
for i = 3, #ARGV do id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'line', ARGV[i]) end
return {1, id}`

type Entry = readonly [id: string, fields: readonly string[]]

/** Connects in the background; what is appended before Redis answers waits for it. */
export async function openStream(options: StreamOptions): Promise<Sink> {
  const { redis: settings, events, host, worker, log } = options
  const key = streamKey(settings, host, worker)
  const timeout = settings.timeout * 1000
  const redis = connectRedis(settings, { commandTimeout: timeout })
  const closed = new AbortController()
  /** Of the last entry, as we know it. */
  let id = ''
  /** Whoever waits for the first line. */
  let tell: Trouble = () => undefined

  async function open(): Promise<string | null> {
    await redis.sadd(namesKey(settings), key)
    const [entry] = (await redis.xrevrange(key, '+', '-', 'COUNT', 1)) as readonly Entry[]
    id = entry?.[0] ?? ''
    void sayWeakness(redis, log).catch(() => undefined)
    return entry === undefined ? null : hashOfLine(`${entry[1][1] ?? ''}\n`)
  }
  // Where it was closed before, nothing can be appended any more.
  const opened = retry(open, (problem) => tell(problem)).catch(() => null)

  /** Until it succeeds, or the sink is closed. */
  async function retry<T>(task: () => Promise<T>, trouble: Trouble): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await task()
      } catch (error) {
        trouble(`Redis: ${wordsFor(error)}`)
        findNodes(redis)
        await sleep(Math.min(SOONEST_MS * 2 ** attempt, LATEST_MS), undefined, { signal: closed.signal })
      }
    }
  }

  async function send(lines: readonly string[]): Promise<void> {
    const commands = redis.pipeline().eval(APPEND, 1, key, id, events, ...lines)
    // It counts the replicas that have all that was sent on this connection before it.
    if (settings.wait > 0) commands.wait(settings.wait, Math.max(1, Math.floor(timeout / 2)))
    const [[error, answer] = [new Error('no answer'), null], [waitError, replicas] = [null, settings.wait]] =
      (await commands.exec()) ?? []
    if (error) throw error
    const [isThere, found] = answer as readonly [number, string]
    if (isThere === 0) {
      id = found
      throw new Unfit(`${key} was emptied, or others write to it: its last entry is not the one that was written last`)
    }
    id = found
    if (waitError) throw waitError
    if (Number(replicas) < settings.wait) throw new Unfit('too few replicas have its entries')
  }

  await Promise.race([opened, sleep(START_MS, undefined, { ref: false })])
  return {
    name: 'Redis',
    path: null,
    torn: false,
    size: 0,
    last: (trouble) => {
      tell = trouble
      return opened
    },
    async append(lines, { trouble }): Promise<Appended> {
      const entries = lines.map((line) => line.trimEnd())
      const nothing = { lines: 0, bytes: 0, isTorn: false, isSynced: false }
      try {
        await retry(() => send(entries), trouble)
        return { ...nothing, problem: null, lines: lines.length }
      } catch {
        return { ...nothing, problem: 'Redis: closed before it had answered' }
      }
    },
    isMoved: async () => false,
    length: async () => 0,
    renew: (renewed) => renewCredentials(redis, renewed),
    close: async () => {
      closed.abort()
      redis.disconnect()
    },
  }
}

/** With a message for the operator. */
class Unfit extends Error {}

function wordsFor(error: unknown): string {
  if (error instanceof Unfit) return error.message
  const isForbidden = error instanceof Error && error.message.startsWith('NOPERM')
  return isForbidden ? 'its ACL does not allow what is needed (docs/evidence.md)' : phrase(error)
}

/** An acknowledged entry is worth what Redis does with it; who may not ask is told nothing. */
async function sayWeakness(redis: RedisConnection, log: (message: string) => void): Promise<void> {
  const info = String(await redis.info())
  const isEvicting = /^maxmemory_policy:allkeys/m.test(info)
  if (/^aof_enabled:0/m.test(info))
    log('audit log: Redis writes nothing to a disk at once: set appendonly yes, appendfsync always')
  if (isEvicting) log('audit log: Redis may throw the stream away when it is full: set maxmemory-policy noeviction')
}

/** All lines of all gateways, stream by stream, oldest first; with the newline that was hashed with them. */
export async function* readStreams(
  settings: RedisSettings,
): AsyncGenerator<{ readonly stream: string; readonly lines: AsyncGenerator<Uint8Array> }> {
  const redis = connectRedis(settings, { commandTimeout: READ_MS })
  try {
    await ready(redis)
    for (const stream of (await redis.smembers(namesKey(settings))).sort()) yield { stream, lines: entriesOf(redis, stream) }
  } finally {
    redis.disconnect()
  }
}

const READ_MS = 10_000
const PAGE = 500

async function* entriesOf(redis: RedisConnection, stream: string): AsyncGenerator<Uint8Array> {
  for (let from = '-'; ; ) {
    const entries = (await redis.xrange(stream, from, '+', 'COUNT', PAGE)) as readonly Entry[]
    for (const [, fields] of entries) yield Buffer.from(`${fields[1] ?? ''}\n`)
    const last = entries.at(-1)
    if (last === undefined) return
    from = `(${last[0]}`
  }
}

/** Rejects with what keeps it away. */
async function ready(redis: RedisConnection): Promise<void> {
  if (redis.status === 'ready') return
  await new Promise<void>((resolve, reject) => {
    redis.once('ready', () => resolve())
    redis.once('error', (error: Error) => reject(new Error(`Redis: ${phrase(error)}`)))
    setTimeout(() => reject(new Error('Redis: it does not answer')), READ_MS).unref()
  })
}
