// Asks issuers whether tokens are active, no more often than it must, and no more at once than they can bear (RFC 7662 §2, §4).
//
// - What was answered `active` serves for `cache`, which is the revocation delay, counted from when the question was sent, by a clock that
//   nobody sets; never beyond the token's own end. What was answered `inactive` serves for `negative_cache`, in a cache of its own: who
//   invents tokens pushes out nothing but inventions. Answers are found by issuer and SHA-256 of the token, and judged anew each time.
// - Requests with one token wait for one question.
// - At most `concurrency` questions are under way, and tokens that were never active may take half of that: a flood of inventions cannot
//   keep out those whose tokens are known. Whoever comes on top is refused at once (503): there is no queue.
// - An issuer that is silent is left alone for a moment, longer each time, and then asked one question at first.

import type { IntrospectionSettings, IssuerSource } from '../config/config.js'
import { isTime } from '../verify/json.js'
import type { Seconds } from '../verify/scalars.js'
import type { Cache, Introspect, Introspected, JsonObject, KeysFor } from '../verify/types.js'
import { countsOf, type IntrospectionCounts } from './counts.js'
import { createQuestioner, IssuerSilent } from './question.js'

/** What was answered. */
export type HeldAnswer = {
  /** null: not active. */
  readonly active: JsonObject | null
  /** When the question was sent (epoch seconds). */
  readonly askedAt: Seconds
  /** Until when it serves, by the clock that nobody sets. */
  readonly until: Seconds
}

type AnswerCache = Cache<HeldAnswer> & { delete(key: string): unknown }

export type AnswerCaches = { readonly opaque_tokens: AnswerCache; readonly inactive_tokens: AnswerCache }

export type IntrospectorPorts = {
  readonly keysFor: KeysFor
  readonly clock: () => Seconds
  readonly log: (message: string) => void
  readonly caches: AnswerCaches
  readonly counts: IntrospectionCounts
}

export type Introspector = {
  readonly introspect: Introspect
  /** One sentence for each issuer whose last answer was none. */
  degraded(): readonly string[]
  close(): Promise<void>
}

export function createIntrospector(issuers: readonly IssuerSource[], ports: IntrospectorPorts): Introspector {
  const asked = new Map(
    issuers.flatMap((issuer, i) =>
      issuer.introspection === null
        ? []
        : [[issuer.issuer, createAsker(issuer, issuer.introspection, { ...ports, prefix: `${i}.` })]],
    ),
  )
  return {
    introspect: ({ issuer }, token, notBefore) =>
      asked.get(issuer)?.introspect(token, notBefore) ?? { unavailable: `${issuer} has no introspection` },
    degraded: () =>
      [...asked].flatMap(([issuer, { problem }]) => (problem() === null ? [] : [`introspection at ${issuer}: ${problem()}`])),
    close: async () => void (await Promise.all([...asked.values()].map((asker) => asker.close()))),
  }
}

/** How long a silent issuer is left alone, first and at most. */
const FIRST_PAUSE: Seconds = 0.5
const LONGEST_PAUSE: Seconds = 5
/** A caller can bring trouble and its end about again and again: then the log tells of it no more often. */
const QUIET: Seconds = 10

const steadyClock = (): Seconds => performance.now() / 1000

type Token = Parameters<Introspect>[1]
type Flight = { readonly answer: Promise<Introspected>; readonly askedAt: Seconds }
type Asker = {
  introspect(token: Token, notBefore: Seconds | null): Introspected | Promise<Introspected>
  problem(): string | null
  close(): Promise<void>
}

