// Holdfast, put together. This file builds every adapter once and joins them:
//
//   edge (sockets) -> decide (verify, replay, rate, audit) -> upstream (needs a Grant)
//
// Here is what lives as long as the process: the listeners, the replay store, the rate limiter, the audit log. What is made anew
// for each configuration, and swapped in one assignment, is running.ts's. A request keeps the configuration it started with. Nothing here decides anything.

import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { type Health, readinessOf } from './admin/health.js'
import { type Admin, openAdmin } from './admin/server.js'
import { lastWrite, openAuditLog } from './audit/log.js'
import { newCacheCounts } from './caches.js'
import type { Config, Listener } from './config/config.js'
import { registryReadings } from './config/overdue.js'
import { watchEventLoop } from './edge/overload.js'
import type { Edge, EdgeCounts } from './edge/server.js'
import { type Hearing, hearEvents } from './events/hear.js'
import { createKeyRing } from './keys/ring.js'
import { createRateLimiter } from './limits/rate.js'
import { openListener } from './listening.js'
import { METRICS, type Part } from './metrics/catalogue.js'
import { createHistogram } from './metrics/histogram.js'
import { createMetrics, type MetricsJson, type Readings, type ReloadReport } from './metrics/registry.js'
import { sumMetrics } from './metrics/sum.js'
import { createMemoryStore } from './replay/memory.js'
import { createRedisStore } from './replay/redis.js'
import { openRevoking } from './revoking.js'
import {
  type Adapters,
  assemble,
  clock,
  type GatewayOptions,
  largestSkew,
  noteWindow,
  overloadOf,
  type Running,
  retire,
  shareOf,
} from './running.js'
import type { Traces } from './tracing/traces.js'
import { isDismissed } from './verify/registration.js'
import type { Seconds } from './verify/scalars.js'

export type Gateway = {
  /** `host:port` of each listener; empty where another process listens. */
  readonly addresses: readonly string[]
  readonly adminAddress: string
  /** Serves a connection that another process accepted, for the listener of this number. */
  take(listener: number, socket: Socket): void
  /** What new requests are served by. */
  config(): Config
  /** Opens the audit file anew, after it was renamed by a log rotation. */
  reopenAudit(): Promise<void>
  /** To be called when a configuration was read, which stops all else for as long as it takes: those who waited are not refused. */
  excuseStall(): void
  /** Takes another configuration for all requests from now on; connections stay. */
  reload(config: Config): Promise<void>
  /** What session tickets are encrypted by from now on (base64); sessions of before are not resumed. */
  setTicketSecret(secret: string): void
  /** The process that listens for this one does: from now on `/readyz` says so. */
  announce(): void
  /** What this process measured. */
  metrics(): Promise<MetricsJson>
  /** Says on `/readyz` and `/metrics` what became of reloads. */
  reportReload(report: ReloadReport): void
  /** Unready at once, accepts for `drain_delay`, finishes what is in flight up to `drain`, then flushes the audit log. */
  drain(): Promise<void>
}

