// May this request be made? Asked of the policy decision point that its route names, and of nobody else. Fails closed: what is no answer
// is `decision_unavailable`, never a permit, and never the client's fault.
//
// - Nothing is kept unless `cache` says for how long; then answers are found by all that was asked, to the letter.
// - At most `concurrency` questions are under way, and whoever comes on top is refused at once (503): there is no queue. One caller has three
//   quarters of them at most, so that nobody keeps all others out by asking what takes long.
// - One that is silent is left alone for a moment, longer each time, and then asked one question at first.

import { createLane, steadyClock } from '../asking/lane.js'
import { Silent } from '../asking/post.js'
import { createTrouble } from '../asking/trouble.js'
import type { PdpSettings } from '../config/config.js'
import { sha256 } from '../verify/hashes.js'
import { isTime } from '../verify/json.js'
import type { Seconds } from '../verify/scalars.js'
import type { AccessToken, Cache, Evidence, RouteMatch } from '../verify/types.js'
import { type Decided, type Denial, deny } from '../verify/verdict.js'
import type { Answer, StepUp } from './answer.js'
import { countsOf, type DecisionCounts } from './counts.js'
import { BAD_QUESTION, createExchange } from './exchange.js'
import { type Question, questionOf } from './question.js'

/** An answer, and when its question was sent (seconds, of a clock that nobody sets). */
export type HeldAnswer = { readonly answer: Answer; readonly sentAt: Seconds }

export type PdpPorts = {
  readonly clock: () => Seconds
  readonly log: (message: string) => void
  readonly cache: Cache<HeldAnswer>
  readonly counts: DecisionCounts
}

export type Pdps = {
  readonly decisionFor: (evidence: Evidence, match: RouteMatch) => Promise<Decided>
  /** One sentence for each whose last answer was none, a minute ago or less. */
  degraded(): readonly string[]
  close(): Promise<void>
}

export function createPdps(settings: readonly PdpSettings[], ports: PdpPorts): Pdps {
  const pdps = new Map(settings.map((one) => [one.name, createPdp(one, ports)]))
  return {
    decisionFor: (evidence, match) => {
      const pdp = pdps.get(match.route.decision?.pdp ?? '')
      if (pdp === undefined) throw new Error(`route ${match.route.path} asks a pdp that is not of this configuration`)
      return pdp.decisionFor(evidence, match)
    },
    degraded: () => [...pdps].flatMap(([name, { problem }]) => (problem() === null ? [] : [`pdp ${name}: ${problem()}`])),
    close: async () => void (await Promise.all([...pdps.values()].map((pdp) => pdp.close()))),
  }
}

/** What is no outage is told no more often. */
const QUIET: Seconds = 60

/** Of `concurrency`, what one caller may take. */
const SHARE = 0.75

type Pdp = {
  decisionFor(evidence: Evidence, match: RouteMatch): Promise<Decided>
  problem(): string | null
  close(): Promise<void>
}

