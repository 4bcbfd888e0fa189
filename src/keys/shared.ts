// One process fetches for all workers (contract §4 "unknown kid"): however many there are, an issuer is asked at most once in the
// cool-down. The primary fetches and remembers; a worker asks it over the channel between the two.

import type { IssuerSource } from '../config/config.js'
import type { Seconds } from '../verify/scalars.js'
import type { JsonObject } from '../verify/types.js'
import { fetchKeySet } from './fetch.js'
import { COOLDOWN, type FetchedSet, type FetchSet, placeOf } from './issuers.js'

/** A failure is told to all who ask at about the same time; each of them waits longer before it asks again. */
const FAILURE: Seconds = 1
/** Longer than a fetch may take: only a primary that hangs is waited for so long. */
const LONGEST_MS = 10_000

export type SharedFetch = (source: IssuerSource) => Promise<FetchedSet>

type Place = { fetching: Promise<JsonObject>; doneAt: Seconds | null; failed: boolean }

/** Fetches for everyone who asks: what was fetched within the cool-down is given again, with its age. */
export function shareFetches(clock: () => Seconds, fetch: FetchSet = fetchNow): SharedFetch {
  const places = new Map<string, Place>()

  const isFresh = ({ doneAt, failed }: Place): boolean => {
    if (doneAt === null) return true
    const age = clock() - doneAt
    // A clock that was set back must not stop fetching.
    return age >= 0 && age < (failed ? FAILURE : COOLDOWN)
  }

  const begin = (source: IssuerSource): Place => {
    const place: Place = {
      fetching: fetch(source, new AbortController().signal).then(({ set }) => set),
      doneAt: null,
      failed: false,
    }
    place.fetching.then(
      () => {
        place.doneAt = clock()
      },
      () => {
        place.doneAt = clock()
        place.failed = true
      },
    )
    return place
  }

  return async (source) => {
    const name = placeOf(source)
    const known = places.get(name)
    const place = known !== undefined && isFresh(known) ? known : begin(source)
    places.set(name, place)
    const set = await place.fetching
    return { set, age: Math.max(0, clock() - (place.doneAt ?? clock())) }
  }
}

const fetchNow: FetchSet = async (source, stop) => ({ set: await fetchKeySet(source, stop), age: 0 })

/** One end of what connects a worker with its primary. */
export type Channel = {
  readonly send: (message: object) => void
  readonly onMessage: (listener: (message: unknown) => void) => void
}

type Question = { readonly keySetOf: IssuerSource; readonly question: number }
type Reply = { readonly question: number } & ({ readonly fetched: FetchedSet } | { readonly problem: string })

/** The primary's end: fetches what the worker asks for. */
export function answerFetches({ send, onMessage }: Channel, fetch: SharedFetch): void {
  onMessage((message) => {
    if (!isQuestion(message)) return
    const { keySetOf, question } = message
    fetch(keySetOf).then(
      (fetched) => send({ question, fetched } satisfies Reply),
      (error: unknown) => send({ question, problem: error instanceof Error ? error.message : 'unknown error' } satisfies Reply),
    )
  })
}

/** A worker's end: what `createIssuerKeys` fetches with. */
export function askPrimary({ send, onMessage }: Channel): FetchSet {
  const waiting = new Map<number, (reply: Reply) => void>()
  let last = 0
  onMessage((message) => {
    if (isReply(message)) waiting.get(message.question)?.(message)
  })
  return (source, stop) =>
    new Promise((resolve, reject) => {
      const question = ++last
      const settle = (then: () => void): void => {
        waiting.delete(question)
        clearTimeout(timer)
        stop.removeEventListener('abort', giveUp)
        then()
      }
      const giveUp = (): void => settle(() => reject(new Error('the primary process does not answer')))
      const timer = setTimeout(giveUp, LONGEST_MS)
      stop.addEventListener('abort', giveUp)
      waiting.set(question, (reply) =>
        settle(() => ('fetched' in reply ? resolve(reply.fetched) : reject(new Error(reply.problem)))),
      )
      send({ keySetOf: source, question } satisfies Question)
    })
}

const isQuestion = (message: unknown): message is Question =>
  typeof message === 'object' && message !== null && 'keySetOf' in message

const isReply = (message: unknown): message is Reply =>
  typeof message === 'object' && message !== null && 'question' in message && !('keySetOf' in message)
