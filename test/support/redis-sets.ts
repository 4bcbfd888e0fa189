// Redis as banks run it: a primary with replicas under three Sentinels, and a Cluster. All real, on loopback.
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { freePort, type RunningRedis, type RunningSentinel, startRedis, startSentinel } from './redis.js'

/** Tries until `isSo`; fails after a minute, because elections take their time on a busy machine. */
export async function eventually(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 60_000
  while (!(await isSo().catch(() => false))) {
    if (Date.now() > deadline) throw new Error(`waited in vain: ${what}`)
    await sleep(50)
  }
}

/** One member of `INFO`. */
export async function infoOf(redis: RunningRedis, name: string): Promise<string | undefined> {
  const text = String(await redis.call('INFO'))
  return new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(text)?.[1]
}

export const isPrimary = async (redis: RunningRedis): Promise<boolean> => (await infoOf(redis, 'role')) === 'master'

const follows = async (redis: RunningRedis, primary: RunningRedis): Promise<boolean> =>
  (await infoOf(redis, 'master_port')) === String(primary.port) && (await infoOf(redis, 'master_link_status')) === 'up'

export type SentinelSet = {
  /** The first one is the primary. */
  readonly nodes: readonly [RunningRedis, ...RunningRedis[]]
  readonly sentinels: readonly RunningSentinel[]
  /** Members of `replay.redis` in routes.yaml. */
  readonly yaml: string
  stop(): Promise<void>
}

/** Three Sentinels, two of which must agree, over a primary and its replicas. */
export async function startSentinelSet(replicas: number): Promise<SentinelSet> {
  const primary = await startRedis()
  const others = await Promise.all(Array.from({ length: replicas }, () => startRedis()))
  for (const replica of others) await replica.call('REPLICAOF', '127.0.0.1', String(primary.port))
  for (const replica of others) await eventually('a replica follows', () => follows(replica, primary))
  const sentinels = await Promise.all(Array.from({ length: 3 }, () => startSentinel(primary.port, { quorum: 2 })))
  for (const { url } of sentinels) {
    await eventually('the Sentinels know each other and the replicas', async () => {
      const [known] = (await askOnce(url, 'SENTINEL', 'MASTERS')) as string[][]
      const of = (name: string) => Number(known?.[known.indexOf(name) + 1])
      return of('num-slaves') === replicas && of('num-other-sentinels') === 2
    })
  }
  return {
    nodes: [primary, ...others],
    sentinels,
    yaml: `sentinels: [${sentinels.map(({ url }) => url).join(', ')}], primary: holdfast`,
    stop: async () => void (await Promise.all([...sentinels, primary, ...others].map((one) => one.stop()))),
  }
}

export type RedisCluster = {
  /** Primaries first; the replica of the first primary is the first after them. */
  readonly nodes: readonly RunningRedis[]
  readonly primaries: readonly RunningRedis[]
  readonly replicas: readonly RunningRedis[]
  stop(): Promise<void>
}

const SLOTS = 16_384

/** Three primaries, each with so many replicas, that replace a silent primary after a second. */
export async function startRedisCluster(replicasEach = 0): Promise<RedisCluster> {
  const settings = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '1000', '--cluster-replica-validity-factor', '0']
  const buses = await Promise.all(Array.from({ length: 3 * (1 + replicasEach) }, freePort))
  // Left out it would be 10,000 above the other port, where a client of somebody may be.
  const nodes = await Promise.all(buses.map((bus) => startRedis({ settings: [...settings, '--cluster-port', String(bus)] })))
  const [primaries, replicas] = [nodes.slice(0, 3), nodes.slice(3)]
  const [first, ...others] = nodes
  for (const [i, node] of nodes.entries()) await node.call('CLUSTER', 'SET-CONFIG-EPOCH', String(i + 1))
  for (const [i, node] of primaries.entries())
    await node.call('CLUSTER', 'ADDSLOTSRANGE', String(Math.ceil((i * SLOTS) / 3)), String(Math.ceil(((i + 1) * SLOTS) / 3) - 1))
  for (const [i, { port }] of others.entries())
    await first?.call('CLUSTER', 'MEET', '127.0.0.1', String(port), String(buses[i + 1]))
  const know = (node: RunningRedis) => async () => (await infoFrom(node, 'cluster_known_nodes')) === String(nodes.length)
  for (const node of nodes) await eventually('the nodes know each other', know(node))
  for (const [i, replica] of replicas.entries()) {
    const primary = primaries[i % 3] as RunningRedis
    const id = String(await primary.call('CLUSTER', 'MYID'))
    await eventually('a replica takes its primary', async () => (await replica.call('CLUSTER', 'REPLICATE', id)) === 'OK')
    await eventually('a replica follows', () => follows(replica, primary))
  }
  for (const node of nodes) await eventually('the cluster is well', async () => (await infoFrom(node, 'cluster_state')) === 'ok')
  return { nodes, primaries, replicas, stop: async () => void (await Promise.all(nodes.map((node) => node.stop()))) }
}

async function infoFrom(node: RunningRedis, name: string): Promise<string | undefined> {
  const text = String(await node.call('CLUSTER', 'INFO'))
  return new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(text)?.[1]
}

/** One command to a server that is no RunningRedis. */
export async function askOnce(url: string, name: string, ...args: string[]): Promise<unknown> {
  const client = new Redis(url, { lazyConnect: true })
  client.on('error', () => undefined)
  try {
    return await client.call(name, ...args)
  } finally {
    client.disconnect()
  }
}