function createPdp(settings: PdpSettings, { clock, log, cache, ...ports }: PdpPorts): Pdp {
  const { name } = settings
  const exchange = createExchange(settings, note)
  const counts = countsOf(ports.counts, name)
  const lane = createLane()
  const callers = new Map<string, number>()
  const trouble = createTrouble(`pdp ${name}`, log)
  let notedAt: Seconds = Number.NEGATIVE_INFINITY

  /** What is no outage. */
  function note(what: string): void {
    if (steadyClock() - notedAt < QUIET) return
    notedAt = steadyClock()
    log(`pdp ${name}: ${what}`)
  }

  /** Why it is not asked now; null: it is. */
  function restraint(caller: string): string | null {
    if (lane.isPaused()) return `not asked: ${trouble.last() ?? 'it was silent'}`
    if (lane.underWay >= settings.concurrency) return 'not asked: too many questions are under way'
    return (callers.get(caller) ?? 0) >= Math.ceil(settings.concurrency * SHARE)
      ? 'not asked: too many questions of this caller are under way'
      : null
  }

  const count = (caller: string, change: 1 | -1): void => {
    const underWay = (callers.get(caller) ?? 0) + change
    if (underWay > 0) callers.set(caller, underWay)
    else callers.delete(caller)
  }

  /** A sentence when there is no answer. */
  async function ask(question: Question, requestId: string): Promise<Answer | string> {
    const sentAt = steadyClock()
    lane.begin()
    counts.inFlight += 1
    try {
      const answer = await exchange.ask(question, requestId)
      lane.answered()
      if (answer === BAD_QUESTION) note(answer)
      else trouble.say(typeof answer === 'string' ? answer : null)
      counts.results[typeof answer === 'string' ? 'failed' : answer.permits ? 'permit' : 'deny'] += 1
      return answer
    } catch (error) {
      if (!(error instanceof Silent)) throw error
      lane.silent(error.isSaid ? null : sentAt)
      trouble.say(error.message)
      counts.results.failed += 1
      return error.message
    } finally {
      counts.duration.observe(steadyClock() - sentAt)
      counts.inFlight -= 1
      lane.end()
    }
  }

  const unavailable = (why: string): Decided => ({
    denial: deny('decision_unavailable', `${name}: ${why}`),
    decision: { pdp: name, id: null, policyVersion: null },
  })

  const decidedBy = (answer: Answer, { token }: Evidence): Decided => ({
    denial: answer.permits ? null : denialOf(answer, token, name, clock()),
    decision: { pdp: name, id: answer.id, policyVersion: answer.policyVersion },
  })

  return {
    async decisionFor(evidence, match) {
      const question = questionOf(evidence, match, settings.subject)
      if (question === null)
        return {
          denial: deny(
            'decision_denied',
            `${name}: not asked, because the token names nobody, or the path is no UTF-8 or has matrix parameters`,
          ),
          decision: { pdp: name, id: null, policyVersion: null },
        }
      const key = settings.cache === null ? '' : `${name}.${sha256(question.body)}`
      const held = settings.cache === null ? undefined : cache.get(key)
      if (held !== undefined && steadyClock() - held.sentAt < (settings.cache ?? 0)) return decidedBy(held.answer, evidence)
      const caller = callerOf(evidence)
      const why = restraint(caller)
      if (why !== null) {
        counts.results.not_asked += 1
        return unavailable(why)
      }
      const sentAt = steadyClock()
      count(caller, 1)
      const answer = await ask(question, evidence.inbound.requestId).finally(() => count(caller, -1))
      if (typeof answer === 'string') return unavailable(answer)
      if (settings.cache !== null) cache.set(key, { answer, sentAt })
      return decidedBy(answer, evidence)
    },
    problem: trouble.problem,
    close: exchange.close,
  }
}

/** The user, or the client where there is none. */
const callerOf = ({ token }: Evidence): string =>
  token === null ? '' : JSON.stringify([token.issuer.issuer, token.subject ?? token.clientId])

/** A step-up only where there is a user who can do better: whoever has done all of it would be sent in circles. */
function denialOf({ stepUp, denied }: Answer, token: AccessToken | null, name: string, now: Seconds): Denial {
  const detail = denied === null ? `by ${name}` : `by ${name}, resource ${denied}`
  const isUser = token !== null && token.subject !== null && token.subject !== token.clientId
  const lacks = stepUp === null || !isUser ? null : lackOf(stepUp, token, now)
  if (stepUp === null || lacks === null) return deny('decision_denied', detail)
  return deny(lacks, detail, {
    ...(stepUp.acrValues === null ? {} : { acrValues: stepUp.acrValues }),
    ...(stepUp.maxAge === null ? {} : { maxAge: stepUp.maxAge }),
  })
}

/** What the token lacks of a step-up (RFC 9470 §3); null: nothing. */
function lackOf(
  { acrValues, maxAge }: StepUp,
  { claims }: AccessToken,
  now: Seconds,
): 'authentication_weak' | 'authentication_old' | null {
  if (acrValues !== null && !acrValues.some((one) => one === claims.acr)) return 'authentication_weak'
  const { auth_time } = claims
  return maxAge !== null && (!isTime(auth_time) || now - auth_time > maxAge) ? 'authentication_old' : null
}
