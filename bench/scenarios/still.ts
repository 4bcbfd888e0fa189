// What costs without a load: memory of used proofs, and starting.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { get } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { outputOf } from '../load.js'
import { BUILD, startRedis } from '../peers.js'
import { usedBy } from '../resources.js'
import type { Contender, Scenario } from '../scenario.js'

export const memory: Scenario = {
  name: 'memory',
  title: 'Memory of used proofs',
  about:
    "What 100,000 live proofs take: in the memory store (heap after a full collection), and in Redis (`used_memory`), recorded there by the gateway's own store.",
  reading: `Redis keeps \`holdfast:\` and 21 characters for each, with the value 1 and an expiry. Each process also remembers in its own memory what it accepted itself, so the first line is what a process with Redis keeps too.`,
  columns: [
    { metric: 'memory', title: 'MB for 100,000', digits: 1 },
    { metric: 'rss', title: 'RSS growth MB', digits: 1 },
  ],
  isDefault: true,
  seconds: null,
  rounds: (asked) => Math.min(3, asked),
  async open(place) {
    const contenders: Contender[] = []
    for (const { label, node, dist } of place.variants)
      contenders.push({
        name: `memory store${label}`,
        warmUp: 0,
        measure: async () => {
          const { heap, rss } = JSON.parse(await outputOf(node, ['--expose-gc', RECORDER, dist]))
          return { memory: heap / 1e6, rss: rss / 1e6 }
        },
      })
    const [variant] = place.variants
    if (variant === undefined) return contenders
    const redis = place.keep(await startRedis(place.root))
    contenders.push({
      name: 'Redis',
      measure: async () => {
        await askRedis(redis.port, 'FLUSHALL')
        const before = await redisMemory(redis.port)
        await outputOf(variant.node, ['--expose-gc', RECORDER, variant.dist, `redis://127.0.0.1:${redis.port}`])
        return { memory: ((await redisMemory(redis.port)) - before) / 1e6 }
      },
    })
    return contenders
  },
}

const RECORDER = join(BUILD, 'bench', 'proof-memory.js')

async function askRedis(port: number, command: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.write(`${command}\r\nQUIT\r\n`)
  let text = ''
  socket.on('data', (chunk: Buffer) => {
    text += chunk
  })
  await once(socket, 'close')
  return text
}

const redisMemory = async (port: number): Promise<number> =>
  Number(/used_memory:(\d+)/.exec(await askRedis(port, 'INFO memory'))?.[1])

const isReady = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    get({ host: '127.0.0.1', port, path: '/readyz' }, (response) => {
      response.resume()
      resolve(response.statusCode === 200)
    }).on('error', () => resolve(false))
  })

export const startUp: Scenario = {
  name: 'start',
  title: 'Start-up',
  about: 'From the start of the process to 200 on `/readyz`, one worker, Redis and the upstream at hand; and its memory then.',
  reading: '`holdfast --version` is the same node and program without a gateway.',
  columns: [
    { metric: 'ready', title: 'ready ms', digits: 0 },
    { metric: 'cpu', title: 'CPU ms', digits: 0 },
    { metric: 'rss', title: 'RSS MB', digits: 0 },
  ],
  isDefault: true,
  seconds: null,
  async open(place) {
    const contenders: Contender[] = []
    for (const variant of place.variants) {
      contenders.push({
        name: `holdfast serve${variant.label}`,
        measure: async () => {
          const since = performance.now()
          const server = await place.holdfast(variant)
          while (!(await isReady(server.adminPort))) await sleep(2)
          const ready = performance.now() - since
          const { cpu, rss } = usedBy(server.pid)
          await server.stop()
          return { ready, cpu: cpu * 1000, rss: rss / 1e6 }
        },
      })
      contenders.push({
        name: `holdfast --version${variant.label}`,
        measure: async () => {
          const since = performance.now()
          const child = spawn(variant.node, [join(variant.dist, 'src', 'main.js'), '--version'], { stdio: 'ignore' })
          await once(child, 'close')
          return { ready: performance.now() - since }
        },
      })
    }
    return contenders
  },
}
