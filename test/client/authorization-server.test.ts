// `holdfast client` and a real authorization server (oidc-provider): what it asks for is what such a server issues.
import { generateKeyPairSync } from 'node:crypto'
import { createServer } from 'node:net'
import { decodeJwt, type JWK } from 'jose'
import type { ClientMetadata } from 'oidc-provider'
import t from 'tap'
import { startAuthorizationServer } from '../../examples/demo/authorization-server.js'
import { startClient } from '../../src/client/proxy.js'
import type { ClientSettings, TokenRequest } from '../../src/client/settings.js'
import { newCa, nonceChallenge, startGateway } from './gateway.js'

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
    })
  })

const ca = await newCa()
const serverTls = await ca.issue('localhost')
const clientTls = await ca.issue('partner-2')
const { d, ...publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' }) as JWK
const clientKey = JSON.stringify({ d, ...publicKey })

const gateway = await startGateway({ ...serverTls, ca: ca.cert })
const port = await freePort()
const issuer = `http://localhost:${port}`
const client = {
  redirect_uris: [],
  grant_types: ['client_credentials'],
  response_types: [],
  scope: 'payments',
}
const clients: ClientMetadata[] = [
  {
    ...client,
    client_id: 'partner-1',
    token_endpoint_auth_method: 'private_key_jwt',
    token_endpoint_auth_signing_alg: 'ES256',
    jwks: { keys: [{ ...publicKey, alg: 'ES256', use: 'sig' }] } as NonNullable<ClientMetadata['jwks']>,
    dpop_bound_access_tokens: true,
  },
  {
    ...client,
    client_id: 'partner-2',
    token_endpoint_auth_method: 'tls_client_auth',
    tls_client_auth_subject_dn: 'CN=partner-2',
    tls_client_certificate_bound_access_tokens: true,
  },
]
const authorizationServer = await startAuthorizationServer({
  issuer,
  port,
  mtls: { port: await freePort(), ...serverTls, clientCa: ca.cert },
  resource: gateway.origin,
  scopes: ['payments'],
  clients,
  people: new Map(),
  lifetimes: new Map(),
})
t.teardown(() => Promise.all([authorizationServer.close(), gateway.close()]))

const token: TokenRequest = {
  issuer,
  endpoint: null,
  clientId: 'partner-1',
  clientKey,
  scope: 'payments',
  resource: gateway.origin,
  audience: null,
}
const settings: ClientSettings = {
  listen: { host: '127.0.0.1', port: 0 },
  gateway: gateway.origin,
  tls: { ca: ca.cert, cert: null, key: null },
  issuerCa: ca.cert,
  dpop: { key: null },
  token,
}

t.test('grants partner-1: private_key_jwt, a token bound to the key of every proof', async (t) => {
  const running = await startClient({ settings, report: (line) => t.fail(line) })
  t.teardown(() => running.close())
  gateway.answers.push(nonceChallenge('n-1'))
  const response = await fetch(`${running.address}/payments/initiate`, { method: 'POST', body: '{}' })
  t.equal(response.status, 200)
  const seen = gateway.seen.at(-1)
  t.match(seen?.proof, { nonce: 'n-1', htm: 'POST', htu: `${gateway.origin}/payments/initiate` })
  t.match(decodeJwt(seen?.headers.authorization?.replace('DPoP ', '') ?? ''), {
    iss: issuer,
    aud: gateway.origin,
    client_id: 'partner-1',
    scope: 'payments',
    cnf: { jkt: seen?.jkt },
  })
})

t.test('grants partner-2: its certificate authenticates it and its token is bound to it', async (t) => {
  const running = await startClient({
    settings: {
      ...settings,
      dpop: null,
      tls: { ca: ca.cert, ...clientTls },
      token: { ...token, clientId: 'partner-2', clientKey: null },
    },
    report: (line) => t.fail(line),
  })
  t.teardown(() => running.close())
  t.equal((await fetch(`${running.address}/payments/initiate`)).status, 200)
  const seen = gateway.seen.at(-1)
  t.equal(seen?.headers.dpop, undefined)
  t.match(decodeJwt(seen?.headers.authorization?.replace('Bearer ', '') ?? ''), {
    client_id: 'partner-2',
    cnf: { 'x5t#S256': seen?.x5t },
  })
})

t.test('reports a client that the server does not know', async (t) => {
  const reports: string[] = []
  const running = await startClient({
    settings: { ...settings, token: { ...token, clientId: 'nobody' } },
    report: (line) => reports.push(line),
  })
  t.teardown(() => running.close())
  t.equal((await fetch(running.address)).status, 503)
  t.match(reports.join(), /answered 401 invalid_client; check client_id, auth, scope and resource/)
})
