import { generateKeyPairSync } from 'node:crypto'
import { request as httpRequest } from 'node:http'
import { join } from 'node:path'
import { importJWK, type JWK, jwtVerify } from 'jose'
import t from 'tap'
import { startClient } from '../../src/client/proxy.js'
import { type ClientSettings, readSettings } from '../../src/client/settings.js'
import { newCa, nonceChallenge, type Seen, startGateway, type TestGateway } from './gateway.js'

const ca = await newCa()
const serverTls = { ...(await ca.issue('localhost')), ca: ca.cert }
const clientTls = await ca.issue('client-1')
const strangeCa = await newCa()

const jwkOf = (kind: 'ec' | 'ed25519' | 'rsa'): JWK =>
  kind === 'ec'
    ? (generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' }) as JWK)
    : kind === 'rsa'
      ? (generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' }) as JWK)
      : (generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' }) as JWK)
const publicOf = ({ d: _d, ...rest }: JWK): JWK => rest

type Call = { method?: string; path?: string; headers?: Record<string, string>; body?: string | Buffer }
type Got = { status: number; headers: Record<string, string | string[] | undefined>; body: string }

/** One request to the loopback listener, byte for byte as a caller would send it. */
const call = (address: string, { method = 'GET', path = '/cases/42', headers = {}, body }: Call = {}): Promise<Got> =>
  new Promise((resolve, reject) => {
    const { hostname, port } = new URL(address)
    const request = httpRequest({ hostname, port, method, path, headers, agent: false }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks).toString() }),
      )
    })
    request.on('error', reject).end(body)
  })

type Stage = { gateway: TestGateway; address: string; reports: string[]; last: () => Seen }

/** A gateway and a client in front of it, both closed with the test. */
async function stage(t: Tap, change: (origin: string) => Partial<ClientSettings>): Promise<Stage> {
  const gateway = await startGateway(serverTls)
  t.teardown(() => gateway.close())
  const reports: string[] = []
  const settings: ClientSettings = {
    listen: { host: '127.0.0.1', port: 0 },
    gateway: gateway.origin,
    tls: { ca: ca.cert, cert: null, key: null },
    issuerCa: ca.cert,
    dpop: { key: JSON.stringify(jwkOf('ec')) },
    token: { text: 'the-token' },
    ...change(gateway.origin),
  }
  const client = await startClient({ settings, report: (line) => reports.push(line) })
  t.teardown(() => client.close())
  const last = () => gateway.seen.at(-1) as Seen
  return { gateway, address: client.address, reports, last }
}
type Tap = Pick<typeof t, 'teardown'>

for (const kind of ['ec', 'ed25519', 'rsa'] as const) {
  t.test(`grants a request with a proof by a ${kind} key`, async (t) => {
    const { address, last } = await stage(t, () => ({ dpop: { key: JSON.stringify(jwkOf(kind)) } }))
    const got = await call(address, { path: '/cases/%70?a=b&c=%20d' })
    t.equal(got.status, 200)
    t.equal(got.body, 'fine')
    t.equal(last().url, '/cases/%70?a=b&c=%20d', 'the target arrives byte for byte')
    t.equal(last().headers.authorization, 'DPoP the-token')
    t.type(last().proof, 'object', String(last().proof))
    t.equal((last().proof as Record<string, unknown>).nonce, undefined)
  })
}

t.test('grants a key from PEM, in each of its forms', async (t) => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  for (const type of ['pkcs8', 'sec1'] as const) {
    const { address, last } = await stage(t, () => ({ dpop: { key: String(privateKey.export({ type, format: 'pem' })) } }))
    t.equal((await call(address)).status, 200)
    t.type(last().proof, 'object')
  }
})

t.test('refuses to start with a key that gateways do not accept', async (t) => {
  for (const key of ['nonsense', '{"kty":"oct","k":"AAAA"}', '{', JSON.stringify(publicOf(jwkOf('ec')))]) {
    await t.rejects(
      stage(t, () => ({ dpop: { key } })),
      { message: /^key: is not a private key/ },
    )
  }
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' })
  await t.rejects(
    stage(t, () => ({ dpop: { key: JSON.stringify(privateKey.export({ format: 'jwk' })) } })),
    {
      message: /^key: is of a kind that is not served/,
    },
  )
})

