// SIGKILL at any moment, under load: every request that the upstream saw has its durable decision on disk, and the log goes on where it
// was cut off. `KILLS=100 node dist/test/journeys/evidence.test.js` asks it more often.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { audit } from '../../src/cli/audit.js'
import { eventsIn } from '../support/audit.js'
import { startCallers } from '../support/callers.js'
import { makeDraft, printDraft } from '../support/draft.js'
import { HOST, makePlace, serve } from '../support/fleet.js'
import { freePort } from '../support/redis.js'

const KILLS = Number(process.env.KILLS ?? 8)

t.test(
  `${KILLS} times killed under load: nothing was forwarded without evidence`,
  { timeout: 60_000 + KILLS * 15_000 },
  async (t) => {
    const place = await makePlace(t)
    const seen: string[] = []
    place.upstream.prependListener('request', ({ headers }) => seen.push(String(headers['x-request-id'])))
    const settings = {
      port: await freePort(),
      workers: 2,
      tiers: 'paid: { extends: sensitive_read, audit: durable }',
      more: '  - { path: /durable, methods: [GET], tier: paid, upstream: u }\n',
    }
    const file = `audit-${settings.port}.jsonl`
    const files = [file, file.replace('.jsonl', '.1.jsonl')]
    const verify = async (): Promise<string[]> => {
      const said: string[] = []
      const io = { out: () => undefined, err: (line: string) => said.push(line), env: {}, cwd: place.folder }
      await audit.run(['verify', '--running', '--config', gateway.file, ...files], io)
      return said
    }
    let gateway = await serve(t, place, settings)
    for (let kill = 0; kill < KILLS; kill++) {
      const before = seen.length
      const callers = startCallers(t, [gateway], {
        kept: 8,
        fresh: 1,
        request: () => printDraft(makeDraft({ host: HOST, path: '/durable' })),
      })
      while (seen.length < before + 40) await sleep(5)
      // At any moment: of the one process, or of both and of who started them.
      await sleep(Math.random() * 50)
      if (kill % 2 === 0) gateway.killOne()
      else process.kill(-(gateway.child.pid ?? 0), 'SIGKILL')
      await sleep(20)
      await callers.stop()
      if (kill % 2 === 1) {
        await gateway.ended
        gateway = await serve(t, place, settings)
      } else await gateway.until(/in place of one that ended/)
      t.same(await verify(), [], 'the log is whole')
    }
    gateway.child.kill('SIGTERM')
    t.equal(await gateway.ended, 0)
    t.same(await verify(), [])
    const durable = new Set(
      files
        .flatMap((name) => eventsIn<Record<string, unknown>>(join(place.folder, name)))
        .filter(({ decision, event_type }) => event_type === 'authorization_decision' && decision === 'permit')
        .map(({ request_id }) => request_id),
    )
    t.same(
      seen.filter((id) => !durable.has(id)),
      [],
      `${seen.length} forwarded, ${durable.size} with evidence`,
    )
    t.ok(seen.length > KILLS * 40)
    t.comment(`${seen.length} forwarded, ${durable.size} permits on disk, ${KILLS} kills`)
    t.ok(files.every((name) => readFileSync(join(place.folder, name), 'utf8').includes('"at":"end"')))
  },
)
