// `holdfast serve` with as many workers as a test likes, as a process of its own: with a real Redis, an upstream and all its files.
import { type ChildProcess, execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ConnectionOptions } from 'node:tls'
import type { Test } from 'tap'
import type { Timing } from '../../src/cluster/primary.js'
import { makeCertificates, type TestCertificates } from './certificates.js'
import { issuerKey } from './draft.js'
import { exchange, type Reply } from './http.js'
import { spawnNode } from './process.js'
import { openRaw, type RawClient } from './raw.js'
import { freePort, type RunningRedis, startRedis } from './redis.js'

export const HOST = 'api.example.com'
const MAIN = join(import.meta.dirname, '..', '..', 'src', 'main.js')
const SERVE = join(import.meta.dirname, 'serve.js')

/** Who ends what is started here. */
export type Owner = Pick<Test, 'teardown'>

/** What gateways of one test share. */
export type Place = {
  readonly folder: string
  readonly redis: RunningRedis
  readonly upstream: Server
  readonly certificates: TestCertificates
  /** PEM of the CAs that clients take the gateway's certificate of; a test may add one. */
  ca: string
}

/** `answer` is given what sends the upstream's answer; `redisSettings` are further ones of redis-server. */
export async function makePlace(
  t: Owner,
  answer: (send: () => void) => void = (send) => send(),
  redisSettings: readonly string[] = [],
): Promise<Place> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-processes-'))
  const certificates = await makeCertificates(HOST)
  for (const [name, text] of Object.entries(certificates.files)) writeFileSync(join(folder, name), text)
  writeFileSync(join(folder, 'issuer.jwks'), JSON.stringify({ keys: [{ ...issuerKey.jwk, kid: 'issuer-1' }] }))
  const redis = await startRedis({ settings: redisSettings })
  const upstream = createServer((_, response) => answer(() => response.end('done'))).listen(0, '127.0.0.1')
  await once(upstream, 'listening')
  t.teardown(async () => {
    upstream.closeAllConnections()
    upstream.close()
    await redis.stop()
    rmSync(folder, { recursive: true, force: true })
  })
  return { folder, redis, upstream, certificates, ca: certificates.files['ca.crt'] ?? '' }
}

export type FleetSettings = {
  readonly workers?: number
  /** Where issuer keys come from. */
  readonly keys?: string
  /** All of `listen`. */
  readonly listen?: string
  /** Members of `listen.tls` besides key and certificate, and further parts of routes.yaml. */
  readonly tls?: string
  readonly more?: string
  /** Further members of `upstreams`. */
  readonly upstreams?: string
  /** Further members of `tiers`. */
  readonly tiers?: string
  /** Further members of `admin`, and of `replay.redis`. */
  readonly admin?: string
  readonly redis?: string
  /** Where Redis is, when it is not the place's own, and how long it may take. */
  readonly store?: string
  /** Further members of `assertion`. */
  readonly assertion?: string
  readonly drain?: string
  /** All of `audit`. */
  readonly audit?: string
  /** Members of `limits`. */
  readonly limits?: string
  readonly port?: number
  /** Of changed files; left out: nothing is looked at, and SIGHUP alone reloads. */
  readonly watch?: string
  readonly timing?: Timing
  /** All of routes.yaml, in place of what the other settings make of it. */
  readonly yaml?: (ports: Ports) => string
}

export type Ports = { readonly port: number; readonly admin: number }

const printYaml = (
  place: Place,
  {
    workers = 1,
    keys = 'jwks_file: issuer.jwks',
    tls = '',
    listen,
    more = '',
    upstreams = '',
    tiers = '',
    assertion = '',
    admin: ofAdmin = '',
    redis = '',
    store = `url: '${place.redis.url}', timeout: 5s`,
    limits = '',
    audit,
    watch = 'off',
    drain = '5s',
  }: FleetSettings,
  { port, admin }: Ports,
): string => `version: 1
listen: ${listen ?? `{ host: 127.0.0.1, port: ${port}, tls: { key: server.key, cert: server.crt, ${tls} } }`}
admin: { port: ${admin}, ${ofAdmin} }
workers: ${workers}
drain: ${drain}
watch: ${watch}
limits: { event_loop_delay: 30s, ${limits} }
public_origins: [https://${HOST}]
issuers: [{ issuer: https://as.example.com, audience: https://api.example.com, ${keys} }]
replay: { store: redis, redis: { ${store}, ${redis} } }
audit: ${audit ?? `{ file: audit-${port}.jsonl }`}
assertion: { issuer: https://gateway.example.com, key: assertion.key, ${assertion} }
upstreams: { u: { url: 'http://127.0.0.1:${(place.upstream.address() as AddressInfo).port}', audience: u }, ${upstreams} }
tiers: { open: { extends: public, audit: all, rate_limit: off }, certificates: { extends: sensitive_read, binding: mtls }, ${tiers} }
routes:
  - { path: /pay, methods: [GET], tier: sensitive_read, upstream: u }
  - { path: /open, methods: [GET], tier: open, upstream: u }
  - { path: /mtls, methods: [GET], tier: certificates, upstream: u }
${more}`

