// Opaque tokens through the whole gateway: how the issuer is asked, that its answer is judged as a JWT's claims are, and every answer that
// is none.
import { randomUUID } from 'node:crypto'
import { decodeJwt } from 'jose'
import t, { type Test } from 'tap'
import type { Reason } from '../../src/verify/reasons.js'
import { clientKey, type Draft } from '../support/draft.js'
import {
  type Answer,
  AUDIENCE,
  activeClaims,
  CLIENT,
  ISSUER,
  json,
  opaqueDraft,
  signedAnswer,
  startIntrospectionServer,
  startOpaqueLab,
} from '../support/introspection.js'
import { makeKey, sha256 } from '../support/jwt.js'
import type { Lab } from '../support/lab.js'

const server = await startIntrospectionServer()
const lab = await startOpaqueLab(server, 'negative_cache: 0s')
const signed = await startOpaqueLab(server, 'negative_cache: 0s, signed: required')
t.teardown(async () => {
  await Promise.all([lab.stop(), signed.stop()])
  await server.stop()
})

const bearer = (draft: Draft): Draft => Object.assign(draft, { scheme: 'Bearer', proof: null })
const reasonOf = (body: string): unknown => (body === '' ? null : JSON.parse(body).reason)

t.test('asks as RFC 7662 has it, and what it is told is what the upstream and the audit log are told', async (t) => {
  server.answer = () => json(activeClaims({ jti: 'token-7', acr: 'urn:example:aal2' }))
  const token = randomUUID()
  const before = server.asked.length
  const reply = await lab.send(opaqueDraft(token))
  t.equal(reply.status, 200, reply.body)
  const [question] = server.asked.slice(before)
  t.equal(question?.form.get('token'), token)
  t.equal(question?.form.get('token_type_hint'), 'access_token')
  t.equal(question?.headers.authorization, `Basic ${Buffer.from(`${CLIENT}:s3cret`).toString('base64')}`)
  t.match(question?.headers, { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' })
  t.equal(question?.headers.dpop, undefined, 'the proof is ours to judge')
  const call = lab.calls.at(-1)
  t.equal(call?.headers.authorization, undefined)
  t.match(decodeJwt(String(call?.headers['holdfast-assertion'])), {
    sub: 'user-1',
    client_id: 'client-1',
    scope: 'case.read case.write payments',
    acr: 'urn:example:aal2',
    token: { iss: ISSUER, jti: 'token-7' },
    binding: { method: 'dpop', jkt: clientKey.jkt },
  })
  const event = await lab.refusal(reply.header('x-request-id') ?? '')
  t.match(event, {
    decision: 'permit',
    subject: 'user-1',
    client_id: 'client-1',
    token_issuer: ISSUER,
    token_audience: [AUDIENCE],
    token_id: 'token-7',
    sender_constraint: 'dpop',
    sender_constraint_verified: true,
  })
  t.notOk(JSON.stringify([lab.events(), lab.logs]).includes(token), 'the token stands in no log')
})

/** What the issuer answers, and what comes of the request. */
type Row = readonly [reason: Reason, why: string, answer: Answer, draft?: (draft: Draft) => Draft]

const now = Math.floor(Date.now() / 1000)
const claims = (change: Record<string, unknown>): Answer => json(activeClaims(change))
const without = (name: string): Answer => json(Object.fromEntries(Object.entries(activeClaims()).filter(([key]) => key !== name)))

const ROWS: readonly Row[] = [
  ['token_inactive', 'active is false', json({ active: false })],
  ['token_inactive', 'whatever stands beside it', claims({ active: false })],
  ['introspection_unavailable', 'active is "true"', claims({ active: 'true' })],
  ['introspection_unavailable', 'active is 1', claims({ active: 1 })],
  ['introspection_unavailable', 'active is null', claims({ active: null })],
  ['introspection_unavailable', 'no active', without('active')],
  ['introspection_unavailable', 'active twice', json(`{"active":false,${JSON.stringify(activeClaims()).slice(1)}`)],
  ['introspection_unavailable', 'cnf twice', json(`{"cnf":{},${JSON.stringify(activeClaims()).slice(1)}`)],
  ['introspection_unavailable', 'no JSON', json('active=true')],
  ['introspection_unavailable', 'an empty answer', json('')],
  ['introspection_unavailable', 'a list', json([activeClaims()])],
  ['introspection_unavailable', 'another media type', json(activeClaims(), { headers: { 'content-type': 'text/html' } })],
  ['introspection_unavailable', 'a signed answer that nobody asked for', signedAnswer(activeClaims())],
  ['introspection_unavailable', 'compressed', json(activeClaims(), { headers: { 'content-encoding': 'gzip' } })],
  ['introspection_unavailable', 'larger than 64 KiB', claims({ padding: 'x'.repeat(70_000) })],
  ['introspection_unavailable', 'a redirect', json(activeClaims(), { status: 307, headers: { location: '/elsewhere' } })],
  ['introspection_unavailable', 'status 201', json(activeClaims(), { status: 201 })],
  ['introspection_unavailable', 'status 400', json({ error: 'invalid_request' }, { status: 400 })],
  ['introspection_unavailable', 'status 401', json({ error: 'invalid_client' }, { status: 401 })],
  ['introspection_unavailable', 'status 500', json(activeClaims(), { status: 500 })],
  ['token_issuer', 'another issuer', claims({ iss: 'https://as2.example.com' })],
  ['token_issuer', 'a trailing slash', claims({ iss: `${ISSUER}/` })],
  ['token_audience', 'another audience', claims({ aud: 'https://other.example.com' })],
  ['token_claim', 'no audience', without('aud')],
  ['token_claim', 'an audience that is no text', claims({ aud: { is: AUDIENCE } })],
  ['token_claim', 'no exp', without('exp')],
  ['token_claim', 'exp as text', claims({ exp: String(now + 60) })],
  ['token_claim', 'no iat', without('iat')],
  ['token_claim', 'a scope that is no text', claims({ scope: 7 })],
  ['token_claim', 'a subject that is no text', claims({ sub: 7 })],
  ['token_expired', 'it ended, and the issuer calls it active', claims({ iat: now - 100, exp: now - 1 })],
  ['token_not_yet_valid', 'nbf ahead', claims({ nbf: now + 1000 })],
  ['token_not_yet_valid', 'iat ahead', claims({ iat: now + 1000, exp: now + 1200 })],
  ['token_type', 'a refresh token', claims({ token_type: 'refresh_token' })],
  ['token_type', 'an ID token', claims({ token_type: 'id_token' })],
  ['token_type', 'token_type is no text', claims({ token_type: ['DPoP'] })],
  ['token_type', 'Keycloak: a refresh token', claims({ typ: 'Refresh' })],
  ['token_type', 'Keycloak: an ID token', claims({ typ: 'ID' })],
  ['binding_unsupported', 'cnf with another member', claims({ cnf: { jkt: clientKey.jkt, kid: '1' } })],
  ['binding_unsupported', 'cnf is text', claims({ cnf: JSON.stringify({ jkt: clientKey.jkt }) })],
  ['binding_unsupported', 'cnf is empty', claims({ cnf: {} })],
  ['binding_unsupported', 'token_type DPoP without cnf', claims({ cnf: undefined }), bearer],
  ['scheme_downgraded', 'bound to a key, and sent as Bearer', claims({ token_type: 'Bearer' }), bearer],
  ['scheme_mismatch', 'bound to no key, and sent as DPoP', claims({ token_type: 'Bearer', cnf: undefined })],
  ['token_unbound', 'not bound, where that is demanded', claims({ token_type: 'Bearer', cnf: undefined }), bearer],
  ['proof_key', 'bound to another key', claims({ cnf: { jkt: makeKey().jkt } })],
  [
    'certificate_missing',
    'bound to a certificate that is not shown',
    claims({ token_type: 'Bearer', cnf: { 'x5t#S256': sha256('x') } }),
    bearer,
  ],
  ['token_lifetime', 'it lives too long', claims({ iat: now - 10, exp: now + 86_400 })],
  ['scope_missing', 'a scope less', claims({ scope: 'case.read' })],
  ['scope_missing', 'no scope', without('scope')],
]

const SIGNED_ROWS: readonly Row[] = [
  ['token_inactive', 'signed: active is false', signedAnswer({ active: false })],
  ['introspection_unavailable', 'not signed', json(activeClaims())],
  [
    'introspection_unavailable',
    'JSON under the media type of a signed one',
    json(activeClaims(), { headers: { 'content-type': 'application/token-introspection+jwt' } }),
  ],
  [
    'introspection_unavailable',
    'signed, under the media type of JSON',
    signedAnswer(activeClaims(), { media: 'application/json' }),
  ],
  ['introspection_unavailable', 'alg none', signedAnswer(activeClaims(), { header: { alg: 'none' } })],
  ['introspection_unavailable', 'alg RS256, which is not listed', signedAnswer(activeClaims(), { header: { alg: 'RS256' } })],
  ['introspection_unavailable', 'typ JWT', signedAnswer(activeClaims(), { header: { typ: 'JWT' } })],
  ['introspection_unavailable', 'typ at+jwt', signedAnswer(activeClaims(), { header: { typ: 'at+jwt' } })],
  ['introspection_unavailable', 'no typ', signedAnswer(activeClaims(), { header: { typ: undefined } })],
  ['introspection_unavailable', 'crit', signedAnswer(activeClaims(), { header: { crit: ['x'], x: 1 } })],
  ['introspection_unavailable', 'signed by someone else', signedAnswer(activeClaims(), { key: makeKey() })],
  ['introspection_unavailable', 'another iss', signedAnswer(activeClaims(), { payload: { iss: 'https://as2.example.com' } })],
  ['introspection_unavailable', 'no iss', signedAnswer(activeClaims(), { payload: { iss: undefined } })],
  ['introspection_unavailable', 'for another client', signedAnswer(activeClaims(), { payload: { aud: 'another' } })],
  ['introspection_unavailable', 'for nobody', signedAnswer(activeClaims(), { payload: { aud: undefined } })],
  ['introspection_unavailable', 'an old one', signedAnswer(activeClaims(), { payload: { iat: now - 3600 } })],
  ['introspection_unavailable', 'of tomorrow', signedAnswer(activeClaims(), { payload: { iat: now + 86_400 } })],
  ['introspection_unavailable', 'one that ended', signedAnswer(activeClaims(), { payload: { exp: now - 1 } })],
  ['introspection_unavailable', 'one that begins later', signedAnswer(activeClaims(), { payload: { nbf: now + 1000 } })],
  ['introspection_unavailable', 'without iat', signedAnswer(activeClaims(), { payload: { iat: undefined } })],
  [
    'introspection_unavailable',
    'its claims beside token_introspection',
    signedAnswer(undefined, { payload: activeClaims({ aud: CLIENT }) }),
  ],
  ['introspection_unavailable', 'token_introspection is text', signedAnswer(JSON.stringify(activeClaims()))],
  ['token_issuer', 'signed by ours about another issuer’s token', signedAnswer(activeClaims({ iss: 'https://as2.example.com' }))],
]

async function refuses(t: Test, lab: Lab, [reason, , answer, change]: Row): Promise<void> {
  const calls = lab.upstreamCalls()
  server.answer = () => answer
  const draft = opaqueDraft()
  const reply = await lab.send(change === undefined ? draft : change(draft))
  t.equal(reasonOf(reply.body), reason, reply.body)
  t.equal(lab.upstreamCalls(), calls, 'nothing is forwarded')
  if (reason === 'introspection_unavailable') {
    t.equal(reply.status, 503)
    t.equal(reply.header('www-authenticate'), undefined, 'the issuer’s trouble is no fault of the token')
  }
}

t.test('the claims of an answer are judged as those of a JWT, and what is no answer is the issuer’s trouble', async (t) => {
  for (const row of ROWS) await t.test(`denies ${row[0]}: ${row[1]}`, (t) => refuses(t, lab, row))
})

t.test('where signed answers are demanded', async (t) => {
  server.answer = () => signedAnswer(activeClaims())
  const reply = await signed.send(opaqueDraft())
  t.equal(reply.status, 200, reply.body)
  t.equal(server.asked.at(-1)?.headers.accept, 'application/token-introspection+jwt')
  server.answer = () =>
    signedAnswer(activeClaims(), { payload: { aud: ['x', AUDIENCE] }, header: { typ: 'application/Token-Introspection+JWT' } })
  t.equal((await signed.send(opaqueDraft())).status, 200, 'to our audience, in a list, and typ in any case')
  for (const row of SIGNED_ROWS) await t.test(`denies ${row[0]}: ${row[1]}`, (t) => refuses(t, signed, row))
})

t.test('denies token_type: the signed answer itself, sent as a token', async (t) => {
  const text = String(signedAnswer(activeClaims()).body)
  const reply = await signed.send(opaqueDraft(text))
  t.equal(reasonOf(reply.body), 'token_type')
})

t.test('a certificate that an opaque token is bound to is proven', async (t) => {
  const cnf = { 'x5t#S256': lab.thumbprint('client') }
  server.answer = () => claims({ token_type: 'Bearer', cnf })
  const token = randomUUID()
  t.equal((await lab.send(bearer(opaqueDraft(token, '/mtls')), { certificate: 'client' })).status, 200)
  const other = await lab.send(bearer(opaqueDraft(token, '/mtls')), { certificate: 'other' })
  t.equal(reasonOf(other.body), 'certificate_mismatch')
})

t.test('JWTs are judged as ever, and nobody is asked about them', async (t) => {
  const before = server.asked.length
  const draft = opaqueDraft()
  draft.spoilToken = (token) => token
  t.equal((await lab.send(draft)).status, 200)
  t.equal(
    reasonOf((await lab.send(opaqueDraft('a.b.c'))).body),
    'token_malformed',
    'three parts are a JWT, and this is a broken one',
  )
  t.equal(server.asked.length, before)
})
