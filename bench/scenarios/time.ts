// What only shows over time: latency at half of what a server can do, and memory after minutes at full load.
import { type Load, type LoadSample, measure } from '../load.js'
import { hasNginx, type Server, startNginx } from '../peers.js'
import type { Place } from '../place.js'
import { replay } from '../replay.js'
import { makeClient } from '../requests.js'
import { mappedBy, usedBy } from '../resources.js'
import { type Contender, LOAD_COLUMNS, NODE_WARM_UP, type Row, type Sample, type Scenario } from '../scenario.js'
import { median } from '../statistics.js'
import { CONNECTIONS, provenRequests } from './loads.js'

/** One load of proven requests by wrk. */
const load = (place: Place, server: Server, seconds: number): Promise<LoadSample> => {
  const url = `https://localhost:${server.port}/proven`
  const requests = provenRequests({ ...place, seconds }, makeClient('client-1'), url)
  const rest: Omit<Load, 'url' | 'requests' | 'seconds'> = {
    folder: place.folder(),
    connections: CONNECTIONS,
    expect: 200,
    pid: server.pid,
  }
  return measure({ url, requests, seconds, ...rest })
}

export const latency: Scenario = {
  name: 'latency',
  title: 'Latency at half of peak',
  about: `Proven requests at a fixed rate, half of what the same server answered at full load just before; latencies are counted from when a request was due, so a server that stalls is not asked less.`,
  reading: `p99 must stay within three times the p50. **nginx** is asked at the same rate, by the same generator on the same machine, and does next to nothing: what it shows is what the machine adds. What Holdfast adds to its p99 is V8 collecting garbage: at this rate
a dozen times a second the young objects (1.8 ms, at times 5) and every few seconds the old ones (7 to 20 ms); the event loop itself is late by 3 to 6 ms at its own p99.`,
  columns: [
    { metric: 'perSecond', title: 'requests/s', digits: 0 },
    { metric: 'p50', title: 'p50 ms', digits: 2 },
    { metric: 'p99', title: 'p99 ms', digits: 2 },
    { metric: 'tail', title: 'p99 / p50', digits: 2 },
    { metric: 'generator', title: 'generator', digits: 2 },
  ],
  isDefault: true,
  async open(place, skip) {
    const contenders: Contender[] = []
    let rate = 1000
    const atRate = async (server: Server): Promise<Sample> => {
      const htu = `https://localhost:${server.port}/proven`
      const plan = { mode: 'open', server, path: '/proven', connections: CONNECTIONS, certified: false, expect: 200 } as const
      const requests = provenRequests(place, makeClient('client-1'), htu)
      const { p50, p99, ...sample } = await replay(place, { ...plan, requests, rate, seconds: place.seconds * 2 })
      return { ...sample, p50, p99, tail: p99 / p50 }
    }
    for (const variant of place.variants) {
      const server = await place.holdfast(variant)
      contenders.push({
        name: `holdfast${variant.label}`,
        warmUp: NODE_WARM_UP,
        measure: async () => {
          const { perSecond, answered } = await load(place, server, place.seconds)
          rate = perSecond / 2
          const sample = await atRate(server)
          return { ...sample, answered: answered + (sample.answered ?? 0) }
        },
      })
    }
    if (hasNginx()) {
      const server = place.keep(await startNginx(place.root, place.upstreamPort))
      contenders.push({ name: 'nginx TLS proxy', measure: () => atRate(server) })
    } else skip('nginx is left out: the package nginx is not installed')
    return contenders
  },
}

/** Seconds of one load of the soak; memory is looked at after each. */
const SOAK_SECONDS = 8

/** `minutes`: of the command line. */
export const soakOf = (minutes: number): Scenario => ({
  name: 'soak',
  title: 'Soak',
  about: `Proven requests at full load, minute after minute; resident memory of the one worker, sampled about every ten seconds.`,
  reading: `A row is a minute; **RSS** is the median of its samples, **highest** the peak, **of it node** what is node's own program, mapped from its file and shared by all workers. In the first two minutes the memory of used proofs fills: each record lives for some 130 s, and 100,000 take 7 MB. What else is
not V8's heap of live objects: what V8 has not given back between two collections (20 to 40 MB), and what its compiler and OpenSSL leave in malloc's arenas (some 40 MB).`,
  columns: [
    ...LOAD_COLUMNS.filter(({ metric }) => metric !== 'generator'),
    { metric: 'highest', title: 'highest MB', digits: 0 },
    { metric: 'mapped', title: 'of it node MB', digits: 0 },
    { metric: 'samples', title: 'samples', digits: 0 },
  ],
  isDefault: false,
  seconds: SOAK_SECONDS,
  rounds: () => minutes,
  async open(place) {
    const contenders: Contender[] = []
    for (const variant of place.variants) {
      const server = await place.holdfast(variant)
      contenders.push({ name: `minute${variant.label}`, warmUp: 0, measure: () => soakedMinute(place, server) })
    }
    return contenders
  },
  rows: (measured) => measured.flatMap(minutesOf),
})

async function soakedMinute(place: Place, server: Server): Promise<Sample> {
  const until = performance.now() + 60_000
  const loads: LoadSample[] = []
  const memory: number[] = []
  while (performance.now() < until) {
    loads.push(await load(place, server, SOAK_SECONDS))
    memory.push(usedBy(server.pid).rss / 1e6)
  }
  const middle = (metric: keyof LoadSample): number => median(loads.map((sample) => sample[metric]))
  const highest = Math.max(...loads.map(({ rss }) => rss))
  const rates = { cpu: middle('cpu'), perSecond: middle('perSecond'), p50: middle('p50'), p99: middle('p99') }
  return { ...rates, rss: median(memory), highest, mapped: mappedBy(server.pid) / 1e6, samples: memory.length }
}

/** A row for each minute: `first minute`, `minute 2`, ... `last minute`. */
function minutesOf({ name, samples }: Row): readonly Row[] {
  const label = name.replace('minute', '')
  const nameOf = (i: number): string => (i === 0 ? 'first minute' : i === samples.length - 1 ? 'last minute' : `minute ${i + 1}`)
  return samples.map((sample, i) => ({ name: nameOf(i) + label, samples: [sample] }))
}