export type Fleet = {
  readonly child: ChildProcess
  readonly port: number
  readonly admin: number
  /** Its routes.yaml. */
  readonly file: string
  /** All it said on stderr so far. */
  said(): string
  /** Those of its lines that are of its log and have this message. */
  lines(message: string): readonly Record<string, unknown>[]
  /** Waits for something it says. */
  until(what: RegExp, times?: number): Promise<void>
  /** Process ids, of those that live. */
  workers(): readonly number[]
  /** Ends one of its workers at once. */
  killOne(): void
  /** Its exit code, when it has ended. */
  readonly ended: Promise<number | null>
  /** One request on a connection of its own. */
  send(bytes: string | Buffer, options?: ConnectionOptions): Promise<Reply>
  open(options?: ConnectionOptions): Promise<RawClient>
  /** The number of the worker that wrote the audit event of a request. */
  workerOf(requestId: string | undefined): Promise<number>
}

/** A request that needs no token. */
export const OPEN = `GET /open HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`

/** Starts one and waits for the line that says it accepts; with `isDoomed`, only starts it. */
export async function serve(t: Owner, place: Place, settings: FleetSettings = {}, isDoomed = false): Promise<Fleet> {
  const port = settings.port ?? (await freePort())
  const admin = await freePort()
  const file = join(place.folder, `routes-${admin}.yaml`)
  writeFileSync(file, settings.yaml?.({ port, admin }) ?? printYaml(place, settings, { port, admin }))
  const args = settings.timing === undefined ? [MAIN, 'serve', file] : [SERVE, JSON.stringify(settings.timing), file]
  const child = spawnNode(args, { cwd: place.folder, stdio: ['ignore', 'ignore', 'pipe'], detached: true })
  const ended = once(child, 'exit').then(([code]) => code as number | null)
  let said = ''
  child.stderr?.on('data', (chunk) => {
    said += chunk
  })
  t.teardown(() => {
    // A group of its own, so that no worker is left whatever became of their primary.
    if (child.pid !== undefined) killGroup(child.pid)
  })
  const tls = () => ({ servername: HOST, ca: place.ca })
  const until = async (what: RegExp, times = 1): Promise<void> => {
    const pattern = new RegExp(what, 'g')
    await waitFor(
      () => `${what} in ${said}`,
      () => [...said.matchAll(pattern)].length >= times,
    )
  }
  if (!isDoomed) {
    await waitFor('it accepts requests', () => said.includes('"accepting requests"') || child.exitCode !== null)
    if (child.exitCode !== null) throw new Error(said)
  }
  const auditFiles = [...Array(settings.workers ?? 1).keys()].map((worker) =>
    join(place.folder, `audit-${port}${worker === 0 ? '' : `.${worker}`}.jsonl`),
  )
  return {
    child,
    port,
    admin,
    file,
    ended,
    said: () => said,
    lines: (message) =>
      said
        .split('\n')
        .filter((line) => line.startsWith('{'))
        .map((line) => JSON.parse(line))
        .filter(({ msg }) => msg === message),
    until,
    workers: () => childrenOf(child.pid),
    killOne: () => {
      const [pid] = childrenOf(child.pid)
      if (pid === undefined) throw new Error('it has no worker')
      process.kill(pid, 'SIGKILL')
    },
    send: (bytes, options) => exchange(bytes, { ...tls(), ...options, port }),
    open: (options) => openRaw(port, { ...tls(), ...options }),
    workerOf: async (requestId) => {
      const wrote = () => auditFiles.findIndex((name) => readFileSync(name, 'utf8').includes(`${requestId}`))
      await waitFor(`an event of ${requestId}`, () => wrote() >= 0)
      return wrote()
    },
  }
}

export const isAlive = (pid: number): boolean => {
  try {
    // The dead that nobody waited for are still in the table.
    return !/^State:\s*[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

export function childrenOf(pid: number | undefined): readonly number[] {
  try {
    return execFileSync('pgrep', ['-P', String(pid)], { encoding: 'utf8' })
      .trim()
      .split('\n')
      .map(Number)
      .filter(isAlive)
  } catch {
    // It found none.
    return []
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // It has ended.
  }
}

/** Waits until something is so; fails after 20 s. */
export async function waitFor(
  what: string | (() => string | Promise<string>),
  isSo: () => boolean | Promise<boolean>,
): Promise<void> {
  const deadline = Date.now() + 20_000
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`waited in vain for: ${typeof what === 'string' ? what : await what()}`)
    await sleep(20)
  }
}
