// How often an issuer is asked, and how much at once: what is kept and for how long, one question for many requests, what a flood of
// invented tokens costs, and an issuer that is silent.
import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { readCaches } from '../support/caches.js'
import { until } from '../support/collector.js'
import { type Draft, makeDraft } from '../support/draft.js'
import {
  type Answer,
  activeClaims,
  type IntrospectionServer,
  introspected,
  json,
  opaqueDraft,
  startIntrospectionServer,
  startOpaqueLab,
} from '../support/introspection.js'
import { HOST, type Lab, type LabYaml } from '../support/lab.js'

type Bench = { readonly server: IntrospectionServer; readonly lab: Lab }

async function bench(t: Test, settings = '', yaml?: (parts: LabYaml) => LabYaml): Promise<Bench> {
  const server = await startIntrospectionServer()
  const lab = await startOpaqueLab(server, settings, yaml === undefined ? {} : { yaml })
  t.teardown(async () => {
    await lab.stop()
    await server.stop()
  })
  return { server, lab }
}

const reasonOf = (body: string): unknown => JSON.parse(body).reason
const INACTIVE = json({ active: false })
const tokens = ({ asked }: IntrospectionServer): readonly (string | null)[] => asked.map(({ form }) => form.get('token'))

/** The value of `holdfast_introspection_questions_total`. */
async function questions(lab: Lab, result: string): Promise<number> {
  const { body } = await lab.admin('/metrics')
  return Number(new RegExp(`^holdfast_introspection_questions_total\\{.*result="${result}"\\} (\\d+)`, 'm').exec(body)?.[1])
}

/** An endpoint that answers when it is told to. */
function held(answer: () => Answer): { readonly answer: () => Promise<Answer>; release(): void } {
  let release: () => void = () => undefined
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  return { answer: () => released.then(answer), release: () => release() }
}

const asked = (parts: LabYaml): LabYaml => ({
  ...parts,
  tiers: `${parts.tiers}  asked: { extends: bound_read, introspect: always }\n`,
  routes: `${parts.routes}  - { path: /asked, methods: [GET], tier: asked, upstream: cases, issuers: [https://as.example.com] }\n`,
})

/** The same JWT each time, with a new proof. */
function jwtDraft(claims: Record<string, unknown>): Draft {
  const draft = makeDraft({ host: HOST, path: '/asked' })
  Object.assign(draft.token.claims, claims)
  return draft
}

t.test('an answer serves for `cache`, an inactive one for `negative_cache`', async (t) => {
  const { server, lab } = await bench(t, 'cache: 1h, negative_cache: 1h')
  const good = randomUUID()
  for (let i = 0; i < 5; i++) t.equal((await lab.send(opaqueDraft(good))).status, 200)
  t.same(tokens(server), [good])
  server.answer = () => INACTIVE
  const bad = randomUUID()
  for (let i = 0; i < 5; i++) t.equal(reasonOf((await lab.send(opaqueDraft(bad))).body), 'token_inactive')
  t.same(tokens(server), [good, bad])
  t.same([await questions(lab, 'active'), await questions(lab, 'inactive')], [1, 1])

  for (let i = 0; i < 200; i++) await lab.send(opaqueDraft(randomUUID()))
  t.equal((await lab.send(opaqueDraft(good))).status, 200)
  t.equal(tokens(server).filter((token) => token === good).length, 1, 'inventions take no place of what is good')
  const { body } = await lab.admin('/metrics')
  t.match(body, /^holdfast_cache_entries\{cache="opaque_tokens"\} 1$/m)
  t.match(body, /^holdfast_cache_entries\{cache="inactive_tokens"\} 201$/m)
  t.match(body, /^holdfast_introspection_duration_seconds_count\{issuer="https:\/\/as.example.com"\} 202$/m)
  t.equal((await readCaches(lab)).tokens.entries, 0, 'and none of JWTs')
})

t.test('what was answered is judged anew: by the route, and by the time', async (t) => {
  const { server, lab } = await bench(t, 'cache: 1h')
  const token = randomUUID()
  const end = Date.now() / 1000 + 6
  server.answer = () => json(activeClaims({ exp: end, scope: 'case.read' }))
  t.equal(reasonOf((await lab.send(opaqueDraft(token))).body), 'scope_missing')
  t.equal((await lab.send(opaqueDraft(token, '/profile'))).status, 200, 'another route, the same answer')
  t.equal(reasonOf((await lab.send(opaqueDraft(token, '/mtls'))).body), 'binding_insufficient')
  await until('its end', async () => reasonOf((await lab.send(opaqueDraft(token))).body) === 'token_expired')
  t.equal(server.asked.length, 1, 'nothing makes it live again, so nobody is asked')
})

