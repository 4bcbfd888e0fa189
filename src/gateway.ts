// Holdfast, put together. This file builds every adapter once and joins them:
//
//   edge (sockets) -> decide (verify, replay, rate, audit) -> upstream (needs a Grant)
//
// What lives as long as the process: the listeners, the replay store, the rate limiter, the audit log. What is made anew for
// each configuration, and swapped in one assignment: routes, issuers and their keys, caches, signing keys, upstream pools.
// A request keeps the configuration it started with. Nothing here decides anything.

import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { LRUCache } from 'lru-cache'
import { type Health, readinessOf } from './admin/health.js'
import { type Admin, openAdmin } from './admin/server.js'
import { type OpenAuditLog, openAuditLog } from './audit/log.js'
import { recordAfter, recordBefore } from './audit/record.js'
import type { Config, Limits } from './config/config.js'
import { type DecidePorts, decide } from './decide.js'
import { type BodyHolder, createBodyHolder } from './edge/body.js'
import { type Account, type Enforcement, enforce, refuseBroken } from './edge/enforce.js'
import { publicDocuments } from './edge/metadata.js'
import { type EventLoopWatch, watchEventLoop } from './edge/overload.js'
import { type Edge, openEdge } from './edge/server.js'
import { createIssuerKeys, type IssuerKeys } from './keys/issuers.js'
import { loadSigningKeys } from './keys/signing.js'
import { createRateLimiter, type RateLimiter } from './limits/rate.js'
import { createMemoryStore } from './replay/memory.js'
import { createRedisStore } from './replay/redis.js'
import type { ReplayStore } from './replay/store.js'
import { createForwarder } from './upstream/forward.js'
import { createPools, type Pools } from './upstream/pools.js'
import type { Tunnel } from './upstream/tunnel.js'
import { createTunnels } from './upstream/websocket.js'
import { makeNonce, readNonceTime } from './verify/nonces.js'
import { removedNames } from './verify/reserved-headers.js'
import type { Seconds } from './verify/scalars.js'
import type { ProofHeader, VerifiedToken } from './verify/types.js'

/** The only clock there is: everything inside is told the time. */
const clock = (): Seconds => Date.now() / 1000

export type GatewayOptions = {
  /** 0 for the first or only process; each writes an audit file of its own. */
  readonly worker: number
  /** Nonce secret of this start, for a configuration that names none; shared by all workers. */
  readonly nonceSecret: string
  readonly log: (message: string) => void
}

export type Gateway = {
  /** `host:port` of each listener. */
  readonly addresses: readonly string[]
  readonly adminAddress: string
  /** What new requests are served by. */
  config(): Config
  /** Opens the audit file anew, after it was renamed by a log rotation. */
  reopenAudit(): Promise<void>
  /** Takes another configuration for all requests from now on; connections stay. */
  reload(config: Config): Promise<void>
  /** Says on `/readyz` that the last reload was not taken; null: it was. */
  reportReload(problem: string | null): void
  /** Unready at once, accepts for `drain_delay`, finishes what is in flight up to `drain`, then flushes the audit log. */
  drain(): Promise<void>
}

/** What outlives a configuration. */
type Adapters = {
  readonly options: GatewayOptions
  readonly replay: ReplayStore
  readonly rates: RateLimiter
  readonly audit: OpenAuditLog
  readonly bodies: BodyHolder
  readonly loop: EventLoopWatch
  /** WebSockets that are open: no server of Node's looks after them any more. */
  readonly tunnels: Set<Tunnel>
}

/** What belongs to one configuration. */
type Running = {
  readonly config: Config
  readonly issuerKeys: IssuerKeys
  readonly pools: Pools
  readonly jwks: object
  /** One for each listener. */
  readonly enforcements: readonly Enforcement[]
  /** Requests that started with this configuration and are not over. */
  readonly requests: Set<Promise<void>>
}

