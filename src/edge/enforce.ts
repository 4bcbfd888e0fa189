// Takes one exchange from its head to its last byte, in the order of contract §4: framing and limits, Host, target, route,
// method, length; then the decision; then the upstream or the refusal; then the audit event. Decides nothing itself.

import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Outcome } from '../audit/types.js'
import type { Config } from '../config/config.js'
import { newTimes, type Times } from '../times.js'
import type { RefusalContext } from '../verify/challenge.js'
import { schemeOf } from '../verify/credentials.js'
import type { Bytes, Seconds } from '../verify/scalars.js'
import type { HeldBody, InboundRequest, Refused, RouteMatch, Scheme, Upstream } from '../verify/types.js'
import { Denial, deny, type Grant } from '../verify/verdict.js'
import { answerPreflight, type Cors } from './cors.js'
import { framingProblem } from './framing.js'
import type { Hop } from './hop/hop.js'
import { type Head, type HeadLines, hostOf, judgeHead, readInbound, readLines, readOrigin } from './inbound.js'
import type { Documents } from './metadata.js'
import { drain, refusalText, refuse } from './refuse.js'
import type { BrokenRequest, EdgeExchange } from './server.js'

/** What becomes of a request, as far as it came; for the audit event. */
export type Account = {
  readonly head: Head
  /** null: refused before Host and target were understood. */
  readonly inbound: InboundRequest | null
  readonly match: RouteMatch | null
  readonly verdict: Grant | Refused
  /** null before anything was forwarded, and for a refusal. */
  readonly outcome: Outcome | null
  readonly times: Times
  readonly durationMs: number
}

/** What goes with a request that is forwarded: headers of ours for its answer (flat), and when what happened. */
export type Added = { readonly own: readonly string[]; readonly times: Times }

/** What one request brings to its decision; `claimant`: what else has the right to its proof, where a hop may ask twice. */
export type Bringing = {
  readonly holdBody: (maxBody: Bytes) => Promise<HeldBody | Denial>
  readonly times: Times
  readonly claimant?: string | null
}

/** All that an exchange needs, made anew for each configuration: a request keeps the one it started with. */
export type Enforcement = {
  readonly config: Config
  /** Public origins of this listener, in normal form. */
  readonly origins: readonly string[]
  /** null: we are the edge. */
  readonly hop: Hop | null
  readonly documents: ReadonlyMap<string, Documents>
  /** null: nothing is said to pages of other origins. */
  readonly cors: Cors | null
  readonly clock: () => Seconds
  readonly nonce: () => string
  /** The limit that keeps this process from taking more; null: none. */
  readonly overload: () => string | null
  /** Do so many requests wait for this upstream that one more is not taken? */
  readonly isFull: (upstream: Upstream) => boolean
  /** What is wrong with the handshake of a WebSocket; null: nothing, or it asks for none. */
  readonly judgeHandshake: (request: IncomingMessage) => Denial | null
  /** Reads the whole body, where the tier needs it. */
  readonly holdBody: (exchange: EdgeExchange, maxBody: Bytes) => Promise<HeldBody | Denial>
  readonly decide: (question: { inbound: InboundRequest; match: RouteMatch }, bringing: Bringing) => Promise<Grant | Refused>
  readonly forward: (granted: Grant, exchange: EdgeExchange, added: Added) => Promise<Outcome | Denial>
  readonly audit: (account: Account) => void
  readonly fault: (error: unknown) => void
}

/** Serves one exchange. Never rejects: what escapes is a bug of ours, answered as `gateway_fault` and reported. */
export async function enforce(exchange: EdgeExchange, enforcement: Enforcement): Promise<void> {
  const { request, response, connection } = exchange
  // HTTP/1.0 is served and closed, whatever it asks for (contract §4).
  if (request.httpVersion === '1.0') response.shouldKeepAlive = false
  const times = newTimes(performance.now())
  let head: Head = {
    requestId: randomUUID(),
    receivedAt: enforcement.clock(),
    method: request.method ?? '',
    httpVersion: request.httpVersion,
    rawTarget: exchange.rawTarget,
    rawHeaders: request.rawHeaders,
    peer: connection.peer,
    servername: connection.servername,
    removedPrefix: '',
  }
  const progress: Progress = { ...NO_PROGRESS }
  if (enforcement.cors !== null) progress.cors = enforcement.cors.readOf(request)
  let lines = readLines(head.rawHeaders)
  const account = (verdict: Grant | Refused, outcome: Outcome | null) => {
    const { inbound, match } = progress
    enforcement.audit({ head, inbound, match, verdict, outcome, times, durationMs: performance.now() - times.began })
  }
  try {
    const client = enforcement.hop === null ? null : enforcement.hop.clientOf(connection, head)
    if (client !== null && !(client instanceof Denial)) {
      head = { ...head, ...client.head }
      lines = { ...lines, host: client.host ?? lines.host }
    }
    const judged = client instanceof Denial ? refused(client) : judge(exchange, { head, lines, progress, times }, enforcement)
    const answer = judged instanceof Promise ? await judged : judged
    if (answer === null) return
    if ('denial' in answer) {
      refuse(request, response, answer.denial, contextOf(head, lines, progress, enforcement))
      account(answer, null)
      return
    }
    const own = ownHeaders(head, lines, progress, enforcement)
    const outcome = await enforcement.forward(answer, exchange, { own, times })
    if (outcome instanceof Denial) {
      refuse(request, response, outcome, contextOf(head, lines, progress, enforcement))
      account(answer, { upstreamStatus: null, reason: outcome.reason, bytes: 0, domainDecision: null })
      return
    }
    account(answer, outcome)
  } catch (error) {
    enforcement.fault(error)
    const denial = deny('gateway_fault')
    try {
      refuse(request, response, denial, contextOf(head, lines, progress, enforcement))
      account({ denial, found: NOTHING_FOUND }, null)
    } catch (second) {
      enforcement.fault(second)
      response.destroy()
    }
  }
}

