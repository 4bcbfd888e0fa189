// Two ends of one channel: answers, failures, silence, and both ways at once.
import t from 'tap'
import { type Channel, type Handlers, openPeer } from '../../src/cluster/peer.js'

/** Two ends, connected as processes are: by JSON. */
function connected(left: Handlers, right: Handlers) {
  const listeners: ((message: unknown) => void)[][] = [[], []]
  const end = (own: number): Channel => ({
    send: (message) => {
      for (const listener of listeners[1 - own] ?? []) listener(JSON.parse(JSON.stringify(message)))
    },
    onMessage: (listener) => void listeners[own]?.push(listener),
  })
  return { left: openPeer(end(0), left), right: openPeer(end(1), right) }
}

t.test('each end answers the other, in whatever order answers come', async (t) => {
  let answerSlow: (value: string) => void = () => undefined
  const { left, right } = connected(
    { double: (value) => Number(value) * 2 },
    {
      slow: () =>
        new Promise((resolve) => {
          answerSlow = resolve
        }),
      quick: async () => ({ is: 'quick' }),
    },
  )
  const slow = left.call('slow')
  t.same(await left.call('quick'), { is: 'quick' })
  t.equal(await right.call('double', 21), 42)
  answerSlow('at last')
  t.equal(await slow, 'at last')
})

t.test('a failure is told by its message; what nobody answers fails at once', async (t) => {
  const { left } = connected(
    {},
    {
      fails: () => {
        throw new Error('it answered 500')
      },
    },
  )
  await t.rejects(left.call('fails'), { message: 'it answered 500' })
  await t.rejects(left.call('nonsense'), { message: 'nobody answers nonsense' })
})

t.test('messages of others are left alone', async (t) => {
  const told: unknown[] = []
  const listeners: ((message: unknown) => void)[] = []
  openPeer({ send: (message) => told.push(message), onMessage: (listener) => void listeners.push(listener) }, {})
  for (const message of [null, 'text', 7, {}, { answer: 99, value: 'of nothing' }])
    for (const listener of listeners) listener(message)
  t.same(told, [])
})

t.test('an end that is closed answers nobody any more, and keeps nobody waiting', async (t) => {
  const peer = openPeer({ send: () => undefined, onMessage: () => undefined }, {})
  const waiting = peer.call('slow')
  peer.close('it ended')
  await t.rejects(waiting, { message: 'it ended' })
  await t.rejects(peer.call('late'), { message: 'it ended' })
})