/** Starts everything; resolves when requests are accepted. Rejects with a message for the operator. */
export async function startGateway(config: Config, options: GatewayOptions): Promise<Gateway> {
  const adapters = await openAdapters(config, options)
  let running = await assemble(config, adapters)
  let phase: Health['phase'] = 'starting'
  let reloadProblem: string | null = null

  const readiness = () =>
    readinessOf({
      phase,
      isOverloaded: adapters.loop.isOverloaded(),
      parts: [...running.issuerKeys.degraded(), adapters.replay.degraded(), adapters.audit.degraded(), reloadProblem],
    })
  const admin = await openAdmin({ ...config.admin, jwks: () => running.jwks, readiness, metrics: null })
  const edges = await Promise.all(config.listeners.map((_, index) => openListener(index, () => running)))
  phase = 'serving'

  return {
    addresses: edges.map(({ address }) => `${address.address}:${address.port}`),
    adminAddress: admin.address,
    config: () => running.config,
    reopenAudit: () => adapters.audit.reopen(),
    reload: async (next) => {
      const previous = running
      running = await assemble(next, adapters)
      reloadProblem = null
      next.listeners.forEach((listener, index) => {
        const edge = edges[index]
        const before = previous.config.listeners[index]
        edge?.setTls(listener)
        edge?.setLimits(shareOf(next.limits, next.workers))
        const judgedAnew = listener.client_ca !== before?.client_ca || listener.crl.join() !== before?.crl.join()
        if (judgedAnew) edge?.closeCertified()
      })
      void retire(previous)
    },
    reportReload: (problem) => {
      reloadProblem = problem
    },
    drain: async () => {
      phase = 'draining'
      await sleep(running.config.drain_delay * 1000)
      for (const tunnel of adapters.tunnels) tunnel.close(GOING_AWAY)
      await Promise.all(edges.map((edge) => edge.close(running.config.drain)))
      await close(adapters, running, admin)
    },
  }
}

/** RFC 6455 §7.4.1. */
const GOING_AWAY = 1001

/** Lets go of a configuration when its last request is over. */
async function retire({ requests, issuerKeys, pools }: Running): Promise<void> {
  await Promise.allSettled(requests)
  issuerKeys.close()
  await pools.close()
}

async function openAdapters(config: Config, options: GatewayOptions): Promise<Adapters> {
  const { log, worker } = options
  const audit = await openAuditLog({
    file: config.audit.file,
    refusalsPerSecond: Math.ceil(config.audit.refusals_per_second / config.workers),
    instance: `${hostname()}-${randomBytes(6).toString('base64url')}`,
    worker,
    log,
  })
  const redis = config.replay.store === 'redis' ? config.replay.redis : null
  const replay = redis === null ? createMemoryStore() : createRedisStore(redis, { clock, log, clockSkew: largestSkew(config) })
  await replay.start()
  return {
    options,
    replay,
    rates: createRateLimiter({ redis, log }),
    audit,
    bodies: createBodyHolder(shareOf(config.limits, config.workers)),
    loop: watchEventLoop(),
    tunnels: new Set(),
  }
}

const largestSkew = ({ routes }: Config): Seconds => Math.max(...routes.map(({ policy }) => policy.clock_skew))

async function close({ replay, rates, audit, loop }: Adapters, running: Running, admin: Admin): Promise<void> {
  loop.close()
  running.issuerKeys.close()
  await Promise.all([running.pools.destroy(), replay.close(), rates.close(), audit.close()])
  await admin.close()
}

/** Limits are the gateway's; each worker has its share. */
const shareOf = (limits: Limits, workers: number): Limits => ({
  ...limits,
  connections: Math.ceil(limits.connections / workers),
  connections_per_address: Math.ceil(limits.connections_per_address / workers),
  digest_buffer: Math.ceil(limits.digest_buffer / workers),
})

function openListener(index: number, running: () => Running): Promise<Edge> {
  const { config } = running()
  const listener = config.listeners[index]
  if (listener === undefined) throw new RangeError(`there is no listener ${index}`)
  const current = (): [Enforcement, Running] => {
    const now = running()
    const enforcement = now.enforcements[index]
    if (enforcement === undefined) throw new RangeError(`there is no listener ${index}`)
    return [enforcement, now]
  }
  return openEdge({
    listener,
    limits: shareOf(config.limits, config.workers),
    handle: (exchange) => {
      const [enforcement, { requests }] = current()
      const request = enforce(exchange, enforcement)
      requests.add(request)
      void request.finally(() => requests.delete(request))
    },
    refuse: (broken) => refuseBroken(broken, current()[0]),
  })
}

