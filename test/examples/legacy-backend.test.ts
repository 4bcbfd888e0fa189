import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import t from 'tap'
import { startBackend } from '../../examples/legacy-backend/server.js'

const { privateKey, publicKey } = await generateKeyPair('ES256')
const stranger = await generateKeyPair('ES256')
const jwks = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'gateway', alg: 'ES256' }] })

const gateway = createServer((_request, response) => response.writeHead(200, { 'content-type': 'application/json' }).end(jwks))
await new Promise<void>((resolve) => gateway.listen(0, '127.0.0.1', resolve))
const portOf = (server: { address: () => unknown }): number => (server.address() as AddressInfo).port

const backend = await startBackend({
  host: '127.0.0.1',
  port: 0,
  jwksUrl: `http://127.0.0.1:${portOf(gateway)}/.well-known/jwks.json`,
  issuer: 'https://localhost:8443',
  audience: 'cases',
  header: 'holdfast-assertion',
})
t.teardown(() => {
  for (const server of [gateway, backend]) {
    server.close()
    server.closeAllConnections()
  }
})

const now = () => Math.floor(Date.now() / 1000)
type Change = { claims?: Record<string, unknown>; header?: Record<string, string>; key?: typeof privateKey }

/** An assertion that is trusted, but for the change. A claim that is undefined is left out. */
const assertion = (
  method: string,
  target: string,
  { claims = {}, header = {}, key = privateKey }: Change = {},
): Promise<string> =>
  new SignJWT({
    iss: 'https://localhost:8443',
    aud: 'cases',
    iat: now(),
    exp: now() + 30,
    jti: randomUUID(),
    htm: method,
    target,
    sub: 'ada',
    client_id: 'portal',
    tenant: 'north',
    binding: { method: 'none' },
    ...claims,
  })
    .setProtectedHeader({ alg: 'ES256', typ: 'holdfast+jwt', kid: 'gateway', ...header })
    .sign(key)

const send = (method: string, target: string, value?: string): Promise<Response> =>
  fetch(`http://127.0.0.1:${portOf(backend)}${target}`, {
    method,
    headers: value === undefined ? {} : { 'holdfast-assertion': value },
  })

t.test('grants every route to whom the assertion names', async (t) => {
  const rows: [string, string, number, object][] = [
    ['GET', '/public/reference-data?since=2026', 200, { currencies: ['EUR', 'NOK', 'USD'] }],
    ['GET', '/profile', 200, { profile: 'ada', caller: { sub: 'ada', client_id: 'portal' } }],
    ['GET', '/cases/42', 200, { case: '42' }],
    ['POST', '/cases/42/notes', 201, { case: '42', note: 'added' }],
    ['POST', '/tenants/north/cases/42/enforcement-decision', 200, { tenant: 'north', decided_by: 'ada' }],
    ['POST', '/payments/initiate', 201, { payment: 'initiated' }],
  ]
  for (const [method, target, status, body] of rows) {
    const response = await send(method, target, await assertion(method, target))
    t.equal(response.status, status, target)
    t.match(await response.json(), body)
  }
  t.equal((await send('GET', '/elsewhere', await assertion('GET', '/elsewhere'))).status, 404)
  const south = '/tenants/south/cases/42/enforcement-decision'
  t.equal((await send('POST', south, await assertion('POST', south))).status, 404, 'a domain rule of its own')
})

t.test('denies whatever did not come through the gateway like this', async (t) => {
  const target = '/cases/42'
  const rows: [string, Change][] = [
    ['another issuer', { claims: { iss: 'https://evil.example' } }],
    ['another audience', { claims: { aud: 'payments' } }],
    ['expired', { claims: { exp: now() - 10 } }],
    ['no exp', { claims: { exp: undefined } }],
    ['no jti', { claims: { jti: undefined } }],
    ['another method', { claims: { htm: 'POST' } }],
    ['another path', { claims: { target: '/cases/43' } }],
    ['another query', { claims: { target: '/cases/42?all' } }],
    ['another kind of JWT', { header: { typ: 'at+jwt' } }],
    ['another key', { key: stranger.privateKey }],
    ['an unknown kid', { header: { kid: 'other' } }],
  ]
  for (const [why, change] of rows) t.equal((await send('GET', target, await assertion('GET', target, change))).status, 403, why)
  t.equal((await send('GET', target)).status, 403, 'no assertion')
  t.equal((await send('GET', target, 'eyJhbGciOiJub25lIn0.e30.')).status, 403, 'alg none')

  const once = await assertion('GET', target)
  t.equal((await send('GET', target, once)).status, 200)
  t.equal((await send('GET', target, once)).status, 403, 'a second time')
})
