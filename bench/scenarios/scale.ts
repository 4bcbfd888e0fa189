// More of everything: workers, routes, clients.
import { cpus } from 'node:os'
import type { RequestHeaders } from '../load.js'
import { replay } from '../replay.js'
import { dpopHeaders, dpopToken, makeClient, signProof, signRequests } from '../requests.js'
import { type Contender, LOAD_COLUMNS, NODE_WARM_UP, type Scenario } from '../scenario.js'
import { asked, CONNECTIONS, provenRequests } from './loads.js'

export const workers: Scenario = {
  name: 'workers',
  title: 'All cores',
  about: 'The proven request with one worker, two, and as many as there are cores (where those are more).',
  reading: `CPU for each request says what more workers cost; it may not rise by more than a tenth. Requests a second are what the machine has left for them: generator, upstream and Redis run on the same
cores, so with as many workers as cores throughput can't double, whatever the gateway does. **capacity** is what the workers could serve with a core each: workers, divided by CPU for each request.`,
  columns: [...LOAD_COLUMNS, { metric: 'capacity', title: 'capacity/s', digits: 0 }],
  isDefault: true,
  async open(place) {
    const client = makeClient('client-1')
    const contenders: Contender[] = []
    for (const variant of place.variants)
      for (const count of [1, 2, ...(cpus().length > 2 ? [cpus().length] : [])]) {
        const server = await place.holdfast(variant, { workers: count })
        const contender = asked(
          place,
          `${count} worker${count === 1 ? '' : 's'}${variant.label}`,
          server,
          '/proven',
          (origin) => ({
            requests: provenRequests(place, client, `${origin}/proven`),
            connections: 2 * CONNECTIONS,
          }),
        )
        contenders.push({
          ...contender,
          measure: async () => {
            const sample = await contender.measure()
            return { ...sample, capacity: (count * 1e6) / (sample.cpu ?? 0) }
          },
        })
      }
    return contenders
  },
}

export const routes: Scenario = {
  name: 'routes',
  title: '1,000 routes',
  about: 'The proven request where routes.yaml has six routes, and where it has 1,000 more.',
  reading: 'The matcher walks a tree of segments: how many routes there are must not show.',
  columns: LOAD_COLUMNS,
  isDefault: true,
  async open(place) {
    const client = makeClient('client-1')
    const contenders: Contender[] = []
    for (const variant of place.variants)
      for (const otherRoutes of [0, 1000]) {
        const server = await place.holdfast(variant, { otherRoutes })
        const name = `${otherRoutes === 0 ? 'six routes' : '1,006 routes'}${variant.label}`
        const ask = (origin: string) => ({ requests: provenRequests(place, client, `${origin}/proven`) })
        contenders.push(asked(place, name, server, '/proven', ask))
      }
    return contenders
  },
}

const CLIENTS = 10_000

export const clients: Scenario = {
  name: 'clients',
  title: '10,000 clients',
  about: `The proven request by ${CLIENTS.toLocaleString('en')} clients in turn, each with a key and a token of its own: seen for the first time (token verified, key imported), and again (both from the caches).`,
  reading: `A benchmark with one client shows what a cache can do, not what it does. **first sight** is what a cache can't help with; **again** must come near to one client, or the caches are too small.
Asked by our own generator, ${CLIENTS.toLocaleString('en')} requests a round.`,
  columns: LOAD_COLUMNS,
  isDefault: true,
  async open(place) {
    const one = makeClient('client-1')
    const many = Array.from({ length: CLIENTS }, (_, i) => makeClient(`client-${i}`))
    const contenders: Contender[] = []
    for (const variant of place.variants) {
      const server = await place.holdfast(variant)
      const target = { htm: 'GET', htu: `https://localhost:${server.port}/proven` }
      const plan = { mode: 'closed', server, path: '/proven', connections: CONNECTIONS, certified: false, expect: 200 } as const
      const load = (requests: readonly RequestHeaders[]) => replay(place, { ...plan, requests, seconds: 60 })
      let tokens: string[] = []
      const ofAll = () => many.map((client, i) => dpopHeaders(tokens[i] ?? '', signProof(client.key, tokens[i] ?? '', target)))
      contenders.push(
        {
          name: `one client${variant.label}`,
          warmUp: NODE_WARM_UP,
          measure: () => load(signRequests(place.issuer, one, target, CLIENTS)),
        },
        {
          name: `first sight${variant.label}`,
          measure: () => {
            // New ones each round: what was seen in the round before is no first sight.
            tokens = many.map((client) => dpopToken(place.issuer, client))
            return load(ofAll())
          },
        },
        { name: `again${variant.label}`, measure: () => load(ofAll()) },
      )
    }
    return contenders
  },
}