/** The answer to bytes that no request could be read from, as text for the socket; audited like any other refusal. */
export function refuseBroken({ reason, peer, stranger }: BrokenRequest, enforcement: Enforcement): string {
  const head: Head = {
    requestId: randomUUID(),
    receivedAt: enforcement.clock(),
    method: '',
    httpVersion: '',
    rawTarget: '',
    rawHeaders: [],
    peer,
    servername: null,
    removedPrefix: '',
  }
  const denial = stranger === null ? deny(reason) : deny('hop_untrusted', stranger)
  enforcement.audit({
    head,
    inbound: null,
    match: null,
    verdict: refused(denial),
    outcome: null,
    times: newTimes(0),
    durationMs: 0,
  })
  return refusalText(denial, contextOf(head, readLines([]), NO_PROGRESS, enforcement))
}

/** What was understood so far; filled in as `judge` goes on. */
export type Progress = {
  inbound: InboundRequest | null
  match: RouteMatch | null
  scheme: Scheme | null
  origin: string | null
  /** By these a page of another origin may read the answer; flat. */
  cors: readonly string[]
}
export type Arrival = { readonly head: Head; readonly lines: HeadLines; readonly progress: Progress; readonly times: Times }

export const NO_PROGRESS: Progress = { inbound: null, match: null, scheme: null, origin: null, cors: [] }
export const NOTHING_FOUND: Refused['found'] = { token: null, scheme: null, proof: null }
export const refused = (denial: Denial): Refused => ({ denial, found: NOTHING_FOUND })

/** null: answered already, with a document of our own. */
type Judged = Grant | Refused | null

/** A promise only from where a decision begins: what is refused before it costs no more than it must. */
function judge(exchange: EdgeExchange, arrival: Arrival, enforcement: Enforcement): Judged | Promise<Judged> {
  const { head, lines, progress, times } = arrival
  const broken = framingProblem(exchange.request)
  if (broken !== null) return refused(deny(broken))
  const inbound = judgeArrival(arrival, enforcement)
  if (inbound instanceof Denial) return refused(inbound)

  const preflight = enforcement.cors?.readPreflight(exchange.request) ?? null
  if (preflight !== null) {
    const methods = methodsOf({ ...inbound, method: preflight.method }, enforcement)
    if (methods instanceof Denial) return refused(methods)
    return answerPreflight(exchange, [...ownHeaders(head, lines, progress, enforcement), ...preflight.allow(methods)])
  }
  const document = enforcement.documents.get(inbound.target.origin)?.get(inbound.target.path)
  if (document !== undefined) return serveDocument(exchange, document, ownHeaders(head, lines, progress, enforcement))
  const match = matchRoute(inbound, arrival, enforcement)
  if (match instanceof Denial) return refused(match)
  // Declared lengths are judged before credentials: nobody should have to send what will not be read.
  if (Number(exchange.request.headers['content-length'] ?? 0) > match.route.policy.max_body)
    return refused(deny('body_too_large'))
  // Before anything is verified, and before a proof is spent that its client would have to make anew.
  if (enforcement.isFull(match.route.upstream)) return refused(deny('overloaded', 'queue'))
  const handshake = exchange.upgrade !== null && match.route.websocket ? enforcement.judgeHandshake(exchange.request) : null
  if (handshake !== null) return refused(handshake)
  return enforcement.decide({ inbound, match }, { holdBody: (maxBody) => enforcement.holdBody(exchange, maxBody), times })
}

