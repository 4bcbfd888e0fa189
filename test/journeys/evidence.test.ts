// SIGKILL at any moment, under load: every request that the upstream saw has its durable decision on disk, and the log goes on where it
// was cut off. `KILLS=100 node dist/test/journeys/evidence.test.js` asks it more often.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { eventsIn } from '../support/audit.js'
import { makePlace } from '../support/fleet.js'
import { freePort } from '../support/redis.js'
import { KILLS, killUnderLoad, timeout } from './evidence-kills.js'

t.setTimeout(timeout)

t.test(`${KILLS} times killed under load: nothing was forwarded without evidence`, { timeout }, async (t) => {
  const port = await freePort()
  const place = await makePlace(t)
  const files = [`audit-${port}.jsonl`, `audit-${port}.1.jsonl`]
  await killUnderLoad(t, place, {
    settings: { port },
    named: files,
    events: async () => files.flatMap((name) => eventsIn<Record<string, unknown>>(join(place.folder, name))),
  })
  t.ok(files.every((name) => readFileSync(join(place.folder, name), 'utf8').includes('"at":"end"')))
})
