// Policy decisions through the whole gateway: what is asked (to the letter), what a permit, a denial and a step-up come to, and every answer
// that is none.
import { decodeJwt } from 'jose'
import t, { type Test } from 'tap'
import { type Reason, reasonRow } from '../../src/verify/reasons.js'
import { clientKey, type Draft, makeDraft } from '../support/draft.js'
import { HOST, type Lab } from '../support/lab.js'
import { type Answer, DENY, json, PERMIT, startDecidingLab, startPdp } from '../support/pdp.js'

const pdp = await startPdp()
const lab = await startDecidingLab(
  pdp,
  'authorization: Bearer s3cret, step_up: { acr_values: context.step_up.acr_values, max_age: context.step_up.max_age }',
)
t.teardown(async () => {
  await lab.stop()
  await pdp.stop()
})

const draftOf = (path: string, method = 'GET'): Draft => makeDraft({ host: HOST, path, method })
const FILE = '/tenants/tenant-1/files/9'

t.test('asks who, what and under which circumstances, all of it from the token and the route', async (t) => {
  pdp.answer = () => PERMIT
  const draft = draftOf('/accounts/4%2e7?q=1')
  draft.headers.push(['X-User', 'admin'], ['X-Forwarded-For', '203.0.113.9'])
  const reply = await lab.send(draft)
  t.equal(reply.status, 200, reply.body)
  const asked = pdp.asked.at(-1)
  t.equal(asked?.path, '/access/v1/evaluation')
  t.equal(asked?.method, 'POST')
  t.match(asked?.headers, { 'content-type': 'application/json', accept: 'application/json', authorization: 'Bearer s3cret' })
  t.equal(asked?.headers['x-request-id'], reply.header('x-request-id'))
  t.same(asked?.question, {
    subject: { type: 'user', id: 'user-1', properties: { issuer: 'https://as.example.com' } },
    action: { name: 'account.read', properties: { method: 'GET' } },
    resource: { type: 'account', id: '4.7' },
    context: {
      route: '/accounts/:id',
      tier: 'bound_read',
      binding: { method: 'dpop', jkt: clientKey.jkt },
      client_id: 'client-1',
      client_address: '127.0.0.1',
      scope: 'case.read case.write payments',
      acr: 'urn:example:aal2',
      auth_time: draft.token.claims.auth_time,
    },
  })
})

t.test('a route that says nothing more asks for its method and its path', async (t) => {
  pdp.answer = () => PERMIT
  t.equal((await lab.send(draftOf('/cases/7', 'POST'))).status, 200)
  t.match(pdp.asked.at(-1)?.question, {
    action: { name: 'POST', properties: { method: 'POST' } },
    resource: { type: 'route', id: '/cases/:id' },
  })
})

t.test('a token of a client alone asks for the client', async (t) => {
  pdp.answer = () => PERMIT
  const draft = draftOf('/cases/7')
  draft.token.claims.sub = 'client-1'
  t.equal((await lab.send(draft)).status, 200)
  t.match(pdp.asked.at(-1)?.question, { subject: { type: 'client', id: 'client-1' } })
})

t.test('several resources are one question, and all must be permitted', async (t) => {
  pdp.answer = () => json({ evaluations: [{ decision: true }, { decision: true }, { decision: true }] })
  const reply = await lab.send(draftOf(FILE, 'POST'))
  t.equal(reply.status, 200, reply.body)
  const asked = pdp.asked.at(-1)
  t.equal(asked?.path, '/access/v1/evaluations')
  t.match(asked?.question, { action: { name: 'file.share' }, context: { tenant: 'tenant-1', tier: 'held' } })
  t.same(asked?.question?.evaluations, [
    { resource: { type: 'tenant', id: 'tenant-1' } },
    { resource: { type: 'file', id: '9' } },
    { resource: { type: 'feature', id: 'sharing' } },
  ])
  t.same(asked?.question?.options, { evaluations_semantic: 'execute_all' })
  t.equal(asked?.question?.resource, undefined)
})