/** From limits to the target (contract §4); what is understood goes into `progress`. */
export function judgeArrival({ head, lines, progress }: Arrival, enforcement: Enforcement): InboundRequest | Denial {
  const unfit = judgeHead(head, lines, enforcement.config.limits)
  if (unfit !== null) return unfit
  const overload = enforcement.overload()
  if (overload !== null) return deny('overloaded', overload)
  const origin = readOrigin(head, lines, enforcement.origins)
  if (origin instanceof Denial) return origin
  progress.origin = origin
  if (head.method === 'CONNECT') return deny('method_not_allowed', undefined, { allow: [] })
  const inbound = readInbound(head, lines, origin)
  if (!(inbound instanceof Denial)) progress.inbound = inbound
  return inbound
}

/** Route and method; what is understood goes into `progress`. */
export function matchRoute(inbound: InboundRequest, { lines, progress }: Arrival, { config }: Enforcement): RouteMatch | Denial {
  const match = findRoute(inbound, config)
  if (match instanceof Denial) return match
  progress.match = match
  const [authorization] = lines.authorization
  progress.scheme = authorization === undefined ? null : schemeOf(authorization)
  return match
}

function findRoute(inbound: InboundRequest, config: Config): RouteMatch | Denial {
  const { origin, path, matrix } = inbound.target
  const match = config.match(origin, path, inbound.method)
  if (match === 'unknown') return matrix ? deny('target_malformed') : deny('route_unknown')
  if (!('route' in match)) return matrix ? deny('target_malformed') : deny('method_not_allowed', undefined, { allow: match })
  const { route } = match
  if (matrix && !route.matrix_params) return deny('target_malformed')
  if (matrix && config.matchesWithoutMatrix(origin, path, route))
    return deny('target_malformed', 'another route takes it without ;')
  const ambiguous = route.upstream.case_insensitive && config.matchesInOtherCase(origin, path, route)
  return ambiguous ? deny('target_malformed', 'another route takes it in other case') : match
}

/** All methods of the resource that is meant, where it has this one; credentials are no part of it: a preflight has none. */
function methodsOf(inbound: InboundRequest, { config, documents }: Enforcement): readonly string[] | Denial {
  const { origin, path } = inbound.target
  if (documents.get(origin)?.has(path))
    return DOCUMENT_METHODS.includes(inbound.method) ? DOCUMENT_METHODS : deny('method_not_allowed', undefined, ONLY_DOCUMENTS)
  const match = findRoute(inbound, config)
  if (match instanceof Denial) return match
  // No route has TRACE, so asked for it, the matcher tells what there is.
  const methods = config.match(origin, path, 'TRACE')
  return typeof methods === 'string' || 'route' in methods ? [] : methods
}

const DOCUMENT_METHODS: readonly string[] = ['GET', 'HEAD']
const ONLY_DOCUMENTS = { allow: DOCUMENT_METHODS }

/** RFC 9728 §3.1 and the keys of the assertion: GET and HEAD, for everyone. */
function serveDocument(
  { request, response }: EdgeExchange,
  document: readonly [type: string, print: () => string],
  own: readonly string[],
): null | Refused {
  if (request.method !== 'GET' && request.method !== 'HEAD') return refused(deny('method_not_allowed', undefined, ONLY_DOCUMENTS))
  const [type, print] = document
  const text = print()
  const headers = [
    'Content-Type',
    type,
    'Content-Length',
    String(Buffer.byteLength(text)),
    'Cache-Control',
    'public, max-age=300',
  ]
  response.writeHead(200, [...headers, ...own])
  response.end(request.method === 'HEAD' ? undefined : text)
  if (!request.complete) drain(request)
  return null
}

const demandsNonce = (match: RouteMatch | null): boolean =>
  match !== null && match.route.policy.token === 'required' && match.route.policy.nonce === 'required'

/**
 * What we add to every answer, granted or refused. A fresh nonce only on routes that demand one: a client that was given a
 * nonce must go on using one (RFC 9449 §11.3), and an answer that carries one is not for caches (§8.2).
 */
export function ownHeaders(head: Head, lines: HeadLines, { match, cors }: Progress, { nonce }: Enforcement): readonly string[] {
  const own = ['X-Request-Id', head.requestId, 'x-fapi-interaction-id', lines.interactionId ?? head.requestId]
  if (cors.length > 0) own.push(...cors)
  return demandsNonce(match) ? [...own, 'DPoP-Nonce', nonce(), 'Cache-Control', 'no-store'] : own
}

export function contextOf(head: Head, lines: HeadLines, progress: Progress, enforcement: Enforcement): RefusalContext {
  const { match, scheme, cors } = progress
  const origin = progress.origin ?? enforcement.origins[0] ?? ''
  return {
    requestId: head.requestId,
    interactionId: lines.interactionId ?? head.requestId,
    host: hostOf(origin),
    origin,
    policy: match?.route.policy ?? null,
    scheme,
    nonce: demandsNonce(match) ? enforcement.nonce() : null,
    cors,
  }
}