t.test('with `cache: 0s` every request asks', async (t) => {
  const { server, lab } = await bench(t, 'cache: 0s')
  const token = randomUUID()
  for (let i = 0; i < 3; i++) t.equal((await lab.send(opaqueDraft(token))).status, 200)
  t.equal(server.asked.length, 3)
  server.answer = () => json(activeClaims({ iat: Math.floor(Date.now() / 1000) - 60, exp: Math.floor(Date.now() / 1000) - 1 }))
  const ended = randomUUID()
  for (let i = 0; i < 3; i++) t.equal(reasonOf((await lab.send(opaqueDraft(ended))).body), 'token_expired')
  t.equal(server.asked.length, 4, 'but for one that has ended')
})

t.test('with `negative_cache: 0s` every request with an inactive token asks, whatever was answered before', async (t) => {
  const { server, lab } = await bench(t, 'cache: 1h, negative_cache: 0s', asked)
  const token = randomUUID()
  t.equal((await lab.send(opaqueDraft(token))).status, 200)
  server.answer = () => INACTIVE
  t.equal((await lab.send(opaqueDraft(token))).status, 200, 'the answer that is kept serves')
  t.equal(reasonOf((await lab.send(opaqueDraft(token, '/asked'))).body), 'token_inactive')
  t.equal(server.asked.length, 2)
  for (let i = 0; i < 3; i++) t.equal(reasonOf((await lab.send(opaqueDraft(token))).body), 'token_inactive', 'but no longer')
  t.equal(server.asked.length, 5)
})

t.test('requests with one token wait for one question', async (t) => {
  const { server, lab } = await bench(t)
  const { answer, release } = held(() => json(activeClaims()))
  server.answer = answer
  const token = randomUUID()
  const sent = Array.from({ length: 20 }, () => lab.send(opaqueDraft(token)))
  await until('all of them', async () => /^holdfast_requests_in_flight 20$/m.test((await lab.admin('/metrics')).body))
  release()
  t.same(
    (await Promise.all(sent)).map(({ status }) => status),
    sent.map(() => 200),
  )
  t.equal(server.asked.length, 1)
})

t.test(
  'denies introspection_unavailable: more inventions at once than half of `concurrency`, and known tokens go on',
  async (t) => {
    const { server, lab } = await bench(t, 'cache: 0s, concurrency: 4')
    const known = randomUUID()
    t.equal((await lab.send(opaqueDraft(known))).status, 200)
    const { answer, release } = held(() => INACTIVE)
    server.answer = ({ form }) => (form.get('token') === known ? json(activeClaims()) : answer())
    const flood = [lab.send(opaqueDraft()), lab.send(opaqueDraft())]
    await until('two questions', async () => server.asked.length === 3)
    for (let i = 0; i < 10; i++) {
      const refused = await lab.send(opaqueDraft())
      t.equal(reasonOf(refused.body), 'introspection_unavailable')
      t.equal(refused.header('retry-after'), '1')
      t.equal((await lab.send(opaqueDraft(known))).status, 200)
    }
    t.equal(await questions(lab, 'not_asked'), 10)
    t.equal(server.asked.length, 13, 'there is no queue')
    release()
    for (const { body } of await Promise.all(flood)) t.equal(reasonOf(body), 'token_inactive')
    t.equal(reasonOf((await lab.send(opaqueDraft())).body), 'token_inactive', 'and now there is room again')
  },
)

t.test('denies introspection_unavailable: more at once than `concurrency`, proven JWTs included', async (t) => {
  const { server, lab } = await bench(t, 'cache: 0s, concurrency: 2', asked)
  const { answer, release } = held(() => json({ active: true }))
  server.answer = answer
  const two = [lab.send(jwtDraft({})), lab.send(jwtDraft({}))]
  await until('two questions', async () => server.asked.length === 2)
  t.equal(reasonOf((await lab.send(jwtDraft({}))).body), 'introspection_unavailable')
  t.equal(reasonOf((await lab.send(opaqueDraft())).body), 'introspection_unavailable')
  t.same([await questions(lab, 'not_asked'), server.asked.length], [2, 2])
  release()
  for (const { status } of await Promise.all(two)) t.equal(status, 200)
  t.equal((await lab.send(jwtDraft({}))).status, 200, 'and now there is room again')
})

