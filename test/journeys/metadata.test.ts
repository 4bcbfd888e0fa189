// What the gateway tells of itself: RFC 9728 metadata and the keys of its assertions (contract §8), on which listener, to whom.
import t from 'tap'
import { makeDraft, printDraft } from '../support/draft.js'
import { bearer } from '../support/kinds.js'
import { HOST, startLab } from '../support/lab.js'
import { ask, type RawResponse } from '../support/raw.js'

const PARTNER = 'partner.example.com'
const METADATA = '/.well-known/oauth-protected-resource'
const JWKS = '/.well-known/holdfast-jwks.json'

const lab = await startLab({
  store: 'memory',
  yaml: (parts) => ({
    ...parts,
    public_origins: `[https://${HOST}, https://${PARTNER}:8443]`,
    tiers: `${parts.tiers}  dpop_only: { extends: high_value, binding: dpop, proof_algorithms: [ES256, EdDSA] }\n`,
    routes: `${parts.routes?.replaceAll(', upstream: cases', `, upstream: cases, origins: [https://${HOST}]`)}
  - { path: /pay, methods: [POST], tier: dpop_only, upstream: cases, scopes: [pay], issuers: [https://as2.example.com], origins: ['https://${PARTNER}:8443'] }
  - { path: /open, methods: [GET], tier: public, upstream: cases, origins: ['https://${PARTNER}:8443'] }
`,
  }),
})
t.teardown(() => lab.stop())

/** Without SNI, so Host alone decides. */
const get = (path: string, { host = HOST, method = 'GET', more = '' } = {}): Promise<RawResponse> =>
  ask(lab.port, `${method} ${path} HTTP/1.1\r\nHost: ${host}\r\n${more}Connection: close\r\n\r\n`)
const json = ({ body }: { body: Buffer }) => JSON.parse(body.toString())

t.test('protected resource metadata of the origin that Host names', async (t) => {
  const reply = await get(METADATA)
  t.equal(reply.status, 200)
  t.equal(reply.header('content-type'), 'application/json')
  t.equal(reply.header('cache-control'), 'public, max-age=300')
  t.match(reply.header('x-request-id'), /^[0-9a-f-]{36}$/)
  t.same(json(reply), {
    resource: `https://${HOST}`,
    authorization_servers: ['https://as.example.com'],
    scopes_supported: ['case.read', 'case.write'],
    bearer_methods_supported: ['header'],
    dpop_signing_alg_values_supported: ['PS256', 'ES256', 'EdDSA', 'Ed25519'],
    dpop_bound_access_tokens_required: false,
    tls_client_certificate_bound_access_tokens: true,
  })
  t.same(json(await get(METADATA, { host: `${PARTNER}:8443` })), {
    resource: `https://${PARTNER}:8443`,
    authorization_servers: ['https://as2.example.com'],
    scopes_supported: ['pay'],
    bearer_methods_supported: ['header'],
    dpop_signing_alg_values_supported: ['ES256', 'EdDSA', 'Ed25519'],
    dpop_bound_access_tokens_required: true,
    tls_client_certificate_bound_access_tokens: true,
  })
  for (const host of ['evil.example', PARTNER, `${HOST}:8443`]) {
    const other = await get(METADATA, { host, more: `X-Forwarded-Host: ${HOST}\r\nForwarded: host=${HOST}\r\n` })
    t.equal(other.status, 421, host)
    t.equal(json(other).reason, 'host_unknown')
  }
})

t.test('every challenge leads to it', async (t) => {
  const [refused] = (await lab.send(bearer(makeDraft({ host: HOST, path: '/read/1' })))).headers('www-authenticate')
  const [, url = ''] = /resource_metadata="([^"]+)"/.exec(refused ?? '') ?? []
  t.equal(url, `https://${HOST}${METADATA}`)
  const { pathname, host } = new URL(url)
  t.equal(json(await get(pathname, { host })).resource, `https://${HOST}`)
})

t.test('the keys of assertions: the same for backends outside and inside, public members only', async (t) => {
  const reply = await get(JWKS)
  t.equal(reply.status, 200)
  t.equal(reply.header('content-type'), 'application/jwk-set+json')
  t.match(reply.header('cache-control'), /max-age/)
  const inside = await lab.admin('/.well-known/jwks.json')
  t.equal(inside.status, 200)
  t.same(json(reply), JSON.parse(inside.body))
  t.same(json(reply), json(await get(JWKS, { host: `${PARTNER}:8443` })))
  const [key, ...others] = json(reply).keys
  t.same(others, [])
  t.same(Object.keys(key).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y'])
  t.match(key, { kty: 'EC', crv: 'P-256', alg: 'ES256', use: 'sig' })
})

t.test('GET and HEAD, and nothing beside or below', async (t) => {
  for (const path of [METADATA, JWKS]) {
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']) {
      const reply = await get(path, { method, more: method === 'OPTIONS' ? '' : 'Content-Length: 0\r\n' })
      t.equal(reply.status, 405, `${method} ${path}`)
      t.equal(reply.header('allow'), 'GET, HEAD')
      t.equal(json(reply).reason, 'method_not_allowed')
    }
    const whole = await get(path)
    const raw = await lab.sendRaw(`HEAD ${path} HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`)
    t.equal(raw.status, 200)
    t.equal(raw.header('content-length'), String(whole.body.length))
    t.equal(raw.body, '')
  }
  for (const path of [
    `${METADATA}/`,
    `${METADATA}/read/1`,
    METADATA.toUpperCase(),
    '/.well-known/jwks.json',
    '/.well-known/openid-configuration',
    '/livez',
    '/readyz',
    '/metrics',
  ]) {
    t.equal((await get(path)).status, 404, path)
  }
  t.equal((await get(`${METADATA}?x=1`)).status, 200, 'a query changes nothing')
  t.equal((await get('/.well-known/oauth%2Dprotected%2Dresource')).status, 200, 'nor does another spelling')
})

t.test('no route is served on an origin that is not its own', async (t) => {
  const request = makeDraft({ host: `${PARTNER}:8443`, path: '/read/1' })
  t.equal(json(await ask(lab.port, printDraft(request))).reason, 'route_unknown')
  t.equal((await get('/open', { host: `${PARTNER}:8443` })).status, 200)
  t.equal((await get('/open')).status, 404)
})

t.test('the operator’s side', async (t) => {
  t.equal((await lab.admin('/livez')).status, 200)
  t.same(JSON.parse((await lab.admin('/readyz')).body), { ready: true, degraded: [] })
  t.equal((await lab.admin(METADATA)).status, 404)
  t.equal((await lab.admin('/read/1')).status, 404)
})
