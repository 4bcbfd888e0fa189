// What does an attack have to work with? The right request as a draft, a paced way to send what became of it, and the judgement
// of what came back. One bench serves the whole catalogue; it keeps the newest nonce, as any client does (RFC 9449 §8.2).

import { randomUUID } from 'node:crypto'
import type { JWK } from 'jose'
import type { Credentials } from '../client/credentials.js'
import type { HeldKey } from '../client/key.js'
import type { TokenSource } from '../client/tokens.js'
import type { Need, Outcome, Verdict } from './attack.js'
import { type Draft, type Line, makeDraft, type Printed, printDraft } from './draft.js'
import { type Answer, bytesOf, type Connection, openConnection, type Route } from './http1.js'
import { exchangeOverHttp2 } from './http2.js'
import { show, showAnswer } from './show.js'

/** A key, and tokens bound to it. */
export type Holder = Pick<Credentials, 'key' | 'tokens' | 'tokensFor'>

export type BenchSettings = {
  readonly route: Route
  /** `https://api.example.com` */
  readonly origin: string
  /** Host's value: the origin's authority. */
  readonly host: string
  readonly method: string
  /** Path and query of the right request. */
  readonly path: string
  readonly body: Buffer | null
  readonly headers: readonly Line[]
  readonly credentials: Holder
  /** Another client's, for attacks that take two. */
  readonly second: { readonly credentials: Holder; readonly route: Route } | null
  readonly protocol: 'http/1.1' | 'h2'
  /** Statuses that mean "granted" besides 2xx: what the right request is answered. */
  readonly grantedStatuses: ReadonlySet<number>
  /** Does the answer's body show the headers that the upstream got? */
  readonly echoes: boolean
  /** The issuer's public keys; empty where they could not be had. */
  readonly issuerKeys: readonly JWK[]
  /** Further tokens, by name, that must not be taken: ID tokens, expired ones, tokens for others. */
  readonly wrongTokens: ReadonlyMap<string, string>
  /** Requests a second. */
  readonly rate: number
  /** Newer proofs between a proof and its replay. */
  readonly flood: number
  /** May an attack take more than a minute? */
  readonly isPatient: boolean
}

export type Bench = {
  readonly settings: BenchSettings
  /** What is there, of all that attacks may need. Known after the first right request. */
  readonly has: ReadonlySet<Need>
  /** Requests sent so far. */
  readonly sent: () => number
  /** The request that must pass, with a fresh proof. */
  readonly draft: () => Promise<Draft>
  /** The same with a token bound to another key, which the authorization server is asked for; null: it gave none. */
  readonly draftBoundTo: (key: HeldKey) => Promise<Draft | null>
  /** The second client's. */
  readonly secondDraft: () => Promise<Draft>
  /** One exchange on a connection of its own; with a draft, a `use_dpop_nonce` is met once with the nonce. */
  readonly send: (request: Draft | Printed) => Promise<Answer>
  /** Sends one request after the other over a kept connection; HTTP/1.1 only. */
  readonly series: () => Series
  /** A connection for bytes as they are; HTTP/1.1 only. Every request on it still waits for `pace`. */
  readonly open: (identity: Draft['identity']) => Promise<Connection>
  readonly pace: () => Promise<void>
  readonly isGranted: (answer: Answer) => boolean
  /** Sends it; held when it is refused. */
  readonly mustRefuse: (request: Draft | Printed, options?: RefusalOptions) => Promise<Outcome>
  /** Sends it; held when it is granted. */
  readonly mustGrant: (request: Draft | Printed) => Promise<Outcome>
  /** What a refusal of `answer` is worth. */
  readonly refusal: (request: Printed | string, answer: Answer, options?: RefusalOptions) => Outcome
}

export type Series = { readonly send: (draft: Draft) => Promise<Answer>; readonly close: () => void }

export type RefusalOptions = {
  /** The connection may also just end, in the handshake or without an answer. */
  readonly mayClose?: boolean
  /** 503 is a refusal here: the server cannot know that there is no such key. */
  readonly mayBeUnavailable?: boolean
}