t.test('the decision goes to the audit log and to the upstream', async (t) => {
  const context = { decision_id: 'd-4711', policy_version: 'v12', note: 'not passed on' }
  pdp.answer = () => json({ decision: true, context })
  const reply = await lab.send(draftOf('/cases/7'))
  t.equal(reply.status, 200)
  const claims = decodeJwt(String(lab.calls.at(-1)?.headers['holdfast-assertion']))
  t.same(claims.decision, { id: 'd-4711', policy: 'v12' })
  const event = await lab.refusal(reply.header('x-request-id') ?? '')
  t.match(event, { decision: 'permit', pdp: 'policies', decision_id: 'd-4711', decision_policy_version: 'v12' })

  pdp.answer = () => PERMIT
  const plain = await lab.send(draftOf('/cases/7'))
  const id = plain.header('x-request-id')
  t.same(decodeJwt(String(lab.calls.at(-1)?.headers['holdfast-assertion'])).decision, { id }, 'else the id of the question')
  t.match(await lab.refusal(id ?? ''), { pdp: 'policies', decision_id: id })
  t.notOk(JSON.stringify([lab.events(), lab.logs]).includes('s3cret'), 'our credential stands in no log')
})

t.test('an answer with an X-Request-ID of its own is one; the operator is told, and the decision is called so', async (t) => {
  pdp.answer = () => json({ decision: true }, { headers: { 'x-request-id': 'own-7' } })
  for (const _ of [1, 2]) t.equal((await lab.send(draftOf('/cases/7'))).status, 200)
  t.match(decodeJwt(String(lab.calls.at(-1)?.headers['holdfast-assertion'])), { decision: { id: 'own-7' } })
  t.equal(lab.logs.filter((line) => line.includes('another X-Request-ID')).length, 1, 'told once')
})

t.test(
  'denies decision_denied: an id with matrix parameters is not asked about, for its upstream may serve another',
  async (t) => {
    const own = await startPdp()
    const matrix = "'/cases/:id', matrix_params: true,"
    const asking = await startDecidingLab(own)
    t.teardown(async () => {
      await asking.stop()
      await own.stop()
    })
    await asking.reload((parts) => ({
      ...parts,
      routes: `${parts.routes?.replace("'/accounts/:id',", "'/accounts/:id', matrix_params: true,").replace("'/cases/:id',", matrix)}`,
    }))
    for (const id of ['7;v=1', '7%3Bv']) {
      const { status, body } = await asking.send(makeDraft({ host: HOST, path: `/accounts/${id}` }))
      t.match({ status, reason: JSON.parse(body).reason }, { status: 403, reason: 'decision_denied' }, id)
    }
    t.equal(own.asked.length, 0)
    t.equal((await asking.send(makeDraft({ host: HOST, path: '/cases/7;v=1' }))).status, 200, 'a route that asks about itself')
  },
)

t.test('a question that it does not take is no outage: the client chose what it is about', async (t) => {
  pdp.answer = () => json('"no such id"', { status: 400 })
  t.equal((await lab.send(draftOf('/accounts/%23'))).status, 503)
  t.same(JSON.parse((await lab.admin('/readyz')).body).degraded, [])
})

t.test('a route that asks nobody asks nobody', async (t) => {
  const before = pdp.asked.length
  const reply = await lab.send(draftOf('/read'))
  t.equal(reply.status, 200)
  t.equal(pdp.asked.length, before)
  t.equal((await lab.refusal(reply.header('x-request-id') ?? ''))?.pdp, undefined)
})

t.test('who is refused anyway is not asked about', async (t) => {
  const before = pdp.asked.length
  const forged = draftOf('/cases/7')
  forged.spoilProof = (proof) => `${proof.slice(0, -4)}AAAA`
  t.equal((await lab.send(forged)).status, 401)
  t.equal((await lab.send({ ...draftOf('/cases/7'), credentials: () => [] })).status, 401)
  t.equal(pdp.asked.length, before)
})

type Row = readonly [reason: Reason, why: string, answer: Answer | 'silence' | 'reset', path?: string]
const three = (...decisions: readonly unknown[]): Answer => json({ evaluations: decisions.map((decision) => ({ decision })) })
const same = { evaluations: [{ decision: true }, { decision: true }, { decision: true }] }

