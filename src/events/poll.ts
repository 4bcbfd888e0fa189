// Asks transmitters for their events (RFC 8936), each every so often, and tells them which were taken and which were refused and why. What could
// not be taken now is not acknowledged, and so comes again. One process of a gateway asks; several gateways may, since each event has one effect.

import { Agent, request } from 'undici'
import type { EventSettings, IssuerSource } from '../config/config.js'
import { guardedLookup, readFetchUrl } from '../keys/addresses.js'
import { isJsonObject, readJsonObject } from '../verify/json.js'
import type { JsonObject } from '../verify/types.js'
import { type Receiver, transmittersOf } from './receive.js'

export type Polling = {
  /** One sentence for each transmitter that was asked in vain the last time. */
  problems(): readonly string[]
  close(): void
}

export type PollOptions = {
  readonly current: () => { readonly config: { readonly issuers: readonly IssuerSource[] } }
  readonly take: Receiver['take']
  /** Told of each change of state, once. */
  readonly log: (message: string) => void
}

/** How often it is looked who is to be asked, how long an answer may take (milliseconds), how large it may be (bytes), events in one. */
const TICK_MS = 250
const LONGEST_MS = 10_000
const MOST_BYTES = 4 * 1024 * 1024
const MOST_EVENTS = 50
/** Questions in a row: one that gives the same events again and again must not keep us busy. */
const MOST_QUESTIONS = 20

type Poll = NonNullable<EventSettings['poll']>
/** What is to be told at the next question (RFC 8936 §2.2). */
type Told = { readonly ack: string[]; readonly setErrs: Record<string, { readonly err: string; readonly description: string }> }
type State = { told: Told; askedAt: number; isAsking: boolean; problem: string | null }

const nothingTold = (): Told => ({ ack: [], setErrs: {} })

/** Asks from now on, whoever the configuration of now names. */
export function startPolling({ current, take, log }: PollOptions): Polling {
  const states = new Map<string, State>()
  const closing = new AbortController()

  const tick = (): void => {
    const transmitters = transmittersOf(current().config.issuers)
    const named = new Set(transmitters.flatMap(({ issuer, settings }) => (settings.poll === null ? [] : [issuer.issuer])))
    for (const name of states.keys()) if (!named.has(name)) states.delete(name)
    for (const { issuer, settings } of transmitters) {
      if (settings.poll === null) continue
      const fresh: State = { told: nothingTold(), askedAt: Number.NEGATIVE_INFINITY, isAsking: false, problem: null }
      const state = states.get(issuer.issuer) ?? fresh
      states.set(issuer.issuer, state)
      if (state.isAsking || performance.now() - state.askedAt < settings.poll.interval * 1000) continue
      state.isAsking = true
      state.askedAt = performance.now()
      void askAll({ issuer, settings }, settings.poll, state).then((problem) => {
        state.isAsking = false
        if (problem !== state.problem && !closing.signal.aborted)
          log(`events of ${issuer.issuer}: ${problem ?? 'asked for, and answered'}`)
        state.problem = problem
      })
    }
  }

  /** Until there are no more; null: all went well. Never rejects. */
  async function askAll(
    transmitter: { issuer: IssuerSource; settings: EventSettings },
    poll: Poll,
    state: State,
  ): Promise<string | null> {
    try {
      let isMore = true
      for (let asked = 0; isMore && asked < MOST_QUESTIONS && !closing.signal.aborted; asked++) {
        const { told } = state
        const answer = await ask(poll, transmitter.issuer.ca, told)
        // Only now: an answer that did not come may have been heard, or not.
        state.told = nothingTold()
        const sets = isJsonObject(answer.sets) ? Object.entries(answer.sets) : []
        for (const [jti, set] of sets.slice(0, MOST_EVENTS)) {
          const { status, error } = await take(String(set), transmitter)
          if (status === 202) state.told.ack.push(jti)
          else if (status === 400 && error !== null) state.told.setErrs[jti] = error
          else return 'an event cannot be taken now'
        }
        isMore = answer.moreAvailable === true || state.told.ack.length > 0 || Object.keys(state.told.setErrs).length > 0
      }
      return null
    } catch (error) {
      return error instanceof Error ? error.message : 'unknown error'
    }
  }

  async function ask({ endpoint, token }: Poll, ca: string | null, told: Told): Promise<JsonObject> {
    const url = readFetchUrl(endpoint)
    if (typeof url === 'string') throw new Error(`the endpoint ${url}`)
    const agent = new Agent({
      connect: {
        lookup: guardedLookup(url.protocol),
        rejectUnauthorized: true,
        timeout: LONGEST_MS,
        ...(ca === null ? {} : { ca }),
      },
      headersTimeout: LONGEST_MS,
      bodyTimeout: LONGEST_MS,
      maxResponseSize: MOST_BYTES,
    })
    try {
      const { statusCode, body } = await request(url, {
        method: 'POST',
        dispatcher: agent,
        signal: closing.signal,
        headers: {
          authorization: `Bearer ${token}`,
          'content-type': 'application/json',
          accept: 'application/json',
          'accept-encoding': 'identity',
        },
        body: JSON.stringify({ maxEvents: MOST_EVENTS, returnImmediately: true, ...told }),
      })
      if (statusCode !== 200) throw new Error(`the endpoint answered ${statusCode}`)
      const answer = readJsonObject(new Uint8Array(await body.arrayBuffer()))
      if (answer === null) throw new Error('the endpoint answered something that is not one JSON object')
      return answer
    } finally {
      void agent.destroy()
    }
  }

  const timer = setInterval(tick, TICK_MS).unref()
  return {
    problems: () => [...states].flatMap(([name, { problem }]) => (problem === null ? [] : [`events of ${name}: ${problem}`])),
    close() {
      clearInterval(timer)
      closing.abort()
    },
  }
}
