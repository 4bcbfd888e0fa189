// Where the microseconds go: CPU profiles of the main thread under load, by what the time was spent on.
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Load } from '../load.js'
import { measure } from '../load.js'
import { makeClient, signToken } from '../requests.js'
import type { Column, Contender, Sample, Scenario } from '../scenario.js'
import { CONNECTIONS, provenRequests } from './loads.js'

/** What a V8 CPU profile holds that is read here (times in microseconds). */
type Profile = {
  readonly nodes: readonly { readonly id: number; readonly callFrame: { readonly functionName: string; readonly url: string } }[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

/** The first that fits. Native functions have no address. */
const AREAS: readonly (readonly [area: string, fits: (name: string, url: string) => boolean])[] = [
  ['idle', (name) => name === '(idle)'],
  ['gc', (name) => name === '(garbage collector)'],
  ['verify', (name) => name === 'verifyOneShot'],
  ['sign', (name) => name === 'signOneShot'],
  ['write', (name, url) => url === '' && /^write(?:v|Buffer|Latin1String|Utf8String)$/.test(name)],
  ['undici', (name, url) => url.includes('/undici/') || url.startsWith('wasm') || name.startsWith('wasm')],
  ['redis', (_, url) => /\/(?:ioredis|redis-parser|standard-as-callback|denque)\//.test(url)],
  ['fastify', (_, url) => /\/(?:fastify|find-my-way|avvio)\//.test(url)],
  ['own', (_, url) => url.includes('/src/') && !url.includes('/node_modules/')],
  ['node', () => true],
]

const COLUMNS: readonly Column[] = [
  { metric: 'busy', title: 'all, us', digits: 0 },
  { metric: 'write', title: 'write (TLS, system calls)', digits: 0 },
  { metric: 'verify', title: 'verify', digits: 0 },
  { metric: 'sign', title: 'sign', digits: 0 },
  { metric: 'node', title: 'node: http, streams, events, read', digits: 0 },
  { metric: 'undici', title: 'undici', digits: 0 },
  { metric: 'redis', title: 'ioredis', digits: 0 },
  { metric: 'fastify', title: 'Fastify', digits: 0 },
  { metric: 'gc', title: 'collecting garbage', digits: 0 },
  { metric: 'own', title: 'src/', digits: 0 },
]

/** Seconds of load before the one that is looked at. */
const WARM_UP = 8
const LOOKED_AT = 4

export const profile: Scenario = {
  name: 'profile',
  title: 'Where the time goes',
  about: `CPU profiles (\`--cpu-prof\`) of the main thread under full load, ${WARM_UP} s after it began: microseconds of each request, by what they were spent on.`,
  reading: `**src/** is all that is written here. What a public route costs beyond the writes, the signature and node's own HTTP and TLS is what could still be saved; a signature alone is about half of what
Fastify + @fastify/http-proxy cost in all, and haproxy does in C what node does in JavaScript: those two goals can't be reached while every request gets an assertion of its own, signed by ES256.
So with the proven request: Fastify + @fastify/http-proxy, which checks nothing, and **verify + sign** come to some 145 us together; twice the floor leaves a fifth more than that for the proof's checks, the
round trip to Redis, the headers and the event. By kind (\`perf\`, main thread): 32 % OpenSSL, 13 % the kernel, 25 % V8's built-in functions and C++, 16 % compiled JavaScript, of which src/ is less than a third.
A write that wakes a process which was waiting costs several times one that does not, so these are dearer where the generator, the upstream and Redis rest between two requests.`,
  columns: COLUMNS,
  isDefault: true,
  seconds: LOOKED_AT,
  rounds: () => 1,
  async open(place) {
    const bearer = () => ({ Authorization: `Bearer ${signToken(place.issuer, 'client-1', null)}` })
    const paths = { public: '/public', bearer: '/low', proven: '/proven' } as const
    return place.variants.flatMap((variant) =>
      Object.entries(paths).map(([name, path]): Contender => {
        const measured = async (): Promise<Sample> => {
          const folder = place.folder()
          mkdirSync(folder)
          const started = performance.now()
          const server = await place.holdfast(variant, { nodeFlags: ['--cpu-prof', `--cpu-prof-dir=${folder}`] })
          const url = `https://localhost:${server.port}${path}`
          const ask = (seconds: number): Load => ({
            url,
            folder: place.folder(),
            requests: name === 'proven' ? provenRequests({ ...place, seconds }, makeClient('client-1'), url) : [],
            headers: name === 'bearer' ? bearer() : {},
            seconds,
            connections: CONNECTIONS,
            expect: 200,
            pid: server.pid,
          })
          await measure(ask(WARM_UP))
          const last = ask(LOOKED_AT)
          const skipped = performance.now() - started
          const { answered } = await measure(last)
          await server.stop()
          const [file = ''] = readdirSync(folder).filter((one) => one.endsWith('.cpuprofile'))
          return byArea(JSON.parse(readFileSync(join(folder, file), 'utf8')), skipped * 1000, answered)
        }
        return { name: name + variant.label, warmUp: 0, measure: measured }
      }),
    )
  },
}

/** Microseconds of each request, by area, of what came after the first `skipped` microseconds. */
export function byArea({ nodes, samples, timeDeltas }: Profile, skipped: number, requests: number): Sample {
  const areas = new Map(
    nodes.map(({ id, callFrame: { functionName, url } }) => [
      id,
      AREAS.find(([, fits]) => fits(functionName, url))?.[0] ?? 'node',
    ]),
  )
  const spent: Record<string, number> = {}
  let at = 0
  for (const [i, id] of samples.entries()) {
    const delta = timeDeltas[i] ?? 0
    at += delta
    const area = areas.get(id) ?? 'node'
    if (at > skipped && area !== 'idle') spent[area] = (spent[area] ?? 0) + delta / requests
  }
  return { ...spent, busy: Object.values(spent).reduce((sum, value) => sum + value, 0) }
}