t.test('drops the credentials that a caller sends, and what Connection names stays', async (t) => {
  const { address, last } = await stage(t, () => ({}))
  await call(address, {
    headers: {
      authorization: 'Bearer callers',
      dpop: 'callers',
      'proxy-authorization': 'Basic x',
      connection: 'close, authorization, dpop, x-kept-out',
      'x-kept-out': '1',
      'x-kept': '2',
      te: 'trailers',
    },
  })
  const { headers, proof } = last()
  t.equal(headers.authorization, 'DPoP the-token')
  t.type(proof, 'object')
  t.equal(headers['proxy-authorization'], undefined)
  t.equal(headers['x-kept-out'], undefined)
  t.equal(headers['x-kept'], '2')
  t.equal(headers.te, undefined)
})

t.test('sends each request with a proof of its own', async (t) => {
  const { address, gateway } = await stage(t, () => ({}))
  await Promise.all(Array.from({ length: 10 }, () => call(address)))
  const ids = gateway.seen.map(({ proof }) => (proof as Record<string, unknown>).jti)
  t.equal(new Set(ids).size, 10)
})

t.test('answers use_dpop_nonce once, body and all, and remembers nonces of every answer', async (t) => {
  const { address, gateway, last } = await stage(t, () => ({}))
  gateway.answers.push(nonceChallenge('n-1'), () => ({ status: 201, headers: { 'dpop-nonce': 'n-2' }, body: 'made' }))
  const body = 'x'.repeat(1024 * 1024)
  const got = await call(address, { method: 'POST', path: '/payments', headers: { 'content-type': 'application/json' }, body })
  t.equal(got.status, 201)
  t.equal(got.headers['dpop-nonce'], undefined, 'nonces are kept here')
  t.equal(gateway.seen.length, 2)
  t.equal((last().proof as Record<string, unknown>).nonce, 'n-1')
  t.equal(last().body.toString(), body)
  t.equal(last().headers['content-type'], 'application/json')

  await call(address)
  t.equal((last().proof as Record<string, unknown>).nonce, 'n-2', 'the nonce of a 2xx')
})

t.test('sends a request no more than twice', async (t) => {
  const { address, gateway } = await stage(t, () => ({}))
  gateway.answers.push(nonceChallenge('n-1'), nonceChallenge('n-2'), nonceChallenge('n-3'))
  const got = await call(address)
  t.equal(got.status, 401)
  t.match(got.headers['www-authenticate'], /use_dpop_nonce/)
  t.equal(gateway.seen.length, 2)
})

t.test('sends nothing twice for any other answer', async (t) => {
  const { address, gateway } = await stage(t, () => ({}))
  for (const status of [503, 502, 500, 401, 400, 429]) {
    gateway.answers.push(() => ({ status, headers: { 'retry-after': '0', 'dpop-nonce': 'n' } }))
    t.equal((await call(address)).status, status)
  }
  t.equal(gateway.seen.length, 6)
})

t.test('streams a larger body once; its nonce serves the next try', async (t) => {
  const { address, gateway, last } = await stage(t, () => ({}))
  gateway.answers.push(nonceChallenge('n-1'))
  const body = Buffer.alloc(5 * 1024 * 1024, 'y')
  const large: Call = { method: 'PUT', path: '/files/1', headers: { 'transfer-encoding': 'chunked' }, body }
  t.equal((await call(address, large)).status, 401)
  t.equal(gateway.seen.length, 1)
  t.equal((await call(address, large)).status, 200)
  t.ok(last().body.equals(body))
})

t.test('ignores a nonce that is not one', async (t) => {
  const { address, gateway, last } = await stage(t, () => ({}))
  gateway.answers.push(() => ({ status: 200, headers: { 'dpop-nonce': 'not a "nonce"' } }))
  await call(address)
  await call(address)
  t.equal((last().proof as Record<string, unknown>).nonce, undefined)
})

