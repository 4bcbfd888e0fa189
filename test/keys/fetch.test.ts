// Fetching against a server that is slow, wrong, hostile or somebody else.
import { gzipSync } from 'node:zlib'
import t from 'tap'
import type { IssuerSource } from '../../src/config/config.js'
import { fetchKeySet, metadataUrls } from '../../src/keys/fetch.js'
import { makeKey } from '../support/jwt.js'
import { json, makeAuthority, source, startKeyServer } from './key-server.js'

const SET = { keys: [{ ...makeKey().jwk, kid: 'a' }] }
const never = new AbortController().signal
const get = (from: IssuerSource, stop = never) => fetchKeySet(from, stop)

const server = await startKeyServer(json(SET))
t.teardown(() => server.close())
const byUri = () => source('https://as.example.com', { from: 'uri', uri: `${server.origin}/jwks` })

t.test('takes a JSON object whatever its type is called', async (t) => {
  server.answer = (_request, response) => response.writeHead(200, { 'content-type': 'text/plain' }).end(JSON.stringify(SET))
  t.same(await get(byUri()), SET)
})

t.test('asks for an answer that is not compressed, and refuses one that is', async (t) => {
  server.answer = (request, response) => {
    t.equal(request.headers['accept-encoding'], 'identity')
    response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(Buffer.alloc(50_000_000, 0x20)))
  }
  await t.rejects(get(byUri()), /compressed/)
})

t.test('reads 1 MiB and not more', async (t) => {
  const padded = (size: number) => `${JSON.stringify(SET).slice(0, -1)},"pad":"`.padEnd(size - 2, 'x').concat('"}')
  server.answer = (_request, response) => response.end(padded(1024 * 1024))
  t.match(await get(byUri()), SET)
  server.answer = (_request, response) => response.end(padded(1024 * 1024 + 1))
  await t.rejects(get(byUri()), /larger than/)
  let sent = 0
  server.answer = (_request, response) => {
    const more = () => {
      while (sent < 10_000_000 && response.write(Buffer.alloc(65536, 0x20))) sent += 65536
    }
    response.on('drain', more)
    more()
  }
  await t.rejects(get(byUri()), /larger than/, '10 MB without a length')
  t.ok(sent < 10_000_000, 'the rest is not even read')
})

t.test('refuses what is not a JSON object, and every other status', async (t) => {
  for (const body of ['', 'null', '[]', '"a"', '<html>', '{"keys":[],"keys":[]}', '{"keys":[]', '\ufeff{"keys":[]}']) {
    server.answer = (_request, response) => response.end(body)
    await t.rejects(get(byUri()), /not one JSON object/, body)
  }
  for (const status of [201, 204, 401, 404, 500, 503]) {
    server.answer = json(SET, status)
    await t.rejects(get(byUri()), new RegExp(`answered ${status}`))
  }
})

t.test('follows no redirect', async (t) => {
  server.asked.length = 0
  for (const status of [301, 302, 303, 307, 308]) {
    server.answer = (_request, response) => response.writeHead(status, { location: `${server.origin}/other` }).end()
    await t.rejects(get(byUri()), /redirects are not followed/)
  }
  t.same(new Set(server.asked), new Set(['/jwks']))
})

t.test('gives up after 5 s in all, and when it is stopped', async (t) => {
  server.answer = (_request, response) => {
    response.write('{')
    const drip = setInterval(() => response.write(' '), 200)
    response.on('close', () => clearInterval(drip))
  }
  const started = performance.now()
  const stop = new AbortController()
  const stopped = t.rejects(get(byUri(), stop.signal))
  setTimeout(() => stop.abort(), 50)
  await stopped
  t.ok(performance.now() - started < 2000)
  await t.rejects(get(byUri()), /no answer within 5 s/)
  t.ok(performance.now() - started < 7000)
})

