// Holds the keys of every issuer: fetched at start and refreshed in the background, dropped when they are gone from the set,
// served for a bounded time when the issuer is silent (contract §2, §4 "unknown kid", §9). RFC 8725 §3.8: keys never cross
// from one issuer to another.
// Does not check: signatures, algorithms that are allowed.

import type { IssuerSource } from '../config/config.js'
import { readJsonObject } from '../verify/json.js'
import type { Seconds } from '../verify/scalars.js'
import type { Issuer, JsonObject, KeysFor } from '../verify/types.js'
import { fetchKeySet } from './fetch.js'
import { type PublishedKey, readKeySet, selectKeys } from './jwks.js'

/** For so long after a fetch an unknown key is answered with "not known now" instead of another fetch. */
export const COOLDOWN: Seconds = 30
const LONGEST_BACKOFF: Seconds = 30
const LONGEST_TIMER_MS = 2 ** 31 - 1

/** A JWK set, and how long ago it was really fetched: 0, unless another process did it for us. */
export type FetchedSet = { readonly set: JsonObject; readonly age: Seconds }

/** How a set is got. Rejects with a message for the operator. */
export type FetchSet = (source: IssuerSource, stop: AbortSignal) => Promise<FetchedSet>

export type IssuerKeysOptions = {
  readonly clock: () => Seconds
  readonly log: (message: string) => void
  /** Left out: over the network, by this process. */
  readonly fetchSet?: FetchSet
  /** Those of the configuration before this one: what they know of an issuer serves on while it is silent (contract §9). */
  readonly previous?: Pick<IssuerKeys, 'known'>
}

export type IssuerReadings = { readonly issuer: string; readonly keys: number; readonly until: Seconds | null }

/** Keys of one place, when they were fetched, their generation, and why the last fetch failed; null: it did not. */
export type KnownKeys = {
  readonly keys: readonly PublishedKey[]
  readonly fetchedAt: Seconds
  readonly generation: number
  readonly problem: string | null
}

export type IssuerKeys = {
  readonly keysFor: KeysFor
  /** Rises whenever a key of this issuer is gone, in this process, over all reloads. */
  generation(issuer: Issuer): number
  /**
   * Fetches every set once, and waits for those that nothing is known of yet, 5 s at most: a reload must not be held up by an issuer
   * that is silent. Never rejects: what failed is tried again in the background.
   */
  start(): Promise<void>
  /** One sentence for each issuer whose last fetch failed, or that has no usable key. */
  degraded(): readonly string[]
  /** Of each issuer: keys that can be used now, and until when if it stays silent (null: they are read from a file). */
  readings(): readonly IssuerReadings[]
  /** What was fetched from just this place; null: nothing that may be used now. */
  known(source: IssuerSource): KnownKeys | null
  close(): void
}

type Held = {
  readonly source: IssuerSource
  /** null: there are none that may be used now. */
  keys: readonly PublishedKey[] | null
  generation: number
  /** When the keys were fetched; when a fetch was last tried. */
  fetchedAt: Seconds
  triedAt: Seconds | null
  /** Fetches that failed one after the other, and the last reason. */
  failures: number
  problem: string | null
  loading: Promise<void> | null
  timer: NodeJS.Timeout | null
}

// Never repeats in this process: a token cache that outlives a reload must not take new keys for old ones.
let lastGeneration = 0

