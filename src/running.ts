// What belongs to one configuration: routes, issuers and their keys, caches, signing keys, upstream pools, joined into what serves a
// request. Made anew by each reload; what outlives it comes from gateway.ts. Nothing here decides anything.

import type { IncomingMessage } from 'node:http'
import type { AuditFacts } from './audit/event.js'
import type { OpenAuditLog } from './audit/log.js'
import { isRecorded, recordAfter, recordBefore } from './audit/record.js'
import { type CacheName, type Caches, createCaches } from './caches.js'
import type { Config, Limits } from './config/config.js'
import { type Expiry, expiriesOf } from './config/expiries.js'
import { type DecidePorts, decide, windowOf } from './decide.js'
import type { PermitFor } from './decision-api/answer.js'
import { type BodyBudget, createBodyHolder } from './edge/body.js'
import { createCors } from './edge/cors.js'
import type { Enforcement } from './edge/enforce.js'
import { createHop } from './edge/hop/hop.js'
import { publicDocuments } from './edge/metadata.js'
import type { EventLoopWatch } from './edge/overload.js'
import type { IntrospectionCounts } from './introspection/counts.js'
import { createIntrospector, type Introspector } from './introspection/introspector.js'
import { createIssuerKeys, type FetchSet, type IssuerKeys } from './keys/issuers.js'
import type { KeyRing } from './keys/ring.js'
import { loadSigningKeys, type SigningKeys } from './keys/signing.js'
import type { RateLimiter } from './limits/rate.js'
import type { CacheCounts } from './metrics/caches.js'
import type { Histogram } from './metrics/histogram.js'
import type { Metrics } from './metrics/registry.js'
import { createPdps, type Pdps } from './pdp/ask.js'
import type { DecisionCounts } from './pdp/counts.js'
import type { ReplayStore } from './replay/store.js'
import type { Following } from './revocations/follow.js'
import { isSampled } from './tracing/context.js'
import type { Traces } from './tracing/traces.js'
import { createForwarder } from './upstream/forward.js'
import { readHandshake } from './upstream/handshake.js'
import { createPermits } from './upstream/permit.js'
import { createPools, type Pools } from './upstream/pools.js'
import type { OpenStreams } from './upstream/streams.js'
import type { Tunnel } from './upstream/tunnel.js'
import { createTunnels } from './upstream/websocket.js'
import { makeNonce, readNonceTime } from './verify/nonces.js'
import { removedNames } from './verify/reserved-headers.js'
import { NOTHING_REVOKED, type Revocations } from './verify/revocations.js'
import type { Seconds } from './verify/scalars.js'
import { type Denial, deny } from './verify/verdict.js'

/** The only clock there is: everything inside is told the time. */
export const clock = (): Seconds => Date.now() / 1000

/** How far ahead clocks may be, on the most lenient route (seconds). */
export const largestSkew = ({ routes }: Config): Seconds =>
  Math.max(0, ...routes.map(({ policy }) => (policy.token === 'none' ? 0 : policy.clock_skew)))

export type GatewayOptions = {
  /** Of the program, for `/metrics`. */
  readonly version: string
  /** 0 for the first or only process; each writes an audit file of its own. */
  readonly worker: number
  /** Nonce secret of this start, for a configuration that names none; shared by all workers. */
  readonly nonceSecret: string
  /** What session tickets are encrypted by at the start; shared by all workers, base64. */
  readonly ticketSecret: string
  readonly log: (message: string) => void
  /**
   * Set where another process accepts connections and gives them to `take`: tells it to give no more. Resolves when none is on its way;
   * never rejects.
   */
  readonly leave?: () => Promise<unknown>
  /** How issuer keys are got; left out: by this process. */
  readonly fetchSet?: FetchSet
  /** What `/metrics` answers; left out: what this process measured. */
  readonly metrics?: () => Promise<string>
}

/** What outlives a configuration. */
export type Adapters = {
  readonly options: GatewayOptions
  readonly replay: ReplayStore
  readonly rates: RateLimiter
  readonly revocations: Following | null
  readonly audit: OpenAuditLog
  readonly bodies: BodyBudget
  readonly loop: EventLoopWatch
  /** What it measured (seconds). */
  readonly loopDelay: Histogram
  /** Of reloads that lengthened how old a proof may be when it is recorded. */
  readonly windows: Window[]
  /** WebSockets that are open, and on what: no server of Node's looks after them any more. */
  readonly tunnels: Map<Tunnel, TunnelEnd>
  /** WebSockets and event streams that are open: nothing else ends them. */
  readonly streams: OpenStreams
  /** Requests in work, whatever configuration they started with. */
  readonly requests: Set<Promise<void>>
  readonly metrics: Metrics
  /** null: there are none. */
  readonly traces: Traces | null
  /** Signs with the keys of the newest configuration, also what an older one forwards. */
  readonly keyRing: KeyRing
  readonly cacheCounts: Readonly<Record<CacheName, CacheCounts>>
  readonly introspectionCounts: IntrospectionCounts
  readonly decisionCounts: DecisionCounts
}