t.test('refuses forbidden places, named or resolved', async (t) => {
  const at = (uri: string) => get(source('https://as.example.com', { from: 'uri', uri }))
  await t.rejects(at('http://169.254.169.254/latest/meta-data'), /link-local/)
  await t.rejects(at('https://169.254.169.254/jwks'), /link-local/)
  await t.rejects(at('file:///etc/passwd'), /https/)
  await t.rejects(at('http://as.example.com/jwks'), /loopback/)
  await t.rejects(at('http://localhost:1/jwks'), /could not be fetched/)
})

t.test('verifies TLS, by the CA of the issuer', async (t) => {
  const authority = await makeAuthority('localhost')
  const other = await makeAuthority('localhost')
  const wrongHost = await makeAuthority('as.example.com')
  const secure = await startKeyServer(json(SET), authority)
  const misnamed = await startKeyServer(json(SET), wrongHost)
  t.teardown(() => Promise.all([secure.close(), misnamed.close()]))
  const from = (origin: string, ca: string | null) =>
    get(source('https://as.example.com', { from: 'uri', uri: `${origin}/jwks` }, { ca }))
  t.same(await from(secure.origin, authority.ca), SET)
  await t.rejects(from(secure.origin, null), /could not be fetched/, 'no CA that the system knows')
  await t.rejects(from(secure.origin, other.ca), /could not be fetched/, 'another CA of the same name')
  await t.rejects(from(misnamed.origin, wrongHost.ca), /could not be fetched/, 'another host’s certificate')
})

t.test('discovers: RFC 8414 first, then OpenID Connect', async (t) => {
  const issuer = `${server.origin}/tenant/1`
  const answers = new Map<string, unknown>()
  server.answer = (request, response) => {
    const body = answers.get(request.url ?? '')
    return json(body ?? {}, body === undefined ? 404 : 200)(request, response)
  }
  const discover = (name = issuer) => {
    server.asked.length = 0
    return get(source(name, { from: 'discovery' }))
  }
  answers.set('/keys', SET)
  await t.rejects(
    discover(),
    /oauth-authorization-server\/tenant\/1 answered 404; .*\/tenant\/1\/\.well-known\/openid-configuration answered 404/,
  )

  answers.set('/tenant/1/.well-known/openid-configuration', { issuer, jwks_uri: `${server.origin}/keys` })
  t.same(await discover(), SET)
  t.same(server.asked, [
    '/.well-known/oauth-authorization-server/tenant/1',
    '/tenant/1/.well-known/openid-configuration',
    '/keys',
  ])

  answers.set('/.well-known/oauth-authorization-server/tenant/1', { issuer, jwks_uri: `${server.origin}/keys` })
  t.same(await discover(), SET)
  t.same(server.asked, ['/.well-known/oauth-authorization-server/tenant/1', '/keys'])

  for (const foreign of [`${issuer}/`, server.origin, undefined, [issuer]]) {
    answers.set('/.well-known/oauth-authorization-server/tenant/1', { issuer: foreign, jwks_uri: `${server.origin}/keys` })
    await t.rejects(discover(), /another issuer/)
    t.notOk(server.asked.includes('/keys'))
  }
  for (const jwks_uri of [undefined, 7, `http://169.254.169.254/`, 'file:///etc/passwd']) {
    answers.set('/.well-known/oauth-authorization-server/tenant/1', { issuer, jwks_uri })
    await t.rejects(discover(), `jwks_uri ${jwks_uri}`)
  }
  t.same(metadataUrls('https://as.example.com'), [
    'https://as.example.com/.well-known/oauth-authorization-server',
    'https://as.example.com/.well-known/openid-configuration',
  ])
  t.same(metadataUrls('https://as.example.com/a/'), [
    'https://as.example.com/.well-known/oauth-authorization-server/a',
    'https://as.example.com/a/.well-known/openid-configuration',
  ])
})

t.test('does not fetch a file', (t) =>
  t.rejects(get(source('https://as.example.com', { from: 'file', path: 'keys.json', jwks: '{}' }))),
)
