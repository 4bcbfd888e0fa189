// What is open already when its client is suspended, or taken out of the registry: WebSockets, event streams, and those that open in
// that very moment.
import t, { type Test } from 'tap'
import { waitFor } from '../support/fleet.js'
import type { LabYaml } from '../support/lab.js'
import { GOODBYE, of, openStream, startStreams, webSocket } from '../support/streams.js'

const CLIENTS = {
  mallory: '{ client_id: mallory, issuer: https://as.example.com, status: testing, security_contact: m }',
  alice: '{ client_id: alice, issuer: https://as.example.com, status: testing, security_contact: a }',
}
const withRegistry = (clients: readonly string[]) => (yaml: LabYaml) => ({ ...yaml, clients: `[${clients.join(', ')}]` })

const yesterday = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10)

const REGISTRIES: Readonly<Record<string, readonly string[]>> = {
  suspended: [CLIENTS.mallory.replace('testing', 'suspended'), CLIENTS.alice],
  'taken out': [CLIENTS.alice],
  expired: [CLIENTS.mallory.replace('status: testing', `status: testing, expires: ${yesterday}`), CLIENTS.alice],
}

const ofClient = <T extends ReturnType<typeof of>>(draft: T, client: string): T => {
  draft.token.claims.client_id = client
  return draft
}

async function openBoth(t: Test, lab: Parameters<typeof openStream>[0], client: string, isHeld = false) {
  const socket = await openStream(lab, ofClient(webSocket('user-1', isHeld), client))
  const stream = await openStream(lab, ofClient(of('/read/1', 'user-1', isHeld), client))
  t.teardown(() => [socket, stream].forEach((one) => void one.close()))
  return {
    opened: async () => {
      await waitFor('a WebSocket', () => socket.text().includes(' 101 '))
      await waitFor('an event', () => stream.text().includes('data: one'))
    },
    ended: async () => {
      await waitFor('goodbye', () => socket.state.seen.subarray(-4).equals(GOODBYE))
      await waitFor('the end of the stream', () => stream.text().endsWith('0\r\n\r\n'))
    },
    isOpen: () =>
      !socket.state.isEnded && !socket.state.seen.subarray(-4).equals(GOODBYE) && !stream.text().endsWith('0\r\n\r\n'),
  }
}

for (const [what, clients] of Object.entries(REGISTRIES)) {
  t.test(`what a client that is ${what} has open ends, and nothing else`, async (t) => {
    const { lab } = await startStreams(t, withRegistry(Object.values(CLIENTS)))
    const [mallory, alice] = [await openBoth(t, lab, 'mallory'), await openBoth(t, lab, 'alice')]
    await mallory.opened()
    await alice.opened()
    await lab.reload(withRegistry(Object.values(CLIENTS)))
    t.ok(mallory.isOpen() && alice.isOpen(), 'a reload that says the same of them ends nothing')
    await lab.reload(withRegistry(clients))
    await mallory.ended()
    t.ok(alice.isOpen(), 'others go on')
  })

  t.test(`what a client that is ${what} has asked for does not stay open`, async (t) => {
    const { lab, answer, asked } = await startStreams(t, withRegistry(Object.values(CLIENTS)))
    const mallory = await openBoth(t, lab, 'mallory', true)
    await waitFor('both at the upstream', () => asked() === 2)
    await lab.reload(withRegistry(clients))
    answer()
    await mallory.ended()
    t.pass('both ended')
  })
}

t.test('what a client has open that was never in the registry goes on, where the tier takes anyone', async (t) => {
  const forAnyone = (clients: readonly string[]) => (yaml: LabYaml) => ({
    ...withRegistry(clients)(yaml),
    tiers: yaml.tiers?.replace('bound_read: {', 'bound_read: { client: any,') as string,
  })
  const { lab } = await startStreams(t, forAnyone(Object.values(CLIENTS)))
  const [mallory, stranger] = [await openBoth(t, lab, 'mallory'), await openBoth(t, lab, 'stranger')]
  await mallory.opened()
  await stranger.opened()
  await lab.reload(withRegistry([CLIENTS.alice]))
  await mallory.ended()
  t.ok(stranger.isOpen())
})