const ROWS: readonly Row[] = [
  ['decision_denied', 'decision is false', DENY],
  ['decision_denied', 'whatever stands beside it', json({ decision: false, context: { decision: true, why: 'fine' } })],
  ['decision_denied', 'the first of three', three(false, true, true), FILE],
  ['decision_denied', 'the last of three', three(true, true, false), FILE],
  ['decision_denied', 'the last is missing', three(true, true), FILE],
  ['decision_denied', 'all are missing', three(), FILE],
  [
    'decision_denied',
    'a decision beside the list counts for nothing',
    json({ decision: true, evaluations: [{ decision: true }, { decision: false }, { decision: true }] }),
    FILE,
  ],
  ['decision_unavailable', 'decision is "true"', json({ decision: 'true' })],
  ['decision_unavailable', 'decision is 1', json({ decision: 1 })],
  ['decision_unavailable', 'decision is null', json({ decision: null })],
  ['decision_unavailable', 'no decision', json({ context: {} })],
  ['decision_unavailable', 'decision twice', json('{"decision":false,"decision":true}')],
  ['decision_unavailable', 'a context that is text', json({ decision: true, context: 'fine' })],
  ['decision_unavailable', 'no JSON', json('true')],
  ['decision_unavailable', 'an empty answer', json('')],
  ['decision_unavailable', 'a list', json([{ decision: true }])],
  ['decision_unavailable', 'an answer in UTF-16', json(Buffer.from('{"decision":true}', 'utf16le').toString('latin1'))],
  ['decision_unavailable', 'a list of decisions where one was asked for', json(same)],
  ['decision_unavailable', 'one decision where several were asked for', PERMIT, FILE],
  ['decision_unavailable', 'more decisions than were asked for', three(true, true, true, true), FILE],
  ['decision_unavailable', 'one of three is no decision', three(true, 'true', true), FILE],
  [
    'decision_unavailable',
    'one of three is not an object',
    json({ evaluations: [{ decision: true }, true, { decision: true }] }),
    FILE,
  ],
  ['decision_unavailable', 'another media type', json({ decision: true }, { headers: { 'content-type': 'text/html' } })],
  ['decision_unavailable', 'no media type', { body: '{"decision":true}' }],
  ['decision_unavailable', 'compressed', json({ decision: true }, { headers: { 'content-encoding': 'gzip' } })],
  ['decision_unavailable', 'larger than 64 KiB', json({ decision: true, padding: 'x'.repeat(70_000) })],
  [
    'decision_unavailable',
    'a redirect',
    json({ decision: true }, { status: 307, headers: { location: '/access/v1/evaluation' } }),
  ],
  ['decision_unavailable', 'status 201', json({ decision: true }, { status: 201 })],
  ['decision_unavailable', 'status 204', { status: 204, body: '' }],
  ['decision_unavailable', 'status 400', json('"bad"', { status: 400 })],
  [
    'decision_unavailable',
    'status 401',
    json({ decision: true }, { status: 401, headers: { 'www-authenticate': 'Bearer error="invalid_token"' } }),
  ],
  ['decision_unavailable', 'status 403', json({ decision: true }, { status: 403 })],
  ['decision_unavailable', 'status 404', json({ decision: true }, { status: 404 })],
  ['decision_unavailable', 'status 500', json({ decision: true }, { status: 500 })],
]

for (const [reason, why, answer, path = '/cases/7'] of ROWS) {
  t.test(`denies ${reason}: ${why}`, (t) => runRow(t, lab, { reason, answer, path }))
}

type RowRun = { readonly reason: Reason; readonly answer: Row[2]; readonly path: string }

async function runRow(t: Test, lab: Lab, { reason, answer, path }: RowRun): Promise<void> {
  const method = path === FILE ? 'POST' : 'GET'
  pdp.answer = () => (path === FILE ? json(same) : PERMIT)
  t.equal((await lab.send(draftOf(path, method))).status, 200, 'granted, if it is permitted')

  const before = { calls: lab.upstreamCalls() }
  pdp.answer = () => answer
  const draft = draftOf(path, method)
  const reply = await lab.send(draft)
  t.equal(reply.status, reasonRow(reason).status)
  t.equal(JSON.parse(reply.body).reason, reason)
  t.equal(reply.header('www-authenticate'), undefined, 'nothing that its client could do about it')
  if (reason === 'decision_unavailable') t.match(reply.header('retry-after'), /^\d+$/)
  t.equal(lab.upstreamCalls(), before.calls)
  const event = await lab.refusal(reply.header('x-request-id') ?? '')
  t.match(event, { reason, pdp: 'policies', decision: 'deny', sender_constraint_verified: true })
  const { detail } = event ?? {}
  t.ok(typeof detail === 'string' && !reply.text.includes(detail), 'the operator is told why, the client is not')

  // The very same proof is good when the answer is: a refusal has not spent it.
  pdp.answer = () => (path === FILE ? json(same) : PERMIT)
  t.equal((await lab.send(draft)).status, 200, 'the proof was not spent')
  t.equal(JSON.parse((await lab.send(draft)).body).reason, 'proof_replayed')
}

