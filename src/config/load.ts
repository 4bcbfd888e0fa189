// routes.yaml -> one frozen Config, or every problem of it at once. In this order: read, include, interpolate, judge each part by its
// schema, resolve what refers to what, read the files it names, warn. Contract §2.

import { createHash } from 'node:crypto'
import { resolve } from 'node:path'
import { demandAddresses } from './behind.js'
import type { Config } from './config.js'
import { disk as systemDisk } from './disk.js'
import { deepFreeze } from './freeze.js'
import { readIncludes } from './include.js'
import { type Environment, interpolate } from './interpolate.js'
import { resolveIssuers } from './issuers.js'
import { demandEveryOrigin, resolveAdmin, resolveCors, resolveListeners, resolveOrigins } from './listeners.js'
import type { Loading } from './loading.js'
import { createMatcher } from './matcher.js'
import { createFindings, type Problem } from './problems.js'
import { demandFixed } from './reload.js'
import { warnOfRotation } from './rotation.js'
import { resolveRoutes } from './routes.js'
import { readIncluded, readRaw, readSections, type Sections } from './sections.js'
import { type Place, readSource, type Source, under } from './source.js'
import { resolveAssertion, resolveAudit, resolveReplay, resolveTracing, resolveWorkers } from './state.js'
import { resolveTiers } from './tiers.js'
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
  return assemble({ ...own, routes }, [source, ...included], loading)
}

/** Goes on as long as there is something to judge, so that all problems are found; null where a part is missing. */
function assemble(sections: Sections, sources: readonly Source[], loading: Loading): Config | null {
  const { main, single } = sections
  const at = (...path: readonly string[]): Place => under(main, ...path)
  const origins = { place: at('public_origins'), ...loading }
  const publicOrigins = resolveOrigins(single.public_origins ?? [], origins.place, loading)
  demandEveryOrigin(sections.listeners, publicOrigins, origins)
  const listeners = resolveListeners(
    sections.listeners.filter((one) => one !== null),
    publicOrigins,
    loading,
  )
  const cors = single.cors ? resolveCors(single.cors, at('cors'), loading) : null
  const admin = single.admin && resolveAdmin(single.admin, at('admin'), loading)
  const replay = single.replay && resolveReplay(single.replay, at('replay'), loading)
  const tracing = single.tracing ? resolveTracing(single.tracing, at('tracing'), loading) : null
  const assertion = single.assertion && resolveAssertion(single.assertion, { ...loading, place: at('assertion'), publicOrigins })
  const store = single.replay?.store ?? 'redis'
  const workers = single.workers && resolveWorkers(single.workers, store, { ...loading, place: at('workers') })
  const issuers = resolveIssuers(
    sections.issuers.filter((one) => one !== null),
    loading,
  )
  const tiers = resolveTiers(sections.tiers, loading)
  const upstreams = resolveUpstreams(sections.upstreams, single.assertion?.header ?? '', loading)
  const areIssuersKnown = sections.issuers.every((one) => one !== null)
  const known = { tiers, upstreams, issuers, areIssuersKnown, publicOrigins }
  const routes = resolveRoutes(sections.routes, { ...loading, known })

  demandAddresses(
    listeners,
    routes.map(({ value }) => value),
    loading,
  )

  const { drain, drain_delay, watch, limits, dpop, audit } = single
  if (!admin || !replay || !assertion || !workers || !limits || !dpop || !audit || drain === null || drain_delay === null)
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
    replay,
    nonceSecrets: dpop.nonce_secret ?? [],
    audit: resolveAudit(audit, at('audit'), loading),
    tracing,
    assertion,
    upstreams: [...upstreams.values()].filter((upstream) => upstream !== null),
    routes: routes.map(({ value }) => value),
    ...createMatcher(routes.map(({ value }) => value)),
  }
  if (loading.running !== null) demandFixed(loading.running, config, { at, findings: loading.findings })
  if (loading.running !== null || loading.isCheck)
    warnOfRotation(config, { main, running: loading.running, now: Date.now() / 1000 }, loading.findings)
  if (loading.isCheck) warn(config, { main, routes: routes.map(({ place }) => place) }, loading)
  return config
}

/** Of one file without includes it is what `sha256sum` prints; secrets are not in it. */
function versionOf(sources: readonly Source[]): string {
  const hash = createHash('sha256')
  for (const { text } of sources) hash.update(text)
  return `sha256:${hash.digest('hex')}`
}
