// The list as Redis holds it, for all replicas: four keys of one slot, changed by scripts alone, so that each change is whole. A number
// counts the changes: who knows up to which one it has come knows what it lacks, or that it lacks too much and must read all again.
//
//   {revocations}:list      hash     name of the entry -> its terms, as JSON
//   {revocations}:ends      sorted   names by `until`
//   {revocations}:changes   stream   the newest changes, `NUMBER-0`: name, mark, and terms where it was not taken out
//   {revocations}:state     hash     epoch: of this list, since it was begun; version: the number of the last change; mark: its mark
//   {revocations}:heard:ID  string   this event was heard, and need not be again
//
// The mark of a change is a hash of it and of the mark before: a replica that takes over without the last changes gives their numbers to
// others, and who knows the mark sees that these are not the changes it knows.

import { createHash, randomBytes } from 'node:crypto'
import type { RedisConnection } from '../replay/redis-connection.js'
import type { Terms } from '../verify/revocations.js'
import { readTerms } from './entry.js'

/** How far somebody has come with a list. */
export type Position = { readonly epoch: string; readonly version: number; readonly mark: string }

export type Change = { readonly version: number; readonly mark: string; readonly name: string; readonly terms: string | null }

export type Answer = Position & {
  /** Entries of the list. */
  readonly size: number
  /** Since the position that was asked for, oldest first; only so many at once. */
  readonly changes: readonly Change[]
  /** Is the change at the position that was asked for another one by now? */
  readonly isForked: boolean
}

export type RevocationStore = {
  /** What became of the list since. A list that is not there yet is begun. */
  poll(since: Position | null): Promise<Answer>
  /** All entries, in slices: name, terms, name, terms, ... One that is changed meanwhile may be in two of them. */
  slices(): AsyncIterable<readonly string[]>
  /** Adds one, or changes one that is there, which is never made weaker. Returns the terms it then has. */
  revoke(name: string, terms: NewTerms): Promise<Terms>
  /** The same, for what may be asked for more than once: `id` names the asking. Does nothing when it was done before. */
  revokeOnce(id: string, name: string, terms: NewTerms): Promise<void>
  /** Takes away the effect of one. False: it has none. */
  unrevoke(name: string, terms: NewTerms): Promise<boolean>
  /** Adds entries that it does not have, or only an older state of: of one that was lost. */
  restore(entries: readonly (readonly [name: string, terms: string])[]): Promise<void>
}

/** When it was revoked is what Redis says: its clock is the one that all share. */
export type NewTerms = Omit<Terms, 'at'>

/** Changes at once, and those that are kept. */
const MOST_CHANGES = 1000
const KEPT_CHANGES = 10_000
const SLICE = 1000
/** How long it is known that something was asked for before (seconds). */
const KEPT_HEARD = 30 * 86_400

const makeEpoch = (): string => randomBytes(12).toString('base64url')

type Script = { readonly text: string; readonly sha: string }
const script = (text: string): Script => ({ text, sha: createHash('sha1').update(text).digest('hex') })

const COMMON = `
local list, ends, changes, state = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local time = redis.call('TIME')
local now = time[1] + math.floor(time[2] / 1000) / 1000
local function change(name, terms)
  local version = redis.call('HINCRBY', state, 'version', 1)
  local mark = redis.sha1hex((redis.call('HGET', state, 'mark') or '') .. name .. (terms or ''))
  redis.call('HSET', state, 'mark', mark)
  redis.call('XADD', changes, 'MAXLEN', '~', ${KEPT_CHANGES}, version .. '-0', 'name', name, 'mark', mark, unpack(terms and {'terms', terms} or {}))
end
local function put(name, terms, text)
  redis.call('HSET', list, name, text)
  if type(terms['until']) == 'number' then redis.call('ZADD', ends, terms['until'], name) else redis.call('ZREM', ends, name) end
  change(name, text)
end
local function get(name)
  local text = redis.call('HGET', list, name)
  local isJson, terms = pcall(cjson.decode, text or '')
  return isJson and type(terms) == 'table' and terms or nil
end
local function refuses(terms)
  return terms ~= nil and terms.effect ~= 'none' and (type(terms['until']) ~= 'number' or terms['until'] > now)
end
`

// A list that is begun anew must not continue the numbers of one that was lost.
const BEGIN = `
local function begin(epoch)
  if redis.call('HSETNX', state, 'epoch', epoch) == 1 then redis.call('DEL', changes) redis.call('HSET', state, 'version', 0, 'mark', '') end
end
`

