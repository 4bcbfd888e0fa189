// What is open already when its sender is revoked: WebSockets, event streams, and those that open in that very moment. And what the
// audit log says of it. Against a real gateway with a real Redis.
import t from 'tap'
import { clientKey } from '../support/draft.js'
import { waitFor } from '../support/fleet.js'
import { entryName, revoke, termsOf, withList } from '../support/revocations.js'
import { GOODBYE, of, openStream, startStreams, webSocket } from '../support/streams.js'

t.test('open WebSockets and event streams of the revoked end, and no others', async (t) => {
  const { lab } = await startStreams(t)
  if (lab.redis === null) throw new Error('this lab has one')
  const revoked = [await openStream(lab, webSocket('mallory')), await openStream(lab, of('/read/1', 'mallory'))] as const
  const others = [await openStream(lab, webSocket('alice')), await openStream(lab, of('/read/1', 'alice'))] as const
  t.teardown(() => [...revoked, ...others].forEach((one) => void one.close()))
  for (const socket of [revoked[0], others[0]]) await waitFor('a WebSocket', () => socket.text().includes(' 101 '))
  for (const stream of [revoked[1], others[1]]) await waitFor('an event', () => stream.text().includes('data: one'))

  await revoke(lab.redis, ['subject', 'mallory', { reason: 'sold his phone' }])
  await waitFor('goodbye', () => revoked[0].state.seen.subarray(-4).equals(GOODBYE))
  await waitFor('the end of the stream', () => revoked[1].text().endsWith('0\r\n\r\n'))
  t.notOk(others.some(({ state }) => state.isEnded || state.seen.subarray(-4).equals(GOODBYE)))
  t.notOk(others[1].text().endsWith('0\r\n\r\n'))
})

t.test('one that is granted before and opens after does not stay open', async (t) => {
  const { lab, answer, asked } = await startStreams(t)
  if (lab.redis === null) throw new Error('this lab has one')
  const socket = await openStream(lab, webSocket('mallory', true))
  const stream = await openStream(lab, of('/read/1', 'mallory', true))
  t.teardown(() => [socket, stream].forEach((one) => void one.close()))
  await waitFor('both at the upstream', () => asked() === 2)
  await revoke(lab.redis, ['subject', 'mallory'])
  await waitFor('that it is enforced', () => lab.events().some(({ change }) => change === 'revoked'))
  answer()
  await waitFor('goodbye', () => socket.state.seen.subarray(-4).equals(GOODBYE))
  await waitFor('the end of the stream', () => stream.text().endsWith('0\r\n\r\n'))
  t.pass('both ended')
})

t.test('the audit log says what, who and why, when it takes effect and when it ends', async (t) => {
  const { lab } = await startStreams(t)
  const { redis } = lab
  if (redis === null) throw new Error('this lab has one')
  const events = () => lab.events().filter(({ event_type }) => event_type === 'revocation')
  const changed = async (change: string) => {
    await waitFor(`an event ${change}`, () => events().some((event) => event.change === change))
    return events().find((event) => event.change === change)
  }
  await revoke(redis, ['jkt', clientKey.jkt, { by: 'bob@ops', reason: 'case 4711' }])
  t.match(await changed('revoked'), {
    event_type: 'revocation',
    revoked_kind: 'jkt',
    revoked_value: clientKey.jkt,
    by: 'bob@ops',
    why: 'case 4711',
    time: /^\d{4}-/,
    instance: String,
  })
  await withList(redis, (store) =>
    store.unrevoke(entryName('jkt', clientKey.jkt), termsOf({ effect: 'none', reason: 'by mistake' })),
  )
  t.match(await changed('unrevoked'), { revoked_value: clientKey.jkt, why: 'by mistake' })
  await revoke(redis, ['client', 'client-9', { until: Date.now() / 1000 + 0.5 }])
  t.match(await changed('ended'), { revoked_kind: 'client', revoked_value: 'client-9', token_issuer: 'https://as.example.com' })
})
