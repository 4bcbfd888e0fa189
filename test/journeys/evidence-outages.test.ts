// A place of the audit log that gives no answer: nobody waits for it a second, nothing is forwarded without evidence, and it recovers
// by itself.
import { execFileSync, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { makeDraft } from '../support/draft.js'
import { waitFor } from '../support/fleet.js'
import { anonymous } from '../support/kinds.js'
import { HOST, startLab } from '../support/lab.js'
import { startRedis } from '../support/redis.js'

t.setTimeout(300_000)

/** A place for the log that can be silenced. */
type Silent = {
  readonly setting: string
  /** From now on, or after so many more bytes, it gives no answer. */
  silence(): void
  heal(): void
  readonly lines: () => Promise<readonly string[]>
  /** What the operator is told. */
  readonly said: RegExp
}

const PLACES: Readonly<Record<string, (t: Test) => Promise<Silent>>> = {
  'a pipe whose reader is slow': async (t) => {
    const folder = t.testdir()
    const [pipe, file] = [join(folder, 'audit.fifo'), join(folder, 'audit.jsonl')]
    execFileSync('mkfifo', [pipe])
    return {
      setting: `{ file: ${pipe} }`,
      silence: () => undefined,
      heal: () => {
        const reader = spawn('sh', ['-c', 'exec cat "$0" > "$1"', pipe, file], { stdio: 'ignore' })
        t.teardown(() => void reader.kill('SIGKILL'))
      },
      lines: async () => readFileSync(file, 'utf8').split('\n').slice(0, -1),
      said: /the disk has not answered for 800 ms/,
    }
  },
  'a Redis that is frozen': async (t) => {
    const redis = await startRedis()
    t.teardown(() => redis.stop())
    return {
      setting: `{ stream: { redis: { url: '${redis.url}', timeout: 500ms } } }`,
      silence: redis.pause,
      heal: redis.resume,
      lines: async () => {
        const entries = await redis.call('XRANGE', `holdfast:audit:${hostname()}:0`, '-', '+')
        return (entries as [string, [string, string]][]).map(([, [, line]]) => line)
      },
      said: /Redis: it does not answer/,
    }
  },
}

for (const [title, makePlace] of Object.entries(PLACES)) {
  t.test(`${title}: durable tiers answer within a second, others go on, and it recovers by itself`, async (t) => {
    const place = await makePlace(t)
    const lab = await startLab({
      store: 'memory',
      yaml: (parts) => ({ ...parts, audit: place.setting, tiers: `${parts.tiers}  sensitive_write: { rate_limit: off }\n` }),
    })
    t.teardown(() => lab.stop())
    const decide = async () => {
      const started = performance.now()
      const before = lab.upstreamCalls()
      const { status, body } = await lab.send(makeDraft({ host: HOST, path: '/tenants/tenant-1/decision', method: 'POST' }))
      return { status, body, took: performance.now() - started, wasForwarded: lab.upstreamCalls() > before }
    }
    await waitFor('it grants', async () => (await decide()).status === 200)
    place.silence()
    let reply = await decide()
    // A pipe holds some lines before it is full.
    for (let i = 0; i < 1000 && reply.status === 200; i++) reply = await decide()
    t.match(reply, { status: 503, body: /audit_unavailable/, wasForwarded: false })
    t.ok(reply.took < 2000, `${Math.round(reply.took)} ms; 0.8 s are waited, the rest is for a machine without time`)
    t.match(lab.logs.join('\n'), place.said)
    const next = await decide()
    t.match(next, { status: 503, wasForwarded: false })
    t.ok(next.took < 500, `${Math.round(next.took)} ms: who comes later does not wait`)
    t.equal((await lab.send(anonymous(makeDraft({ host: HOST, path: '/public' })))).status, 200)
    t.match(JSON.parse((await lab.admin('/readyz')).body).degraded, [/^audit log: /])

    place.heal()
    await waitFor('it grants again', async () => (await decide()).status === 200)
    await lab.stop()
    const permits = new Set(
      (await place.lines())
        .map((line) => JSON.parse(line))
        .filter(({ decision }) => decision === 'permit')
        .map(({ request_id }) => request_id),
    )
    const forwarded = lab.calls.filter(({ url }) => url?.includes('/decision')).map(({ headers }) => headers['x-request-id'])
    t.same(
      forwarded.filter((id) => !permits.has(id)),
      [],
      `${forwarded.length} forwarded`,
    )
    t.ok(forwarded.length > 1)
  })
}
