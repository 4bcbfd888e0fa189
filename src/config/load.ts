// routes.yaml -> one frozen Config, or every problem of it at once. In this order: read, include, interpolate, judge each part by its
// schema, resolve what refers to what, read the files it names, warn. Contract §2.

import { createHash } from 'node:crypto'
import { resolve } from 'node:path'
import { demandAddresses } from './behind.js'
import { type Clients, resolveClients } from './clients.js'
import type { Config } from './config.js'
import { disk as systemDisk } from './disk.js'
import { absolute } from './files.js'
import { deepFreeze } from './freeze.js'
import { readIncludes } from './include.js'
import { type Environment, interpolate } from './interpolate.js'
import { resolveIssuers } from './issuers.js'
import { demandEveryOrigin, listenersOf, resolveAdmin, resolveCors, resolveListeners, resolveOrigins } from './listeners.js'
import type { Loading } from './loading.js'
import { createMatcher } from './matcher.js'
import { resolvePdps } from './pdps.js'
import { createFindings, type Problem } from './problems.js'
import { demandFixed } from './reload.js'
import { warnOfRotation } from './rotation.js'
import { resolveRoutes } from './routes.js'
import type { ClientInput } from './schema.js'
import { readClientsFile, readIncluded, readRaw, readSections, type Sections } from './sections.js'
import { type Located, type Place, readSource, type Source, under } from './source.js'
import { resolveAssertion, resolveAudit, resolveReplay, resolveTracing, resolveWorkers } from './state.js'
import { originsOf, resolveTiers } from './tiers.js'
import { resolveUpstreams } from './upstreams.js'
import { warn } from './warnings.js'

export type Loaded = {
  /** null: there are problems. */
  readonly config: Config | null
  /** Sorted by file and line, as are warnings. */
  readonly problems: readonly Problem[]
  readonly warnings: readonly Problem[]
}

/**
 * Loads a file and all it names. Never throws for what is in them. With `running`, what the file changes must be what a reload
 * can change. Warns only of what has just gone wrong: choices that are weak are for `checkConfig`.
 */
export const loadConfig = (file: string, env: Environment, running: Config | null = null, disk = systemDisk): Loaded =>
  loadFrom(file, { findings: createFindings(file), env, running, disk, isCheck: false })

/** The same, and looks for choices that work but are weak. */
export const checkConfig = (file: string, env: Environment): Loaded =>
  loadFrom(file, { findings: createFindings(file), env, running: null, disk: systemDisk, isCheck: true })

function loadFrom(file: string, loading: Loading): Loaded {
  const { findings } = loading
  const source = readSource(file, loading.disk)
  if (typeof source === 'string') findings.problemAt(file, source)
  const config = typeof source === 'string' ? null : load(source, loading)
  const problems = findings.problems()
  return { config: problems.length > 0 ? null : deepFreeze(config), problems, warnings: findings.warnings() }
}

function load(source: Source, loading: Loading): Config | null {
  interpolate(source, loading)
  const raw = readRaw(source, loading)
  if (raw === null) return null
  const own = readSections(source, raw, loading)
  const patterns = (own.single.include ?? []).map((value, i) => ({ value, place: under(own.main, 'include', i) }))
  const included = readIncludes(patterns, loading)
  const routes = [...own.routes, ...included.flatMap((one) => readIncluded(one, loading))]
  if (routes.length === 0 && loading.findings.problems().length === 0)
    loading.findings.problem(under(own.main, 'routes'), 'is required: without routes every request is refused')
  const { clients, sources } = readRegistry(own.clients, loading)
  return assemble({ ...own, routes, clients }, [source, ...included, ...sources], loading)
}

type Registered = { readonly clients: readonly Located<ClientInput>[] | null; readonly sources: readonly Source[] }

/** The clients, and the file that they are in where it is another one. */
function readRegistry(clients: Sections['clients'], loading: Loading): Registered {
  if (clients === null || !('value' in clients)) return { clients, sources: [] }
  const source = readSource(absolute(clients), loading.disk)
  if (typeof source === 'string') {
    loading.findings.problem(clients.place, `the file ${source}`)
    return { clients: [], sources: [] }
  }
  interpolate(source, loading)
  return { clients: readClientsFile(source, loading), sources: [source] }
}

type Parts = Omit<Sections, 'clients'> & { readonly clients: Registered['clients'] }

