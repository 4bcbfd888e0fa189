// clients.yaml, beside routes.yaml: every worker goes by what it says now, without anybody telling them; what is wrong in it leaves the old
// registry in place and shows with its line, and what is gone of it is gone for its clients.
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { makeDraft, printDraft } from '../support/draft.js'
import { HOST, makePlace, serve, waitFor } from '../support/fleet.js'

const register = (status: string): string => `clients:
  - client_id: client-1
    status: ${status}
    approval: { by: jane.doe, on: 2026-01-31 }
    security_contact: security@partner.example
`

t.test('workers take a changed registry by themselves', async (t) => {
  const place = await makePlace(t)
  const file = join(place.folder, 'clients.yaml')
  const write = (text: string): void => writeFileSync(file, text)
  write(register('active'))
  const gateway = await serve(t, place, { workers: 2, watch: '100ms', more: 'clients: clients.yaml\n' })
  const ask = async () => {
    const reply = await gateway.send(printDraft(makeDraft({ host: HOST, path: '/pay' })))
    return { id: reply.header('x-request-id'), said: reply.status === 200 ? 'granted' : String(JSON.parse(reply.body).reason) }
  }
  /** What every worker says: asked until both have answered so, and none otherwise in between. */
  const becomes = async (answer: string): Promise<void> => {
    await waitFor(`a first ${answer}`, async () => (await ask()).said === answer)
    const heard = new Set<number>()
    await waitFor(
      () => `${answer} by ${[...heard]}`,
      async () => {
        const { id, said } = await ask()
        // A worker that has not taken it yet starts the count anew.
        if (said !== answer) heard.clear()
        else heard.add(await gateway.workerOf(id))
        return heard.size === 2
      },
    )
    t.pass(answer)
  }
  await becomes('granted')
  write(register('suspended'))
  await becomes('client_inactive')
  write('clients: []\n')
  await becomes('client_unknown')
  write(register('active'))
  await becomes('granted')

  const refused = async (what: RegExp, spoil: () => void): Promise<void> => {
    spoil()
    await gateway.until(what)
    t.equal((await ask()).said, 'granted', `${what}: the old registry is in place`)
  }
  await refused(/clients\.yaml:3:\d+ clients\.0\.status: expected/, () => write(register('actvie')))
  await refused(/clients: the file cannot be read/, () => rmSync(file))
  write(register('suspended'))
  await becomes('client_inactive')
})