t.test('whatever inventions bring upon themselves, known tokens and proven JWTs go on', async (t) => {
  const { server, lab } = await bench(t, 'cache: 0s', asked)
  const known = randomUUID()
  t.equal((await lab.send(opaqueDraft(known))).status, 200)
  server.answer = ({ form }) => {
    const token = form.get('token') ?? ''
    return token === known || token.startsWith('eyJ') ? json(activeClaims({ jti: undefined })) : json({}, { status: 429 })
  }
  await until('inventions are not asked about', async () => {
    t.equal(reasonOf((await lab.send(opaqueDraft())).body), 'introspection_unavailable')
    return (await questions(lab, 'not_asked')) >= 3
  })
  for (let i = 0; i < 5; i++) {
    t.equal((await lab.send(opaqueDraft(known))).status, 200)
    t.equal((await lab.send(jwtDraft({}))).status, 200, 'a JWT that was never seen before')
  }
})

t.test('a kept connection that was closed at the other end costs no request', async (t) => {
  const { server, lab } = await bench(t)
  t.equal((await lab.send(opaqueDraft())).status, 200)
  let resets = 0
  server.answer = () => (resets++ === 0 ? 'reset' : json(activeClaims()))
  t.equal((await lab.send(opaqueDraft())).status, 200)
  t.equal(resets, 2)
  t.equal(await questions(lab, 'failed'), 0)
})

t.test('a slow answer is judged by the time it came, and not asked for twice', async (t) => {
  const { server, lab } = await bench(t, 'cache: 0s')
  server.answer = async () => {
    await new Promise((resolve) => setTimeout(resolve, 1000))
    return json(activeClaims())
  }
  t.equal((await lab.send(opaqueDraft())).status, 200)
  t.equal(server.asked.length, 1)
})

const TROUBLES: readonly (readonly [string, IntrospectionServer['answer']])[] = [
  ['silent', () => 'silence'],
  ['closing every connection', () => 'reset'],
  ['told to slow us down', () => json({}, { status: 429 })],
  ['out of service', () => json({}, { status: 503 })],
]

for (const [trouble, answer] of TROUBLES) {
  t.test(
    `denies introspection_unavailable: an issuer that is ${trouble}; what is kept serves on, and it recovers by itself`,
    async (t) => {
      const { server, lab } = await bench(t, 'cache: 1h, timeout: 3s')
      const known = randomUUID()
      t.equal((await lab.send(opaqueDraft(known))).status, 200)
      server.answer = answer
      await until('it is left alone', async () => {
        const reply = await lab.send(opaqueDraft())
        t.equal(reply.status, 503)
        t.equal(reasonOf(reply.body), 'introspection_unavailable')
        t.equal(reply.header('www-authenticate'), undefined)
        return (await questions(lab, 'not_asked')) >= 3
      })
      t.equal((await lab.send(opaqueDraft(known))).status, 200)
      t.match(await lab.admin('/readyz'), { status: 200, body: /introspection at https:\/\/as\.example\.com: / })
      t.match((await lab.admin('/metrics')).body, /^holdfast_degraded\{part="introspection"\} 1$/m)
      t.equal(lab.logs.filter((line) => line.includes('introspection at')).length, 1, 'said once')
      server.answer = () => json(activeClaims())
      await until('recovery', async () => (await lab.send(opaqueDraft())).status === 200)
      t.match(await lab.admin('/readyz'), { body: '{"ready":true,"degraded":[]}' })
    },
  )
}