export function openBench(settings: BenchSettings): Bench & { readonly note: (need: Need) => void } {
  const has = new Set<Need>(settings.protocol === 'http/1.1' ? ['http/1.1'] : ['http/2'])
  if (settings.credentials.key !== null) has.add('dpop')
  if (settings.second !== null) has.add('second client')
  if (settings.body !== null) has.add('body')
  if (settings.echoes) has.add('echo')
  if (settings.issuerKeys.length > 0) has.add('issuer keys')
  // Whether it asks for nonces, and whether the token is bound to a certificate, is seen in the first right request.
  let count = 0
  let nonce: string | null = null
  let free = Date.now()

  const pace = async (): Promise<void> => {
    count++
    const now = Date.now()
    free = Math.max(free, now - 1000 / settings.rate) + 1000 / settings.rate
    if (free > now) await new Promise((resolve) => setTimeout(resolve, free - now))
  }

  const draftOf = async (tokens: TokenSource, key: HeldKey | null): Promise<Draft> => {
    const token = await tokens.current()
    const { method, path, host, origin, body, headers } = settings
    return makeDraft({ method, path, host, origin, body, headers, scheme: token.scheme, token: token.text, key, nonce })
  }

  const overOne = settings.protocol === 'h2' ? exchangeOverHttp2 : exchangeOverHttp1
  const onItsOwn = (printed: Printed): Promise<Answer> => overOne(settings.route, printed)

  const exchange = async (printed: Printed, over: (printed: Printed) => Promise<Answer>): Promise<Answer> => {
    await pace()
    const answer = await over(printed)
    nonce = headerOf(answer, 'dpop-nonce') ?? nonce
    return answer
  }

  const exchangeDraft = async (request: Draft | Printed, over = onItsOwn): Promise<{ printed: Printed; answer: Answer }> => {
    if (!('credentials' in request)) return { printed: request, answer: await exchange(request, over) }
    const printed = printDraft(request)
    const answer = await exchange(printed, over)
    if (!request.retriesNonce || request.proof === null || nonce === null || !asksForNonce(answer)) return { printed, answer }
    has.add('nonce')
    request.proof.claims.nonce = nonce
    // RFC 9449 §4.2: a new proof has a new jti; a server may have spent the old one. What an attack put there stays.
    if (request.proof.claims.jti === request.proof.firstJti) request.proof.claims.jti = randomUUID()
    const again = printDraft(request)
    return { printed: again, answer: await exchange(again, over) }
  }

  const isGranted = ({ status }: Answer): boolean => (status >= 200 && status < 300) || settings.grantedStatuses.has(status)

  const outcome = (verdict: Verdict, request: Printed | string, answer: Answer): Outcome => ({
    verdict,
    sent: typeof request === 'string' ? request : show(request),
    came: showAnswer(answer),
  })

  const refusal: Bench['refusal'] = (request, answer, { mayClose = false, mayBeUnavailable = false } = {}) => {
    if (isGranted(answer)) return outcome('through', request, answer)
    if (answer.status === 503 && mayBeUnavailable) return outcome('held', request, answer)
    if (answer.status === 429 || answer.status === 503) return outcome('unclear', request, answer)
    const broke = answer.status === 0 ? !mayClose : answer.status >= 500 && answer.status !== 501 && answer.status !== 505
    return outcome(broke ? 'broke' : 'held', request, answer)
  }

  return {
    settings,
    has,
    note: (need) => void has.add(need),
    sent: () => count,
    draft: () => draftOf(settings.credentials.tokens, settings.credentials.key),
    draftBoundTo: async (key) => {
      const tokens = settings.credentials.tokensFor?.(key)
      return tokens === undefined ? null : draftOf(tokens, key).catch(() => null)
    },
    secondDraft: async () => {
      if (settings.second === null) throw new Error('there is no second client')
      const { credentials } = settings.second
      const draft = await draftOf(credentials.tokens, credentials.key)
      const { own } = settings.second.route
      return { ...draft, identity: own ?? 'none' }
    },
    send: async (request) => (await exchangeDraft(request)).answer,
    series: () => {
      const kept = keptConnection(settings.route)
      return { send: async (draft) => (await exchangeDraft(draft, kept.exchange)).answer, close: kept.close }
    },
    open: (identity) => openConnection(settings.route, identity),
    pace,
    isGranted,
    mustRefuse: async (request, options) => {
      const { printed, answer } = await exchangeDraft(request)
      return refusal(printed, answer, options)
    },
    mustGrant: async (request) => {
      const { printed, answer } = await exchangeDraft(request)
      if (answer.status === 429 || answer.status === 503) return outcome('unclear', printed, answer)
      const broke = answer.status === 0 || (answer.status >= 500 && !isGranted(answer))
      return outcome(isGranted(answer) ? 'held' : broke ? 'broke' : 'wrong', printed, answer)
    },
    refusal,
  }
}

export const headerOf = ({ headers }: Answer, name: string): string | undefined => headers.find(([one]) => one === name)?.[1]

export const headersOf = ({ headers }: Answer, name: string): readonly string[] =>
  headers.filter(([one]) => one === name).map(([, value]) => value)

/** RFC 9449 §9: a challenge that asks for a nonce. */
export const asksForNonce = (answer: Answer): boolean =>
  answer.status === 401 && headersOf(answer, 'www-authenticate').some((value) => /error="?use_dpop_nonce"?/i.test(value))

/** One connection for many exchanges, opened anew when the server ends it. */
function keptConnection(route: Route): { exchange: (printed: Printed) => Promise<Answer>; close: () => void } {
  let open: Connection | null = null
  return {
    exchange: async (printed) => {
      if (open === null || open.socket.destroyed || open.socket.readableEnded)
        open = await openConnection(route, printed.identity)
      open.send(bytesOf(printed))
      const answer = await open.answer(printed.method)
      if (answer.status === 0 || headersOf(answer, 'connection').some((value) => /close/i.test(value))) {
        open.close()
        open = null
      }
      return answer
    },
    close: () => open?.close(),
  }
}

const NO_ANSWER = { status: 0, headers: [], body: '' } as const

async function exchangeOverHttp1(route: Route, printed: Printed): Promise<Answer> {
  try {
    const connection = await openConnection(route, printed.identity)
    connection.send(bytesOf(printed))
    const answer = await connection.answer(printed.method)
    connection.close()
    return answer
  } catch {
    return { ...NO_ANSWER, lost: 'refused' }
  }
}
