// Does the probe tell the truth of servers that we did not write? The userinfo endpoint of oidc-provider, with and without nonces, and
// an API on oauth4webapi's validateJwtAccessToken, which has no store of used proofs.
import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { customFetch, jwksCache, validateJwtAccessToken } from 'oauth4webapi'
import Provider from 'oidc-provider'
import t from 'tap'
import { makeCertificates } from '../support/certificates.js'
import { makeKey } from '../support/jwt.js'
import { dpopClient, found, makePlace, makeToken, type Place, probeReport } from './place.js'

const out = process.env.PROBE_OUT
const key = makeKey('ES256')
const issuer = makeKey('ES256')
type Handler = (request: IncomingMessage, response: ServerResponse) => void
type Listening = { readonly origin: string; handle: Handler; close(): Promise<void> }

async function listen(tls: { cert: string; key: string }): Promise<Listening> {
  const self = { origin: '', handle: (() => undefined) as Handler, close: async () => undefined }
  const server: Server = createServer({ ...tls }, (request, response) => self.handle(request, response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  self.origin = `https://localhost:${(server.address() as AddressInfo).port}`
  return Object.assign(self, {
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  })
}

/** The API, in the lines that oauth4webapi's documentation has for it. */
function jwtApi(origin: string): Handler {
  const as = { issuer: 'https://as.example.com', jwks_uri: 'https://as.example.com/jwks' }
  const cache = {
    jwks: { keys: [{ ...issuer.jwk, kid: 'issuer-1', alg: 'ES256', use: 'sig' }] },
    uat: Math.floor(Date.now() / 1000),
  }
  const verified = async (incoming: IncomingMessage) => {
    const headers = new Headers()
    for (const [name, value] of Object.entries(incoming.headers)) headers.set(name, String(value))
    const request = new Request(new URL(incoming.url ?? '', origin), { method: incoming.method ?? '', headers })
    return validateJwtAccessToken(as, request, origin, {
      [jwksCache]: cache as never,
      [customFetch]: async () => new Response('{}', { status: 500 }),
    })
  }
  return (incoming, response) => {
    incoming.resume()
    verified(incoming).then(
      ({ sub }) => response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify({ sub })),
      () => response.writeHead(401, { 'WWW-Authenticate': 'DPoP error="invalid_token", algs="ES256"' }).end(),
    )
  }
}

/** oidc-provider, and a token for its userinfo endpoint. */
async function provider(origin: string, nonces: boolean): Promise<{ handle: Handler; token: string }> {
  const clientId = 'client-1'
  const server = new Provider(origin, {
    clients: [
      {
        client_id: clientId,
        client_secret: randomBytes(16).toString('hex'),
        redirect_uris: ['https://client.example.com/'],
        dpop_bound_access_tokens: true,
      },
    ],
    features: {
      devInteractions: { enabled: false },
      dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => nonces },
    },
    jwks: { keys: [{ ...makeKey('PS256').privateKey.export({ format: 'jwk' }), alg: 'RS256', use: 'sig' } as never] },
    cookies: { keys: ['x'] },
    findAccount: (_context, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
    ttl: { AccessToken: 600, Grant: 600 },
  })
  const grant = new server.Grant({ clientId, accountId: 'user-1' })
  grant.addOIDCScope('openid')
  const grantId = await grant.save()
  const client = await server.Client.find(clientId)
  if (client === undefined) throw new Error('no client')
  const token = new server.AccessToken({
    client,
    accountId: 'user-1',
    grantId,
    gty: 'authorization_code',
    scope: 'openid',
    claims: {},
  } as never)
  token.setThumbprint('jkt', key.jkt)
  return { handle: server.callback(), token: await token.save() }
}

t.test('holdfast probe, on servers of others', async (t) => {
  const { files } = await makeCertificates('localhost')
  const place: Place = makePlace()
  place.write('ca.crt', files['ca.crt'] ?? '')
  const server = await listen({ cert: files['server.crt'] ?? '', key: files['server.key'] ?? '' })
  t.teardown(async () => {
    await server.close()
    place.remove()
  })
  const attack = async (path: string, token: string, name: string, ...more: readonly string[]) => {
    const client = dpopClient(place, server.origin, { key, token })
    const started = Date.now()
    const ran = await probeReport(place, server.origin + path, '--token-from', client, '--rate', '1000', ...more)
    t.comment(name, Date.now() - started, ran.report.requests)
    if (out) (await import('node:fs')).writeFileSync(`${out}/${name}.json`, JSON.stringify(ran.report, null, 1))
    return ran.report
  }

  t.test('oauth4webapi', async (t) => {
    server.handle = jwtApi(server.origin)
    const report = await attack(
      '/v1/payments',
      makeToken({ issuer, origin: server.origin, cnf: { jkt: key.jkt } }),
      'oauth4webapi',
    )
    t.comment(found(report).join(' '))
  })
  for (const nonces of [false, true])
    t.test(`oidc-provider ${nonces}`, async (t) => {
      const { handle, token } = await provider(server.origin, nonces)
      server.handle = handle
      const report = await attack('/me', token, `oidc-provider-${nonces}`)
      t.comment(found(report).join(' '))
    })
})
