// Full load with everything going wrong at once, for minutes or hours: what must hold at the end is written down in `problemsOf`.
import { once } from 'node:events'
import { createReadStream, existsSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { HOST, makePlace, type Owner, type Place, type Ports, serve } from '../support/fleet.js'
import { type Holdings, holdingsOf } from './leaks.js'
import type { ToUpstream, UpstreamNotes } from './messages.js'
import { type Ledger, startTraffic } from './traffic.js'
import { newKey, startTrouble } from './trouble.js'

export type SoakOptions = {
  readonly seconds: number
  readonly workers: number
  readonly connections: number
  /** Seconds between one trouble and the next; all of them come once, however short the soak. */
  readonly pause: number
  /** Told now and then how it goes. */
  readonly tell: (progress: { readonly seconds: number; readonly ledger: Ledger; readonly held: Holdings }) => void
}

export type SoakReport = {
  readonly ledger: Ledger
  readonly troubles: ReadonlyMap<string, number>
  /** Requests that reached the backend, and of them those that had to be on disk first. */
  readonly forwarded: number
  readonly durable: number
  readonly before: Holdings
  readonly after: Holdings
  /** Empty: all is well. */
  readonly problems: readonly string[]
}

const TELL_SECONDS = 5
/** Nobody reads more than that. */
const ENOUGH_PROBLEMS = 20
/** Open files beyond those of the beginning that are no leak: the connections of a store that was away, and the like. */
const SPARE_HANDLES = 10
/** Memory is judged where there was time for it to settle, in seconds. */
const SETTLED = 240
const MOST_GROWTH = 1.25
/** Honest reads that must have been granted, a second: whoever refuses everything makes no mistakes either. */
const LEAST_GRANTED = 10

const yamlOf =
  (upstream: number, { redis }: Place, workers: number) =>
  ({ port, admin }: Ports): string =>
    `version: 1
listen: { host: 127.0.0.1, port: ${port}, tls: { key: server.key, cert: server.crt } }
admin: { port: ${admin} }
workers: ${workers}
limits: { event_loop_delay: 10s, headers: 3s } # this, and Redis' timeout: the load comes from the same cores
public_origins: [https://${HOST}]
issuers: [{ issuer: https://as.example.com, audience: https://api.example.com, jwks_file: issuer.jwks }]
replay: { store: redis, redis: { url: '${redis.url}', timeout: 1s } }
audit: { file: audit.jsonl, refusals_per_second: 1000 }
assertion: { issuer: https://gateway.example.com, keys: [key-0.pem, key-1.pem] }
upstreams: { u: { url: 'http://127.0.0.1:${upstream}' } }
tiers:
  soak_read: { extends: sensitive_read, binding: dpop, clock_skew: 1s }
  soak_write: { extends: sensitive_write, step_up: off, auth_max_age: off, clock_skew: 1s }
  soak_open: { extends: public, rate_limit: off }
routes:
  - { path: /read, methods: [GET], tier: soak_read, upstream: u }
  - { path: /write, methods: [POST], tier: soak_write, upstream: u }
  - { path: /open, methods: [GET], tier: soak_open, upstream: u }
`

/** Runs it. Whatever was started is ended with `owner`. */
export async function soak(owner: Owner, { seconds, workers, connections, pause, tell }: SoakOptions): Promise<SoakReport> {
  const place = await makePlace(owner)
  const backend = await startBackend(owner)
  const keys = ['key-0.pem', 'key-1.pem'].map((name) => newKey(place, name))
  await backend.publish(keys)
  const gateway = await serve(owner, place, { workers, yaml: yamlOf(backend.port, place, workers) })
  const pids = (): readonly number[] => [Number(gateway.child.pid), ...gateway.workers()]
  const before = holdingsOf(pids())

  const trouble = startTrouble({ place, gateway, keys, publish: backend.publish, backend, pause })
  const traffic = startTraffic(gateway, { connections, slow: 4, excuse: trouble.excuses })
  let settled: Holdings | null = null
  const start = Date.now()
  const isOver = () => Date.now() - start >= seconds * 1000 && trouble.isThrough()
  while (!isOver() && traffic.ledger.problems.length < ENOUGH_PROBLEMS) {
    await sleep(Math.min(TELL_SECONDS, seconds) * 1000)
    const passed = (Date.now() - start) / 1000
    const held = holdingsOf(pids())
    if (settled === null && passed > SETTLED / 2) settled = held
    tell({ seconds: passed, ledger: traffic.ledger, held })
  }
  const loaded = holdingsOf(pids())
  await traffic.stop()
  await trouble.stop()
  const after = await settle(pids, before)
  const ended = once(gateway.child, 'exit')
  gateway.child.kill('SIGTERM')
  const [code] = await ended
  const notes = await backend.notes()
  const written = await durablePermits(place, workers)

  const problems = [
    ...traffic.ledger.problems,
    ...notes.breaches,
    ...notes.durable.filter((txn) => !written.has(txn)).map((txn) => `forwarded, and not on disk: ${txn}`),
    ...(code === 0 ? [] : [`it ended with exit code ${code}: ${gateway.said().slice(-500)}`]),
    ...leaksOf({ before, after, settled: seconds < SETTLED ? null : settled, loaded }),
    ...idleOf(traffic.ledger, seconds),
  ]
  // What the gateway said of it is what explains it.
  if (problems.length > 0) problems.push(...gateway.said().split('\n').slice(-40))
  return {
    ledger: traffic.ledger,
    troubles: trouble.done,
    forwarded: notes.calls,
    durable: notes.durable.length,
    before,
    after,
    problems,
  }
}

type Levels = {
  readonly before: Holdings
  readonly after: Holdings
  /** Under load, when it had gone on for a while; null: there was no time for that. */
  readonly settled: Holdings | null
  readonly loaded: Holdings
}

function leaksOf({ before, after, settled, loaded }: Levels): readonly string[] {
  const problems: string[] = []
  if (after.handles > before.handles + SPARE_HANDLES) problems.push(`${after.handles} open files, ${before.handles} at first`)
  if (settled !== null && loaded.rss > settled.rss * MOST_GROWTH)
    problems.push(`${megabytes(loaded.rss)} MB of memory, ${megabytes(settled.rss)} MB earlier under the same load`)
  return problems
}

/** A soak in which nothing happened proves nothing. */
function idleOf({ kinds }: Ledger, seconds: number): readonly string[] {
  const granted = kinds.get('read')?.get('granted') ?? 0
  return granted < seconds * LEAST_GRANTED ? [`only ${granted} reads were granted`] : []
}

export const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(0)

/** What is held when all clients are gone; connections to the backend are given up after a few seconds. */
async function settle(pids: () => readonly number[], before: Holdings): Promise<Holdings> {
  for (let i = 0; i < 40 && holdingsOf(pids()).handles > before.handles + SPARE_HANDLES; i++) await sleep(500)
  return holdingsOf(pids())
}

type Backend = {
  readonly port: number
  publish(keys: readonly string[]): Promise<void>
  close(): Promise<void>
  open(): Promise<void>
  notes(): Promise<UpstreamNotes>
}

async function startBackend(owner: Owner): Promise<Backend> {
  const thread = new Worker(join(import.meta.dirname, 'upstream.js'))
  owner.teardown(async () => void (await thread.terminate()))
  const ask = async (message: ToUpstream): Promise<unknown> => {
    thread.postMessage(message)
    const [answer] = await once(thread, 'message')
    return answer
  }
  const [{ port }] = (await once(thread, 'message')) as [{ port: number }]
  return {
    port,
    publish: async (keys) => void (await ask({ keys })),
    close: async () => void (await ask({ ask: 'close' })),
    open: async () => void (await ask({ ask: 'open' })),
    notes: async () => (await ask({ ask: 'notes' })) as UpstreamNotes,
  }
}

/** Request ids of all durable permits in the audit files. */
async function durablePermits({ folder }: Place, workers: number): Promise<ReadonlySet<string>> {
  const ids = new Set<string>()
  for (let worker = 0; worker < workers; worker++) {
    const file = join(folder, worker === 0 ? 'audit.jsonl' : `audit.${worker}.jsonl`)
    if (!existsSync(file)) continue
    for await (const line of createInterface({ input: createReadStream(file) })) {
      if (!line.includes('"soak_write"')) continue
      const { event_type, decision, request_id } = JSON.parse(line)
      if (event_type === 'authorization_decision' && decision === 'permit') ids.add(request_id)
    }
  }
  return ids
}
