// One process fetches for all workers (contract §4 "unknown kid"): however many there are, an issuer is asked at most once in the
// cool-down. The primary fetches and remembers; workers ask it (cluster/).

import type { IssuerSource } from '../config/config.js'
import type { Seconds } from '../verify/scalars.js'
import type { JsonObject } from '../verify/types.js'
import { fetchKeySet } from './fetch.js'
import { COOLDOWN, type FetchedSet, type FetchSet, placeOf } from './issuers.js'

/** A failure is told to all who ask at about the same time; each of them waits longer before it asks again. */
const FAILURE: Seconds = 1

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