t.test('passes every method and no body where there is none', async (t) => {
  const { address, last } = await stage(t, () => ({}))
  for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
    t.equal((await call(address, { method })).status, 200, method)
    t.equal(last().method, method)
    t.type(last().proof, 'object', `${method} ${String(last().proof)}`)
  }
  t.equal((await call(address, { method: 'TRACE' })).status, 404)
})

t.test('passes answers as they are, without CORS and headers of the hop', async (t) => {
  const { address, gateway } = await stage(t, () => ({}))
  gateway.answers.push(() => ({
    status: 302,
    headers: {
      location: `${gateway.origin}/next`,
      'access-control-allow-origin': '*',
      'x-request-id': 'r',
      'set-cookie': ['a=1', 'b=2'],
    },
  }))
  const got = await call(address)
  t.match(got, {
    status: 302,
    headers: { location: `${gateway.origin}/next`, 'x-request-id': 'r', 'set-cookie': ['a=1', 'b=2'] },
  })
  t.equal(got.headers['access-control-allow-origin'], undefined)
})

t.test('denies rebinding, web pages and odd targets before anything is sent', async (t) => {
  const { address, gateway } = await stage(t, () => ({}))
  t.equal((await call(address, { headers: { host: 'evil.example' } })).status, 421)
  t.equal((await call(address, { headers: { origin: 'https://evil.example' } })).status, 403)
  t.equal((await call(address, { headers: { 'sec-fetch-site': 'cross-site' } })).status, 403)
  t.equal((await call(address, { method: 'OPTIONS', headers: { origin: 'https://evil.example' } })).status, 403)
  for (const path of ['/a/../b', '/a%2f..%2fb', '//b', '/..%5cb', 'http://127.0.0.1/x']) {
    const got = await call(address, { path })
    t.ok([400, 404].includes(got.status), `${path}: ${got.status}`)
  }
  t.equal((await call(address, { headers: { 'content-length': '1' }, body: 'x' })).status, 400)
  t.equal(gateway.seen.length, 0)
})

t.test('survives a caller that goes away before the answer', async (t) => {
  const { address, gateway } = await stage(t, () => ({}))
  const { hostname, port } = new URL(address)
  const arrived = new Promise<void>((resolve) => {
    gateway.answers.push(() => {
      gone.destroy()
      resolve()
      return { status: 200, body: 'x'.repeat(100_000) }
    })
  })
  const gone = httpRequest({ hostname, port, path: '/cases/42', agent: false }).on('error', () => {})
  gone.end()
  await arrived
  await new Promise((resolve) => setTimeout(resolve, 50))
  t.equal((await call(address)).status, 200)
})

t.test('denies a gateway whose certificate is not of the CA, or of another name', async (t) => {
  const strange = await stage(t, () => ({ tls: { ca: strangeCa.cert, cert: null, key: null } }))
  const got = await call(strange.address)
  t.equal(got.status, 502)
  t.notMatch(got.body, /CERT|127\.0\.0\.1|certificate/i, 'nothing of the gateway in the answer')
  t.match(strange.reports.join(), /UNABLE_TO_VERIFY|SELF_SIGNED|certificate/i)

  const named = await stage(t, (origin) => ({ gateway: origin.replace('localhost', '127.0.0.1') }))
  t.equal((await call(named.address)).status, 502)
  t.equal(strange.gateway.seen.length + named.gateway.seen.length, 0)
})

t.test('reports a gateway that is down', async (t) => {
  const { address, reports } = await stage(t, () => ({ gateway: 'https://localhost:1' }))
  t.equal((await call(address)).status, 502)
  t.match(reports.join(), /ECONNREFUSED/)
})

t.test('presents its certificate where tokens are bound to it', async (t) => {
  const { address, last } = await stage(t, () => ({ dpop: null, tls: { ca: ca.cert, ...clientTls } }))
  t.equal((await call(address)).status, 200)
  t.equal(last().headers.authorization, 'Bearer the-token')
  t.equal(last().headers.dpop, undefined)
  t.type(last().x5t, 'string')
})

