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

export type RedisOptions = {
  readonly settings?: readonly string[]
  readonly password?: string
  /** The program, in place of redis-server. */
  readonly program?: string
}

/** scripts/prepare.mjs puts one here where none is on PATH. */
const UNPACKED = join(import.meta.dirname, '..', '..', '..', 'node_modules', '.cache', 'holdfast', 'redis-server')
const SERVER = existsSync(UNPACKED) ? UNPACKED : 'redis-server'

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
export async function startRedis(options: RedisOptions = {}): Promise<RunningRedis> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await startOn(await freePort(), options)
    } catch (error) {
      // Somebody else may have taken the port meanwhile.
      if (attempt === 3) throw error
    }
  }
}

async function startOn(port: number, { settings = [], program = SERVER, ...options }: RedisOptions): Promise<RunningRedis> {
  let { password } = options
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
    child = spawn(program, args, { stdio: 'ignore' })
    child.on('error', () => undefined)
    for (let i = 0; i < 1000 && child.pid !== undefined && child.exitCode === null; i++) {
      if (await answers(url, password)) return
      await sleep(30)
    }
    await kill()
    throw new Error('redis-server does not start: node scripts/prepare.mjs --redis installs it')
  }
  const kill = async (): Promise<void> => {
    const running = child
    child = null
    if (running?.pid === undefined || running.exitCode !== null || running.signalCode !== null) return
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

export type SentinelOptions = {
  /** Sentinels that must agree that the primary is gone. */
  readonly quorum?: number
  /** Further lines of its configuration. */
  readonly lines?: readonly string[]
}

export type RunningSentinel = { readonly url: string; readonly port: number; stop(): Promise<void> }

/** A Sentinel that watches the primary `holdfast` and replaces it after half a second of silence. */
export async function startSentinel(primaryPort: number, options: SentinelOptions = {}): Promise<RunningSentinel> {
  const { quorum = 1, lines: further = [] } = options
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
    ...further,
  ]
  writeFileSync(file, lines.join('\n'))
  const child = spawn(SERVER, [file, '--sentinel'], { stdio: 'ignore' })
  const atExit = () => void child.kill('SIGKILL')
  process.once('exit', atExit)
  const url = `redis://127.0.0.1:${port}`
  for (let i = 0; i < 1000 && !(await answers(url)); i++) await sleep(30)
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
