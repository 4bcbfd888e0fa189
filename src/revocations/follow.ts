// Keeps the list of one process as Redis has it: asks for changes five times a second, reads all of it when it lacks too much, in
// slices and beside the one that is enforced. What Redis forgets, this process does not: it is written back. While Redis is away the
// last known list stays, and gets older.

import type { RedisSettings } from '../config/config.js'
import { connectRedis, renewCredentials } from '../replay/redis-connection.js'
import { phrase } from '../replay/redis-errors.js'
import { NOT_YET, watchRedis } from '../replay/redis-link.js'
import type { RevocationList, Terms } from '../verify/revocations.js'
import type { Seconds } from '../verify/scalars.js'
import { readName, readTerms, type Target } from './entry.js'
import { createList, type HeldList } from './list.js'
import { type Change, openStore, type Position, type RevocationStore } from './store.js'

export type Following = {
  /** The list in Redis, to be changed. */
  readonly store: RevocationStore
  list(): RevocationList
  counts(): ReturnType<HeldList['counts']>
  /** How long ago the list was known to be complete; Infinity: never. */
  age(): Seconds
  /** What keeps it from being followed; null: nothing. */
  degraded(): string | null
  /** Resolves when the list is known, or Redis is found to be away. */
  start(): Promise<void>
  /** Connects with these credentials from now on. */
  renew(settings: RedisSettings): void
  close(): void
}

export type FollowOptions = {
  /** Told of each change of state, once. */
  readonly log: (message: string) => void
  /** Called with changes when they are enforced, and with null when the whole list was read. */
  readonly changed: (changes: readonly Changed[] | null, list: RevocationList) => void
}

/** `terms` null: it was taken out, its time was over. */
export type Changed = Target & { readonly terms: Terms | null }

/** How often it is asked for changes (milliseconds): all must know within a second. */
const ASK = 200
/** An answer may take so long: late is better than never here, for nobody waits for it (milliseconds). */
const PATIENCE = 2000
/** Entries that are written back at once. */
const BATCH = 500

/** Connects in the background. */
export function followRevocations(settings: RedisSettings, { log, changed }: FollowOptions): Following {
  const redis = connectRedis(settings, { commandTimeout: PATIENCE })
  const store = openStore(redis, settings.key_prefix)
  let held = createList()
  let position: Position | null = null
  let known = Number.NEGATIVE_INFINITY
  let said: string | null = NOT_YET
  let isReading = false
  /** Why it was not read or written back whole, the last time. */
  let failure: string | null = null
  const complete = settled()
  const isAway = settled()

  const problemNow = (): string | null => link.problem() ?? failure
  const say = (): void => {
    const now = problemNow()
    if (now === said) return
    said = now
    log(now === null ? 'revocations: followed in Redis' : `revocations: the last known list is enforced: ${now}`)
    if (now !== null && now !== NOT_YET) isAway.resolve()
  }

  /** Everything, beside the list that is enforced until then. What changes meanwhile is asked for afterwards. */
  async function readAll(from: Position, asked: number): Promise<void> {
    const next = createList()
    for await (const slice of store.slices())
      for (let i = 0; i < slice.length; i += 2) next.set(slice[i] ?? '', slice[i + 1] ?? '')
    held = next
    position = from
    known = asked
    complete.resolve()
    changed(null, held)
  }

  /** Writes back what Redis lost: it was emptied, replaced, or a replica took over that had not heard of the last changes. */
  async function restore(): Promise<void> {
    log('revocations: Redis lost some of them; they are written back')
    let batch: (readonly [string, string])[] = []
    for (const entry of held.entries()) {
      batch.push(entry)
      if (batch.length < BATCH) continue
      await store.restore(batch)
      batch = []
    }
    await store.restore(batch)
  }

  const inBackground = (work: () => Promise<void>): void => {
    isReading = true
    void work()
      .then(
        () => null,
        (error) => phrase(error),
      )
      .then((problem) => {
        isReading = false
        failure = problem
        say()
      })
  }

  async function look(): Promise<string | null> {
    const asked = performance.now()
    const { epoch, version, mark, size, changes, isForked } = await store.poll(position)
    if (isReading) return null
    const at: Position = { epoch, version, mark }
    if (position === null) {
      inBackground(() => readAll(at, asked))
      return null
    }
    // As many changes, but not the ones that are known: a replica took over that lacked some, and has been told of others since.
    const isBehind = version < position.version || (version === position.version && size < held.size)
    const isLost = epoch !== position.epoch || isForked || isBehind
    if (isLost) {
      inBackground(async () => {
        await restore()
        // What there is now, with what others have restored.
        const again = performance.now()
        const { epoch, version, mark } = await store.poll(null)
        await readAll({ epoch, version, mark }, again)
      })
      return null
    }
    const isGapless = changes.every((change, i) => change.version === (position?.version ?? 0) + 1 + i)
    if (!isGapless || (changes.length === 0 && version > position.version)) {
      inBackground(() => readAll(at, asked))
      return null
    }
    if (changes.length > 0) {
      for (const { name, terms } of changes) terms === null ? held.delete(name) : held.set(name, terms)
      const last = changes.at(-1) ?? at
      position = { epoch, version: last.version, mark: last.mark }
      changed(changes.flatMap(readChange), held)
    }
    if (position.version === version) known = asked
    return null
  }

  const link = watchRedis({
    redis,
    timeout: PATIENCE,
    every: ASK,
    look,
    changed: () => say(),
  })
  return {
    store,
    list: () => held,
    counts: () => held.counts(),
    age: () => (performance.now() - known) / 1000,
    degraded: () => {
      const problem = problemNow()
      return problem === null ? null : `revocations: ${problem}`
    },
    start: () => Promise.race([complete.promise, isAway.promise]),
    renew: (renewed) => renewCredentials(redis, renewed),
    close: () => link.close(),
  }
}

function readChange({ name, terms }: Change): readonly Changed[] {
  const target = readName(name)
  return target === null ? [] : [{ ...target, terms: terms === null ? null : readTerms(terms) }]
}

function settled(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve: () => void = () => undefined
  const promise = new Promise<void>((done) => {
    resolve = done
  })
  return { promise, resolve }
}