/** `prefix`: what keeps its answers apart from those of other issuers. */
function createAsker(
  issuer: IssuerSource,
  settings: IntrospectionSettings,
  { prefix, clock, log, caches, ...ports }: IntrospectorPorts & { readonly prefix: string },
): Asker {
  const questioner = createQuestioner(issuer, settings, { clock, keysFor: ports.keysFor })
  const counts = countsOf(ports.counts, issuer.issuer)
  const flights = new Map<string, Flight>()
  let underWay = 0
  let failures = 0
  let pausedUntil: Seconds = 0
  let problem: string | null = null
  let saidAt: Seconds = Number.NEGATIVE_INFINITY

  /** May it serve? A token that has ended needs no question: nothing makes it live again. */
  const serves = ({ active, askedAt, until }: HeldAnswer, notBefore: Seconds | null): boolean =>
    (active !== null && isTime(active.exp) && active.exp <= clock()) ||
    (steadyClock() < until && (notBefore === null || active === null || askedAt >= notBefore))

  function keep(key: string, active: JsonObject | null, askedAt: Seconds, sentAt: Seconds): void {
    if (active === null) {
      caches.opaque_tokens.delete(key)
      caches.inactive_tokens.set(key, { active, askedAt, until: sentAt + settings.negative_cache })
      return
    }
    // A question that was sent later was answered first.
    const refuted = caches.inactive_tokens.get(key)
    if (refuted !== undefined && refuted.until > steadyClock() && refuted.askedAt > askedAt) return
    caches.inactive_tokens.delete(key)
    caches.opaque_tokens.set(key, { active, askedAt, until: sentAt + settings.cache })
  }

  function say(what: string | null): void {
    if (what === problem) return
    problem = what
    if (steadyClock() - saidAt < QUIET) return
    saidAt = steadyClock()
    log(`introspection at ${issuer.issuer}: ${what === null ? 'it answers again' : what}`)
  }

  async function question(key: string, raw: string): Promise<Introspected> {
    const askedAt = clock()
    const sentAt = steadyClock()
    underWay += 1
    try {
      const answer = await questioner.ask(raw)
      failures = 0
      if (answer !== 'inactive' && 'unavailable' in answer) {
        counts.results.failed += 1
        say(answer.unavailable)
        return answer
      }
      const active = answer === 'inactive' ? null : answer.active
      counts.results[active === null ? 'inactive' : 'active'] += 1
      keep(key, active, askedAt, sentAt)
      say(null)
      return answer
    } catch (error) {
      if (!(error instanceof IssuerSilent)) throw error
      counts.results.failed += 1
      // Those that were under way together fail together, and count as one.
      if (steadyClock() >= pausedUntil) {
        pausedUntil = steadyClock() + Math.min(FIRST_PAUSE * 2 ** failures, LONGEST_PAUSE)
        failures += 1
      }
      say(error.message)
      return { unavailable: error.message }
    } finally {
      counts.duration.observe(steadyClock() - sentAt)
      underWay -= 1
    }
  }

  /** Why it is not asked now; null: it is. */
  function restraint(isKnown: boolean): string | null {
    if (steadyClock() < pausedUntil || (failures > 0 && underWay > 0)) return `not asked: ${problem ?? 'it was silent'}`
    const most = isKnown ? settings.concurrency : Math.ceil(settings.concurrency / 2)
    return underWay >= most ? 'not asked: too many questions are under way' : null
  }

  return {
    introspect({ raw, hash }, notBefore) {
      const key = `${prefix}${hash}`
      const inactive = caches.inactive_tokens.get(key)
      if (inactive !== undefined && serves(inactive, notBefore)) return 'inactive'
      const known = caches.opaque_tokens.get(key)
      if (known?.active != null && serves(known, notBefore)) return { active: known.active }
      const flight = flights.get(key)
      if (flight !== undefined && (notBefore === null || flight.askedAt >= notBefore)) return flight.answer
      const unavailable = restraint(known !== undefined)
      if (unavailable !== null) {
        counts.results.not_asked += 1
        return { unavailable }
      }
      const begun: Flight = { askedAt: clock(), answer: question(key, raw) }
      flights.set(key, begun)
      const land = (): void => {
        if (flights.get(key) === begun) flights.delete(key)
      }
      begun.answer.then(land, land)
      return begun.answer
    },
    problem: () => problem,
    close: questioner.close,
  }
}
