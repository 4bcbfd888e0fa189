// A policy decision point that is silent, slow, gone or overrun; where its endpoints are; and what a reload and a cache come to.

import type { AddressInfo } from 'node:net'
import { createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { type Draft, makeDraft } from '../support/draft.js'
import { waitFor } from '../support/fleet.js'
import { HOST, type Lab } from '../support/lab.js'
import { asking, DENY, json, metadataOf, type PdpServer, PERMIT, startDecidingLab, startPdp } from '../support/pdp.js'

const draftOf = (path = '/cases/7'): Draft => makeDraft({ host: HOST, path })
const reasonOf = (body: string): unknown => (body === '' ? null : JSON.parse(body).reason)

async function startBoth(t: Test, settings: string): Promise<{ pdp: PdpServer; lab: Lab }> {
  const pdp = await startPdp()
  const lab = await startDecidingLab(pdp, settings)
  t.teardown(async () => {
    await lab.stop()
    await pdp.stop()
  })
  return { pdp, lab }
}

/** What is refused without a question is told so. */
async function detailOf(lab: Lab, reply: { header(name: string): string | undefined }): Promise<string> {
  return String((await lab.refusal(reply.header('x-request-id') ?? ''))?.detail)
}

t.test(
  'denies decision_unavailable: one that is silent, at once after the first time-out, and it recovers by itself',
  async (t) => {
    const { pdp, lab } = await startBoth(t, 'timeout: 300ms')
    t.equal((await lab.send(draftOf())).status, 200)
    pdp.answer = () => 'silence'
    const first = await lab.send(draftOf())
    t.equal(first.status, 503)
    t.equal(reasonOf(first.body), 'decision_unavailable')
    t.match(await detailOf(lab, first), /policies: no answer within 0.3 s/)

    // It is left alone now: of a burst none but those that come after the pause are questions.
    const before = pdp.asked.length
    const burst = await Promise.all(Array.from({ length: 20 }, () => lab.send(draftOf())))
    for (const reply of burst) t.equal(reasonOf(reply.body), 'decision_unavailable')
    t.ok(pdp.asked.length - before < 20, `${pdp.asked.length - before} of 20 were asked about`)
    t.equal((await lab.send(draftOf('/read'))).status, 200, 'who asks nobody is served')

    pdp.answer = () => PERMIT
    await waitFor('an answer', async () => (await lab.send(draftOf())).status === 200)
    const { body } = await lab.admin('/metrics')
    t.match(body, /^holdfast_pdp_questions_total\{pdp="policies",result="not_asked"\} [1-9]/m)
    t.match(body, /^holdfast_pdp_questions_total\{pdp="policies",result="failed"\} [1-9]/m)
    t.match(body, /^holdfast_pdp_questions_total\{pdp="policies",result="permit"\} [2-9]/m)
    t.match(body, /^holdfast_pdp_questions_in_flight\{pdp="policies"\} 0$/m)
    t.match(body, /^holdfast_pdp_duration_seconds_count\{pdp="policies"\} [3-9]/m)
    t.ok(lab.logs.some((line) => line.includes('pdp policies: no answer')))
  },
)

t.test('a question that takes too long is refused alone while others are answered', async (t) => {
  const { pdp, lab } = await startBoth(t, 'timeout: 1s')
  const slow = draftOf('/accounts/slow')
  let isHeld = false
  pdp.answer = ({ question }) => {
    if (!JSON.stringify(question).includes('"slow"')) return PERMIT
    isHeld = true
    return 'silence'
  }
  const refused = lab.send(slow)
  await waitFor('the slow question', async () => isHeld)
  t.equal((await lab.send(draftOf())).status, 200)
  t.equal(reasonOf((await refused).body), 'decision_unavailable')
  t.equal((await lab.send(draftOf())).status, 200, 'it was not left alone')
})

for (const status of [429, 503]) {
  t.test(`denies decision_unavailable: one that answers ${status} is left alone for a moment`, async (t) => {
    const { pdp, lab } = await startBoth(t, '')
    pdp.answer = () => json({}, { status })
    t.match(await detailOf(lab, await lab.send(draftOf())), new RegExp(`answered ${status}$`))
    t.match(await detailOf(lab, await lab.send(draftOf())), new RegExp(`^policies: (?:not asked: )?answered ${status}$`))
    pdp.answer = () => PERMIT
    await waitFor('an answer', async () => (await lab.send(draftOf())).status === 200)
  })
}

t.test('denies decision_unavailable: one that resets the connection', async (t) => {
  const { pdp, lab } = await startBoth(t, '')
  pdp.answer = () => 'reset'
  t.equal(reasonOf((await lab.send(draftOf())).body), 'decision_unavailable')
})

t.test('denies decision_unavailable: nobody listens', async (t) => {
  const lab = await startDecidingLab({ url: 'http://localhost:9' })
  t.teardown(() => lab.stop())
  t.equal(reasonOf((await lab.send(draftOf())).body), 'decision_unavailable')
  t.equal((await lab.send(draftOf('/read'))).status, 200)
})

t.test('denies decision_unavailable: an answer that does not end', async (t) => {
  const sockets: Socket[] = []
  const server = createServer((socket) => {
    sockets.push(socket)
    socket.on('error', () => undefined)
    socket.on('data', () =>
      socket.write('HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n{"decision":'),
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const lab = await startDecidingLab(
    { url: `http://localhost:${(server.address() as AddressInfo).port}` },
    'timeout: 300ms, discovery: off',
  )
  t.teardown(async () => {
    await lab.stop()
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const reply = await lab.send(draftOf())
  t.equal(reasonOf(reply.body), 'decision_unavailable')
  t.match(await detailOf(lab, reply), /no answer within/)
})

t.test('denies decision_unavailable: more at once than `concurrency`, and nobody waits in a queue', async (t) => {
  const { pdp, lab } = await startBoth(t, 'concurrency: 2')
  let release = (): void => undefined
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  pdp.answer = async () => {
    await held
    return PERMIT
  }
  const two = [lab.send(draftOf()), lab.send(draftOf())]
  await waitFor('two questions', async () => pdp.asked.length === 2)
  t.match((await lab.admin('/metrics')).body, /^holdfast_pdp_questions_in_flight\{pdp="policies"\} 2$/m)
  const third = await lab.send(draftOf())
  t.equal(reasonOf(third.body), 'decision_unavailable')
  t.match(await detailOf(lab, third), /too many questions/)
  release()
  for (const reply of await Promise.all(two)) t.equal(reply.status, 200)
})

t.test('denies decision_unavailable: one caller takes three quarters of `concurrency` at most, and others go on', async (t) => {
  const { pdp, lab } = await startBoth(t, 'concurrency: 4')
  let release = (): void => undefined
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  pdp.answer = async ({ question }) => {
    if (JSON.stringify(question).includes('mallory')) await held
    return PERMIT
  }
  const greedy = (): Draft => {
    const draft = draftOf()
    draft.token.claims.sub = 'mallory'
    return draft
  }
  const three = [lab.send(greedy()), lab.send(greedy()), lab.send(greedy())]
  await waitFor('three questions', async () => pdp.asked.length === 3)
  const fourth = await lab.send(greedy())
  t.equal(reasonOf(fourth.body), 'decision_unavailable')
  t.match(await detailOf(lab, fourth), /too many questions of this caller are under way/)
  t.equal((await lab.send(draftOf())).status, 200, 'another user')
  release()
  for (const reply of await Promise.all(three)) t.equal(reply.status, 200)
  t.equal((await lab.send(greedy())).status, 200, 'and the same one afterwards')
})

t.test('nothing is kept unless `cache` says so', async (t) => {
  const { pdp, lab } = await startBoth(t, '')
  for (let i = 0; i < 3; i++) t.equal((await lab.send(draftOf())).status, 200)
  t.equal(pdp.asked.length, 3)
  pdp.answer = () => DENY
  t.equal(reasonOf((await lab.send(draftOf())).body), 'decision_denied')
})

t.test('with `cache` an answer serves for the same question, and for no other', async (t) => {
  const { pdp, lab } = await startBoth(t, 'cache: 1h')
  const authTime = Math.floor(Date.now() / 1000) - 30
  const send = (change: (draft: Draft) => void = () => undefined, path = '/accounts/1', method = 'GET') => {
    const draft = makeDraft({ host: HOST, path, method })
    draft.token.claims.auth_time = authTime
    change(draft)
    return lab.send(draft)
  }
  t.equal((await send()).status, 200)
  const id = (await lab.send(draftOf('/read'))).header('x-request-id')
  t.ok(id)
  pdp.answer = () => DENY
  t.equal((await send()).status, 200)
  t.equal(pdp.asked.length, 1, 'asked once')
  const others: readonly (readonly [string, () => ReturnType<typeof send>])[] = [
    ['another resource', () => send(undefined, '/accounts/2')],
    ['another method', () => send(undefined, undefined, 'POST')],
    ['another route', () => send(undefined, '/cases/1')],
    ['another user', () => send((r) => (r.token.claims.sub = 'user-2'))],
    ['another client', () => send((r) => (r.token.claims.client_id = 'client-2'))],
    ['another scope', () => send((r) => (r.token.claims.scope = 'case.read case.write'))],
    ['another acr', () => send((r) => (r.token.claims.acr = 'urn:example:aal1'))],
    ['another authentication', () => send((r) => (r.token.claims.auth_time = authTime - 1))],
  ]
  for (const [why, ask] of others) t.equal(reasonOf((await ask()).body), 'decision_denied', why)
  t.equal(pdp.asked.length, 1 + others.length)
  t.match((await lab.admin('/metrics')).body, /^holdfast_cache_hits_total\{cache="decisions"\} 1$/m)

  await lab.reload((parts) => asking(parts, pdp, 'cache: 1h'))
  t.equal(reasonOf((await send()).body), 'decision_denied', 'a reload begins anew')
})

t.test('an answer of one is none of another, though the same was asked', async (t) => {
  const { pdp, lab } = await startBoth(t, '')
  const strict = await startPdp()
  t.teardown(() => strict.stop())
  strict.answer = () => DENY
  const other = `${HOST}:8443`
  const route = (host: string, name: string) =>
    `\n  - { path: /both, methods: [GET], tier: bound_read, upstream: cases, issuers: [https://as.example.com], origins: ['https://${host}'], decision: { pdp: ${name} } }`
  await lab.reload((parts) => ({
    ...parts,
    public_origins: `[https://${HOST}, 'https://${other}']`,
    pdps: `{ mild: { url: '${pdp.url}', cache: 1h, timeout: 20s }, strict: { url: '${strict.url}', cache: 1h, timeout: 20s } }`,
    routes: route(HOST, 'mild') + route(other, 'strict'),
  }))
  const first = makeDraft({ host: HOST, path: '/both' })
  t.equal((await lab.send(first)).status, 200)
  const second = { ...makeDraft({ host: other, path: '/both' }), token: first.token }
  t.equal(reasonOf((await lab.send(second)).body), 'decision_denied')
  const [asked, again] = [pdp, strict].map(({ asked }) => asked.map(({ question }) => question))
  t.same(again, asked, 'word by word')
})

t.test('an answer that was kept ends with `cache`, and what was no answer is not kept', async (t) => {
  const { pdp, lab } = await startBoth(t, 'cache: 200ms')
  const draft = draftOf()
  const again = (): Draft => ({ ...draftOf(), token: draft.token })
  pdp.answer = () => json({ decision: 'true' })
  t.equal(reasonOf((await lab.send(draft)).body), 'decision_unavailable')
  pdp.answer = () => PERMIT
  t.equal((await lab.send(again())).status, 200)
  pdp.answer = () => DENY
  await sleep(250)
  t.equal(reasonOf((await lab.send(again())).body), 'decision_denied')
})

t.test('endpoints are those of the metadata, which stands between host and path', async (t) => {
  const pdp = await startPdp('/tenants/a')
  pdp.metadata = () => metadataOf(pdp.url, { access_evaluation_endpoint: new URL('/decide', pdp.url).href })
  const lab = await startDecidingLab(pdp)
  t.teardown(async () => {
    await lab.stop()
    await pdp.stop()
  })
  t.equal((await lab.send(draftOf())).status, 200)
  t.equal((await lab.send(draftOf())).status, 200)
  t.same(
    pdp.metadataAsked.map(({ path, method }) => [method, path]),
    [['GET', '/.well-known/authzen-configuration/tenants/a']],
    'once',
  )
  t.same(
    pdp.asked.map(({ path }) => path),
    ['/decide', '/decide'],
  )
})

t.test('an endpoint that was moved is looked for anew', async (t) => {
  const { pdp, lab } = await startBoth(t, '')
  t.equal((await lab.send(draftOf())).status, 200)
  pdp.metadata = () => metadataOf(pdp.url, { access_evaluation_endpoint: `${pdp.url}/v2/evaluation` })
  pdp.answer = ({ path }) => (path === '/v2/evaluation' ? PERMIT : json({}, { status: 404 }))
  const reply = await lab.send(draftOf())
  t.equal(reasonOf(reply.body), 'decision_unavailable')
  t.match(await detailOf(lab, reply), /answered 404/)
  t.equal((await lab.send(draftOf())).status, 200)
  t.equal(pdp.metadataAsked.length, 2)
})

t.test('without discovery the endpoints are below `url`', async (t) => {
  const pdp = await startPdp('/tenants/a')
  const lab = await startDecidingLab(pdp, 'discovery: off')
  t.teardown(async () => {
    await lab.stop()
    await pdp.stop()
  })
  t.equal((await lab.send(draftOf())).status, 200)
  t.equal(pdp.metadataAsked.length, 0)
  t.equal(pdp.asked[0]?.path, '/tenants/a/access/v1/evaluation')
})

const METADATA: readonly (readonly [why: string, metadata: (pdp: PdpServer) => ReturnType<PdpServer['metadata']>])[] = [
  ['of another policy decision point', (pdp) => metadataOf(pdp.url, { policy_decision_point: 'https://other.example.com' })],
  ['with a slash more', (pdp) => metadataOf(pdp.url, { policy_decision_point: `${pdp.url}/` })],
  ['that does not say whose it is', (pdp) => metadataOf(pdp.url, { policy_decision_point: undefined })],
  ['without an endpoint', (pdp) => metadataOf(pdp.url, { access_evaluation_endpoint: undefined })],
  ['with an endpoint elsewhere', (pdp) => metadataOf(pdp.url, { access_evaluation_endpoint: 'http://localhost:9/access' })],
  ['with an endpoint that is no URL', (pdp) => metadataOf(pdp.url, { access_evaluation_endpoint: '/access/v1/evaluation' })],
  ['that is not there', () => json({}, { status: 404 })],
  ['that is no JSON', () => json('policies')],
  ['behind a redirect', () => json({}, { status: 302, headers: { location: '/' } })],
]
for (const [why, metadata] of METADATA) {
  t.test(`denies decision_unavailable: metadata ${why}, and it recovers`, async (t) => {
    const { pdp, lab } = await startBoth(t, '')
    pdp.metadata = () => metadata(pdp)
    const reply = await lab.send(draftOf())
    t.equal(reasonOf(reply.body), 'decision_unavailable')
    t.match(await detailOf(lab, reply), /metadata/)
    t.equal(pdp.asked.length, 0)
    pdp.metadata = () => metadataOf(pdp.url)
    t.equal((await lab.send(draftOf())).status, 200)
  })
}

t.test('denies decision_unavailable: several resources, and metadata that has no endpoint for that', async (t) => {
  const { pdp, lab } = await startBoth(t, '')
  pdp.metadata = () => metadataOf(pdp.url, { access_evaluations_endpoint: undefined })
  const reply = await lab.send(makeDraft({ host: HOST, path: '/tenants/tenant-1/files/9', method: 'POST' }))
  t.match(await detailOf(lab, reply), /access_evaluations_endpoint/)
  t.equal((await lab.send(draftOf())).status, 200, 'one resource is asked about')
})

t.test('denies decision_unavailable: a link-local address', async (t) => {
  const lab = await startDecidingLab({ url: 'https://169.254.169.254' }, 'discovery: off')
  t.teardown(() => lab.stop())
  const reply = await lab.send(draftOf())
  t.equal(reasonOf(reply.body), 'decision_unavailable')
  t.match(await detailOf(lab, reply), /link-local/)
})

t.test('a reload asks whom the new file names; what is under way is answered by the old one', async (t) => {
  const { pdp, lab } = await startBoth(t, '')
  const other = await startPdp()
  t.teardown(() => other.stop())
  other.answer = () => DENY
  let release = (): void => undefined
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  pdp.answer = async () => {
    await held
    return PERMIT
  }
  const old = lab.send(draftOf())
  await waitFor('a question', async () => pdp.asked.length === 1)
  await lab.reload((parts) => asking(parts, other))
  t.equal(reasonOf((await lab.send(draftOf())).body), 'decision_denied')
  release()
  t.equal((await old).status, 200)
  t.equal(pdp.asked.length, 1)
})
