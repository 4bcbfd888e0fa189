// Redis fails over under load. Two gateways share it, and somebody sends every proof that one of them accepted to the other, again and
// again, before, while and after: not one is accepted twice (contract §9). And the gateways take new ones again by themselves.
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { makeDraft, printDraft } from '../support/draft.js'
import { type Fleet, HOST, makePlace, type Place, serve } from '../support/fleet.js'
import type { RunningRedis } from '../support/redis.js'
import { eventually, isPrimary, startRedisCluster, startSentinelSet } from '../support/redis-sets.js'

const yaml = (place: Place, redis: string) => (ports: { port: number; admin: number }) => {
  const { port: upstream } = place.upstream.address() as { port: number }
  return `version: 1
listen: { host: 127.0.0.1, port: ${ports.port}, tls: { key: server.key, cert: server.crt } }
admin: { port: ${ports.admin} }
workers: 1
limits: { event_loop_delay: 30s }
public_origins: [https://${HOST}]
issuers: [{ issuer: https://as.example.com, audience: https://api.example.com, jwks_file: issuer.jwks }]
replay: { store: redis, redis: { timeout: 1s, ${redis} } }
audit: { file: audit-${ports.port}.jsonl }
assertion: { issuer: https://gateway.example.com, key: assertion.key }
upstreams: { u: { url: 'http://127.0.0.1:${upstream}', audience: u } }
tiers: { quick: { extends: sensitive_read, clock_skew: 1s, audit: denials } }
routes: [{ path: /pay, methods: [GET], tier: quick, upstream: u }]
`
}

/** Clients of one gateway each, and the thief: whatever was accepted here goes there, as long as the test lasts. */
function startTraffic(gateways: readonly [Fleet, Fleet]) {
  const accepted: { readonly bytes: string | Buffer; readonly by: number }[] = []
  const twice: number[] = []
  let isOver = false
  const statusOf = async (gateway: Fleet, bytes: string | Buffer): Promise<number> => {
    const reply = await gateway.send(bytes).catch(() => null)
    return reply?.status ?? 0
  }
  const client = async (by: 0 | 1): Promise<void> => {
    while (!isOver) {
      const bytes = printDraft(makeDraft({ host: HOST, path: '/pay' }))
      if ((await statusOf(gateways[by], bytes)) === 200) accepted.push({ bytes, by })
      await sleep(5)
    }
  }
  const steal = async (one: (typeof accepted)[number]): Promise<void> => {
    const status = await statusOf(one.by === 0 ? gateways[1] : gateways[0], one.bytes)
    if (status === 200) twice.push(status)
  }
  const thief = async (next: () => (typeof accepted)[number] | undefined): Promise<void> => {
    while (!isOver) {
      const one = next()
      if (one !== undefined) await steal(one)
      await sleep(1)
    }
  }
  const running = [
    client(0),
    client(0),
    client(1),
    client(1),
    // The last ones that were accepted, which a replica may not have; and any.
    thief(() => accepted.at(-1)),
    thief(() => accepted.at(-1)),
    thief(() => accepted[Math.floor(Math.random() * accepted.length)]),
  ]
  return {
    accepted,
    twice,
    /** So many more are accepted, by each gateway. */
    async more(count: number): Promise<boolean> {
      const before = accepted.length
      const have = (by: number): number => accepted.slice(before).filter((one) => one.by === by).length
      for (let i = 0; i < 1200 && (have(0) < count || have(1) < count); i++) await sleep(50)
      return have(0) >= count && have(1) >= count
    },
    /** And in the end all of them, at both. */
    async end(): Promise<void> {
      isOver = true
      await Promise.all(running)
      for (const { bytes } of accepted) {
        for (const gateway of gateways) if ((await statusOf(gateway, bytes)) === 200) twice.push(200)
      }
    },
  }
}

type Scene = {
  readonly redis: string
  /** Takes the primary away, and later brings it back. */
  readonly fail: () => Promise<void>
  readonly back: () => Promise<void>
}

async function play(t: Test, { redis, fail, back }: Scene): Promise<void> {
  const place = await makePlace(t)
  const gateways = [
    await serve(t, place, { yaml: yaml(place, redis) }),
    await serve(t, place, { yaml: yaml(place, redis) }),
  ] as const
  const traffic = startTraffic(gateways)
  t.ok(await traffic.more(20), 'both accept')
  const before = traffic.accepted.length
  await fail()
  const began = performance.now()
  t.ok(await traffic.more(20), 'both accept again')
  const seconds = Math.round((performance.now() - began) / 100) / 10
  await back()
  t.ok(await traffic.more(20), 'and after the old one is back')
  await traffic.end()
  t.same(traffic.twice, [], `${traffic.accepted.length} accepted once, ${before} of them before`)
  t.comment(`${traffic.accepted.length} accepted, ${before} before; new ones again after ${seconds} s`)
}

const SLOW = { timeout: 150_000 }

async function withSentinels(t: Test): Promise<{ readonly redis: string; readonly primary: RunningRedis }> {
  const { nodes, yaml, stop } = await startSentinelSet(2)
  t.teardown(stop)
  return { redis: yaml, primary: nodes[0] }
}

t.test('Sentinel: the primary freezes, is replaced, and wakes up as if nothing had been', SLOW, async (t) => {
  const { redis, primary } = await withSentinels(t)
  await play(t, { redis, fail: async () => primary.pause(), back: async () => primary.resume() })
})

async function withCluster(
  t: Test,
): Promise<{ readonly redis: string; readonly primary: RunningRedis; readonly replica: RunningRedis }> {
  const { nodes, primaries, replicas, stop } = await startRedisCluster(1)
  t.teardown(stop)
  const [primary, replica] = [primaries[1], replicas[1]]
  if (primary === undefined || replica === undefined) throw new Error('a cluster without nodes')
  return { redis: `cluster: [${nodes.map(({ url }) => `'${url}'`).join(', ')}]`, primary, replica }
}

t.test('Cluster: a primary is killed, and nobody had waited for its replica', SLOW, async (t) => {
  const { redis, primary } = await withCluster(t)
  await play(t, { redis: `${redis}, wait: 0`, fail: primary.kill, back: primary.start })
})

t.test('Cluster: a primary freezes, is replaced, and wakes up as a replica', SLOW, async (t) => {
  const { redis, primary, replica } = await withCluster(t)
  const fail = async (): Promise<void> => {
    primary.pause()
    await eventually('its replica takes over', () => isPrimary(replica))
    // Each record needs a replica, and the one that took over has none before.
    primary.resume()
  }
  await play(t, { redis, fail, back: async () => undefined })
})