/** Starts everything; resolves when requests are accepted. Rejects with a message for the operator. */
export async function startGateway(config: Config, options: GatewayOptions): Promise<Gateway> {
  const adapters = await openAdapters(config, options, () => readings())
  let running = await assemble(config, adapters)
  adapters.keyRing.use(running.signingKeys, config.assertion.ttl)
  let phase: Health['phase'] = 'starting'
  let reloads: ReloadReport = { taken: 0, refused: 0, takenAt: clock(), problem: null }

  /** What each part says of itself; null: nothing. */
  const parts = (): Record<Part, readonly (string | null)[]> => ({
    issuer_keys: running.issuerKeys.degraded(),
    introspection: running.introspector.degraded(),
    pdp: running.pdps.degraded(),
    replay_store: [adapters.replay.degraded()],
    revocations: [adapters.revocations?.degraded() ?? null, ...(events?.problems() ?? [])],
    audit: [adapters.audit.degraded()],
    reload: [reloads.problem],
  })
  const readiness = () =>
    readinessOf({
      phase,
      isOverloaded: overloadOf(adapters, shareOf(running.config.limits, running.config.workers)) !== null,
      parts: Object.values(parts()).flat(),
    })
  let events: Hearing | null = null
  let edges: readonly Edge[] = []
  const readings = (): Readings => {
    const { config, issuerKeys, caches, expiries } = running
    const counts = edges.map((edge) => edge.counts())
    const sum = (of: (one: EdgeCounts) => number): number => counts.reduce((total, one) => total + of(one), 0)
    const said = parts()
    const isDegraded = (part: Part): boolean => said[part].some((problem) => problem !== null)
    const issuers = issuerKeys.readings()
    return {
      version: options.version,
      policyVersion: config.policyVersion,
      inFlight: adapters.requests.size,
      connections: {
        open: sum(({ open }) => open),
        refused: sum(({ refused }) => refused),
        full: sum(({ full }) => full),
        resumed: sum(({ resumed }) => resumed),
        failed: sum(({ failed }) => failed),
      },
      eventLoopDelay: adapters.loopDelay.readings(),
      degraded: {
        issuer_keys: isDegraded('issuer_keys'),
        introspection: isDegraded('introspection'),
        pdp: isDegraded('pdp'),
        replay_store: isDegraded('replay_store'),
        revocations: isDegraded('revocations'),
        audit: isDegraded('audit'),
        reload: isDegraded('reload'),
      },
      audit: adapters.audit.counters(),
      caches: {
        tokens: caches.tokens.readings(),
        proof_keys: caches.proof_keys.readings(),
        opaque_tokens: caches.opaque_tokens.readings(),
        inactive_tokens: caches.inactive_tokens.readings(),
        decisions: caches.decisions.readings(),
      },
      introspection: [...adapters.introspectionCounts].map(([issuer, { results, duration }]) => ({
        issuer,
        results,
        duration: duration.readings(),
      })),
      pdps: [...adapters.decisionCounts].map(([pdp, { results, duration, inFlight }]) => ({
        pdp,
        results,
        duration: duration.readings(),
        inFlight,
      })),
      // Infinity is no JSON, and as that it goes to the process that adds up.
      revocations: adapters.revocations && {
        counts: adapters.revocations.counts(),
        age: Math.min(adapters.revocations.age(), process.uptime()),
      },
      issuers,
      expiries: [
        ...expiries,
        ...issuers.flatMap(({ issuer, until }) => (until === null ? [] : [{ kind: 'issuer_keys', name: issuer, at: until }])),
      ],
      assertionKeys: adapters.keyRing.jwks().keys.map(({ kid }) => kid ?? ''),
      clients: registryReadings(config.clients, clock()),
      spans: adapters.traces?.readings() ?? { made: 0, sent: 0, failed: 0 },
      reloads,
    }
  }
  const { metrics } = adapters
  const ownMetrics = async (): Promise<string> => sumMetrics([await metrics.asJson()])
  const store = adapters.revocations?.store
  const heard = { current: () => running, clock, log: options.log, asks: options.worker === 0 }
  events = store === undefined ? null : hearEvents({ ...heard, store })
  const admin = await openAdmin({
    ...config.admin,
    jwks: adapters.keyRing.jwks,
    readiness,
    metrics: options.metrics ?? ownMetrics,
    ...(events === null ? {} : { events: events.deliver }),
  })
  try {
    edges = await Promise.all(config.listeners.map((_, index) => openListener(index, adapters, () => running)))
  } catch (error) {
    events?.close()
    await close(adapters, running, admin)
    throw error
  }
  const announce = (): void => {
    if (phase === 'starting') phase = 'serving'
  }
  // Where another process listens, only that knows when it does.
  if (options.leave === undefined) announce()

  let last: Promise<void> = Promise.resolve()
  const take = async (next: Config): Promise<void> => {
    const previous = running
    const assembled = await assemble(next, adapters, previous)
    try {
      setTls({ edges, admin }, next, previous.config)
    } catch (error) {
      void retire(assembled)
      throw error
    }
    noteWindow(adapters.windows, previous.config, next)
    running = assembled
    adapters.keyRing.use(assembled.signingKeys, next.assertion.ttl)
    adapters.streams.dismiss(({ token }) => token !== null && isDismissed(token, next.issuers, clock()))
    if (next.tracing !== null && !isDeepStrictEqual(next.tracing.tls, previous.config.tracing?.tls)) {
      adapters.traces?.renew(next.tracing.tls)
    }
    if (next.replay.store === 'redis') {
      adapters.replay.renew?.(next.replay.redis)
      adapters.rates.renew(next.replay.redis)
      adapters.revocations?.renew(next.replay.redis)
    }
    if (next.audit.stream !== null) adapters.audit.renew(next.audit.stream.redis)
    next.listeners.forEach((listener, index) => {
      const before = previous.config.listeners[index]
      edges[index]?.setLimits(shareOf(next.limits, next.workers))
      if (before === undefined || !judgesOtherwise(listener, before)) return
      edges[index]?.closeCertified()
      for (const [tunnel, end] of adapters.tunnels) if (end.listener === index && end.isCertified) tunnel.close(GOING_AWAY)
    })
    void retire(previous)
  }

  return {
    addresses: edges.map(({ address }) => address).filter((address) => address !== null),
    adminAddress: admin.address,
    take: (listener, socket) => edges[listener]?.take(socket),
    config: () => running.config,
    reopenAudit: () => adapters.audit.reopen(),
    excuseStall: adapters.loop.excuse,
    reload: (next) => {
      // One after another: an earlier, slower one must not win.
      const turn = last.then(() => take(next))
      last = turn.catch(() => undefined)
      return turn
    },
    setTicketSecret: (secret) => {
      for (const edge of edges) edge.setTicketSecret(secret)
    },
    announce,
    metrics: metrics.asJson,
    reportReload: (report) => {
      reloads = report
    },
    drain: async () => {
      phase = 'draining'
      await sleep(running.config.drain_delay * 1000)
      await options.leave?.()
      const { drain } = running.config
      for (const tunnel of adapters.tunnels.keys()) tunnel.close(GOING_AWAY)
      const deadline = setTimeout(() => {
        adapters.streams.endAll()
      }, drain * 1000)
      const cut = await Promise.all(edges.map((edge) => edge.close(drain + LAST_WORDS)))
      clearTimeout(deadline)
      const lost = cut.reduce((sum, one) => sum + one, 0)
      if (lost > 0) options.log(`drain: ${lost} request(s) were cut off after ${drain} s`)
      // Whoever they were for has gone, but what became of them belongs in the audit log.
      await Promise.race([Promise.allSettled(adapters.requests), sleep(LAST_REQUESTS * 1000, undefined, { ref: false })])
      events?.close()
      await close(adapters, running, admin)
    },
  }
}

