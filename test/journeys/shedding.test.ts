// More than a gateway can take: what is over a limit is refused before anything is verified, its proof is good for another attempt, and
// all is as before when there is room again (contract §9).
import type { ServerResponse } from 'node:http'
import t, { type Test } from 'tap'
import { makeDraft, printDraft } from '../support/draft.js'
import { waitFor } from '../support/fleet.js'
import type { Reply } from '../support/http.js'
import { HOST, type Lab, type LabYaml, startLab } from '../support/lab.js'

const paid = (path = '/read/1') => printDraft(makeDraft({ host: HOST, path }))

/** A lab whose upstream answers when a test lets it. */
async function startHeld(t: Test, yaml: (defaults: LabYaml) => LabYaml) {
  const held: ServerResponse[] = []
  const lab = await startLab({
    store: 'memory',
    yaml,
    upstream: (request, response) => {
      request.resume()
      held.push(response)
    },
    upgrade: (_, socket) => {
      socket.on('error', () => undefined)
      socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n')
    },
  })
  const release = (): void => {
    for (const response of held.splice(0)) response.end('done')
  }
  t.teardown(() => {
    release()
    return lab.stop()
  })
  return { lab, held, release }
}

/** That it is the gateway's limit, which is told to the operator alone, and that nothing of the token was looked at. */
async function isShed(t: Test, lab: Lab, reply: Reply, detail: string): Promise<void> {
  t.equal(reply.status, 503)
  t.equal(JSON.parse(reply.body).reason, 'overloaded')
  t.match(reply.header('retry-after'), /^[1-9]\d*$/)
  const event = await lab.refusal(reply.header('x-request-id') ?? '')
  t.match(event, { decision: 'deny', reason: 'overloaded', detail })
  t.equal(event?.subject, undefined, 'its token was not read')
}

t.test('over `limits.requests`', async (t) => {
  const { lab, held, release } = await startHeld(t, (yaml) => ({ ...yaml, limits: '{ requests: 3 }' }))
  const inWork = Array.from({ length: 3 }, () => lab.sendRaw(paid()))
  await waitFor('three in work', () => held.length === 3)
  const proof = paid()
  await isShed(t, lab, await lab.sendRaw(proof), 'requests')
  t.equal((await lab.admin('/readyz')).status, 503)
  release()
  for (const reply of await Promise.all(inWork)) t.equal(reply.status, 200, 'what is in work is completed')
  t.equal((await lab.admin('/readyz')).status, 200)
  const again = lab.sendRaw(proof)
  await waitFor('the same proof', () => held.length === 1)
  release()
  t.equal((await again).status, 200)
})

const upstreams = (more: string) => (yaml: LabYaml) => {
  const url = /url: '([^']+)'/.exec(yaml.upstreams ?? '')?.[1]
  return {
    ...yaml,
    upstreams: `{ cases: { url: '${url}', audience: cases, ${more} }, other: { url: '${url}' } }`,
    routes: `${yaml.routes}  - { path: /other, methods: [GET], tier: public, upstream: other }\n`,
  }
}

t.test('over the `queue` of one upstream', async (t) => {
  const settings = upstreams('connections: 1, queue: 2, timeouts: { connect: 1m }')
  const { lab, held, release } = await startHeld(t, settings)
  const first = lab.sendRaw(paid())
  await waitFor('one in work', () => held.length === 1)
  const queued = [lab.sendRaw(paid()), lab.sendRaw(paid())]
  const inFlight = async () => /^holdfast_requests_in_flight (\d+)$/m.exec((await lab.admin('/metrics')).body)?.[1]
  await waitFor('two in the queue', async () => (await inFlight()) === '3')
  const proof = paid()
  const reply = await lab.sendRaw(proof)
  t.equal(held.length, 1)
  await isShed(t, lab, reply, 'queue')
  t.equal((await lab.admin('/readyz')).status, 200, 'one upstream is no reason to send nobody here')
  const other = lab.sendRaw(paid('/other'))
  await waitFor('another upstream', () => held.length === 2)
  let answered = 0
  const all = [first, ...queued, other].map(async (one) => {
    t.equal((await one).status, 200)
    answered += 1
  })
  await waitFor('all of them', () => {
    release()
    return answered === 4
  })
  await Promise.all(all)
  const again = lab.sendRaw(proof)
  await waitFor('the same proof', () => held.length === 1)
  release()
  t.equal((await again).status, 200)
})

t.test('an upstream that stands still takes no memory for those who gave up waiting', async (t) => {
  const settings = upstreams('connections: 1, queue: 4, timeouts: { connect: 200ms }')
  const { lab, held, release } = await startHeld(t, settings)
  const first = lab.sendRaw(paid())
  await waitFor('one in work', () => held.length === 1)
  const replies = await Promise.all(Array.from({ length: 12 }, () => lab.sendRaw(paid())))
  const later = await lab.sendRaw(paid())
  t.equal(replies.filter(({ status }) => status === 504).length, 4, 'they waited in vain')
  t.equal(replies.filter(({ status }) => status === 503).length, 8)
  await isShed(t, lab, later, 'queue')
  release()
  t.equal((await first).status, 200)
  const again = lab.sendRaw(paid())
  await waitFor('one more', () => held.length === 1)
  release()
  t.equal((await again).status, 200, 'and as it goes on, so do we')
})
