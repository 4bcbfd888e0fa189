// A process that was held up: what came meanwhile is refused before any of it is judged, what was in flight is completed, and within a
// second all is as before (contract §9).
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { makeDraft, printDraft } from '../support/draft.js'
import { HOST, startLab } from '../support/lab.js'

const draft = () => makeDraft({ host: HOST, path: '/read/1' })

/** Answers that the upstream has begun and not ended. */
const waiting: ServerResponse[] = []
const lab = await startLab({
  store: 'memory',
  isImpatient: true,
  upstream: (request, response) => {
    request.resume()
    if (request.headers['x-wait'] === undefined) return void response.writeHead(200, { 'Content-Length': 0 }).end()
    response.writeHead(200, { 'Content-Length': 4 }).write('ab')
    waiting.push(response)
  },
})
t.teardown(() => lab.stop())

/** Holds up this process, which is the gateway too, for longer than it may be late. */
async function holdUp(): Promise<void> {
  // What was sent just before is on its way, and is read when this is over.
  await new Promise(setImmediate)
  const until = performance.now() + 800
  while (performance.now() < until);
}

t.test('refuses what comes while the event loop is late, and completes what is in flight', async (t) => {
  const running = await lab.open()
  const warm = await lab.open()
  t.teardown(() => {
    running.close()
    warm.close()
  })
  const long = draft()
  long.headers = [['X-Wait', 'yes']]
  running.send(printDraft(long))
  await once(running.socket, 'data')
  t.equal(waiting.length, 1, 'it is in flight')

  const good = printDraft(draft())
  const guessed = draft()
  guessed.spoilToken = (token) => `${token.slice(0, -10)}${token.at(-10) === 'A' ? 'B' : 'A'}${token.slice(-9)}`
  const stranger = await lab.open()
  t.teardown(() => stranger.close())
  warm.send(good)
  stranger.send(printDraft(guessed))
  await holdUp()
  const over = performance.now()

  const refusals = [await warm.response(), await stranger.response()]
  let reply = await lab.sendRaw(good)
  while (reply.status === 503 && performance.now() - over < 5_000) {
    await sleep(20)
    reply = await lab.sendRaw(good)
  }
  t.equal(reply.status, 200, 'the same proof, which was not spent')
  const ms = performance.now() - over
  t.ok(ms < 1_000, `served again after ${ms.toFixed(0)} ms`)

  for (const response of waiting) response.end('cd')
  const { status, body } = await running.response()
  t.equal(status, 200)
  t.equal(body.toString(), 'abcd', 'what was in flight is complete')

  for (const { status, header, body } of refusals) {
    t.equal(status, 503)
    t.equal(JSON.parse(body.toString()).reason, 'overloaded', 'a wrong signature is not even looked at')
    t.match(header('retry-after'), /^[1-9]\d*$/)
    const event = await lab.refusal(header('x-request-id') ?? '')
    t.match(event, { decision: 'deny', reason: 'overloaded' })
    t.equal(event?.subject, undefined, 'its token was not read')
  }
})

t.test('says so where an operator looks', async (t) => {
  const ready = lab.admin('/readyz')
  await holdUp()
  t.equal((await ready).status, 503)
  let status = 503
  for (let i = 0; i < 40 && status === 503; i++) {
    await sleep(25)
    status = (await lab.admin('/readyz')).status
  }
  t.equal(status, 200)
})
