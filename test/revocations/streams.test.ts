// What is open already when its sender is revoked: WebSockets, event streams, and those that open in that very moment. And what the
// audit log says of it. Against a real gateway with a real Redis.
import { createHash } from 'node:crypto'
import t from 'tap'
import { clientKey, type Draft, makeDraft, printDraft } from '../support/draft.js'
import { waitFor } from '../support/fleet.js'
import { HOST, type Lab, startLab } from '../support/lab.js'
import { entryName, revoke, termsOf, withList } from '../support/revocations.js'

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
const acceptOf = (key: string): string =>
  createHash('sha1')
    .update(key + GUID)
    .digest('base64')

/** Lets the upstream of a stream answer; what was asked before waits. */
type Upstream = { lab: Lab; answer: () => void; asked: () => number }

async function start(t: Tap): Promise<Upstream> {
  let isHeld = false
  const waiting: (() => void)[] = []
  const when = (answer: () => void): void => {
    waiting.push(answer)
    if (!isHeld) for (const one of waiting.splice(0)) one()
  }
  let asked = 0
  const lab = await startLab({
    yaml: (yaml) => ({
      ...yaml,
      routes: `${yaml.routes}  - { path: /socket, methods: [GET], tier: bound_read, upstream: cases, websocket: true, issuers: [https://as.example.com] }\n`,
    }),
    upstream: (request, response) => {
      asked += 1
      if (request.headers['x-hold'] !== undefined) isHeld = true
      when(() => {
        response.writeHead(200, { 'Content-Type': 'text/event-stream' })
        response.write('data: one\n\n')
      })
    },
    upgrade: (request, socket) => {
      asked += 1
      if (request.headers['x-hold'] !== undefined) isHeld = true
      const accept = acceptOf(String(request.headers['sec-websocket-key']))
      when(() =>
        socket.write(
          `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
        ),
      )
    },
  })
  t.teardown(() => lab.stop())
  return {
    lab,
    asked: () => asked,
    answer: () => {
      isHeld = false
      for (const one of waiting.splice(0)) one()
    },
  }
}

type Tap = { teardown(end: () => unknown): void }

const of = (path: string, subject: string, isHeld = false): Draft => {
  const draft = makeDraft({ host: HOST, path })
  draft.token.claims.sub = subject
  if (isHeld) draft.headers = [['X-Hold', '1']]
  return draft
}

/** A client that reads what comes. */
async function openStream(lab: Lab, draft: Draft) {
  const client = await lab.open()
  const state = { seen: Buffer.alloc(0), isEnded: false }
  client.socket.on('data', (chunk: Buffer) => {
    state.seen = Buffer.concat([state.seen, chunk])
  })
  client.socket.on('close', () => {
    state.isEnded = true
  })
  client.send(printDraft(draft))
  return { ...client, state, text: () => state.seen.toString('latin1') }
}

const webSocket = (subject: string, isHeld = false): Draft => {
  const draft = of('/socket', subject, isHeld)
  draft.headers = [
    ...draft.headers,
    ['Connection', 'Upgrade'],
    ['Upgrade', 'websocket'],
    ['Sec-WebSocket-Version', '13'],
    ['Sec-WebSocket-Key', Buffer.alloc(16, 7).toString('base64')],
  ]
  return draft
}

const GOODBYE = Buffer.from([0x88, 0x02, 0x03, 0xf0])

t.test('open WebSockets and event streams of the revoked end, and no others', async (t) => {
  const { lab } = await start(t)
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
  const { lab, answer, asked } = await start(t)
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
  const { lab } = await start(t)
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
