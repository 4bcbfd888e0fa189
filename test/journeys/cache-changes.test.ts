// What is known of a token must not outlive what it was found out by: keys that go, that are exchanged, that are too old to be trusted;
// a configuration that another replaces. And it must not be told at another door. The token of each test is known when the change comes.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { type Draft, issuerKey, makeDraft, printDraft } from '../support/draft.js'
import { exchange } from '../support/http.js'
import { type KeyPair, makeKey, signJwt } from '../support/jwt.js'
import { certificateBound } from '../support/kinds.js'
import { HOST, type Lab, type LabOptions, type LabYaml, startLab } from '../support/lab.js'

// What is awaited is a fetch, which a busy machine may hold up.
t.setTimeout(300_000)

const draft = (path = '/read/1', host = HOST): Draft => makeDraft({ host, path })
const reasonOf = (reply: { status: number; body: string }): string =>
  reply.status === 200 ? 'granted' : JSON.parse(reply.body).reason

/** Makes requests with one token, to the letter, signed by `key`. */
function holding(
  change: (request: Draft) => void = () => undefined,
  key: KeyPair = issuerKey,
): (path?: string, host?: string) => Draft {
  const first = draft()
  change(first)
  const text = signJwt(first.token.header, first.token.claims, key.privateKey)
  return (path, host) => {
    const request = draft(path, host)
    change(request)
    request.spoilToken = () => text
    return request
  }
}

async function open(t: Test, options: Omit<LabOptions, 'store'> = {}): Promise<Lab> {
  const lab = await startLab({ ...options, store: 'memory' })
  t.teardown(() => lab.stop())
  return lab
}

type Published = Readonly<Record<string, KeyPair>>

