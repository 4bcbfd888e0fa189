// Shared Signals as a transmitter sends them: pushed over HTTP to a gateway with a real Redis, which then refuses what they are about.
// Titles begin with the row of the checklist of CAEP receivers that they prove.
import t, { type Test } from 'tap'
import { type Draft, issuerKey, makeDraft } from '../support/draft.js'
import { AUDIENCE, type EventToken, ISSUER, type Json, makeSet, printSet, seconds, user } from '../support/events.js'
import { waitFor } from '../support/fleet.js'
import { makeKey, signJwt } from '../support/jwt.js'
import { HOST, type Lab, startLab } from '../support/lab.js'
import { entryName, termsOf, withList } from '../support/revocations.js'

const TOKEN = '0123456789abcdef0123456789abcdef'
const CAEP = 'https://schemas.openid.net/secevent/caep/event-type/'
const SSF = 'https://schemas.openid.net/secevent/ssf/event-type/'

type Answer = { readonly status: number; readonly text: string; readonly headers: Headers }
type Receiver = Lab & { push(set: EventToken | string, headers?: Record<string, string>): Promise<Answer> }

async function start(t: Test): Promise<Receiver> {
  const events = `{ audience: '${AUDIENCE}', token: ${TOKEN} }`
  const lab = await startLab({
    yaml: (yaml) => ({ ...yaml, issuers: yaml.issuers?.replace('jwks_file:', `events: ${events}, jwks_file:`) ?? '' }),
  })
  t.teardown(() => lab.stop())
  const push = async (set: EventToken | string, headers: Record<string, string> = {}): Promise<Answer> => {
    const response = await fetch(`http://127.0.0.1:${lab.adminPort}/events`, {
      method: 'POST',
      headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/secevent+jwt', ...headers },
      body: typeof set === 'string' ? set : printSet(set),
    })
    return { status: response.status, text: await response.text(), headers: response.headers }
  }
  return Object.assign(lab, { push })
}

const of = (claims: Json): Draft => {
  const draft = makeDraft({ host: HOST, path: '/read/1' })
  Object.assign(draft.token.claims, claims)
  return draft
}
const reason = async (lab: Lab, claims: Json): Promise<string> => {
  const { status, body } = await lab.send(of(claims))
  return status === 200 ? 'granted' : String(JSON.parse(body).reason)
}

/** Pushes an event and waits until what it is about is refused so. */
async function revokes(t: Test, lab: Receiver, set: EventToken, { claims, as }: { claims: Json; as: string }): Promise<void> {
  t.equal(await reason(lab, claims), 'granted', 'before')
  t.match(await lab.push(set), { status: 202, text: '' })
  await waitFor(`${as} for ${JSON.stringify(claims)}`, async () => (await reason(lab, claims)) === as)
}

t.test(
  'SET-01, 06, 14: session-revoked: the session it names, of a user all tokens of before, of a token that alone',
  async (t) => {
    const lab = await start(t)
    const complex = { format: 'complex', user: user('u1'), session: { format: 'opaque', id: 's1' } }
    await revokes(t, lab, makeSet('session-revoked', complex), { claims: { sub: 'u1', sid: 's1' }, as: 'token_revoked' })
    t.equal(await reason(lab, { sub: 'u1', sid: 's2' }), 'granted', 'another session of the same user')
    await revokes(t, lab, makeSet('session-revoked', user('u2'), { event_timestamp: seconds() }), {
      claims: { sub: 'u2', iat: seconds() - 5 },
      as: 'token_revoked',
    })
    t.equal(await reason(lab, { sub: 'u2', iat: seconds() + 1 }), 'granted', 'who signed in anew')
    const jwt = { format: 'jwt_id', iss: ISSUER, jti: 'token-1' }
    await revokes(t, lab, makeSet('session-revoked', jwt), { claims: { jti: 'token-1' }, as: 'token_revoked' })
  },
)