/** The client's side of a tunnel: its listener's number, and whether it presented a certificate there. */
export type TunnelEnd = { readonly listener: number; readonly isCertified: boolean }

/**
 * A longer `proof_max_age` makes proofs young again whose records have ended, and a body that is held or a decision that is waited for
 * lets them be recorded later than records last. So a proof that could have been used under a shorter window, dated before `end`, goes on
 * having that `age` (epoch seconds, seconds).
 */
export type Window = { readonly end: Seconds; readonly age: Seconds }

/** Notes at a reload by which window proofs that are out there may have been recorded. */
export function noteWindow(windows: Window[], previous: Config, next: Config): void {
  const judged = ({ routes, limits }: Config) =>
    routes
      .filter(({ policy }) => policy.token === 'required')
      .map((route) => [route.path, route.methods, windowOf(route, limits)] as const)
  const [before, after] = [judged(previous), judged(next)]
  const age = Math.min(...before.map(([, , window]) => window))
  const longest = Math.max(...after.map(([, , window]) => window))
  if (longest <= age || JSON.stringify(before) === JSON.stringify(after)) return
  windows.push({ end: clock() + largestSkew(previous), age })
}

/** Would a proof dated so have been too old under one of the windows it may have been used in? */
const isRemembered = (windows: readonly Window[], datedAt: Seconds, now: Seconds): boolean =>
  !windows.some(({ end, age }) => datedAt < end && now > datedAt + age)

/** What belongs to one configuration. */
export type Running = {
  readonly config: Config
  readonly issuerKeys: IssuerKeys
  readonly introspector: Introspector
  readonly pdps: Pdps
  readonly pools: Pools
  readonly signingKeys: SigningKeys
  readonly expiries: readonly Expiry[]
  /** One for each listener. */
  readonly enforcements: readonly Enforcement[]
  /** For listeners that decide. */
  readonly permitFor: PermitFor
  readonly caches: Caches
  /** Requests that started with this configuration and are not over. */
  readonly requests: Set<Promise<void>>
}

/** Everything that hangs on one configuration, issuer keys fetched; `previous` is what served before a reload. */
export async function assemble(config: Config, adapters: Adapters, previous?: Running): Promise<Running> {
  const { options, replay, rates, audit, traces } = adapters
  const share = config.tracing?.sample ?? 0
  const isTraced = (requestId: string): boolean => traces !== null && isSampled(requestId, share)
  const limits = shareOf(config.limits, config.workers)
  const bodies = createBodyHolder(limits, adapters.bodies)
  const signingKeys = loadSigningKeys(config.assertion.keys)
  const known = previous === undefined ? {} : { previous: previous.issuerKeys }
  const fetching = options.fetchSet === undefined ? {} : { fetchSet: options.fetchSet }
  const issuerKeys = createIssuerKeys(config.issuers, { clock, log: options.log, ...known, ...fetching })
  await issuerKeys.start()
  const pools = createPools(config.upstreams)
  const sending = {
    pools,
    signingKeys: adapters.keyRing.signing,
    assertion: config.assertion,
    clock,
    isTraced,
    limits: config.limits,
    streams: adapters.streams,
  }
  const forwarder = createForwarder(sending)
  const tunnels = createTunnels(sending)
  const secrets = config.nonceSecrets.length > 0 ? config.nonceSecrets : [options.nonceSecret]
  const cors = config.cors === null ? null : createCors(config.cors)
  const documents = publicDocuments(config, adapters.keyRing.jwks)

  type Known = Omit<AuditFacts, 'removed' | 'policyVersion' | 'now'>
  const facts = (known: Known): AuditFacts => ({
    ...known,
    removed: known.match === null ? [] : removedNames(known.arrived.rawHeaders, known.match.route.upstream.pass_headers),
    policyVersion: config.policyVersion,
    now: clock(),
  })
  const caches = createCaches(adapters.cacheCounts, clock)
  const { keysFor } = issuerKeys
  const answers = { caches, counts: adapters.introspectionCounts }
  const introspector = createIntrospector(config.issuers, { clock, log: options.log, keysFor, ...answers })
  const pdps = createPdps(config.pdps, { clock, log: options.log, cache: caches.decisions, counts: adapters.decisionCounts })
  const ports: DecidePorts = {
    tokens: caches.tokens,
    proofHeaders: caches.proof_keys,
    clock,
    limits: config.limits,
    keysFor,
    keysGeneration: issuerKeys.generation,
    introspect: introspector.introspect,
    nonceTime: (nonce) => readNonceTime(secrets, nonce),
    decisionFor: pdps.decisionFor,
    replay,
    revocations: revocationsOf(adapters.revocations, config.revocations.max_stale),
    isRemembered: (datedAt, now) => isRemembered(adapters.windows, datedAt, now),
    charge: rates.charge,
    record: (verdict) => {
      const { inbound: arrived, captured } = verdict.evidence
      const match = { route: verdict.route, captured }
      return recordBefore(audit, facts({ arrived, match, verdict, outcome: null, durationMs: null }))
    },
  }
  const nonce = nonceOfTheSecond(secrets[0] ?? options.nonceSecret)
  const enforcements = config.listeners.map(
    (listener, index): Enforcement => ({
      config,
      origins: listener.origins,
      hop: createHop(listener),
      documents,
      cors,
      clock,
      nonce,
      overload: () => overloadOf(adapters, limits),
      isFull: (upstream) => pools.get(upstream).queued >= upstream.queue,
      holdBody: bodies.hold,
      decide: (question, bringing) => decide(question, bringing, ports),
      judgeHandshake,
      forward: (granted, exchange, added) => {
        const { request, response, upgrade, connection } = exchange
        if (upgrade !== null && granted.route.websocket && asksForWebSocket(request)) {
          const { certificate } = granted.evidence.inbound.peer
          const end = { listener: index, isCertified: certificate !== null || connection.peer.certificate !== null }
          return openTunnel(adapters.tunnels, end, (opened) => tunnels.open(granted, { request, ...added, ...upgrade, opened }))
        }
        return forwarder.forward(granted, { request, response, ...added, sendContinue: () => exchange.sendContinue() })
      },
      audit: ({ head, inbound, times, ...account }) => {
        const { match, verdict, outcome, durationMs } = account
        adapters.metrics.decided({ match, verdict, outcome, receivedAt: head.receivedAt, times, durationMs })
        if (traces !== null && isTraced(head.requestId)) {
          const { requestId, receivedAt, method, httpVersion, rawHeaders } = head
          const arrived = { requestId, receivedAt, method, httpVersion, rawHeaders, host: inbound?.host ?? null }
          traces.ended({ ...arrived, match, verdict, outcome, times, durationMs })
        }
        if (isRecorded(verdict)) recordAfter(audit, facts({ arrived: inbound ?? head, ...account }))
      },
      fault: (error) => options.log(`gateway fault: ${error instanceof Error ? error.stack : String(error)}`),
    }),
  )
  const expiries = expiriesOf(config)
  const permitFor = createPermits(sending)
  const serving = { enforcements, permitFor, requests: new Set<Promise<void>>() }
  return { config, issuerKeys, introspector, pdps, pools, signingKeys, expiries, caches, ...serving }
}