t.test('where the tier has `introspect: always` its issuer is asked about a JWT too, on every request', async (t) => {
  const { server, lab } = await bench(t, 'cache: 1h, negative_cache: 0s', asked)
  const jti = randomUUID()
  server.answer = () => json({ active: true })
  for (let i = 0; i < 3; i++) {
    const reply = await lab.send(jwtDraft({ jti }))
    t.equal(reply.status, 200, reply.body)
  }
  t.equal(server.asked.length, 3)
  t.equal((await lab.send(makeDraft({ host: HOST, path: '/read/1' }))).status, 200)
  t.equal(server.asked.length, 3, 'on other tiers nobody is asked about JWTs')

  const stolen = jwtDraft({ jti })
  stolen.scheme = 'Bearer'
  stolen.proof = null
  t.equal(reasonOf((await lab.send(stolen)).body), 'scheme_downgraded')
  t.equal(server.asked.length, 3, 'whoever does not hold the key can’t have it asked')

  for (const [reason, why, answer] of [
    ['token_inactive', 'it was revoked', INACTIVE],
    ['token_expired', 'the answer has it end sooner', json({ active: true, exp: Math.floor(Date.now() / 1000) - 1 })],
    ['token_type', 'the answer calls it a refresh token', json({ active: true, token_type: 'refresh_token' })],
    ['introspection_unavailable', 'the answer is about another jti', json({ active: true, jti: 'another' })],
    ['introspection_unavailable', 'the answer has another key', json({ active: true, cnf: { jkt: 'A'.repeat(43) } })],
    ['introspection_unavailable', 'the answer is of another issuer', json({ active: true, iss: 'https://as2.example.com' })],
    ['introspection_unavailable', 'no answer', json('')],
  ] as const) {
    server.answer = () => answer
    t.equal(reasonOf((await lab.send(jwtDraft({ jti }))).body), reason, why)
  }
})

t.test('an answer to an older question does not undo a newer one', async (t) => {
  const { server, lab } = await bench(t, 'cache: 1h, negative_cache: 1h', asked)
  const token = randomUUID()
  const { answer, release } = held(() => json(activeClaims()))
  server.answer = answer
  const first = lab.send(opaqueDraft(token))
  await until('the first question', async () => server.asked.length === 1)
  server.answer = () => INACTIVE
  t.equal(
    reasonOf((await lab.send(opaqueDraft(token, '/asked'))).body),
    'token_inactive',
    'it does not wait for the older question',
  )
  release()
  t.equal((await first).status, 200, 'when that was asked it was active')
  t.equal(reasonOf((await lab.send(opaqueDraft(token))).body), 'token_inactive')
})

t.test('denies token_malformed: an opaque token where the issuer of the route can’t be asked', async (t) => {
  const { server, lab } = await bench(t, '', (parts) => ({
    ...parts,
    routes: `${parts.routes}  - { path: /other, methods: [GET], tier: bound_read, upstream: cases, issuers: [https://as2.example.com] }\n`,
  }))
  t.equal(reasonOf((await lab.send(opaqueDraft(randomUUID(), '/other'))).body), 'token_malformed')
  t.equal(server.asked.length, 0)
})

t.test('what one configuration was told another does not know', async (t) => {
  const { server, lab } = await bench(t, 'cache: 1h')
  const token = randomUUID()
  t.equal((await lab.send(opaqueDraft(token))).status, 200)
  await lab.reload((parts) =>
    introspected({ ...parts, issuers: parts.issuers?.replace(/introspection: \{[^}]*\}, /, '') ?? '' }, server),
  )
  t.equal((await lab.send(opaqueDraft(token))).status, 200)
  t.equal(server.asked.length, 2)
})

t.test('an answer of one issuer is none of another', async (t) => {
  const second = await startIntrospectionServer()
  t.teardown(() => second.stop())
  const introspection = `introspection: { endpoint: '${second.endpoint}', client_id: holdfast, client_secret: x, timeout: 20s }`
  const { server, lab } = await bench(t, 'cache: 1h', (parts) => ({
    ...parts,
    issuers: parts.issuers?.replace('algorithms: [ES256]', `${introspection}, algorithms: [ES256]`) ?? '',
    routes: `${parts.routes}  - { path: /other, methods: [GET], tier: bound_read, upstream: cases, issuers: [https://as2.example.com] }\n`,
  }))
  second.answer = () => INACTIVE
  const token = randomUUID()
  t.equal((await lab.send(opaqueDraft(token))).status, 200)
  t.equal(reasonOf((await lab.send(opaqueDraft(token, '/other'))).body), 'token_inactive')
  t.equal((await lab.send(opaqueDraft(token))).status, 200)
  t.same([server.asked.length, second.asked.length], [1, 1])
})
