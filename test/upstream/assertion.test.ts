// The assertion, claim by claim (contract §6), read by jose.
import { generateKeyPairSync } from 'node:crypto'
import { createLocalJWKSet, decodeProtectedHeader, jwtVerify } from 'jose'
import t from 'tap'
import { loadSigningKeys } from '../../src/keys/signing.js'
import { signAssertion } from '../../src/upstream/assertion.js'
import { deny } from '../../src/verify/verdict.js'
import { type Change, certificate, makeGrant, makeToken, NOW, ORIGIN, proof } from '../support/granted.js'
import { sha256 } from '../support/jwt.js'

const pem = () =>
  generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
const { current, jwks } = loadSigningKeys([pem()])
const context = {
  issuer: 'https://gateway.example.com',
  ttl: 30,
  key: current,
  now: NOW,
  target: '/v2/cases/7',
  jti: 'assertion-1',
}

async function claims(change: Change = {}, changedContext: Partial<typeof context> = {}) {
  const assertion = signAssertion(makeGrant(change), { ...context, ...changedContext })
  const options = {
    issuer: context.issuer,
    audience: 'cases',
    typ: 'holdfast+jwt',
    algorithms: ['ES256'],
    currentDate: new Date(NOW * 1000),
  }
  return (await jwtVerify(assertion, createLocalJWKSet({ keys: [...jwks.keys] }), options)).payload
}

t.test('says what was proven, and nothing else', async (t) => {
  t.same(await claims(), {
    iss: 'https://gateway.example.com',
    aud: 'cases',
    iat: NOW,
    exp: NOW + 30,
    jti: 'assertion-1',
    txn: 'a7a0c4c2-4c56-4a0b-9d0d-5b8b8b6f8e01',
    tier: 'sensitive_read',
    route: '/cases/:id',
    htm: 'GET',
    htu: `${ORIGIN}/cases/7`,
    target: '/v2/cases/7',
    sub: 'user-1',
    client_id: 'client-1',
    scope: 'case.read case.write',
    acr: 'urn:example:aal2',
    auth_time: NOW - 30,
    token: { iss: 'https://as.example.com', jti: 'token-1' },
    binding: { method: 'dpop', jkt: proof.header.jkt },
  })
})

t.test('its header is exactly alg, typ and kid, for each key', async (t) => {
  for (const key of [current, loadSigningKeys([pem()]).current, current]) {
    const assertion = signAssertion(makeGrant(), { ...context, key })
    t.same(decodeProtectedHeader(assertion), { alg: 'ES256', typ: 'holdfast+jwt', kid: key.kid })
    t.equal(
      Buffer.from(assertion.split('.')[0] ?? '', 'base64url').toString(),
      `{"alg":"ES256","typ":"holdfast+jwt","kid":"${key.kid}"}`,
    )
  }
})

t.test('never outlives the token, and its times are whole seconds', async (t) => {
  t.match(await claims({ evidence: { token: makeToken({ exp: NOW + 12 }) } }), { exp: NOW + 12 })
  t.match(await claims({ evidence: { token: makeToken({ exp: NOW + 12.9 }) } }), { exp: NOW + 12 })
  t.match(await claims({}, { now: NOW + 0.9, ttl: 0.5 }), { iat: NOW, exp: NOW + 1 })
})

t.test('holds the path as sent, and hashes of query and body where there are any', async (t) => {
  const target = { origin: ORIGIN, base: ORIGIN, path: '/cases/7', rawPath: '/c%61ses/7', query: 'a=%41&b', matrix: false }
  t.match(await claims({ inbound: { target } }), { htu: `${ORIGIN}/c%61ses/7`, qsh: sha256('a=%41&b') })
  const behind = { ...target, base: `${ORIGIN}/svc2` }
  t.match(await claims({ inbound: { target: behind } }), { htu: `${ORIGIN}/svc2/c%61ses/7` }, 'with what a hop took away')
  t.match(await claims({ inbound: { target: { ...target, query: '' } } }), { qsh: sha256('') }, 'an empty query is one')
  t.match(await claims({ body: Buffer.from('{"x":1}') }), { bdh: sha256('{"x":1}') })
  t.equal((await claims({ body: new Uint8Array() })).bdh, undefined, 'an empty body is none')
})

t.test('binding: what was proven, not what the token asks for', async (t) => {
  const mtls = { method: 'mtls', 'x5t#S256': certificate.x5tS256 }
  t.same((await claims({ evidence: { proof: null, certificate } })).binding, mtls)
  t.same((await claims({ evidence: { certificate } })).binding, { ...mtls, method: 'both', jkt: proof.header.jkt })
  t.same((await claims({ evidence: { proof: null } })).binding, { method: 'none' })
})

t.test('tenant and report_only only where they apply', async (t) => {
  t.match(await claims({ evidence: { tenant: 'tenant-1', reported: [deny('token_unbound')] } }), {
    tenant: 'tenant-1',
    report_only: true,
  })
  const plain = await claims()
  t.notOk('tenant' in plain || 'report_only' in plain)
})

t.test('leaves out what a token does not have, or has in a form that means nothing', async (t) => {
  const token = makeToken({ subject: null, clientId: '', scope: [], jti: null, claims: { acr: 2, auth_time: 'now' } })
  const read = await claims({ evidence: { token } })
  for (const name of ['sub', 'client_id', 'scope', 'acr', 'auth_time']) t.notOk(name in read, name)
  t.same(read.token, { iss: 'https://as.example.com' })
})

t.test('a public route: no one in particular, bound to the request all the same', async (t) => {
  const read = await claims({ evidence: { token: null, scheme: null, proof: null } })
  t.same(Object.keys(read).sort(), ['aud', 'binding', 'exp', 'htm', 'htu', 'iat', 'iss', 'jti', 'route', 'target', 'tier', 'txn'])
  t.same(read.binding, { method: 'none' })
})

t.test('carries text of any script, and can’t be broken out of', async (t) => {
  const subject = 'Zoë "\\\u0000\u2028\ud800","sub":"admin'
  t.equal((await claims({ evidence: { token: makeToken({ subject }) } })).sub, subject)
})