/** Rejects a `file` source that is no JWK set by throwing: it would never get better by itself. */
export function createIssuerKeys(sources: readonly IssuerSource[], options: IssuerKeysOptions): IssuerKeys {
  const { clock, log } = options
  const fetchSet = options.fetchSet ?? (async (source, stop) => ({ set: await fetchKeySet(source, stop), age: 0 }))
  const held = new Map(sources.map((source) => [source.issuer, hold(source, options.previous?.known(source) ?? null)]))
  const closing = new AbortController()

  const isCooling = ({ triedAt }: Held): boolean => {
    const elapsed = triedAt === null ? COOLDOWN : clock() - triedAt
    // A clock that was set back must not stop fetching.
    return elapsed >= 0 && elapsed < COOLDOWN
  }

  function expire(issuer: Held): void {
    if (issuer.source.keys.from === 'file' || issuer.keys === null) return
    if (clock() - issuer.fetchedAt <= issuer.source.jwks_max_stale) return
    issuer.keys = null
    issuer.generation = ++lastGeneration
    log(`issuer ${issuer.source.issuer}: silent for longer than jwks_max_stale; its tokens are refused until it answers`)
  }

  function load(issuer: Held): Promise<void> {
    issuer.loading ??= fetchInto(issuer).finally(() => {
      issuer.loading = null
      schedule(issuer)
    })
    return issuer.loading
  }

  async function fetchInto(issuer: Held): Promise<void> {
    try {
      const { set, age } = await fetchSet(issuer.source, closing.signal)
      const keys = readKeySet(set)
      if (typeof keys === 'string') throw new Error(`the key set ${keys}`)
      replaceKeys(issuer, keys)
      issuer.fetchedAt = issuer.triedAt = clock() - age
      issuer.failures = 0
      say(issuer, keys.length === 0 ? 'the key set holds no key that can be used' : null)
    } catch (error) {
      issuer.triedAt = clock()
      issuer.failures += 1
      say(issuer, error instanceof Error ? error.message : 'unknown error')
    }
  }

  /** Tells the operator of what changed, not of every attempt. */
  function say(issuer: Held, problem: string | null): void {
    if (problem === issuer.problem || closing.signal.aborted) return
    issuer.problem = problem
    log(
      `issuer ${issuer.source.issuer}: ${problem === null ? 'its keys are there again' : `${problem}; trying again in the background`}`,
    )
  }

  function schedule(issuer: Held): void {
    if (closing.signal.aborted) return
    if (issuer.timer !== null) clearTimeout(issuer.timer)
    const { jwks_refresh } = issuer.source
    const wait = issuer.failures === 0 ? jwks_refresh : Math.min(2 ** (issuer.failures - 1), LONGEST_BACKOFF)
    issuer.timer = setTimeout(() => void load(issuer), Math.min(wait * 1000, LONGEST_TIMER_MS))
    issuer.timer.unref()
  }

  const keysFor: KeysFor = ({ issuer: name }, header) => {
    const issuer = held.get(name)
    if (issuer === undefined) return []
    expire(issuer)
    const known = issuer.keys === null ? null : selectKeys(issuer.keys, header)
    if (known !== null) return known
    if (issuer.source.keys.from === 'file') return []
    if (closing.signal.aborted || (issuer.loading === null && isCooling(issuer))) return 'unavailable'
    const askedAt = clock()
    return load(issuer).then(() => {
      if (issuer.failures > 0 || issuer.keys === null) return 'unavailable'
      // A set that another process fetched before we asked says nothing about a key that is newer than it.
      return selectKeys(issuer.keys, header) ?? (issuer.fetchedAt >= askedAt ? [] : 'unavailable')
    })
  }

  return {
    keysFor,
    generation: ({ issuer: name }) => {
      const issuer = held.get(name)
      if (issuer === undefined) return -1
      expire(issuer)
      return issuer.generation
    },
    start: async () => {
      const fetched = [...held.values()].filter(({ source }) => source.keys.from !== 'file')
      const unknown = fetched.filter(({ keys }) => keys === null)
      for (const issuer of fetched) void load(issuer)
      await Promise.all(unknown.map(load))
    },
    degraded: () =>
      [...held.values()].flatMap(({ source, problem }) => (problem === null ? [] : [`issuer ${source.issuer}: ${problem}`])),
    readings: () =>
      [...held.values()].map((issuer) => {
        expire(issuer)
        const { source, keys, fetchedAt } = issuer
        const until = source.keys.from === 'file' ? null : keys === null ? 0 : fetchedAt + source.jwks_max_stale
        return { issuer: source.issuer, keys: keys?.length ?? 0, until }
      }),
    known: (source) => {
      const issuer = held.get(source.issuer)
      if (issuer === undefined || source.keys.from === 'file' || placeOf(source) !== placeOf(issuer.source)) return null
      expire(issuer)
      const { keys, fetchedAt, generation, problem } = issuer
      return keys === null ? null : { keys, fetchedAt, generation, problem }
    },
    close: () => {
      closing.abort()
      for (const { timer } of held.values()) if (timer !== null) clearTimeout(timer)
    },
  }
}

/** Keys from another place, or vouched for by another CA, are other keys, whatever the issuer is called. */
export const placeOf = ({ issuer, keys, ca }: IssuerSource): string => JSON.stringify([issuer, keys, ca])

function hold(source: IssuerSource, known: KnownKeys | null): Held {
  const keys = source.keys.from === 'file' ? readKeyFile(source.issuer, source.keys) : (known?.keys ?? null)
  return {
    source,
    keys,
    generation: known?.generation ?? ++lastGeneration,
    fetchedAt: known?.fetchedAt ?? 0,
    triedAt: null,
    failures: 0,
    problem: known?.problem ?? null,
    loading: null,
    timer: null,
  }
}

function readKeyFile(issuer: string, { path, jwks }: { readonly path: string; readonly jwks: string }): readonly PublishedKey[] {
  const set = readJsonObject(Buffer.from(jwks))
  const keys = set === null ? 'is not one JSON object' : readKeySet(set)
  if (typeof keys === 'string') throw new Error(`issuer ${issuer}: ${path} ${keys}; put the JWK set of the issuer there`)
  if (keys.length === 0) throw new Error(`issuer ${issuer}: ${path} holds no public key that can verify a token`)
  return keys
}

/** A key that is gone is dropped now, and what it verified is verified again. */
function replaceKeys(issuer: Held, keys: readonly PublishedKey[]): void {
  const isGone = issuer.keys?.some(({ id }) => !keys.some((key) => key.id === id)) ?? false
  if (isGone) issuer.generation = ++lastGeneration
  issuer.keys = keys
}
