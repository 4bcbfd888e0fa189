// Talks to one policy decision point, over one kept-alive pool of connections: where to, how much and how long are bounded as for issuer
// keys (keys/), redirects are not followed, TLS is always verified. Our credential goes to its own origin and nowhere else.

import { Agent, request } from 'undici'
import type { PdpSettings } from '../config/config.js'
import { guardedLookup, readFetchUrl } from '../keys/addresses.js'
import { readJsonObject } from '../verify/json.js'
import type { Bytes, Seconds } from '../verify/scalars.js'
import type { JsonObject } from '../verify/types.js'
import { type Answer, readAnswer, readText } from './answer.js'
import type { Question } from './question.js'

/** All that one answer may hold. */
const MOST_BYTES: Bytes = 64 * 1024
/** How long endpoints that were discovered are used. */
const DISCOVERED: Seconds = 3600

/** It did not answer, or said that it can't: asking again at once would only make others wait. */
export class PdpSilent extends Error {}

export type Exchange = {
  /** A sentence when what came is no answer; rejects with `PdpSilent` when none came. */
  ask(question: Question, requestId: string): Promise<Answer | string>
  close(): Promise<void>
}

type Endpoints = { readonly evaluation: string; readonly evaluations: string | null }
type Got = { readonly bytes: Uint8Array; readonly requestId: string | null }

/** Where the metadata is: the well-known part stands between host and path (§9.2). */
export function metadataUrl(pdp: string): string {
  const { origin, pathname } = new URL(pdp)
  return `${origin}/.well-known/authzen-configuration${pathname.replace(/\/$/, '')}`
}

/** `note`: tells the operator of what is no outage. */
export function createExchange(pdp: PdpSettings, note: (what: string) => void): Exchange {
  const { url, tls, timeout, authorization } = pdp
  const { origin, protocol } = new URL(url)
  const base = url.replace(/\/$/, '')
  const fixed: Endpoints = { evaluation: `${base}/access/v1/evaluation`, evaluations: `${base}/access/v1/evaluations` }
  const agent = new Agent({
    connect: {
      ...tls,
      lookup: guardedLookup(protocol),
      rejectUnauthorized: true,
      minVersion: 'TLSv1.2',
      timeout: timeout * 1000,
    },
    connections: pdp.concurrency,
    maxResponseSize: MOST_BYTES,
  })
  let discovered: { readonly endpoints: Promise<Endpoints | string>; readonly until: number } | null = null

  /** Questions that come meanwhile wait for the same metadata. */
  function endpoints(signal: AbortSignal): Endpoints | Promise<Endpoints | string> {
    if (!pdp.discovery) return fixed
    if (discovered !== null && performance.now() < discovered.until) return discovered.endpoints
    const found = discover(signal)
    discovered = { endpoints: found, until: performance.now() + DISCOVERED * 1000 }
    const forget = (): void => {
      discovered = null
    }
    found.then((what) => typeof what === 'string' && forget(), forget)
    return found
  }

  async function discover(signal: AbortSignal): Promise<Endpoints | string> {
    const got = await send(metadataUrl(url), { method: 'GET', signal, headers: {} })
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

  type Sending = { readonly method: 'GET' | 'POST'; readonly signal: AbortSignal; readonly headers: Record<string, string> }

  async function send(where: string, { headers, ...sending }: Sending & { readonly body?: string }): Promise<Got | string> {
    const target = readFetchUrl(where)
    if (typeof target === 'string') return `its address ${target}`
    const answer = await request(target, {
      ...sending,
      dispatcher: agent,
      headers: {
        ...headers,
        ...(authorization === null ? {} : { authorization }),
        accept: JSON_TYPE,
        'accept-encoding': 'identity',
      },
    })
    const { statusCode, body } = answer
    const refuse = async (why: string): Promise<string> => {
      await body.dump().catch(() => undefined)
      return why
    }
    if (TRY_LATER.includes(statusCode)) throw new PdpSilent(await refuse(`answered ${statusCode}`))
    if (statusCode !== 200) return refuse(PROBLEMS[statusCode] ?? `answered ${statusCode}`)
    if ((answer.headers['content-encoding'] ?? 'identity') !== 'identity')
      return refuse('answered compressed, although identity was asked for')
    const [type = ''] = String(answer.headers['content-type'] ?? '').split(';', 1)
    if (type.trim().toLowerCase() !== JSON_TYPE) return refuse(`the answer is not ${JSON_TYPE}`)
    const echoed = answer.headers['x-request-id']
    return { bytes: new Uint8Array(await body.arrayBuffer()), requestId: echoed === undefined ? null : String(echoed) }
  }

  async function post(question: Question, requestId: string, signal: AbortSignal): Promise<Answer | string> {
    const known = await endpoints(signal)
    if (typeof known === 'string') return known
    const endpoint = question.count === null ? known.evaluation : known.evaluations
    if (endpoint === null) return 'its metadata has no access_evaluations_endpoint, and the route has several resources'
    const headers = { 'content-type': JSON_TYPE, 'x-request-id': requestId }
    const got = await send(endpoint, { method: 'POST', signal, headers, body: question.body })
    if (typeof got === 'string') return got
    // Not refused: the answer came on the connection of its question, and there are those that make an id of their own (OpenFGA 1.22).
    if (got.requestId !== null && got.requestId !== requestId) note('its answers have another X-Request-ID than their questions')
    const answer = readAnswer(got.bytes, question.count, pdp)
    return typeof answer === 'string' ? answer : { ...answer, id: answer.id ?? readText(got.requestId) ?? requestId }
  }

  return {
    async ask(question, requestId) {
      // Not AbortSignal.timeout: Node may collect it before it fires (keys/fetch.ts).
      const bound = new AbortController()
      const timer = setTimeout(() => bound.abort(), timeout * 1000)
      try {
        return await post(question, requestId, bound.signal).catch((error) => {
          // A connection that was kept may be closed at the other end just now. To ask twice does no harm.
          if (!BROKEN.includes(codeOf(error) ?? '')) throw error
          return post(question, requestId, bound.signal)
        })
      } catch (error) {
        if (error instanceof PdpSilent) throw error
        if (bound.signal.aborted) throw new PdpSilent(`no answer within ${timeout} s`)
        if (codeOf(error) === 'UND_ERR_RES_EXCEEDED_MAX_SIZE') return `the answer is larger than ${MOST_BYTES} bytes`
        throw new PdpSilent(describe(error))
      } finally {
        clearTimeout(timer)
      }
    },
    close: () => agent.destroy(),
  }
}

/** The client chose what it is about, so this is no outage: not every engine takes every id. */
export const BAD_QUESTION = 'answered 400: it does not take the question'

const JSON_TYPE = 'application/json'
const TRY_LATER: readonly number[] = [429, 503]
const BROKEN: readonly string[] = ['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']
const PROBLEMS: Readonly<Record<number, string>> = {
  400: BAD_QUESTION,
  401: 'answered 401: it does not take our `authorization`',
  403: 'answered 403: we may not ask it',
}

const codeOf = (error: unknown): string | null =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null

/** Errors of sockets and TLS hold addresses and names, and nothing of what was sent. */
const describe = (error: unknown): string => {
  if (!(error instanceof Error)) return 'unknown error'
  const code = codeOf(error)
  return code === null || error.message.includes(code) ? error.message : `${error.message} (${code})`
}
