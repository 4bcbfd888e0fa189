// Records used proofs: one SET NX PX each, all that arrive together in one round trip. No retry, because a lost answer would then look
// like a replay. Behind them goes the question whether the store is still the one we know: had it been emptied before, that
// would be seen here, and not seconds later.

import { findNodes, type RedisConnection } from './redis-connection.js'
import { phrase } from './redis-errors.js'
import { CONNECTION, type StoreIdentity } from './redis-identity.js'
import { type RedisLink, TOO_LATE, whenTimeIsUp } from './redis-link.js'

/** Records a key; `unavailable` after the time-out at the latest, and somewhat later for what is claimed. Never rejects. */
export type Recorder = (record: ProofRecord) => Promise<Recorded>
/** `ms`: how long it is kept. `claim`: ProofUse's. */
export type ProofRecord = { readonly key: string; readonly ms: number; readonly claim: string | null }
export type Recorded = 'first' | 'used' | 'unavailable'

export type RecorderOptions = {
  readonly redis: RedisConnection
  readonly link: RedisLink
  readonly identity: StoreIdentity
  /** How long an answer may take (milliseconds). */
  readonly timeout: number
  /** Replicas that must have each record, and how long they may take (milliseconds). */
  readonly wait: number
  readonly waitMs: number
}

/** `NX`: where there is no such record; `XX`: anew, where there is. */
type Waiting = ProofRecord & { readonly when: 'NX' | 'XX'; readonly settle: (answer: Recorded) => void }
type Reply = readonly [error: Error | null, result: unknown]

export function createRecorder(options: RecorderOptions): Recorder {
  let waiting: Waiting[] = []
  const flush = (): void => {
    const batch = waiting
    waiting = []
    // The nodes of a cluster each have keys of their own, so there each record goes by itself.
    if (options.redis.isCluster) for (const one of batch) void send([one], options)
    else void send(batch, options)
  }
  const write = (record: ProofRecord, when: Waiting['when']): Promise<Recorded> =>
    new Promise((settle) => {
      waiting.push({ ...record, when, settle })
      // Once all that has arrived by now was read.
      if (waiting.length === 1) setImmediate(flush)
    })
  const writeClaimed = async (record: ProofRecord): Promise<Recorded> => {
    const recorded = await write(record, 'NX')
    if (recorded !== 'used') return recorded
    const claim = await claimOf(record.key, options)
    if (claim === 'unavailable') return claim
    // Written anew, so that all that is asked of a first record (replicas, the same store) is asked of this one.
    return claim === record.claim ? write(record, 'XX') : 'used'
  }
  return (record) => (record.claim === null ? write(record, 'NX') : writeClaimed(record))
}

/** By whom a proof was used; null: by nobody, or nobody who could come again. */
async function claimOf(key: string, { redis, link, timeout }: RecorderOptions): Promise<string | null> {
  if (link.problem() !== null) return 'unavailable'
  let stop: (() => void) | undefined
  const late = new Promise<string>((resolve) => {
    stop = whenTimeIsUp(timeout, () => {
      link.trip(TOO_LATE)
      resolve('unavailable')
    })
  })
  const found = redis.get(key).catch((error: Error) => {
    link.trip(phrase(error))
    return 'unavailable'
  })
  const claim = await Promise.race([found, late])
  stop?.()
  return claim
}

async function send(batch: readonly Waiting[], options: RecorderOptions): Promise<void> {
  const { redis, link, identity, timeout, wait, waitMs } = options
  const settle = (answer: (index: number) => Recorded): void => batch.forEach((one, index) => void one.settle(answer(index)))
  if (link.problem() !== null) return settle(() => 'unavailable')
  const stop = whenTimeIsUp(timeout, () => {
    link.trip(TOO_LATE)
    settle(() => 'unavailable')
  })
  const commands = redis.pipeline()
  for (const { key, ms, claim, when } of batch) {
    if (when === 'NX') commands.set(key, claim ?? '1', 'PX', ms, 'NX')
    else commands.set(key, claim ?? '1', 'PX', ms, 'XX')
  }
  // One for all: it counts the replicas that have everything before it.
  if (wait > 0) commands.wait(wait, waitMs)
  const epoch = identity.epoch()
  if (epoch !== null) commands.get(epoch.key)
  if (redis.isCluster) for (const [name, ...args] of CONNECTION) commands.call(name, ...args)
  const replies: readonly Reply[] = await commands.exec().then(
    (all) => all ?? [],
    (error: Error) => batch.map((): Reply => [error, null]),
  )
  stop()

  const replicas = wait > 0 ? replies[batch.length] : undefined
  const isCopied = wait === 0 || Number(replicas?.[1]) >= wait
  if (!isCopied) link.trip(replicas?.[0] ? phrase(replicas[0]) : 'too few replicas have its records')
  const rest = replies.slice(batch.length + (wait > 0 ? 1 : 0))
  const [epochError, found] = rest[0] ?? []
  // Another server than the one that was looked at, or the same one anew: nobody knows yet what it remembers.
  const isLookedAt = !redis.isCluster || identity.isKnown(rest.map(([, answer]) => answer))
  if (!isLookedAt) link.trip('its cluster changed')
  if (epoch !== null && !epochError && found !== epoch.value) {
    identity.lost()
    link.trip('it lost its memory')
  }
  const isKnown = isLookedAt && (epoch === null || found === epoch.value)
  const stumble = (error: Error): void => {
    // The other keys of a cluster are where they were: it is one slot that moves, and this record was not made.
    if (/^(MOVED|ASK|TRYAGAIN) /.test(error.message)) findNodes(redis)
    else link.trip(phrase(error))
  }
  settle((index) => {
    const [error, answer] = replies[index] ?? [null, undefined]
    if (error) stumble(error)
    else if (answer === null) return 'used'
    return answer === 'OK' && isCopied && isKnown ? 'first' : 'unavailable'
  })
}