t.test('SET-06: a transmitter whose clock is ahead: what it issued just before the event is revoked too', async (t) => {
  const lab = await start(t)
  const ahead = seconds() + 8
  const set = makeSet('session-revoked', user('u3'), { event_timestamp: ahead })
  set.claims.iat = ahead
  await revokes(t, lab, set, { claims: { sub: 'u3', iat: ahead - 3 }, as: 'token_revoked' })
  const far = makeSet('session-revoked', user('u4'), { event_timestamp: ahead + 3600 })
  await revokes(t, lab, far, { claims: { sub: 'u4', iat: seconds() - 5 }, as: 'token_revoked' })
  t.equal(await reason(lab, { sub: 'u4', iat: seconds() + 3 }), 'granted', 'not what is issued later, whatever it says')
})

t.test('SET-07 to SET-11: what means that a user must authenticate anew, and what means nothing', async (t) => {
  const lab = await start(t)
  const old = { auth_time: seconds() - 60 }
  const stepUps: readonly (readonly [type: string, event: Json])[] = [
    ['credential-change', { credential_type: 'password', change_type: 'update' }],
    ['credential-change', { credential_type: 'x509', change_type: 'revoke', x509_serial: '01' }],
    ['assurance-level-change', { namespace: 'NIST-AAL', current_level: 'nist-aal1', change_direction: 'decrease' }],
    ['risk-level-change', { principal: 'USER', current_level: 'HIGH' }],
  ]
  for (const [i, [type, event]] of stepUps.entries()) {
    const claims = { sub: `step-${i}`, ...old }
    await revokes(t, lab, makeSet(type, user(`step-${i}`), event), { claims, as: 'authentication_old' })
    t.equal(await reason(lab, { ...claims, auth_time: seconds() + 1 }), 'granted', 'authenticated since')
    const refused = await lab.send(of(claims))
    t.match(refused.header('www-authenticate'), /error="insufficient_user_authentication".*max_age="\d+"/)
  }
  const refusals: readonly (readonly [type: string, event: Json])[] = [
    ['device-compliance-change', { previous_status: 'compliant', current_status: 'not-compliant' }],
    ['token-claims-change', { claims: { role: 'none' } }],
  ]
  for (const [type, event] of refusals)
    await revokes(t, lab, makeSet(type, user(type), event), { claims: { sub: type, iat: seconds() - 5 }, as: 'token_revoked' })
  const nothing: readonly (readonly [type: string, event: Json])[] = [
    ['credential-change', { change_type: 'create' }],
    ['assurance-level-change', { change_direction: 'increase' }],
    ['risk-level-change', { current_level: 'LOW' }],
    ['device-compliance-change', { current_status: 'compliant' }],
    ['session-established', {}],
    ['session-presented', {}],
    [`${SSF}verification`, { state: 'x' }],
    [`${SSF}stream-updated`, { status: 'paused' }],
    ['https://example.com/another', {}],
  ]
  for (const [type, event] of nothing)
    t.match(await lab.push(makeSet(type, user('nobody'), event)), { status: 202, text: '' }, type)
  t.match(await lab.push(makeSet('session-revoked', { format: 'email', email: 'a@example.com' })), { status: 202 }, 'unmatched')
  t.match(lab.logs.join('\n'), /of a subject that no token names/)
  const names = await lab.redis?.call('HKEYS', 'holdfast:{revocations}:list')
  t.notMatch(JSON.stringify(names), /nobody|example\.com\/another/)
})