/** Goes on as long as there is something to judge, so that all problems are found; null where a part is missing. */
function assemble(sections: Parts, sources: readonly Source[], loading: Loading): Config | null {
  const { main, single } = sections
  const at = (...path: readonly string[]): Place => under(main, ...path)
  const origins = { place: at('public_origins'), ...loading }
  const publicOrigins = resolveOrigins(single.public_origins ?? [], origins.place, loading)
  demandEveryOrigin(sections.listeners, publicOrigins, origins)
  const listeners = resolveListeners(listenersOf(sections), publicOrigins, loading)
  const cors = single.cors ? resolveCors(single.cors, at('cors'), loading) : null
  const admin = single.admin && resolveAdmin(single.admin, at('admin'), loading)
  const replay = single.replay && resolveReplay(single.replay, at('replay'), loading)
  const tracing = single.tracing ? resolveTracing(single.tracing, at('tracing'), loading) : null
  const assertion = single.assertion && resolveAssertion(single.assertion, { ...loading, place: at('assertion'), publicOrigins })
  const store = single.replay?.store ?? 'redis'
  const workers = single.workers && resolveWorkers(single.workers, store, { ...loading, place: at('workers') })
  for (const one of sections.issuers)
    if (one?.value.events !== undefined && store === 'memory')
      loading.findings.problem(
        under(one.place, 'events'),
        'what is revoked is kept in Redis: say `replay: { store: redis, ... }`',
      )
  const tiers = resolveTiers(sections.tiers, loading, sections.clients !== null)
  const clients = resolveRegistry(sections, tiers, loading)
  const issuers = resolveIssuers(
    sections.issuers.filter((one) => one !== null),
    clients?.registries ?? null,
    loading,
  )
  const upstreams = resolveUpstreams(sections.upstreams, single.assertion?.header ?? '', loading)
  const areIssuersKnown = sections.issuers.every((one) => one !== null)
  const pdps = resolvePdps(sections.pdps, loading)
  const known = { tiers, upstreams, pdps, issuers, areIssuersKnown, publicOrigins }
  const routes = resolveRoutes(sections.routes, { ...loading, known })

  demandAddresses(
    listeners,
    routes.map(({ value }) => value),
    loading,
  )

  const { drain, drain_delay, watch, limits, dpop, audit, revocations } = single
  if (
    !admin ||
    !replay ||
    !revocations ||
    !assertion ||
    !workers ||
    !limits ||
    !dpop ||
    !audit ||
    drain === null ||
    drain_delay === null
  )
    return null
  // Two routes on one path would make the matcher choose.
  if (loading.findings.problems().length > 0) return null
  const config: Config = {
    file: resolve(main.source.file),
    policyVersion: versionOf(sources),
    listeners: listeners.map(({ value }) => value),
    publicOrigins,
    cors,
    admin,
    workers,
    drain,
    drain_delay,
    watch,
    limits,
    issuers,
    clients: clients?.list ?? null,
    replay,
    revocations,
    nonceSecrets: dpop.nonce_secret ?? [],
    audit: resolveAudit(audit, at('audit'), loading),
    tracing,
    assertion,
    upstreams: [...upstreams.values()].filter((upstream) => upstream !== null),
    pdps: [...pdps.values()].filter((pdp) => pdp !== null),
    routes: routes.map(({ value }) => value),
    ...createMatcher(routes.map(({ value }) => value)),
  }
  if (loading.running !== null) demandFixed(loading.running, config, { at, findings: loading.findings })
  if (loading.running !== null || loading.isCheck)
    warnOfRotation(config, { main, running: loading.running, now: Date.now() / 1000 }, loading.findings)
  if (loading.isCheck) warn(config, { main, routes: routes.map(({ place }) => place) }, loading)
  return config
}

function resolveRegistry(
  { clients, ...sections }: Parts,
  tiers: ReturnType<typeof resolveTiers>,
  loading: Loading,
): Clients | null {
  if (clients === null) return null
  const known = {
    issuers: new Map(sections.issuers.flatMap((one) => (one === null ? [] : [[one.value.issuer, one.value.evidence]]))),
    profiles: new Map([...tiers].map(([name, tier]) => [name, tier?.client_profile ?? []])),
    origins: originsOf(sections.tiers, tiers),
    paths: new Set(sections.routes.map(({ value }) => value.path)),
  }
  return resolveClients(clients, { ...loading, known })
}

/** Of one file without includes it is what `sha256sum` prints; secrets are not in it. */
function versionOf(sources: readonly Source[]): string {
  const hash = createHash('sha256')
  for (const { text } of sources) hash.update(text)
  return `sha256:${hash.digest('hex')}`
}
