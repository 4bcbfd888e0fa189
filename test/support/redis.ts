// A real redis-server on loopback, without persistence, that a test can stop, freeze and start anew.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'

export type RunningRedis = {
  readonly url: string
  readonly port: number
  /** Ends it at once, as a crash does. */
  kill(): Promise<void>
  /** Freezes it: connections stay, nothing is answered. */
  pause(): void
  resume(): void
  /** Starts it again on the same port, empty. */
  start(): Promise<void>
  /** What `call` shows from now on. */
  usePassword(password: string): void
  /** Runs one command. */
  call(...command: [string, ...string[]]): Promise<unknown>
  stop(): Promise<void>
}

export type RedisOptions = { readonly settings?: readonly string[]; readonly password?: string }

/** scripts/prepare.mjs puts one here where none is on PATH. */
const UNPACKED = join(import.meta.dirname, '..', '..', '..', 'node_modules', '.cache', 'holdfast', 'redis-server')

export const freePort = async (): Promise<number> => {
  for (;;) {
    // Below those that the kernel gives to clients: one of theirs may have a client a moment later.
    const port = 10_000 + Math.floor(Math.random() * 22_000)
    const server = createServer()
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
    })
    if (isFree) return port
  }
}

/** `settings`: further ones of redis-server, such as `--requirepass`; `password`: what `call` then needs. */
export async function startRedis({ settings = [], ...options }: RedisOptions = {}): Promise<RunningRedis> {
  let { password } = options
  const port = await freePort()
  const url = `redis://127.0.0.1:${port}`
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-redis-'))
  let child: ChildProcess | null = null

  const start = async (): Promise<void> => {
    const args = [
      '--port',
      String(port),
      '--bind',
      '127.0.0.1',
      '--save',
      '',
      '--appendonly',
      'no',
      '--dir',
      folder,
      '--repl-diskless-sync-delay',
      '0',
      ...settings,
    ]
    child = spawn(existsSync(UNPACKED) ? UNPACKED : 'redis-server', args, { stdio: 'ignore' })
    child.on('error', () => undefined)
    for (let i = 0; i < 100; i++) {
      if (await answers(url, password)) return
      await sleep(30)
    }
    throw new Error('redis-server does not start: node scripts/prepare.mjs --redis installs it')
  }
  const kill = async (): Promise<void> => {
    const running = child
    child = null
    if (running === null || running.exitCode !== null || running.signalCode !== null) return
    const exit = once(running, 'exit')
    running.kill('SIGKILL')
    await exit
  }
  const atExit = () => void child?.kill('SIGKILL')
  process.once('exit', atExit)
  await start()
  return {
    url,
    port,
    start,
    kill,
    pause: () => void child?.kill('SIGSTOP'),
    resume: () => void child?.kill('SIGCONT'),
    usePassword: (next) => {
      password = next
    },
    call: async (name, ...args) => {
      const client = new Redis(url, { lazyConnect: true, ...(password === undefined ? {} : { password }) })
      client.on('error', () => undefined)
      try {
        return await client.call(name, ...args)
      } finally {
        client.disconnect()
      }
    },
    stop: async () => {
      process.off('exit', atExit)
      await kill()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function answers(url: string, password?: string): Promise<boolean> {
  const quick = { lazyConnect: true, retryStrategy: () => null, maxRetriesPerRequest: 0 }
  const client = new Redis(url, { ...quick, ...(password === undefined ? {} : { password }) })
  client.on('error', () => undefined)
  try {
    await client.connect()
    return (await client.ping()) === 'PONG'
  } catch {
    return false
  } finally {
    client.disconnect()
  }
}

/** Waits until `check` says true; `what` is said when it takes half a minute. */
async function until(what: string, check: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 600; i++) {
    if (await check().catch(() => false)) return
    await sleep(50)
  }
  throw new Error(`not within 30 s: ${what}`)
}

const says = async (redis: RunningRedis, section: string, text: string | RegExp): Promise<boolean> =>
  new RegExp(text).test(String(await redis.call('INFO', section)))

/** A primary and two replicas that have all of it. */
export async function startReplicas(options: RedisOptions = {}): Promise<readonly [RunningRedis, RunningRedis, RunningRedis]> {
  const [primary, first, second] = [await startRedis(options), await startRedis(options), await startRedis(options)]
  for (const replica of [first, second]) await replica.call('REPLICAOF', '127.0.0.1', String(primary.port))
  await until('both replicas are online', () =>
    says(primary, 'replication', /slave0:.*state=online(?:.|\n|\r)*slave1:.*state=online/),
  )
  return [primary, first, second]
}

/** Three primaries with a replica each, of one cluster; the first three are the primaries. */
export async function startCluster(): Promise<readonly RunningRedis[]> {
  const settings = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '1000', '--cluster-replica-validity-factor', '0']
  const ports = await Promise.all(Array.from({ length: 6 }, freePort))
  // Not 10,000 above the other one, where a client's may be.
  const nodes = await Promise.all(ports.map((port) => startRedis({ settings: [...settings, '--cluster-port', String(port)] })))
  const [first, ...others] = nodes as [RunningRedis, ...RunningRedis[]]
  await Promise.all(
    nodes
      .slice(0, 3)
      .map((node, i) => node.call('CLUSTER', 'ADDSLOTSRANGE', String(i * 5462), String(Math.min(i * 5462 + 5461, 16383)))),
  )
  for (const [i, { port }] of others.entries())
    await first.call('CLUSTER', 'MEET', '127.0.0.1', String(port), String(ports[i + 1]))
  const ids = await Promise.all(nodes.map((node) => node.call('CLUSTER', 'MYID')))
  for (const [i, replica] of nodes.slice(3).entries()) {
    await until('the nodes know each other', async () => (await replica.call('CLUSTER', 'REPLICATE', String(ids[i]))) === 'OK')
  }
  for (const node of nodes)
    await until('the cluster is well', async () => String(await node.call('CLUSTER', 'INFO')).includes('cluster_state:ok'))
  for (const node of nodes.slice(0, 3))
    await until('each primary has a replica', () => says(node, 'replication', /slave0:.*state=online/))
  return nodes
}

/** A Sentinel of its own that watches the primary `holdfast` and replaces it after half a second of silence. */
export async function startSentinel(
  primaryPort: number,
  quorum = 1,
): Promise<{ readonly url: string; readonly port: number; stop(): Promise<void> }> {
  const port = await freePort()
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-sentinel-'))
  const file = join(folder, 'sentinel.conf')
  const lines = [
    `port ${port}`,
    'bind 127.0.0.1',
    `dir ${folder}`,
    `sentinel monitor holdfast 127.0.0.1 ${primaryPort} ${quorum}`,
    'sentinel down-after-milliseconds holdfast 500',
    'sentinel failover-timeout holdfast 3000',
  ]
  writeFileSync(file, lines.join('\n'))
  const child = spawn(existsSync(UNPACKED) ? UNPACKED : 'redis-server', [file, '--sentinel'], { stdio: 'ignore' })
  const atExit = () => void child.kill('SIGKILL')
  process.once('exit', atExit)
  const url = `redis://127.0.0.1:${port}`
  for (let i = 0; i < 100 && !(await answers(url)); i++) await sleep(30)
  return {
    url,
    port,
    stop: async () => {
      process.off('exit', atExit)
      const exit = once(child, 'exit')
      child.kill('SIGKILL')
      await exit
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