t.test('reads a token file again for each request', async (t) => {
  const dir = t.testdir({ token: 'first\n' })
  const { address, last, reports } = await stage(t, () => ({ token: { file: join(dir, 'token') } }))
  await call(address)
  t.equal(last().headers.authorization, 'DPoP first')
  const { rm, writeFile } = await import('node:fs/promises')
  await writeFile(join(dir, 'token'), 'second')
  await call(address)
  t.equal(last().headers.authorization, 'DPoP second')
  await rm(join(dir, 'token'))
  t.equal((await call(address)).status, 503)
  t.match(reports.join(), /cannot be read/)
})

t.test('gets tokens with private_key_jwt, bound to its key, with the nonce of that server', async (t) => {
  const clientKey = { ...jwkOf('ec'), kid: 'auth-1' }
  const authorization = await startGateway(serverTls)
  t.teardown(() => authorization.close())
  const issuer = authorization.origin
  const { address, gateway, last } = await stage(t, () => ({
    dpop: { key: null },
    token: {
      issuer,
      endpoint: null,
      clientId: 'c-1',
      clientKey: JSON.stringify(clientKey),
      scope: 'a b',
      resource: 'https://r',
      audience: null,
    },
  }))
  // The issuer has OpenID Connect metadata only.
  authorization.answers.push(
    () => ({ status: 404 }),
    () => ({ status: 200, body: JSON.stringify({ issuer, token_endpoint: `${issuer}/token` }) }),
  )
  authorization.answers.push(
    () => ({ status: 400, headers: { 'dpop-nonce': 'as-1' }, body: '{"error":"use_dpop_nonce"}' }),
    () => ({
      status: 200,
      headers: { 'dpop-nonce': 'as-2' },
      body: '{"access_token":"t-1","token_type":"DPoP","expires_in":300}',
    }),
  )
  t.equal((await call(address)).status, 200)
  t.same(
    authorization.seen.map(({ url }) => url),
    ['/.well-known/oauth-authorization-server', '/.well-known/openid-configuration', '/token', '/token'],
  )
  const asked = authorization.seen.at(-1) as Seen
  t.match(asked.proof, { nonce: 'as-1' })
  t.equal((asked.proof as Record<string, unknown>).ath, undefined)
  const form = new URLSearchParams(asked.body.toString())
  t.match(Object.fromEntries(form), { grant_type: 'client_credentials', scope: 'a b', resource: 'https://r', client_id: 'c-1' })
  const assertion = await jwtVerify(form.get('client_assertion') ?? '', await importJWK(publicOf(clientKey), 'ES256'))
  t.match(assertion, { protectedHeader: { kid: 'auth-1' }, payload: { iss: 'c-1', sub: 'c-1', aud: issuer, jti: /^.{36}$/ } })
  t.equal(last().headers.authorization, 'DPoP t-1')
  t.equal(last().jkt, asked.jkt, 'the key of the token request is the key of the proof')

  await call(address)
  t.equal(authorization.seen.length, 4, 'a token is used as long as it lives')

  // Refused by the gateway: the next request asks for another one, and ten at once ask together.
  gateway.answers.push(() => ({ status: 401, headers: { 'www-authenticate': 'DPoP error="invalid_token"' } }))
  t.equal((await call(address)).status, 401)
  authorization.answers.push(() => ({ status: 200, body: '{"access_token":"t-2","token_type":"dpop","expires_in":0.001}' }))
  await Promise.all(Array.from({ length: 10 }, () => call(address)))
  t.equal(last().headers.authorization, 'DPoP t-2')
  t.match((authorization.seen.at(-1) as Seen).proof, { nonce: 'as-2' })

  // Its life is over: renewed before the next use.
  authorization.answers.push(() => ({ status: 200, body: '{"access_token":"t-3","token_type":"DPoP","expires_in":300}' }))
  await new Promise((resolve) => setTimeout(resolve, 20))
  await call(address)
  t.equal(last().headers.authorization, 'DPoP t-3')
})

