// Does the probe tell the truth of servers that we did not write? An API on oauth4webapi's validateJwtAccessToken, which remembers no
// proofs, and the userinfo endpoint of oidc-provider, which gives nonces and insists on them or not.
import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createSecureServer } from 'node:http2'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { jwksCache, validateJwtAccessToken } from 'oauth4webapi'
import Provider from 'oidc-provider'
import t from 'tap'
import type { Report } from '../../src/probe/attack.js'
import { makeCertificates } from '../support/certificates.js'
import { makeKey } from '../support/jwt.js'
import { dpopClient, found, makePlace, makeToken, probeReport } from './place.js'

type Tap = Pick<typeof t, 'ok' | 'same'>
const key = makeKey('ES256')
const issuer = makeKey('ES256')
type Handler = (request: IncomingMessage, response: ServerResponse) => void
type Tls = { readonly cert: string; readonly key: string }
type Running = { readonly origin: string; handle: Handler; close(): void }

async function listen(tls: Tls, isHttp2: boolean): Promise<Running> {
  const self = { origin: '', handle: (() => undefined) as Handler }
  // The types of node:http2 are its own; what is used of a request here is the same.
  const server = isHttp2
    ? createSecureServer(tls, (request, response) => self.handle(request as never, response as never))
    : createServer(tls, (request, response) => self.handle(request, response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  self.origin = `https://localhost:${(server.address() as AddressInfo).port}`
  return Object.assign(self, { close: () => void server.close() })
}

/** An API as one would write it with this library. */
function apiOn(origin: string): Handler {
  const as = { issuer: 'https://as.example.com' }
  const jwks = { keys: [{ ...issuer.jwk, kid: 'issuer-1', alg: 'ES256', use: 'sig' }] }
  const verified = async ({ method = '', url = '', headers }: IncomingMessage) => {
    const fields = Object.entries(headers).filter(([name]) => !name.startsWith(':'))
    const init = { method, headers: fields.map(([name, value]): [string, string] => [name, String(value)]) }
    const known = { [jwksCache]: { jwks, uat: Math.floor(Date.now() / 1000) } as never }
    return validateJwtAccessToken(
      { ...as, jwks_uri: `${as.issuer}/jwks` },
      new Request(new URL(url, origin), init),
      origin,
      known,
    )
  }
  return (request, response) => {
    request.resume()
    verified(request).then(
      ({ sub }) => response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify({ sub })),
      () => response.writeHead(401, { 'WWW-Authenticate': 'DPoP error="invalid_token", algs="ES256"' }).end(),
    )
  }
}

/** oidc-provider, and a token for its userinfo endpoint. */
async function userinfoOf(origin: string, requiresNonce: boolean): Promise<{ handle: Handler; token: string }> {
  const clientId = 'client-1'
  const provider = new Provider(origin, {
    clients: [{ client_id: clientId, client_secret: 'secret', redirect_uris: ['https://client.example.com/'] }],
    jwks: { keys: [{ ...makeKey('PS256').privateKey.export({ format: 'jwk' }), alg: 'RS256', use: 'sig' } as never] },
    cookies: { keys: ['cookies'] },
    features: {
      devInteractions: { enabled: false },
      dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => requiresNonce },
    },
    findAccount: (_context, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
    ttl: { AccessToken: 600, Grant: 600 },
  })
  const accountId = 'user-1'
  const grant = new provider.Grant({ clientId, accountId })
  grant.addOIDCScope('openid')
  const what = { accountId, grantId: await grant.save(), gty: 'authorization_code', scope: 'openid', claims: {} }
  const token = new provider.AccessToken({ ...what, client: await provider.Client.find(clientId) } as never)
  token.setThumbprint('jkt', key.jkt)
  return { handle: provider.callback(), token: await token.save() }
}

/** What both libraries do as they must: naming one of these would be untrue. */
const NEVER =
  /^(?:binding-|algorithm-(?:alg|hs256|signature|jwk-d(?:-|$)|jku|kid|claims)|proof-(?:no-|typ|two|empty|json|crit|twice|list)|downgrade-(?:none|bearer|no-proof|query$|in-)|token-(?:alg|forged|claims|signature)|target-(?:htm|htu-(?:path|prefix|case|slash|host|port|http|forwarded)))/
const verdictOf = ({ findings }: Report, id: string) => findings.find(({ attack }) => attack.id === id)?.outcome.verdict

t.test('holdfast probe, on servers of others', async (t) => {
  const { files } = await makeCertificates('localhost')
  const tls = { cert: files['server.crt'] ?? '', key: files['server.key'] ?? '' }
  const place = makePlace()
  place.write('ca.crt', files['ca.crt'] ?? '')
  const server = await listen(tls, false)
  const server2 = await listen(tls, true)
  t.teardown(() => {
    server.close()
    server2.close()
    place.remove()
  })
  const attack = async (t: Tap, url: string, token: string, ...args: readonly string[]): Promise<Report> => {
    const client = dpopClient(place, new URL(url).origin, { key, token })
    const { report } = await probeReport(place, url, '--token-from', client, '--rate', '1000', '--flood', '0', ...args)
    t.same(
      found(report).filter((id) => NEVER.test(id)),
      [],
      'nothing that is untrue',
    )
    t.same(
      report.findings.filter(({ outcome }) => outcome.verdict === 'unclear' || outcome.verdict === 'broke'),
      [],
    )
    return report
  }
  const finds = (t: Tap, report: Report, ids: readonly string[]): void => {
    for (const id of ids) t.ok(found(report).includes(id), `finds ${id}`)
  }

  t.test('finds that an API on oauth4webapi remembers no proofs, and decodes leniently', async (t) => {
    server.handle = apiOn(server.origin)
    const token = makeToken({ issuer, origin: server.origin, cnf: { jkt: key.jkt } })
    const report = await attack(
      t,
      `${server.origin}/v1/payments`,
      token,
      '--only',
      'downgrade,proof,algorithm,target,time,binding,token,replay',
    )
    finds(t, report, ['replay-same', 'replay-query', 'replay-resigned', 'replay-mirrored', 'replay-parallel'])
    finds(t, report, ['proof-padding', 'token-padding', 'proof-jti-is-an-empty-string', 'algorithm-jwk-use'])
    finds(t, report, ['target-htu-space', 'target-htu-backslash', 'target-htu-unreserved', 'time-ahead-90'])
    finds(t, report, ['downgrade-twice-last-wrong'])
    t.equal(verdictOf(report, 'time-old-600'), 'held')
  })

  t.test('finds the same over HTTP/2', async (t) => {
    server2.handle = apiOn(server2.origin)
    const token = makeToken({ issuer, origin: server2.origin, cnf: { jkt: key.jkt } })
    const report = await attack(
      t,
      `${server2.origin}/v1/payments`,
      token,
      '--http',
      '2',
      '--only',
      'replay,target-htu-space,binding-stolen-token',
    )
    finds(t, report, ['replay-same', 'replay-parallel', 'target-htu-space'])
  })

  t.test('finds that oidc-provider takes a proof for the Host of the request, and no replay', async (t) => {
    const { handle, token } = await userinfoOf(server.origin, true)
    server.handle = handle
    const report = await attack(
      t,
      `${server.origin}/me`,
      token,
      '--only',
      'target,time,binding,replay,proof-padding,proof-no-ath,downgrade-bearer',
    )
    finds(t, report, ['target-htu-other-origin', 'target-htu-tab', 'proof-padding', 'time-ahead-day-with-nonce'])
    for (const id of ['time-no-nonce', 'time-nonce-made-up', 'replay-same', 'replay-parallel', 'replay-resigned'])
      t.equal(verdictOf(report, id), 'held', id)
    t.equal(verdictOf(report, 'replay-honest-after-stranger'), 'wrong', "any key spends a client's jti")
  })

  t.test('finds that oidc-provider does not insist on a nonce that it gave unasked, and dates proofs without one', async (t) => {
    const { handle, token } = await userinfoOf(server.origin, false)
    server.handle = handle
    const report = await attack(t, `${server.origin}/me`, token, '--only', 'time')
    finds(t, report, ['time-no-nonce', 'time-old-day-with-nonce'])
    for (const id of ['time-old-600', 'time-old-86400', 'time-ahead-3600', 'time-iat-milliseconds', 'time-nonce-made-up'])
      t.equal(verdictOf(report, id), 'held', id)
  })
})
