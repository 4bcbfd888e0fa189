// Is Redis there? A breaker: after the first time-out nobody asks it again until it was looked at and found well (contract §9).
// Does not know what Redis is used for, nor what makes it well: that is `look`.

import { findNodes, type RedisConnection } from './redis-connection.js'
import { phrase } from './redis-errors.js'

/** How often it is looked at while it is well, and how quickly again when it is not (milliseconds). */
const LOOK = 1000
const SOONEST = 50
const LATEST = 1000
/** Looks that fail in a row before the connection is made anew: a name may stand for another host by now. */
const ENOUGH = 4

export const NOT_YET = 'it has not answered yet'
export const TOO_LATE = 'it does not answer in time'

export type RedisLink = {
  /** What is wrong, in a few words; null: it may be asked. */
  problem(): string | null
  /** Nobody asks from now on, until it was looked at again and found well. */
  trip(problem: string): void
  /** Resolves when it was looked at for the first time. */
  readonly looked: Promise<void>
  close(): void
}

export type LinkOptions = {
  readonly redis: RedisConnection
  /** How long an answer may take (milliseconds). */
  readonly timeout: number
  /** How often it is looked at while it is well (milliseconds); left out: once a second. */
  readonly every?: number
  /** What is wrong with it; null: nothing. Rejects with what Redis or the network said. */
  readonly look: () => Promise<string | null>
  /** Called when `problem` may have changed. */
  readonly changed: () => void
}

/** Watches a connection from now on. Each new connection is looked at before anything else is asked on it. */
export function watchRedis({ redis, timeout, every = LOOK, look, changed }: LinkOptions): RedisLink {
  let problem: string | null = NOT_YET
  let failures = 0
  let looking = false
  let closed = false
  let timer: NodeJS.Timeout | undefined
  let connection = 0
  let networkError: string | null = null
  const { promise: looked, resolve: hasLooked } = first()

  const turn = (next: string | null): void => {
    problem = next
    changed()
  }
  const lookAgain = (ms: number): void => {
    clearTimeout(timer)
    if (!closed) timer = setTimeout(() => void lookNow(), ms).unref()
  }

  /** One look at a time. One that hangs ends when its connection does, or when Redis thaws: then it was too late all the same. */
  async function lookNow(): Promise<void> {
    if (looking || closed || redis.status !== 'ready') return
    looking = true
    const on = connection
    let late = false
    const stop = whenTimeIsUp(timeout, () => {
      late = true
      if (problem === null || problem === NOT_YET) turn(TOO_LATE)
    })
    const found = await look().catch(phrase)
    stop()
    looking = false
    if (closed) return
    // What was found out on a connection that is gone says nothing of the one that is there now. (Of a cluster they go one by one, and what
    // failed may have failed for that.)
    if (on !== connection && (found === null || !redis.isCluster)) return lookAgain(0)
    const next = late ? TOO_LATE : found
    failures = next === null ? 0 : failures + 1
    turn(next)
    hasLooked()
    if (failures > 0) findNodes(redis)
    if (failures > 0 && failures % ENOUGH === 0) reconnect(redis)
    lookAgain(next === null ? every : Math.min(SOONEST * 2 ** failures, LATEST))
  }

  /** Another server may have come into the place of one that was looked at. */
  function suspect(what: string): void {
    connection++
    if (closed || problem !== null) return
    turn(what)
    lookAgain(0)
  }

  redis.on('ready', () => {
    connection++
    networkError = null
    lookAgain(0)
  })
  redis.on('error', (error: Error) => {
    networkError = phrase(error)
  })
  redis.on('close', () => {
    connection++
    if (closed || (problem !== null && networkError === null)) return
    turn(networkError ?? 'the connection is lost')
    hasLooked()
  })
  // The client of a cluster goes on when one of its nodes does not.
  redis.on('-node', () => {
    suspect('a node of it is lost')
    findNodes(redis)
  })
  // It gives up on what it takes for a mistake of ours; it may be one of the network's.
  redis.on('end', () => {
    if (!closed) timer = setTimeout(() => void redis.connect().catch(() => undefined), LATEST).unref()
  })

  return {
    problem: () => problem,
    looked,
    trip(next) {
      if (closed || problem !== null) return
      turn(next)
      findNodes(redis)
      lookAgain(SOONEST)
    },
    close() {
      closed = true
      clearTimeout(timer)
      problem = 'closed'
      redis.disconnect()
    },
  }
}

function first() {
  let resolve: () => void = () => undefined
  const promise = new Promise<void>((done) => {
    resolve = done
  })
  return { promise, resolve }
}

/** A cluster finds its nodes itself. */
function reconnect(redis: RedisConnection): void {
  if (!redis.isCluster) redis.disconnect(true)
}

/**
 * Calls back after so many milliseconds, once what had arrived by then was read: when the event loop stood still, timers come
 * before the answers that are waiting. Returns what stops it.
 */
export function whenTimeIsUp(ms: number, callback: () => void): () => void {
  let immediate: NodeJS.Immediate | undefined
  const timer = setTimeout(() => {
    immediate = setImmediate(callback)
  }, ms)
  return () => {
    clearTimeout(timer)
    clearImmediate(immediate)
  }
}
