// Where questions go: endpoints that are named and discovered, and those that no question is sent to, whatever metadata says.
import { decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose'
import t, { type Test } from 'tap'
import { Silent } from '../../src/asking/post.js'
import type { IntrospectionSettings, IssuerSource } from '../../src/config/config.js'
import { createQuestioner } from '../../src/introspection/question.js'
import { json, type KeyServer, makeAuthority, source, startKeyServer } from '../keys/key-server.js'
import { activeClaims } from '../support/introspection.js'
import { type KeyPair, makeKey } from '../support/jwt.js'

const SETTINGS: IntrospectionSettings = {
  endpoint: null,
  client_id: 'gateway',
  auth: { by: 'secret', secret: 's3cret' },
  signed: 'off',
  cache: 30,
  negative_cache: 10,
  timeout: 20,
  concurrency: 4,
}

type Change = Partial<IntrospectionSettings> & Pick<Partial<IssuerSource>, 'ca'>

async function ask(t: Test, issuer: string, { ca = null, ...change }: Change = {}): Promise<unknown> {
  const introspection = { ...SETTINGS, ...change }
  const questioner = createQuestioner(source(issuer, { from: 'discovery' }, { ca, introspection }), introspection, {
    keysFor: () => [],
    clock: () => Date.now() / 1000,
  })
  t.teardown(questioner.close)
  try {
    return await questioner.ask('opaque-7')
  } catch (error) {
    if (!(error instanceof Silent)) throw error
    t.notMatch(error.message, /opaque-7|s3cret/)
    return `silent: ${error.message}`
  }
}

/** An issuer whose metadata has these members besides its own name. */
async function startIssuer(t: Test, metadata: (server: KeyServer) => object): Promise<KeyServer> {
  const server = await startKeyServer((request, response) =>
    request.url === '/introspect'
      ? json(activeClaims())(request, response)
      : json({ issuer: server.origin, ...metadata(server) })(request, response),
  )
  t.teardown(() => server.close())
  return server
}

t.test('an endpoint is found where the keys are found, and remembered', async (t) => {
  const server = await startIssuer(t, ({ origin }) => ({
    introspection_endpoint: `${origin}/introspect`,
    // For those who authenticate by certificate (RFC 8705 §5).
    mtls_endpoint_aliases: { introspection_endpoint: `${origin}/by-certificate` },
  }))
  const questioner = createQuestioner(source(server.origin, { from: 'discovery' }), SETTINGS, {
    keysFor: () => [],
    clock: () => Date.now() / 1000,
  })
  t.teardown(questioner.close)
  for (let i = 0; i < 3; i++) t.match(await questioner.ask('opaque-7'), { active: { sub: 'user-1' } })
  t.same(server.asked, ['/.well-known/oauth-authorization-server', '/introspect', '/introspect', '/introspect'])
})

t.test('no question is sent where no keys are fetched from, whatever the metadata says', async (t) => {
  for (const [endpoint, problem] of [
    ['http://169.254.169.254/introspect', /link-local or metadata/],
    ['https://[fe80::1]/introspect', /link-local or metadata/],
    ['http://as.example.com/introspect', /http, which is for loopback only/],
    ['http://10.1.2.3/introspect', /loopback only/],
    ['file:///etc/passwd', /scheme file:/],
    ['https://user:password@localhost/introspect', /user name or password/],
    ['introspect', /is not a URL/],
  ] as const) {
    const server = await startIssuer(t, () => ({ introspection_endpoint: endpoint }))
    t.match(await ask(t, server.origin), { unavailable: problem }, endpoint)
  }
})

t.test('metadata that cannot be used', async (t) => {
  for (const [metadata, problem] of [
    [{}, /has no introspection_endpoint/],
    [{ introspection_endpoint: ['x'] }, /has no introspection_endpoint/],
    [{ issuer: 'https://as2.example.com', introspection_endpoint: 'https://as2.example.com/i' }, /metadata of another issuer/],
  ] as const) {
    const server = await startIssuer(t, () => metadata)
    t.match(await ask(t, server.origin), problem)
    t.notOk(server.asked.includes('/introspect'))
  }
})

t.test('TLS is verified, by the CA of the issuer', async (t) => {
  const { ca, ...tls } = await makeAuthority('localhost')
  const server = await startKeyServer(json(activeClaims()), tls)
  t.teardown(() => server.close())
  const endpoint = `${server.origin}/introspect`
  t.match(await ask(t, 'https://as.example.com', { endpoint, ca }), { active: { sub: 'user-1' } })
  t.match(await ask(t, 'https://as.example.com', { endpoint }), /^silent: .*(UNABLE_TO|SELF_SIGNED|unable to)/)
  const other = await makeAuthority('elsewhere')
  t.match(await ask(t, 'https://as.example.com', { endpoint, ca: other.ca }), /^silent: /)
})

t.test('an assertion is for this issuer, for one question, and soon over; by every kind of key', async (t) => {
  const forms: URLSearchParams[] = []
  const server = await startKeyServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      forms.push(new URLSearchParams(Buffer.concat(chunks).toString()))
      json(activeClaims())(request, response)
    })
  })
  t.teardown(() => server.close())
  const pem = ({ privateKey }: KeyPair): string => privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  for (const alg of ['ES256', 'PS256', 'EdDSA'] as const) {
    const pair = makeKey(alg)
    const auth = { by: 'private_key_jwt', key: pem(pair), kid: alg === 'EdDSA' ? null : `${alg}-1` } as const
    const issuer = 'https://as.example.com'
    for (let i = 0; i < 2; i++) await ask(t, issuer, { endpoint: `${server.origin}/introspect`, auth })
    const [first, second] = forms.slice(-2).map((form) => form.get('client_assertion') ?? '')
    t.match(decodeProtectedHeader(first ?? ''), alg === 'EdDSA' ? { alg } : { alg, kid: `${alg}-1` })
    const { payload } = await jwtVerify(first ?? '', pair.publicKey, { issuer: 'gateway', subject: 'gateway', audience: issuer })
    t.equal(payload.aud, issuer, 'one audience, and not the endpoint')
    t.equal(Number(payload.exp) - Number(payload.iat), 60)
    t.not(decodeJwt(second ?? '').jti, payload.jti)
    t.match(Object.fromEntries(forms.at(-1) ?? []), {
      client_id: 'gateway',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      token: 'opaque-7',
    })
  }
})