t.test('the operator is told whose fault a 401 is', async (t) => {
  pdp.answer = () => json({}, { status: 401 })
  const reply = await lab.send(draftOf('/cases/7'))
  t.equal(reply.status, 503)
  t.match(await lab.refusal(reply.header('x-request-id') ?? ''), {
    detail: /policies: answered 401: it does not take our `authorization`/,
  })
  t.match(JSON.parse((await lab.admin('/readyz')).body).degraded, [/pdp policies: answered 401/])
  pdp.answer = () => PERMIT
  t.equal((await lab.send(draftOf('/cases/7'))).status, 200)
  t.same(JSON.parse((await lab.admin('/readyz')).body).degraded, [], 'it has recovered')
})

t.test('which of several resources was denied is in the audit log', async (t) => {
  pdp.answer = () => three(true, false, false)
  const reply = await lab.send(draftOf(FILE, 'POST'))
  t.match(await lab.refusal(reply.header('x-request-id') ?? ''), { detail: 'by policies, resource 2' })
})

const stepUp = (step_up: unknown): Answer => json({ decision: false, context: { step_up, decision_id: 'd-1' } })

t.test('a denial that asks for a better authentication is a challenge for one', async (t) => {
  pdp.answer = () => stepUp({ acr_values: ['urn:example:aal3', 'urn:example:aal4'], max_age: 60 })
  const weak = await lab.send(draftOf('/cases/7'))
  t.equal(weak.status, 401)
  t.equal(JSON.parse(weak.body).reason, 'authentication_weak')
  t.match(
    weak.headers('www-authenticate').join(),
    /error="insufficient_user_authentication".*acr_values="urn:example:aal3 urn:example:aal4", max_age="60"/,
  )
  t.match(await lab.refusal(weak.header('x-request-id') ?? ''), { decision_id: 'd-1', pdp: 'policies', detail: 'by policies' })

  pdp.answer = () => stepUp({ acr_values: 'urn:example:aal2', max_age: 5 })
  const old = await lab.send(draftOf('/cases/7'))
  t.equal(JSON.parse(old.body).reason, 'authentication_old')
  t.match(old.headers('www-authenticate').join(), /max_age="5"/)
})

const NO_STEP_UP: readonly (readonly [why: string, step_up: unknown, change?: (draft: Draft) => void])[] = [
  ['one that is fulfilled would be asked for in circles', { acr_values: 'urn:example:aal2', max_age: 3600 }],
  ['classes that could break out of the challenge', { acr_values: 'a", error="x' }],
  ['classes that are no text', { acr_values: [7] }],
  ['no classes', { acr_values: [] }],
  ['more classes than a challenge should hold', { acr_values: Array.from({ length: 9 }, (_, i) => `urn:example:${i}`) }],
  ['an age that is text', { max_age: '5' }],
  ['an age before now', { max_age: -5 }],
  ['a step-up that is text', 'urn:example:aal3'],
  ['nobody who could authenticate', { acr_values: 'urn:example:aal3' }, (r) => (r.token.claims.sub = 'client-1')],
]
for (const [why, step_up, change] of NO_STEP_UP) {
  t.test(`denies decision_denied: no step-up, ${why}`, async (t) => {
    pdp.answer = () => stepUp(step_up)
    const draft = draftOf('/cases/7')
    change?.(draft)
    const reply = await lab.send(draft)
    t.equal(reply.status, 403)
    t.equal(JSON.parse(reply.body).reason, 'decision_denied')
  })
}