/** An issuer whose keys are fetched all the time, by a gateway that has known them. */
async function withIssuer(t: Test, keys: Published, settings = '') {
  let published: Published | null = keys
  const server = createServer((_, response) => {
    if (published === null) response.writeHead(500)
    const list = Object.entries(published ?? {}).map(([kid, { jwk }]) => ({ ...jwk, kid }))
    response.end(JSON.stringify({ keys: list }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const from = `jwks_uri: 'http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks', jwks_refresh: 200ms${settings}`
  const lab = await open(t, {
    yaml: (parts) => ({ ...parts, issuers: parts.issuers?.replace('jwks_file: issuer.jwks', from) ?? '' }),
  })
  return {
    /** null: it answers no more. */
    publish: (keys: Published | null): void => {
      published = keys
    },
    send: async (make: () => Draft): Promise<string> => reasonOf(await lab.send(make())),
    /** Sends until the answer is another; what it is then. */
    until: async (isSo: (reason: string) => boolean, make: () => Draft): Promise<string> => {
      const deadline = Date.now() + 60_000
      for (;;) {
        const reason = reasonOf(await lab.send(make()))
        if (isSo(reason) || Date.now() > deadline) return reason
        await sleep(50)
      }
    },
  }
}
const isGranted = (reason: string): boolean => reason === 'granted'
const isRefused = (reason: string): boolean => !isGranted(reason)

t.test('a token whose key is revoked is refused at the next fetch; one by another key of the same issuer is not', async (t) => {
  const [one, two] = [makeKey(), makeKey()]
  const issuer = await withIssuer(t, { one, two })
  const byOne = holding((request) => (request.token.header.kid = 'one'), one)
  const byTwo = holding((request) => (request.token.header.kid = 'two'), two)
  for (const make of [byOne, byTwo, byOne, byTwo]) t.equal(await issuer.send(make), 'granted')
  issuer.publish({ two })
  // Not `token_signature`: so soon after a fetch a key that is not there may be new.
  t.equal(await issuer.until(isRefused, byOne), 'keys_unavailable')
  t.equal(await issuer.send(byTwo), 'granted')
  t.equal(await issuer.send(byOne), 'keys_unavailable')
})

t.test(
  'a token whose key is exchanged under the same kid is refused at the next fetch, and one by the new key is not',
  async (t) => {
    const [before, after] = [makeKey(), makeKey()]
    const issuer = await withIssuer(t, { 'issuer-1': before })
    const old = holding(undefined, before)
    for (let i = 0; i < 2; i++) t.equal(await issuer.send(old), 'granted')
    issuer.publish({ 'issuer-1': after })
    t.equal(await issuer.until(isRefused, old), 'token_signature')
    const fresh = holding(undefined, after)
    for (let i = 0; i < 2; i++) t.equal(await issuer.send(fresh), 'granted')
    t.equal(await issuer.send(old), 'token_signature')
    issuer.publish({ 'issuer-1': before })
    t.equal(await issuer.until(isGranted, old), 'granted')
    t.equal(await issuer.send(fresh), 'token_signature', 'nor does what was known of it come back')
  },
)

t.test('a token whose issuer is silent for longer than its keys may be trusted is refused until it answers', async (t) => {
  const keys = { 'issuer-1': issuerKey }
  const issuer = await withIssuer(t, keys, ', jwks_max_stale: 2s')
  const make = holding()
  for (let i = 0; i < 2; i++) t.equal(await issuer.until(isGranted, make), 'granted')
  issuer.publish(null)
  t.equal(await issuer.until(isRefused, make), 'keys_unavailable')
  issuer.publish(keys)
  t.equal(await issuer.until(isGranted, make), 'granted')
})

const within =
  (from: string, to: string) =>
  (parts: LabYaml): LabYaml => {
    if (!Object.values(parts).some((text) => text.includes(from))) throw new Error(`no ${from}`)
    return Object.fromEntries(Object.entries(parts).map(([key, text]) => [key, text.replace(from, to)]))
  }

const TIER = 'binding: any, audit: all'
const ROUTE = "path: '/read/:id',"
/** What a reload changes, and what becomes of a token that was known. */
const RELOADS: readonly (readonly [what: string, reason: string, from: string, to: string])[] = [
  ['audience', 'token_audience', 'audience: https://api.example.com', 'audience: https://api2.example.com'],
  ['algorithms of the issuer', 'token_algorithm', 'algorithms: [PS256, ES256, EdDSA]', 'algorithms: [EdDSA]'],
  ['algorithms of tokens', 'token_algorithm', TIER, `${TIER}, token_algorithms: [EdDSA]`],
  ['algorithms of proofs', 'proof_algorithm', TIER, `${TIER}, proof_algorithms: [EdDSA]`],
  ['longest life of tokens', 'token_lifetime', TIER, `${TIER}, token_max_ttl: 30s`],
  ['binding', 'binding_insufficient', TIER, 'binding: mtls, audit: all'],
  ['nonce', 'nonce_missing', TIER, `${TIER}, nonce: required`],
  [
    'issuers of the route',
    'token_issuer',
    `${ROUTE} methods: [GET, POST], tier: bound_read, upstream: cases, issuers: [https://as.`,
    `${ROUTE} methods: [GET, POST], tier: bound_read, upstream: cases, issuers: [https://as2.`,
  ],
  ['clients', 'client_not_allowed', ROUTE, `${ROUTE} clients: [someone-else],`],
  ['scopes', 'scope_missing', 'scopes: [case.read, case.write]', 'scopes: [case.read, admin]'],
  ['tenant', 'tenant_mismatch', ROUTE, `${ROUTE} tenant: { claim: tenant_id, equals: path.id },`],
]
t.test('a token that is known is judged by the policy of a reload:', async (t) => {
  const lab = await open(t)
  // One key for each algorithm: an issuer that none of its keys fits is refused when it is read.
  lab.write(
    'issuer.jwks',
    JSON.stringify({
      keys: [
        { ...issuerKey.jwk, kid: 'issuer-1' },
        { ...makeKey('EdDSA').jwk, kid: 'ed' },
      ],
    }),
  )
  const make = holding()
  const send = async () => reasonOf(await lab.send(make()))
  for (const [what, reason, from, to] of RELOADS) {
    await t.test(what, async (t) => {
      for (let i = 0; i < 2; i++) t.equal(await send(), 'granted')
      await lab.reload(within(from, to))
      for (let i = 0; i < 2; i++) t.equal(await send(), reason)
      await lab.reload((parts) => parts)
      t.equal(await send(), 'granted')
    })
  }
})

t.test('what a reload changes about an issuer is not read off what was known:', async (t) => {
  const legacy = 'typ: JWT, claims: { client_id: azp }'
  const lab = await open(t, { yaml: within('jwks_file: issuer.jwks', `jwks_file: issuer.jwks, ${legacy}`) })
  const make = holding(({ token }) => {
    token.header.typ = 'JWT'
    token.claims.azp = 'client-1'
    token.claims.client_id = 'client-2'
  })
  const reload = (settings: string) => lab.reload(within(legacy, settings))
  const changes: readonly (readonly [what: string, reason: string, settings: string])[] = [
    ['which claim names the client', 'client_not_allowed', 'typ: JWT'],
    ['which tokens it makes', 'token_type', 'claims: { client_id: azp }'],
  ]
  for (const [what, reason, settings] of changes) {
    await t.test(what, async (t) => {
      for (let i = 0; i < 2; i++) t.equal(reasonOf(await lab.send(make('/partner'))), 'granted')
      await reload(settings)
      t.equal(reasonOf(await lab.send(make('/partner'))), reason)
      await reload(legacy)
    })
  }
  await t.test('where its keys come from', async (t) => {
    t.equal(reasonOf(await lab.send(make('/partner'))), 'granted')
    lab.write('other.jwks', JSON.stringify({ keys: [{ ...makeKey().jwk, kid: 'issuer-1' }] }))
    await lab.reload(within('jwks_file: issuer.jwks', 'jwks_file: other.jwks'))
    t.equal(reasonOf(await lab.send(make('/partner'))), 'token_signature')
  })
})

const MTLS = 'mtls.example.com'
t.test('what one listener and origin has found out is judged anew by another:', async (t) => {
  const tls = 'key: server.key, cert: server.crt'
  const route = (path: string, audience: string, origins: string) =>
    `\n  - { path: ${path}, methods: [GET], tier: bound_read, upstream: cases, audience: https://${audience}, ${origins} }`
  const lab = await open(t, {
    yaml: (parts) => ({
      ...parts,
      public_origins: `[https://${HOST}, https://${MTLS}]`,
      listen: `
  - { host: 127.0.0.1, port: 8443, origins: [https://${HOST}], tls: { ${tls} } }
  - { host: 127.0.0.1, port: 8444, origins: [https://${MTLS}], tls: { ${tls}, client_certificates: pki, client_ca: client-ca.crt } }`,
      issuers: `[{ issuer: https://as.example.com, audience: [https://${HOST}, https://${MTLS}], jwks_file: issuer.jwks }]`,
      routes: `${route('/both', HOST, '')}${route('/one', HOST, `origins: [https://${HOST}]`)}${route('/one-mtls', MTLS, `origins: [https://${MTLS}]`)}`,
    }),
  })
  const ports = lab.gateway.addresses.map((address) => Number(address.split(':').at(-1)))
  const { client } = lab.certificates.clients
  const send = async (request: Draft, { host = request.host, certificate = false } = {}) => {
    const port = ports[host === HOST ? 0 : 1] ?? 0
    return reasonOf(await exchange(printDraft(request), { port, servername: request.host, ...(certificate ? client : {}) }))
  }
  const make = holding()
  t.equal(await send(make('/both', HOST)), 'granted')
  t.equal(await send(make('/both', HOST)), 'granted', 'it is known')

  await t.test('the origin of a proof', async (t) => {
    const elsewhere = make('/both', MTLS)
    if (elsewhere.proof !== null) elsewhere.proof.claims.htu = `https://${HOST}/both`
    t.equal(await send(elsewhere), 'proof_target')
    t.equal(await send(make('/both', MTLS)), 'granted', 'the same token with a proof for there')
  })
  await t.test('the audience', async (t) => {
    t.equal(await send(make('/one-mtls', MTLS)), 'token_audience')
  })
  await t.test('which routes there are', async (t) => {
    t.equal(await send(make('/one', MTLS)), 'route_unknown')
    t.equal(await send(make('/one', HOST), { host: MTLS }), 'host_unknown')
  })
  await t.test('a client certificate', async (t) => {
    const bound = holding((request) => certificateBound(request, lab.thumbprint('client')))
    for (let i = 0; i < 2; i++) t.equal(await send(bound('/both', MTLS), { certificate: true }), 'granted')
    t.equal(await send(bound('/both', HOST), { certificate: true }), 'certificate_missing', 'the other listener asks for none')
    t.equal(await send(bound('/both', MTLS)), 'certificate_missing')
  })
})
