// Gateways that are killed under load, and what is left of the requests that their upstream saw.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { audit } from '../../src/cli/audit.js'
import { startCallers } from '../support/callers.js'
import { makeDraft, printDraft } from '../support/draft.js'
import { type FleetSettings, HOST, type Place, serve } from '../support/fleet.js'

/** How often; a hundred by `KILLS=100 node dist/test/journeys/evidence.test.js`. */
export const KILLS = Number(process.env.KILLS ?? 8)

export const timeout = 60_000 + KILLS * 15_000

/** Where the log is, and how it is read. */
export type Kept = {
  readonly settings: FleetSettings
  /** Arguments of `holdfast audit verify`. */
  readonly named: readonly string[]
  readonly events: () => Promise<readonly Record<string, unknown>[]>
}

/** Ends with a gateway that was stopped in good order. */
export async function killUnderLoad(t: Test, place: Place, { settings: more, named, events }: Kept): Promise<void> {
  const seen: string[] = []
  place.upstream.prependListener('request', ({ headers }) => seen.push(String(headers['x-request-id'])))
  const settings: FleetSettings = {
    workers: 2,
    tiers: 'paid: { extends: sensitive_read, audit: durable }',
    more: '  - { path: /durable, methods: [GET], tier: paid, upstream: u }\n',
    ...more,
  }
  const verify = async (): Promise<string[]> => {
    const said: string[] = []
    const io = { out: () => undefined, err: (line: string) => said.push(line), env: {}, cwd: place.folder }
    await audit.run(['verify', '--running', '--config', gateway.file, ...named], io)
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
    (await events())
      .filter(({ decision, event_type }) => event_type === 'authorization_decision' && decision === 'permit')
      .map(({ request_id }) => request_id),
  )
  t.same(
    seen.filter((id) => !durable.has(id)),
    [],
    `${seen.length} forwarded, ${durable.size} with evidence`,
  )
  t.ok(seen.length > KILLS * 40)
  t.comment(`${seen.length} forwarded, ${durable.size} permits kept, ${KILLS} kills`)
}