t.test('gets certificate-bound tokens where metadata names a place for it', async (t) => {
  const authorization = await startGateway(serverTls)
  t.teardown(() => authorization.close())
  const issuer = authorization.origin
  const { address, last } = await stage(t, () => ({
    dpop: null,
    tls: { ca: ca.cert, ...clientTls },
    token: { issuer, endpoint: null, clientId: 'c-2', clientKey: null, scope: null, resource: null, audience: 'aud' },
  }))
  const metadata = { issuer, token_endpoint: `${issuer}/plain`, mtls_endpoint_aliases: { token_endpoint: `${issuer}/mtls` } }
  authorization.answers.push(
    () => ({ status: 200, body: JSON.stringify(metadata) }),
    () => ({ status: 200, body: '{"access_token":"t-1","token_type":"Bearer"}' }),
  )
  t.equal((await call(address)).status, 200)
  const asked = authorization.seen.at(-1) as Seen
  t.equal(asked.url, '/mtls')
  t.type(asked.x5t, 'string')
  t.equal(asked.body.toString(), 'grant_type=client_credentials&client_id=c-2&audience=aud')
  t.equal(last().headers.authorization, 'Bearer t-1')
  t.equal(last().x5t, asked.x5t)
})

t.test('reports why there is no token, and tells the caller only that', async (t) => {
  const authorization = await startGateway(serverTls)
  t.teardown(() => authorization.close())
  const issuer = authorization.origin
  const endpoint = `${issuer}/token`
  const clientKey = JSON.stringify(jwkOf('ec'))
  const request = { issuer, endpoint, clientId: 'c', clientKey, scope: null, resource: null, audience: null }
  const { address, gateway, reports } = await stage(t, () => ({ token: request }))
  const rows: [TestGateway['answers'][number], RegExp][] = [
    [() => ({ status: 401, body: '{"error":"invalid_client"}' }), /answered 401 invalid_client/],
    [() => ({ status: 200, body: '{"access_token":"t","token_type":"Bearer"}' }), /not of type DPoP/],
    [() => ({ status: 200, body: 'no JSON' }), /answered 200; check/],
    [() => ({ status: 302, headers: { location: 'https://elsewhere.example' } }), /answered 302/],
    [() => ({ status: 200, body: 'x'.repeat(1024 * 1024 + 1) }), /more than 1 MiB/],
  ]
  for (const [answer, expected] of rows) {
    authorization.answers.push(answer)
    const got = await call(address)
    t.equal(got.status, 503)
    t.notMatch(got.body, /invalid_client|localhost/)
    t.match(reports.at(-1), expected)
  }
  t.equal(gateway.seen.length, 0)
})

t.test('reports metadata of another issuer, and an issuer that is down', async (t) => {
  const authorization = await startGateway(serverTls)
  t.teardown(() => authorization.close())
  const clientKey = JSON.stringify(jwkOf('ec'))
  const request = { endpoint: null, clientId: 'c', clientKey, scope: null, resource: null, audience: null }
  const other = await stage(t, () => ({ token: { ...request, issuer: authorization.origin } }))
  authorization.answers.push(() => ({
    status: 200,
    body: '{"issuer":"https://evil.example","token_endpoint":"https://evil.example/t"}',
  }))
  t.equal((await call(other.address)).status, 503)
  t.match(other.reports.at(-1), /speaks for another issuer/)
  authorization.answers.push(
    () => ({ status: 404 }),
    () => ({ status: 404 }),
  )
  t.equal((await call(other.address)).status, 503)
  t.match(other.reports.at(-1), /no metadata/)

  const down = await stage(t, () => ({ token: { ...request, issuer: 'https://localhost:1' } }))
  t.equal((await call(down.address)).status, 503)
  t.match(down.reports.at(-1), /cannot be reached \(ECONNREFUSED\)/)
})

t.test('reads the example file, up to the throwaway files it names', async (t) => {
  const settings = readSettings('examples/client.yaml')
  const problems = 'problems' in settings ? settings.problems : []
  for (const problem of problems) t.match(problem, /the file cannot be read/)
  t.pass()
})

t.test('is refused a port that is in use', async (t) => {
  const { address } = await stage(t, () => ({}))
  const port = Number(new URL(address).port)
  await t.rejects(
    stage(t, () => ({ listen: { host: '127.0.0.1', port } })),
    { code: 'EADDRINUSE' },
  )
})