t.test('SET-02, SET-03, SET-05, SET-15: refused for one fault, in the words of RFC 8935, and nothing is revoked', async (t) => {
  const lab = await start(t)
  const other = makeKey('ES256')
  const faults: readonly (readonly [err: string, change: (set: EventToken) => unknown])[] = [
    ['invalid_request', ({ header }) => (header.typ = 'at+jwt')],
    ['invalid_request', ({ header }) => delete header.typ],
    ['invalid_request', ({ header }) => (header.crit = ['x'])],
    ['invalid_issuer', ({ claims }) => (claims.iss = 'https://evil.example.com')],
    ['invalid_key', ({ header }) => (header.alg = 'none')],
    ['invalid_key', ({ header }) => (header.alg = 'RS256')],
    ['invalid_key', (set) => (set.key = other)],
    ['invalid_audience', ({ claims }) => (claims.aud = 'https://api.example.com')],
    ['invalid_audience', ({ claims }) => delete claims.aud],
    ['invalid_request', ({ claims }) => delete claims.jti],
    ['invalid_request', ({ claims }) => (claims.iat = seconds() + 600)],
    ['invalid_request', ({ claims }) => (claims.exp = seconds() + 600)],
    ['invalid_request', ({ claims }) => (claims.sub = 'u1')],
    ['invalid_request', ({ claims }) => (claims.events = {})],
    ['invalid_request', ({ claims }) => (claims.events = { ...(claims.events as Json), [`${CAEP}session-presented`]: {} })],
    ['invalid_request', ({ claims }) => (claims.events = [])],
    ['invalid_request', ({ claims }) => (claims.sub_id = 'u1')],
    ['access_denied', ({ claims }) => (claims.sub_id = user('u1', 'https://other.example.com'))],
  ]
  for (const [err, change] of faults) {
    const set = makeSet('session-revoked', user('u1'))
    change(set)
    const answer = await lab.push(set)
    t.equal(answer.status, 400)
    t.match(JSON.parse(answer.text), { err, description: String })
    t.match(answer.headers.get('content-type'), /^application\/json/)
  }
  const good = makeSet('session-revoked', user('u1'))
  for (const authorization of ['', 'Bearer x', `Bearer ${TOKEN}x`, `Basic ${TOKEN}`]) {
    const answer = await lab.push(good, { authorization })
    t.equal(answer.status, 401, authorization)
    t.match(JSON.parse(answer.text), { err: 'authentication_failed' })
  }
  for (const type of ['text/plain', 'application/json', 'application/jwt'])
    t.equal((await lab.push(good, { 'content-type': type })).status, 415, type)
  t.equal((await lab.push('x'.repeat(70_000))).status, 413)
  t.match(await lab.push('no JWT'), { status: 400, text: /invalid_request/ })
  t.equal(await lab.redis?.call('EXISTS', 'holdfast:{revocations}:list'), 0)
  const access = signJwt({ typ: 'secevent+jwt', alg: 'ES256', kid: 'issuer-1' }, good.claims, issuerKey.privateKey)
  const asToken = makeDraft({ host: HOST, path: '/read/1' })
  asToken.spoilToken = () => access
  t.equal((await lab.send(asToken)).status, 401, 'an event is no access token')
})

t.test('SET-04: heard once: told again it changes nothing, even after it was taken back', async (t) => {
  const lab = await start(t)
  const { redis } = lab
  if (redis === null) throw new Error('this lab has one')
  const set = makeSet('session-revoked', { format: 'complex', session: { format: 'opaque', id: 's1' } })
  await revokes(t, lab, set, { claims: { sid: 's1' }, as: 'token_revoked' })
  await withList(redis, (store) => store.unrevoke(entryName('session', 's1'), termsOf({ effect: 'none' })))
  await waitFor('a grant', async () => (await reason(lab, { sid: 's1' })) === 'granted')
  t.match(await lab.push(set), { status: 202, text: '' })
  t.match(await redis.call('HGET', 'holdfast:{revocations}:list', entryName('session', 's1')), /"effect":"none"/)
  const list = JSON.stringify(await redis.call('HVALS', 'holdfast:{revocations}:list'))
  t.notMatch(list, TOKEN)
})

t.test('Redis away: 503, so that the transmitter tries again; without transmitters there is nothing here', async (t) => {
  const lab = await start(t)
  await lab.redis?.kill()
  const answer = await lab.push(makeSet('session-revoked', user('u1')))
  t.equal(answer.status, 503)
  t.equal(answer.headers.get('retry-after'), '1')
  const silent = await startLab()
  t.teardown(() => silent.stop())
  const response = await fetch(`http://127.0.0.1:${silent.adminPort}/events`, {
    method: 'POST',
    headers: { 'content-type': 'application/secevent+jwt' },
    body: 'x',
  })
  t.equal(response.status, 404)
})