/** Everything that hangs on one configuration, issuer keys fetched. */
async function assemble(config: Config, adapters: Adapters): Promise<Running> {
  const { options, replay, rates, audit, bodies, loop } = adapters
  const issuerKeys = createIssuerKeys(config.issuers, { clock, log: options.log })
  await issuerKeys.start()
  const keys = loadSigningKeys(config.assertion.keys)
  const pools = createPools(config.upstreams)
  const sending = { pools, signingKeys: () => keys, assertion: config.assertion, clock, limits: config.limits }
  const forwarder = createForwarder(sending)
  const tunnels = createTunnels(sending)
  const secrets = config.nonceSecrets.length > 0 ? config.nonceSecrets : [options.nonceSecret]
  const documents = publicDocuments(config, keys.jwks)

  const facts = ({ head, inbound, match, verdict, outcome, durationMs }: Account) => ({
    arrived: inbound ?? head,
    match,
    verdict,
    outcome,
    durationMs,
    removed: match === null ? [] : removedNames(head.rawHeaders, match.route.upstream.pass_headers),
    policyVersion: config.policyVersion,
    now: clock(),
  })
  const ports: DecidePorts = {
    ...caches(),
    clock,
    limits: config.limits,
    keysFor: issuerKeys.keysFor,
    keysGeneration: issuerKeys.generation,
    nonceTime: (nonce) => readNonceTime(secrets, nonce),
    replay,
    charge: rates.charge,
    record: (verdict) => {
      const { inbound, captured } = verdict.evidence
      const match = { route: verdict.route, captured }
      const removed = removedNames(inbound.rawHeaders, verdict.route.upstream.pass_headers)
      const { policyVersion } = config
      return recordBefore(audit, {
        arrived: inbound,
        match,
        verdict,
        outcome: null,
        durationMs: null,
        removed,
        policyVersion,
        now: clock(),
      })
    },
  }
  const nonce = nonceOfTheSecond(secrets[0] ?? options.nonceSecret)
  const enforcements = config.listeners.map(
    (listener): Enforcement => ({
      config,
      origins: listener.origins,
      documents,
      clock,
      nonce,
      isOverloaded: loop.isOverloaded,
      decide: (question, exchange) => decide(question, (maxBody) => bodies.hold(exchange, maxBody), ports),
      forward: (granted, exchange, own) => {
        const { request, response, upgrade } = exchange
        if (upgrade !== null && granted.route.websocket) {
          return openTunnel(adapters.tunnels, (opened) => tunnels.open(granted, { request, own, ...upgrade, opened }))
        }
        return forwarder.forward(granted, { request, response, own, sendContinue: () => exchange.sendContinue() })
      },
      audit: (account) => recordAfter(audit, facts(account)),
      fault: (error) => options.log(`gateway fault: ${error instanceof Error ? error.stack : String(error)}`),
    }),
  )
  return { config, issuerKeys, pools, jwks: keys.jwks, enforcements, requests: new Set() }
}

/** Keeps a WebSocket in the list while it is open. */
async function openTunnel<T>(list: Set<Tunnel>, open: (opened: (tunnel: Tunnel) => void) => Promise<T>): Promise<T> {
  let own: Tunnel | null = null
  const result = await open((tunnel) => {
    own = tunnel
    list.add(tunnel)
  })
  if (own !== null) list.delete(own)
  return result
}

/** Bounded in entries and in bytes; what they hold and why that is safe is said where they are filled (verify/). */
const caches = (): Pick<DecidePorts, 'tokens' | 'proofHeaders'> => ({
  tokens: new LRUCache<string, VerifiedToken>({
    max: 10_000,
    maxSize: 32 * 1024 ** 2,
    sizeCalculation: (_, token) => token.length * 4,
  }),
  proofHeaders: new LRUCache<string, ProofHeader>({
    max: 10_000,
    maxSize: 32 * 1024 ** 2,
    sizeCalculation: (_, text) => text.length + 2048,
  }),
})

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
