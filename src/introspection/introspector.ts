// Asks issuers whether tokens are active, no more often than it must, and no more at once than they can bear (RFC 7662 §2, §4).
//
// - What was answered `active` serves for `cache`, which is the revocation delay, counted from when the question was sent, by a clock that
//   nobody sets; never beyond the token's own end. What was answered `inactive` serves for `negative_cache`, in a cache of its own: who
//   invents tokens pushes out nothing but inventions. Answers are found by issuer and SHA-256 of the token, and judged anew each time.
// - Requests with one token wait for one question.
// - At most `concurrency` questions are under way, and whoever comes on top is refused at once (503): there is no queue. What may be an
//   invention, because it was never active, goes by a lane of its own that takes half of that.
// - An issuer that is silent is left alone for a moment, longer each time, and then asked one question at first. Each lane finds that out
//   for itself: nothing that inventions bring about, be it that the issuer asks us to slow down, keeps out those whose tokens are known.

import { createLane, type Lane, steadyClock } from '../asking/lane.js'
import { Silent } from '../asking/post.js'
import { createTrouble } from '../asking/trouble.js'
import type { IntrospectionSettings, IssuerSource } from '../config/config.js'
import { isTime } from '../verify/json.js'
import type { Seconds } from '../verify/scalars.js'
import type { Cache, Introspect, Introspected, JsonObject, KeysFor, TokenQuestion } from '../verify/types.js'
import { countsOf, type IntrospectionCounts } from './counts.js'
import { createQuestioner } from './question.js'

/** What was answered. */
export type HeldAnswer = {
  /** null: not active. */
  readonly active: JsonObject | null
  /** When the question was sent (epoch seconds), to compare with requests. */
  readonly askedAt: Seconds
  /** The same by the clock that nobody sets, to tell its age. */
  readonly sentAt: Seconds
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
  /** One sentence for each issuer whose last answer was none, a minute ago or less. */
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
    introspect: ({ issuer }, question) =>
      asked.get(issuer)?.introspect(question) ?? { unavailable: `${issuer} has no introspection` },
    degraded: () =>
      [...asked].flatMap(([issuer, { problem }]) => (problem() === null ? [] : [`introspection at ${issuer}: ${problem()}`])),
    close: async () => void (await Promise.all([...asked.values()].map((asker) => asker.close()))),
  }
}

type Flight = { readonly answer: Promise<Introspected>; readonly askedAt: Seconds }

type Asker = {
  introspect(question: TokenQuestion): Introspected | Promise<Introspected>
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
  const known = createLane()
  const unknown = createLane()
  const trouble = createTrouble(`introspection at ${issuer.issuer}`, log)

  /** May it serve? A token that has ended needs no question: nothing makes it live again. */
  function serves({ active, askedAt, sentAt }: HeldAnswer, { receivedAt, isAnew }: TokenQuestion): boolean {
    if (active !== null && isTime(active.exp) && active.exp <= clock()) return true
    const age = steadyClock() - sentAt
    // Younger than the request, which is judged a second time when its answer was slow (decide.ts); unless the clock was set back.
    if (askedAt >= receivedAt && age < 2 * settings.timeout) return true
    return active === null ? age < settings.negative_cache : !isAnew && age < settings.cache
  }

  /** An answer to a question that was sent later may have been there first. */
  function keep(key: string, answer: HeldAnswer): void {
    const { opaque_tokens, inactive_tokens } = caches
    const [own, other] = answer.active === null ? [inactive_tokens, opaque_tokens] : [opaque_tokens, inactive_tokens]
    if ((other.get(key)?.sentAt ?? 0) > answer.sentAt) return
    other.delete(key)
    own.set(key, answer)
  }

  async function ask(key: string, raw: string, lane: Lane): Promise<Introspected> {
    const askedAt = clock()
    const sentAt = steadyClock()
    lane.begin()
    try {
      const answer = await questioner.ask(raw)
      lane.answered()
      if (answer !== 'inactive' && 'unavailable' in answer) {
        counts.results.failed += 1
        trouble.say(answer.unavailable)
        return answer
      }
      const active = answer === 'inactive' ? null : answer.active
      counts.results[active === null ? 'inactive' : 'active'] += 1
      keep(key, { active, askedAt, sentAt })
      trouble.say(null)
      return answer
    } catch (error) {
      if (!(error instanceof Silent)) throw error
      counts.results.failed += 1
      lane.silent(error.isSaid ? null : sentAt)
      trouble.say(error.message)
      return { unavailable: error.message }
    } finally {
      counts.duration.observe(steadyClock() - sentAt)
      lane.end()
    }
  }

  /** Why it is not asked now; null: it is. */
  function restraint(lane: Lane): string | null {
    if (lane.isPaused()) return `not asked: ${trouble.last() ?? 'it was silent'}`
    const isFull =
      known.underWay + unknown.underWay >= settings.concurrency ||
      (lane === unknown && lane.underWay >= Math.ceil(settings.concurrency / 2))
    return isFull ? 'not asked: too many questions are under way' : null
  }

  return {
    introspect(question) {
      const key = `${prefix}${question.hash}`
      const inactive = caches.inactive_tokens.get(key)
      if (inactive !== undefined && serves(inactive, question)) return 'inactive'
      const held = caches.opaque_tokens.get(key)
      if (held?.active != null && serves(held, question)) return { active: held.active }
      const flight = flights.get(key)
      if (flight !== undefined && (!question.isAnew || flight.askedAt >= question.receivedAt)) return flight.answer
      const lane = question.isIssued || held !== undefined ? known : unknown
      const unavailable = restraint(lane)
      if (unavailable !== null) {
        counts.results.not_asked += 1
        return { unavailable }
      }
      const begun: Flight = { askedAt: clock(), answer: ask(key, question.raw, lane) }
      flights.set(key, begun)
      const land = (): void => {
        if (flights.get(key) === begun) flights.delete(key)
      }
      begun.answer.then(land, land)
      return begun.answer
    },
    problem: trouble.problem,
    close: questioner.close,
  }
}
