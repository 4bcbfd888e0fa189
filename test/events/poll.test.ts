// A transmitter that is asked (RFC 8936), over real HTTP: what it is told of each event, and what happens while it is away.
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { makeDraft } from '../support/draft.js'
import { makeSet, printSet, user } from '../support/events.js'
import { waitFor } from '../support/fleet.js'
import { HOST, type Lab, startLab } from '../support/lab.js'

type Question = { ack: string[]; setErrs: Record<string, { err: string }>; maxEvents: number; returnImmediately: boolean }

/** Gives what is waiting until it is acknowledged or refused. */
async function startTransmitter(t: Test) {
  const waiting = new Map<string, string>()
  const questions: Question[] = []
  const authorizations = new Set<string | undefined>()
  const state = { status: 200 }
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    const question = JSON.parse(body) as Question
    authorizations.add(request.headers.authorization)
    questions.push(question)
    for (const jti of [...question.ack, ...Object.keys(question.setErrs)]) waiting.delete(jti)
    response.writeHead(state.status, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ sets: Object.fromEntries(waiting), moreAvailable: false }))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}/poll`,
    waiting,
    questions,
    authorizations,
    state,
  }
}

const statusOf = async (lab: Lab, sid: string): Promise<number> => {
  const draft = makeDraft({ host: HOST, path: '/read/1' })
  draft.token.claims.sid = sid
  return (await lab.send(draft)).status
}

t.test('asks, takes, acknowledges, refuses; and comes back when the transmitter does', async (t) => {
  const { endpoint, waiting, questions, authorizations, state } = await startTransmitter(t)
  const session = (id: string) =>
    makeSet('session-revoked', { format: 'complex', user: user('u1'), session: { format: 'opaque', id } })
  const good = session('s1')
  const foreign = makeSet('session-revoked', user('u1', 'https://other.example.com'))
  waiting.set('good', printSet(good))
  waiting.set('foreign', printSet(foreign))
  waiting.set('broken', 'no JWT')
  const events = `{ audience: 'https://gateway.example.com/events', poll: { endpoint: '${endpoint}', token: asker, interval: 500ms } }`
  const lab = await startLab({
    yaml: (yaml) => ({ ...yaml, issuers: yaml.issuers?.replace('jwks_file:', `events: ${events}, jwks_file:`) ?? '' }),
  })
  t.teardown(() => lab.stop())
  await waitFor('all were answered', () => waiting.size === 0)
  t.same([...authorizations], ['Bearer asker'])
  t.match(questions[0], { returnImmediately: true, ack: [], setErrs: {} })
  t.same(
    questions.flatMap(({ ack }) => ack),
    ['good'],
  )
  const errors = Object.assign({}, ...questions.map(({ setErrs }) => setErrs))
  t.match(errors, { foreign: { err: 'access_denied' }, broken: { err: 'invalid_request' } })
  await waitFor('the refusal', async () => (await statusOf(lab, 's1')) === 401)
  t.equal(await statusOf(lab, 's2'), 200)
  const push = await fetch(`http://127.0.0.1:${lab.adminPort}/events`, {
    method: 'POST',
    headers: { 'content-type': 'application/secevent+jwt', authorization: 'Bearer asker' },
    body: printSet(good),
  })
  t.equal(push.status, 404, 'this one does not push')

  state.status = 500
  await waitFor('that it is told', async () => (await lab.admin('/readyz')).body.includes('the endpoint answered 500'))
  state.status = 200
  waiting.set('later', printSet(session('s2')))
  await waitFor('what came meanwhile', async () => (await statusOf(lab, 's2')) === 401)
  await waitFor('that all is well', async () => JSON.parse((await lab.admin('/readyz')).body).degraded.length === 0)
})

t.test('what can’t be taken now is asked for again', async (t) => {
  const { endpoint, waiting, questions } = await startTransmitter(t)
  const events = `{ audience: 'https://gateway.example.com/events', poll: { endpoint: '${endpoint}', token: asker, interval: 500ms } }`
  const lab = await startLab({
    yaml: (yaml) => ({ ...yaml, issuers: yaml.issuers?.replace('jwks_file:', `events: ${events}, jwks_file:`) ?? '' }),
  })
  t.teardown(() => lab.stop())
  await waitFor('a question', () => questions.length > 0)
  await lab.redis?.kill()
  waiting.set('one', printSet(makeSet('session-revoked', { format: 'complex', session: { format: 'opaque', id: 's1' } })))
  await waitFor('that it is told', async () => (await lab.admin('/readyz')).body.includes('an event cannot be taken now'))
  t.same(
    questions.flatMap(({ ack }) => ack),
    [],
  )
  await lab.redis?.start()
  await waitFor('that it is acknowledged', () => waiting.size === 0)
  t.same(
    questions.flatMap(({ ack }) => ack),
    ['one'],
  )
})
