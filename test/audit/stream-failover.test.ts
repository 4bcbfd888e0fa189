// The stream of a Redis that fails over: with `wait: 1` whatever was said to be there is in the new primary, and the chain goes on.
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Evidence } from '../../src/audit/evidence.js'
import { openAuditLog } from '../../src/audit/log.js'
import { readStreams } from '../../src/audit/stream.js'
import type { RedisSettings } from '../../src/config/config.js'
import { auditKeys, SIGNED } from '../support/audit.js'
import { waitFor } from '../support/fleet.js'
import type { RunningRedis } from '../support/redis.js'
import { eventually, isPrimary, startRedisCluster, startSentinelSet } from '../support/redis-sets.js'

t.setTimeout(300_000)

const STREAM = 'holdfast:audit:gateway-1:0'

type Set = {
  readonly nodes: readonly RunningRedis[]
  readonly settings: Pick<RedisSettings, 'sentinels' | 'primary' | 'cluster'>
}

const SETS: Readonly<Record<string, (t: Test) => Promise<Set>>> = {
  Sentinels: async (t) => {
    const set = await startSentinelSet(2)
    t.teardown(() => set.stop())
    return { nodes: set.nodes, settings: { sentinels: set.sentinels.map(({ url }) => url), primary: 'holdfast', cluster: [] } }
  },
  'a Cluster': async (t) => {
    const cluster = await startRedisCluster(1)
    t.teardown(() => cluster.stop())
    return { nodes: cluster.nodes, settings: { sentinels: [], primary: null, cluster: cluster.nodes.map(({ url }) => url) } }
  },
}

/** The primary that has the stream. */
async function holderOf(nodes: readonly RunningRedis[]): Promise<RunningRedis | null> {
  for (const node of nodes) {
    const has = await node.call('EXISTS', STREAM).catch(() => 0)
    if (has === 1 && (await isPrimary(node))) return node
  }
  return null
}

for (const [title, start] of Object.entries(SETS)) {
  t.test(`${title}: a primary is killed under load`, async (t) => {
    const { nodes, settings } = await start(t)
    const redis: RedisSettings = {
      ...settings,
      url: null,
      timeout: 2,
      username: null,
      password: null,
      key_prefix: 'holdfast:',
      tls: null,
      wait: 1,
    }
    const log = await openAuditLog({ ...SIGNED, file: null, stream: { redis, events: 1_000_000 }, log: () => undefined })
    t.teardown(() => log.close())
    const promised: string[] = []
    let isOver = false
    let asked = 0
    const writer = async (): Promise<void> => {
      while (!isOver) {
        const id = `r${++asked}`
        if (await log.writeDurable({ event_type: 'authorization_decision', request_id: id })) promised.push(id)
        await sleep(5)
      }
    }
    const writers = Array.from({ length: 4 }, writer)
    await waitFor('lines are written', () => promised.length > 100)
    const holder = await holderOf(nodes)
    t.ok(holder)
    await holder?.kill()
    const before = promised.length
    await eventually('another one holds the stream', async () => {
      const others = nodes.filter((node) => node !== holder)
      return (await holderOf(others)) !== null
    })
    // Where there was one replica only, there must be another one.
    await holder?.start()
    await eventually('lines are written again', async () => promised.length > before + 100)
    isOver = true
    await Promise.all(writers)
    await log.close()

    const evidence = new Evidence({ keys: auditKeys.jwks.keys as [], isRunning: false })
    const ids: unknown[] = []
    for await (const { stream, lines } of readStreams(redis)) {
      evidence.begin(stream, { isStream: true })
      for await (const line of lines) ids.push(evidence.take(line)?.request_id)
    }
    const { findings, files } = evidence.end()
    t.same(
      findings.filter(({ kind }) => kind === 'problem'),
      [],
    )
    t.match(files, [{ file: STREAM }])
    const there = new Set(ids)
    t.same(
      promised.filter((id) => !there.has(id)),
      [],
      `${promised.length} promised`,
    )
  })
}