/** Without Redis nothing can be revoked. */
const revocationsOf = (following: Following | null, maxStale: Seconds): Revocations =>
  following === null ? NOTHING_REVOKED : { list: following.list, isStale: () => following.age() > maxStale }

/** Limits are the gateway's; each worker has its share. */
export const shareOf = (limits: Limits, workers: number): Limits => ({
  ...limits,
  connections: Math.ceil(limits.connections / workers),
  connections_per_address: Math.ceil(limits.connections_per_address / workers),
  requests: Math.ceil(limits.requests / workers),
  digest_buffer: Math.ceil(limits.digest_buffer / workers),
})

/** The limit that keeps this process from taking more; null: none. */
export function overloadOf({ loop, requests, tunnels }: Adapters, limits: Limits): 'event_loop_delay' | 'requests' | null {
  if (loop.isLate(limits.event_loop_delay)) return 'event_loop_delay'
  return requests.size - tunnels.size >= limits.requests ? 'requests' : null
}

/** Any other Upgrade is ignored (contract §6). */
const asksForWebSocket = ({ headers }: IncomingMessage): boolean => headers.upgrade?.toLowerCase() === 'websocket'

/** A broken WebSocket handshake is refused before its proof is spent. */
function judgeHandshake(request: IncomingMessage): Denial | null {
  const handshake = asksForWebSocket(request) ? readHandshake(request) : null
  return typeof handshake === 'string' ? deny('request_malformed', handshake) : null
}

/** Keeps a WebSocket in the list while it is open. */
async function openTunnel<T>(
  list: Adapters['tunnels'],
  end: TunnelEnd,
  open: (opened: (tunnel: Tunnel) => void) => Promise<T>,
): Promise<T> {
  let own: Tunnel | null = null
  const result = await open((tunnel) => {
    own = tunnel
    list.set(tunnel, end)
  })
  if (own !== null) list.delete(own)
  return result
}

/** A nonce carries its second, so one a second is all there is to make. */
function nonceOfTheSecond(secret: string): () => string {
  let second = 0
  let nonce = ''
  return () => {
    const now = Math.floor(clock())
    if (now !== second) {
      second = now
      nonce = makeNonce(secret, now)
    }
    return nonce
  }
}

/** Lets go of a configuration when its last request is over. */
export async function retire({ requests, issuerKeys, introspector, pdps, pools, caches }: Running): Promise<void> {
  // A stream can go on for hours, and has no use for them.
  for (const cache of Object.values(caches)) cache.clear()
  await Promise.allSettled(requests)
  issuerKeys.close()
  await introspector.close()
  await pdps.close()
  await pools.close().catch(() => undefined)
}