const POLL = script(`${COMMON}${BEGIN}
begin(ARGV[1])
for _, name in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', now, 'LIMIT', 0, 100)) do
  redis.call('ZREM', ends, name)
  if redis.call('HDEL', list, name) == 1 then change(name) end
end
local known = redis.call('HMGET', state, 'epoch', 'version', 'mark')
local since, mark = {}, ARGV[4]
if known[1] == ARGV[2] and tonumber(known[2]) == tonumber(ARGV[3]) then mark = known[3] or '' end
if known[1] == ARGV[2] and tonumber(known[2]) > tonumber(ARGV[3]) then
  local at = string.format('%d-0', tonumber(ARGV[3]))
  local same = redis.call('XRANGE', changes, at, at)[1]
  if same and same[2][3] == 'mark' then mark = same[2][4] end
  since = redis.call('XRANGE', changes, string.format('%d-0', tonumber(ARGV[3]) + 1), '+', 'COUNT', ${MOST_CHANGES})
end
return { known[1], known[2], known[3] or '', redis.call('HLEN', list), since, mark == ARGV[4] and 0 or 1 }
`)

// The later of both ends and the later of both dates, where none is later than any.
const REVOKE = script(`${COMMON}${BEGIN}
if KEYS[5] and not redis.call('SET', KEYS[5], '1', 'EX', ARGV[4], 'NX') then return '' end
begin(ARGV[1])
local terms, before = cjson.decode(ARGV[3]), get(ARGV[2])
local function wider(a, b)
  if type(a) ~= 'number' or type(b) ~= 'number' then return cjson.null end
  return math.max(a, b)
end
if refuses(before) then
  terms['until'] = wider(terms['until'], before['until'])
  terms.issued_before = wider(terms.issued_before, before.issued_before)
end
terms.at = now
local text = cjson.encode(terms)
put(ARGV[2], terms, text)
return text
`)

const UNREVOKE = script(`${COMMON}
if not refuses(get(ARGV[1])) then return 0 end
local terms = cjson.decode(ARGV[2])
terms.at = now
put(ARGV[1], terms, cjson.encode(terms))
return 1
`)

const RESTORE = script(`${COMMON}
for i = 1, #ARGV, 2 do
  local terms, known = cjson.decode(ARGV[i + 1]), get(ARGV[i])
  local isOver = type(terms['until']) == 'number' and terms['until'] <= now
  if not isOver and (known == nil or known.at < terms.at) then put(ARGV[i], terms, ARGV[i + 1]) end
end
`)

/** `prefix` is `replay.redis.key_prefix`. */
export function openStore(redis: RedisConnection, prefix: string): RevocationStore {
  // One hash tag: in a cluster a script sees the keys of one slot.
  const keys = ['list', 'ends', 'changes', 'state'].map((name) => `${prefix}{revocations}:${name}`)
  const [list = ''] = keys
  const run = createRunner(redis, keys)
  return {
    async poll(since) {
      const answer = await run(POLL, makeEpoch(), since?.epoch ?? '', String(since?.version ?? 0), since?.mark ?? '')
      const [epoch, version, mark, size, changes, fork] = answer as [string, string, string, number, StreamEntry[], number]
      return { epoch, version: Number(version), mark, size, changes: changes.map(readChange), isForked: fork === 1 }
    },
    async *slices() {
      let cursor = '0'
      do {
        const [next, slice] = await redis.hscan(list, cursor, 'COUNT', SLICE)
        yield slice
        cursor = next
      } while (cursor !== '0')
    },
    revoke: async (name, terms) => readTerms(String(await run(REVOKE, makeEpoch(), name, JSON.stringify(terms)))),
    async revokeOnce(id, name, terms) {
      const heard = `${prefix}{revocations}:heard:${id}`
      await createRunner(redis, [...keys, heard])(REVOKE, makeEpoch(), name, JSON.stringify(terms), String(KEPT_HEARD))
    },
    unrevoke: async (name, terms) => (await run(UNREVOKE, name, JSON.stringify(terms))) === 1,
    restore: async (entries) => void (await run(RESTORE, ...entries.flat())),
  }
}

/** Runs scripts on these keys; one that Redis does not know yet is sent whole. */
function createRunner(redis: RedisConnection, keys: readonly string[]) {
  return async ({ text, sha }: Script, ...args: readonly string[]): Promise<unknown> => {
    try {
      return await redis.evalsha(sha, keys.length, ...keys, ...args)
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
      return redis.eval(text, keys.length, ...keys, ...args)
    }
  }
}

type StreamEntry = readonly [id: string, fields: readonly string[]]

function readChange([id, fields]: StreamEntry): Change {
  const read = (field: string): string | null => {
    const at = fields.findIndex((name, i) => i % 2 === 0 && name === field)
    return at < 0 ? null : (fields[at + 1] ?? null)
  }
  return { version: Number.parseInt(id, 10), mark: read('mark') ?? '', name: read('name') ?? '', terms: read('terms') }
}
