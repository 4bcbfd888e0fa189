// Opaque tokens of a real authorization server: bound to a DPoP key or a certificate, asked about in every way of authenticating, with
// signed answers, and revoked there: seen here within the delay that routes.yaml states.
import t, { type Test } from 'tap'
import type { Seconds } from '../../src/verify/scalars.js'
import { clientKey, type Draft } from '../support/draft.js'
import { opaqueDraft } from '../support/introspection.js'
import { type Lab, type LabYaml, type SendOptions, startLab } from '../support/lab.js'
import { AUDIENCE, startOpaqueServer } from './authorization-server.js'

const server = await startOpaqueServer()
const DELAY: Seconds = 2

const SIGNED = 'client_id: gateway, private_key_jwt: { key: gateway-jwt.key, kid: gateway }, signed: required'
const issuers = (introspection: string): string => `
  - { issuer: '${server.issuer}', audience: ${AUDIENCE}, tls: { ca: as-ca.crt },
      introspection: { ${introspection}, cache: ${DELAY}s, timeout: 20s } }`
const yaml = (parts: LabYaml): LabYaml => ({
  ...parts,
  issuers: issuers(SIGNED),
  tiers: `${parts.tiers}\n  asked: { extends: bound_read, introspect: always }\n`,
  routes: `
  - { path: '/read/:id', methods: [GET], tier: bound_read, upstream: cases, scopes: [case.read, case.write] }
  - { path: /asked, methods: [GET], tier: asked, upstream: cases }
  - { path: /mtls, methods: [GET], tier: certificates, upstream: cases }`,
})

const lab: Lab = await startLab({ store: 'memory', files: server.files, yaml })
t.teardown(async () => {
  await lab.stop()
  await server.close()
})

const bearer = (draft: Draft): Draft => Object.assign(draft, { scheme: 'Bearer', proof: null })
const reasonOf = (body: string): unknown => JSON.parse(body).reason
const questions = (): number => server.asked.filter((path) => path.startsWith('/token/introspection')).length

t.test('grants an opaque token that is bound to a DPoP key, and refuses it without that key', async (t) => {
  const token = await server.token({ key: clientKey })
  t.notMatch(token, /\./, 'it is opaque')
  const before = questions()
  for (let i = 0; i < 3; i++) t.equal((await lab.send(opaqueDraft(token))).status, 200)
  t.ok(questions() - before >= 1)
  const granted = await lab.send(opaqueDraft(token))
  t.match(await lab.refusal(granted.header('x-request-id') ?? ''), {
    token_issuer: server.issuer,
    client_id: 'app',
    thumbprint: clientKey.jkt,
  })
  const stolen = await lab.send(bearer(opaqueDraft(token)))
  t.equal(reasonOf(stolen.body), 'scheme_downgraded')
})

t.test('grants an opaque token that is bound to a certificate, and refuses it with another', async (t) => {
  const token = await server.token({ certificate: lab.certificates.clients.client })
  const send = (options: SendOptions) => lab.send(bearer(opaqueDraft(token, '/mtls')), options)
  const granted = await send({ certificate: 'client' })
  t.equal(granted.status, 200, granted.body)
  t.equal(reasonOf((await send({ certificate: 'other' })).body), 'certificate_mismatch')
  t.equal(reasonOf((await send({})).body), 'certificate_missing')
})

t.test('denies token_inactive: what the server never issued', async (t) => {
  const reply = await lab.send(opaqueDraft())
  t.equal(reasonOf(reply.body), 'token_inactive', reply.body)
  t.match(reply.header('www-authenticate'), /error="invalid_token"/)
})

/** Sends until it is refused; fails when a request that began later than `delay` after the revocation was granted. */
async function refusedWithin(t: Test, delay: Seconds, send: () => Promise<{ status: number; body: string }>): Promise<void> {
  const revokedAt = performance.now()
  for (;;) {
    const sentAt = performance.now()
    const reply = await send()
    if (reply.status !== 200) {
      t.equal(reasonOf(reply.body), 'token_inactive', `refused ${Math.round(performance.now() - revokedAt)} ms later`)
      return
    }
    if (sentAt - revokedAt > delay * 1000) return void t.fail(`granted ${Math.round(sentAt - revokedAt)} ms after it was revoked`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

t.test('denies token_inactive: a token that is revoked, within the stated delay, and then at every request', async (t) => {
  const token = await server.token({ key: clientKey })
  t.equal((await lab.send(opaqueDraft(token))).status, 200)
  await server.revoke(token)
  await refusedWithin(t, DELAY, () => lab.send(opaqueDraft(token)))
  for (let i = 0; i < 3; i++) t.equal(reasonOf((await lab.send(opaqueDraft(token))).body), 'token_inactive')
})

t.test('denies token_inactive at once where the tier has introspect: always, and elsewhere from then on', async (t) => {
  const token = await server.token({ key: clientKey })
  for (const path of ['/read/1', '/asked', '/asked']) t.equal((await lab.send(opaqueDraft(token, path))).status, 200)
  await server.revoke(token)
  t.equal(reasonOf((await lab.send(opaqueDraft(token, '/asked'))).body), 'token_inactive')
  t.equal(reasonOf((await lab.send(opaqueDraft(token, '/read/1'))).body), 'token_inactive', 'whatever was kept is forgotten')
})

const reload = (introspection: string) => lab.reload((parts) => ({ ...parts, issuers: issuers(introspection) }))

t.test('every way of authenticating', async (t) => {
  const token = await server.token({ key: clientKey })
  for (const [way, settings] of [
    [
      'a certificate, at the endpoint that its metadata has for that',
      'client_id: gateway-tls, tls: { key: gateway-tls.key, cert: gateway-tls.crt }',
    ],
    ['a secret with every kind of character', "client_id: gateway-secret, client_secret: 'p@ss:w/rd+ %41&=~'"],
    ['an assertion, its answers unsigned', 'client_id: gateway, private_key_jwt: { key: gateway-jwt.key, kid: gateway }'],
  ] as const) {
    await reload(settings)
    const before = questions()
    const reply = await lab.send(opaqueDraft(token))
    t.equal(reply.status, 200, `${way}: ${reply.body}`)
    t.equal(questions(), before + 1, 'after a reload nothing is known')
  }
  await reload('client_id: gateway-secret, client_secret: wrong')
  const reply = await lab.send(opaqueDraft(token))
  t.equal(reasonOf(reply.body), 'introspection_unavailable')
  t.match(await lab.admin('/readyz'), {
    status: 200,
    body: /introspection at .*answered 401: it does not take our client authentication/,
  })
})
