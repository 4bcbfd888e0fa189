// Which headers pass, in each direction (contract §6)? First everything that is not the other side's to see or to say is removed,
// and only then ours are added: so no `Connection` and no second spelling of a name can take ours away or stand beside them.
// Flat lists, [name, value, name, value, ...], as undici and writeHead take them. Does not write framing or body headers.

import { traceparentOf } from '../tracing/context.js'
import { normalName, reservedBlock } from '../verify/reserved-headers.js'
import type { Evidence, InboundRequest, PeerCertificate, Route, Target, Upstream } from '../verify/types.js'
import { Denial, deny, type Grant } from '../verify/verdict.js'
import { publicLocation } from './path.js'

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const BROKEN_VALUE = /[^\t\x20-\x7e\x80-\xff]/
/** Visible ASCII, with spaces and tabs inside only: at its ends a parser trims them, and `admin ` becomes `admin`. */
const VISIBLE = /^[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?$/

/** Every hop writes these anew; the length is the forwarder's to set. */
const isFraming = (normal: string): boolean =>
  normal === 'host' || normal === 'content-length' || normal.startsWith('sec-websocket-')

/** The options that `Connection` lines nominate, added to `names` (RFC 9110 §7.6.1). */
function nominate(names: Set<string>, value: string): void {
  for (const option of value.split(',')) names.add(option.trim().toLowerCase())
}

/** A flat list without the names that `Connection` nominated. */
function withoutNominated(headers: string[], nominated: ReadonlySet<string>): string[] {
  if (nominated.size === 0) return headers
  const kept: string[] = []
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? ''
    if (!nominated.has(name.toLowerCase())) kept.push(name, headers[i + 1] ?? '')
  }
  return kept
}

/** What an upstream lets pass and what it is sent, prepared once. */
type Rules = {
  readonly passed: ReadonlySet<string>
  /** Normal names of `set_headers`: a client's copy goes even where we have no value to set. */
  readonly set: ReadonlySet<string>
  readonly setHeaders: readonly (readonly [name: string, source: string])[]
}

const RULES = new WeakMap<Upstream, Rules>()

function rulesOf(upstream: Upstream): Rules {
  const known = RULES.get(upstream)
  if (known !== undefined) return known
  const setHeaders = Object.entries(upstream.set_headers)
  // Exact names: of two spellings that a backend folds into one, only the one that was listed passes.
  const passed = new Set(upstream.pass_headers)
  if (upstream.pass_token) passed.add('authorization').add('dpop')
  const rules = { passed, set: new Set(setHeaders.map(([name]) => normalName(name))), setHeaders }
  RULES.set(upstream, rules)
  return rules
}

export type OwnRequestHeaders = {
  /** The assertion's header, as routes.yaml names it. */
  readonly assertionHeader: string
  readonly assertion: string
  /** Spans of this request go to a collector, so the upstream's should too. */
  readonly isTraced: boolean
}

export type RequestHeaders = {
  /** For the upstream; without Content-Length, Transfer-Encoding and `Sec-WebSocket-*`, which the forwarder adds. */
  readonly headers: string[]
  /** Reserved names that the client sent and that were removed, in lower case, each once; for the audit event. */
  readonly removed: string[]
}

/** The header section for the upstream; `upstream_invalid` when a value for `set_headers` can't stand in a header. */
export function requestHeaders(inbound: InboundRequest, grant: Grant, own: OwnRequestHeaders): RequestHeaders | Denial {
  const { upstream } = grant.route
  const rules = rulesOf(upstream)
  const passing = passingHeaders(inbound.rawHeaders, rules, normalName(own.assertionHeader))
  if (passing instanceof Denial) return passing
  const { headers, removed } = passing
  const set = setHeaders(rules, grant.evidence)
  if (set instanceof Denial) return set

  headers.push(own.assertionHeader, own.assertion, 'Host', upstream.preserve_host ? inbound.host : upstream.url.host)
  // A name that `set_headers` sets is the operator's: one value, theirs.
  const ours = ownHeaders(inbound, grant, own.isTraced)
  for (let i = 0; i < ours.length; i += 2) {
    const name = ours[i] ?? ''
    if (rules.set.size === 0 || !rules.set.has(normalName(name))) headers.push(name, ours[i + 1] ?? '')
  }
  headers.push(...set)
  return { headers, removed }
}

/** What a hop that sends the request on by itself does to its headers. */
export type Permit = {
  /** Sets these, in place of all of the same names; flat. */
  readonly set: readonly string[]
  /** Removes these, in lower case: what a client says in them is not the upstream's to see. Most hops can't be told. */
  remove(): readonly string[]
}

