// Load by our own generator (replayer.ts), measured like that of wrk.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type LoadSample, type RequestHeaders, underLoad } from './load.js'
import { BUILD, type Server } from './peers.js'
import type { Place } from './place.js'
import type { Replayed, ReplayPlan } from './replayer.js'

export type Replay = Omit<ReplayPlan, 'port' | 'requests' | 'certificate' | 'seconds'> & {
  readonly server: Server
  readonly requests: readonly RequestHeaders[]
  /** Presents the client's certificate of this place. */
  readonly certified: boolean
  readonly seconds?: number
}

/** Runs it; `cpu` is of a request, or of a handshake with its one request. Also says how many sessions were taken up. */
export async function replay(place: Place, plan: Replay): Promise<LoadSample & { readonly resumed: number }> {
  const { server, requests, certified, ...rest } = plan
  const folder = place.folder()
  mkdirSync(folder)
  const file = join(folder, 'requests.json')
  writeFileSync(file, JSON.stringify(requests))
  const read = (name: string): string => readFileSync(join(place.root, name), 'utf8')
  const certificate = certified ? { key: read('client.key'), cert: read('client.crt') } : null
  const full: ReplayPlan = { seconds: place.seconds, ...rest, port: server.port, requests: file, certificate }
  const { output, cpu, rss, generator } = await underLoad(server.pid, process.execPath, [REPLAYER, JSON.stringify(full)])
  rmSync(folder, { recursive: true })
  const { count, seconds, p50, p99, unexpected, resumed } = JSON.parse(output) as Replayed
  if (count === 0 || unexpected > 0) throw new Error(`${unexpected} of ${count} answers were not ${plan.expect}`)
  return { answered: count, cpu: (cpu * 1e6) / count, perSecond: count / seconds, p50, p99, rss, generator, resumed }
}

const REPLAYER = join(BUILD, 'bench', 'replayer.js')