/** What a certificate, a client's or the hop's, is worth here may have changed. */
const judgesOtherwise = (a: Listener, b: Listener): boolean =>
  a.client_certificates !== b.client_certificates ||
  a.client_ca !== b.client_ca ||
  a.crl.join() !== b.crl.join() ||
  !isDeepStrictEqual(a.behind?.hop, b.behind?.hop)

type Servers = { readonly edges: readonly Edge[]; readonly admin: Admin }

/** All listeners or none: a certificate that OpenSSL does not take throws, and what was set before it is taken back. */
function setTls({ edges, admin }: Servers, next: Config, previous: Config): void {
  const set = ({ listeners, admin: { tls } }: Config): void => {
    admin.setTls(tls)
    for (const [index, listener] of listeners.entries()) edges[index]?.setTls(listener)
  }
  try {
    set(next)
  } catch (error) {
    set(previous)
    throw error
  }
}

/** RFC 6455 §7.4.1. */
const GOING_AWAY = 1001

/** At the deadline: for the last bytes of event streams, and for requests whose clients have gone to notice it. */
const LAST_WORDS: Seconds = 0.5
const LAST_REQUESTS: Seconds = 5

/** No proof lives longer (seconds): with a nonce its `iat` may be an hour off. */
const LONGEST_PROOF = 2 * 3600

async function openAdapters(config: Config, options: GatewayOptions, read: () => Readings): Promise<Adapters> {
  const { log, worker } = options
  const instance = `${hostname()}-${randomBytes(6).toString('base64url')}`
  // The audit file is the only witness of what ran here before.
  const written = lastWrite(config.audit.file, worker)
  const ranBefore = written !== null && clock() - written < LONGEST_PROOF
  const keyRing = createKeyRing(clock)
  const audit = await openAuditLog({
    ...config.audit,
    host: hostname(),
    issuer: config.assertion.issuer,
    signer: () => keyRing.signing().current,
    refusalsPerSecond: Math.ceil(config.audit.refusals_per_second / config.workers),
    instance,
    worker,
    log,
  })
  const redis = config.replay.store === 'redis' ? config.replay.redis : null
  const replay =
    redis === null ? createMemoryStore() : createRedisStore(redis, { clock, log, clockSkew: largestSkew(config), ranBefore })
  const { revocations, streams } = openRevoking({ redis, audit, clock, log })
  await Promise.all([replay.start(), revocations?.start()])
  const loopDelay = createHistogram(METRICS.holdfast_event_loop_delay_seconds.bounds)
  return {
    options,
    replay,
    revocations,
    rates: createRateLimiter({ redis, log }),
    audit,
    bodies: { held: 0 },
    loop: watchEventLoop(loopDelay.observe),
    loopDelay,
    windows: [],
    tunnels: new Map(),
    streams,
    requests: new Set(),
    metrics: createMetrics(read),
    traces: await openTraces(config, { version: options.version, instance, log }),
    keyRing,
    cacheCounts: newCacheCounts(),
    introspectionCounts: new Map(),
    decisionCounts: new Map(),
  }
}

type Speaker = { readonly version: string; readonly instance: string; readonly log: (message: string) => void }

/** OpenTelemetry's SDK is loaded where it is wanted: it takes a third of a second and 16 MB. */
async function openTraces({ tracing }: Config, speaker: Speaker): Promise<Traces | null> {
  if (tracing === null) return null
  const otlp = await import('./tracing/otlp.js')
  return otlp.openTraces({ url: tracing.otlp, tls: tracing.tls, ...speaker })
}

async function close(
  { replay, rates, revocations, audit, loop, traces }: Adapters,
  running: Running,
  admin: Admin,
): Promise<void> {
  loop.close()
  revocations?.close()
  running.issuerKeys.close()
  await Promise.all([
    running.pools.destroy(),
    running.introspector.close(),
    running.pdps.close(),
    replay.close(),
    rates.close(),
    audit.close(),
    traces?.close(),
  ])
  await admin.close()
}