/** As `requestHeaders`, for a hop; `upstream_invalid` when a value for `set_headers` can't stand in a header. */
export function permitHeaders(inbound: InboundRequest, grant: Grant, own: OwnRequestHeaders): Permit | Denial {
  const rules = rulesOf(grant.route.upstream)
  const fromRules = setHeaders(rules, grant.evidence)
  if (fromRules instanceof Denial) return fromRules
  const ours = ['X-Request-Id', inbound.requestId]
  addTrace(ours, inbound, grant, own.isTraced)
  const set = [own.assertionHeader, own.assertion]
  for (let i = 0; i < ours.length; i += 2) {
    const name = ours[i] ?? ''
    if (rules.set.size === 0 || !rules.set.has(normalName(name))) set.push(name, ours[i + 1] ?? '')
  }
  set.push(...fromRules)
  return { set, remove: () => namesToRemove(inbound.rawHeaders, set, { rules, assertionName: normalName(own.assertionHeader) }) }
}

/** A hop writes these anew, and its word on the client's address and scheme is believed as ours would be. */
const isOfHop = (normal: string): boolean =>
  normal === 'x-forwarded-for' || normal === 'x-forwarded-proto' || isFraming(normal) || reservedBlock(normal) === 'hop'

type Removing = { readonly rules: Rules; readonly assertionName: string }

function namesToRemove(raw: readonly string[], set: readonly string[], { rules, assertionName }: Removing): readonly string[] {
  const replaced = new Set<string>()
  for (let i = 0; i < set.length; i += 2) replaced.add((set[i] ?? '').toLowerCase())
  const names = new Set<string>()
  for (let i = 0; i < raw.length; i += 2) {
    const lower = (raw[i] ?? '').toLowerCase()
    const normal = normalName(lower)
    if (replaced.has(lower) || isOfHop(normal)) continue
    const isReserved = reservedBlock(normal) !== null && !rules.passed.has(lower)
    if (isReserved || normal === assertionName || rules.set.has(normal)) names.add(lower)
  }
  return [...names]
}

/** What of the client's headers goes on, in order. */
function passingHeaders(raw: readonly string[], rules: Rules, assertionName: string): RequestHeaders | Denial {
  const headers: string[] = []
  const removed = new Set<string>()
  const nominated = new Set<string>()
  const cookies: string[] = []
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? ''
    const value = raw[i + 1] ?? ''
    // The parser lets neither through; if it ever did, a line break would become a header of the client's making.
    if (!TOKEN.test(name) || BROKEN_VALUE.test(value)) return deny('request_malformed', 'a header that is none')
    const lower = name.toLowerCase()
    if (lower === 'connection') nominate(nominated, value)
    const normal = normalName(lower)
    const isReserved = normal === assertionName || reservedBlock(normal) !== null
    const isOurs = normal === assertionName || rules.set.has(normal)
    if (isOurs || (isReserved && !rules.passed.has(lower))) {
      if (isReserved && normal !== 'authorization' && normal !== 'dpop') removed.add(lower)
    } else if (lower === 'cookie') {
      cookies.push(value)
    } else if (isReserved || !isFraming(normal)) {
      headers.push(name, value)
    }
  }
  // RFC 6265 §5.4: one line, for backends that read only the first.
  if (cookies.length > 0) headers.push('Cookie', cookies.join('; '))
  return { headers: withoutNominated(headers, nominated), removed: [...removed] }
}

/** What we say of the request: of the real peer and of the Host that was served, never of a client's claim. */
function ownHeaders(inbound: InboundRequest, grant: Grant, isTraced: boolean): string[] {
  const { host, peer, requestId } = inbound
  // A peer behind a socket that no one speaks for has no address.
  const address = peer.address.split('%', 1)[0] || 'unknown'
  const node = address.includes(':') ? `"[${address}]"` : address
  const headers = [
    'X-Request-Id',
    requestId,
    'Forwarded',
    `for=${node};proto=https;host=${TOKEN.test(host) ? host : `"${host}"`}`,
    'X-Forwarded-For',
    address,
    'X-Forwarded-Proto',
    'https',
    'X-Forwarded-Host',
    host,
    'Via',
    '1.1 holdfast',
  ]
  addTrace(headers, inbound, grant, isTraced)
  return headers
}

/** Which trace this belongs to, and who proved which certificate. */
function addTrace(headers: string[], inbound: InboundRequest, { evidence, route, assertionId }: Grant, isTraced: boolean): void {
  const { requestId, interactionId } = inbound
  headers.push('traceparent', traceparentOf(requestId, assertionId, isTraced))
  if (interactionId !== null) headers.push('x-fapi-interaction-id', interactionId)
  const value = route.upstream.client_cert ? certificateValue(evidence.certificate) : ''
  if (value !== '') headers.push('Client-Cert', value)
}

/** RFC 9440 §2.1: a Byte Sequence of the DER; empty where there is none, or a hop told its hash alone. */
const certificateValue = (certificate: PeerCertificate | null): string =>
  certificate === null || certificate.der.length === 0 ? '' : `:${Buffer.from(certificate.der).toString('base64')}:`

/** The headers of `set_headers`; one that has no value for this request is left out. */
function setHeaders(rules: Rules, evidence: Evidence): string[] | Denial {
  const headers: string[] = []
  for (const [name, source] of rules.setHeaders) {
    const value = sourceValue(source, evidence)
    if (value === '') continue
    // Never repaired: a backend that trusts the header must not see another name than the one that was proven.
    if (value === null || !VISIBLE.test(value)) return deny('upstream_invalid', `set_headers ${name}: not visible ASCII`)
    headers.push(name, value)
  }
  return headers
}

