// Talks to one policy decision point: finds where it is asked, sends questions, and takes nothing for an answer that is none. Our
// credential goes to its own origin and nowhere else.

import { createAsker, type Message, mediaTypeOf, type Answer as Received, type Send } from '../asking/post.js'
import type { PdpSettings } from '../config/config.js'
import { readJsonObject } from '../verify/json.js'
import type { Seconds } from '../verify/scalars.js'
import type { JsonObject } from '../verify/types.js'
import { type Answer, readAnswer, readText } from './answer.js'
import type { Question } from './question.js'

/** How long endpoints that were discovered are used. */
const DISCOVERED: Seconds = 3600

export type Exchange = {
  /** A sentence when what came is no answer; rejects with `Silent` when none came. */
  ask(question: Question, requestId: string): Promise<Answer | string>
  close(): Promise<void>
}

type Endpoints = { readonly evaluation: string; readonly evaluations: string | null }

/** Where the metadata is: the well-known part stands between host and path (§9.2). */
export function metadataUrl(pdp: string): string {
  const { origin, pathname } = new URL(pdp)
  return `${origin}/.well-known/authzen-configuration${pathname.replace(/\/$/, '')}`
}

/** `note`: tells the operator of what is no outage. */
export function createExchange(pdp: PdpSettings, note: (what: string) => void): Exchange {
  const { url, tls, timeout, concurrency, authorization } = pdp
  const { origin } = new URL(url)
  const base = url.replace(/\/$/, '')
  const fixed: Endpoints = { evaluation: `${base}/access/v1/evaluation`, evaluations: `${base}/access/v1/evaluations` }
  const asker = createAsker({ tls, timeout, connections: concurrency, problems: PROBLEMS })
  const credential = authorization === null ? {} : { authorization }
  let discovered: { readonly endpoints: Promise<Endpoints | string>; readonly until: number } | null = null

  /** Questions that come meanwhile wait for the same metadata. */
  function endpoints(send: Send): Endpoints | Promise<Endpoints | string> {
    if (!pdp.discovery) return fixed
    if (discovered !== null && performance.now() < discovered.until) return discovered.endpoints
    const found = discover(send)
    discovered = { endpoints: found, until: performance.now() + DISCOVERED * 1000 }
    const forget = (): void => {
      discovered = null
    }
    found.then((what) => typeof what === 'string' && forget(), forget)
    return found
  }

  async function discover(send: Send): Promise<Endpoints | string> {
    const got = await sendJson(send, metadataUrl(url), { method: 'GET', headers: {} })
    if (typeof got === 'string') return `its metadata: ${got}`
    const metadata = readJsonObject(got.bytes)
    if (metadata === null) return 'its metadata is not one JSON object'
    // §9.2.3: identical, or the metadata must not be used: another's endpoints must never decide here.
    if (metadata.policy_decision_point !== url) return 'its metadata is of another policy decision point'
    return readEndpoints(metadata)
  }

  function readEndpoints(metadata: JsonObject): Endpoints | string {
    const { access_evaluation_endpoint: evaluation, access_evaluations_endpoint: evaluations = null } = metadata
    if (!isOurs(evaluation)) return 'its metadata has no access_evaluation_endpoint at its own origin'
    if (evaluations !== null && !isOurs(evaluations)) return 'its metadata has an access_evaluations_endpoint elsewhere'
    return { evaluation, evaluations }
  }

  const isOurs = (endpoint: unknown): endpoint is string =>
    typeof endpoint === 'string' && URL.canParse(endpoint) && new URL(endpoint).origin === origin

  async function sendJson(send: Send, where: string, message: Message): Promise<Received | string> {
    const got = await send(where, { ...message, headers: { ...message.headers, ...credential, accept: JSON_TYPE } })
    return typeof got === 'string' || mediaTypeOf(got) === JSON_TYPE ? got : `the answer is not ${JSON_TYPE}`
  }

  async function post(send: Send, { body, count }: Question, requestId: string): Promise<Answer | string> {
    const known = await endpoints(send)
    if (typeof known === 'string') return known
    const endpoint = count === null ? known.evaluation : known.evaluations
    if (endpoint === null) return 'its metadata has no access_evaluations_endpoint, and the route has several resources'
    const headers = { 'content-type': JSON_TYPE, 'x-request-id': requestId }
    const got = await sendJson(send, endpoint, { method: 'POST', headers, body })
    // It was moved: the next question looks for it where the metadata says now.
    if (got === NOT_THERE) discovered = null
    if (typeof got === 'string') return got
    const echoed = got.headers['x-request-id']
    // Not refused: the answer came on the connection of its question, and there are those that make an id of their own (OpenFGA 1.22).
    if (echoed !== undefined && echoed !== requestId) note('its answers have another X-Request-ID than their questions')
    const answer = readAnswer(got.bytes, count, pdp)
    return typeof answer === 'string' ? answer : { ...answer, id: answer.id ?? readText(echoed) ?? requestId }
  }

  return {
    ask: (question, requestId) => asker.ask((send) => post(send, question, requestId)),
    close: asker.close,
  }
}

/** The client chose what it is about, so this is no outage: not every engine takes every id. */
export const BAD_QUESTION = 'answered 400: it does not take the question'

const NOT_THERE = 'answered 404: it is not asked there'
const JSON_TYPE = 'application/json'
const PROBLEMS: Readonly<Record<number, string>> = {
  400: BAD_QUESTION,
  401: 'answered 401: it does not take our `authorization`',
  403: 'answered 403: we may not ask it',
  404: NOT_THERE,
}