/** What a source of `set_headers` stands for; empty: nothing; null: something that no header can hold. */
function sourceValue(source: string, { token, tenant, certificate }: Evidence): string | null {
  if (source === 'client_id') return token?.clientId ?? ''
  if (source === 'tenant') return tenant ?? ''
  if (source === 'certificate') return certificateValue(certificate)
  if (!source.startsWith('token.')) return source
  const claim = source.slice('token.'.length)
  return token !== null && Object.hasOwn(token.claims, claim) ? claimValue(token.claims[claim]) : ''
}

function claimValue(value: unknown): string | null {
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (value === null) return ''
  // A list is written with commas, so a member that holds one would become two.
  const isList =
    Array.isArray(value) && value.every((item) => typeof item === 'string' && VISIBLE.test(item) && !item.includes(','))
  return isList ? value.join(',') : null
}

export type AnswerContext = {
  readonly route: Route
  /** Where the request came to. */
  readonly target: Pick<Target, 'origin' | 'base'>
  /** The assertion's header, as routes.yaml names it. */
  readonly assertionHeader: string
  /**
   * Ours, flat; they replace the upstream's of the same names (X-Request-Id, Date, Cache-Control, DPoP-Nonce, ...), but for `Vary`, which
   * stands beside them and says that CORS is ours: then no `Access-Control-*` of the upstream passes.
   */
  readonly own: readonly string[]
}

export type AnswerHeaders = {
  /** For the client: the upstream's that pass, then ours. Without Transfer-Encoding; with Content-Length where there was one. */
  readonly headers: string[]
  /** `Holdfast-Decision`: at most 512 visible characters, else null. */
  readonly domainDecision: string | null
  /** Bytes, as the upstream announced them; null when it did not. */
  readonly contentLength: number | null
}

const text = (raw: Buffer | string): string => (typeof raw === 'string' ? raw : raw.toString('latin1'))

/** The header section of an upstream's answer, for the client. */
export function responseHeaders(raw: readonly Buffer[] | readonly string[], context: AnswerContext): AnswerHeaders {
  const { own } = context
  const replaced = new Set<string>()
  // A list that both sides add to; where we say it, CORS is ours, and the upstream's word on it would be a second one.
  let isCorsOurs = false
  for (let i = 0; i < own.length; i += 2) {
    const name = normalName(own[i] ?? '')
    if (name === 'vary') isCorsOurs = true
    else replaced.add(name)
  }
  const assertionName = normalName(context.assertionHeader)
  const headers: string[] = []
  const nominated = new Set<string>()
  const decisions: string[] = []
  let contentLength: number | null = null
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = text(raw[i] ?? '')
    const value = text(raw[i + 1] ?? '')
    // undici lets neither through; writeHead would throw.
    if (!TOKEN.test(name) || BROKEN_VALUE.test(value)) continue
    const lower = name.toLowerCase()
    const normal = normalName(lower)
    if (lower === 'connection') nominate(nominated, value)
    if (lower === 'holdfast-decision') decisions.push(value)
    if (replaced.has(normal) || normal === assertionName || isWithheld(normal, context.route.upstream)) continue
    if (isCorsOurs && normal.startsWith('access-control-')) continue
    if (lower === 'content-length') {
      if (contentLength !== null || !/^\d{1,15}$/.test(value)) continue
      contentLength = Number(value)
    }
    headers.push(name, rewritten(lower, value, context))
  }
  const kept = withoutNominated(headers, nominated)
  kept.push(...own)
  return { headers: kept, domainDecision: readDecision(decisions), contentLength }
}

/** Is this header of an answer not the client's to see? */
function isWithheld(normal: string, upstream: Upstream): boolean {
  switch (normal) {
    case 'www-authenticate':
      return !upstream.pass_token
    case 'dpop-nonce':
      return true
    case 'set-cookie':
    case 'set-cookie2':
      return !rulesOf(upstream).passed.has('cookie')
  }
  const block = reservedBlock(normal)
  return block !== null && block !== 'credentials' && block !== 'tracing'
}

const NAMES_CERTIFICATE = /(?:^|,)[\t ]*client-cert(?:-chain)?[\t ]*(?:,|$)/i

function rewritten(lower: string, value: string, { route, target }: AnswerContext): string {
  if (lower === 'location') return publicLocation(value, route, target)
  // RFC 9440 §2.4: the client sends no such field, so a cache could not tell its answers apart.
  if (lower === 'vary' && NAMES_CERTIFICATE.test(value)) return '*'
  return value
}

/** One, of at most 512 visible characters; anything else is ignored, because it goes into the audit event as it is. */
function readDecision(decisions: readonly string[]): string | null {
  const [decision] = decisions
  if (decision === undefined || decisions.length > 1) return null
  return decision.length <= 512 && VISIBLE.test(decision) ? decision : null
}
