// A real authorization server (oidc-provider) that issues opaque tokens, bound to a DPoP key or to a certificate, answers questions about
// them, signed where it is asked to, and revokes them. On loopback, in this process: plain, and with client certificates.
import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { ClientMetadata, Configuration, JWK } from 'oidc-provider'
import { Agent, request } from 'undici'
import { CERTIFICATES } from '../../examples/demo/authorization-server.js'
import { type Credential, makeCa, makeCertificate, makeServer } from '../support/certs.js'
import { type KeyPair, makeKey, signJwt } from '../support/jwt.js'

export const SCOPE = 'case.read case.write'
export const AUDIENCE = 'https://api.example.com'

export type OpaqueServer = {
  readonly issuer: string
  /** Files for a gateway that asks here, by name. */
  readonly files: Readonly<Record<string, string>>
  /** Paths asked for. */
  readonly asked: string[]
  /** An opaque token, bound to `key`, or to the certificate. */
  token(bound: { readonly key: KeyPair } | { readonly certificate: Credential }): Promise<string>
  revoke(token: string): Promise<void>
  close(): Promise<void>
}

const pem = ({ privateKey }: KeyPair): string => privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
const published = ({ jwk }: KeyPair, kid: string): JWK => ({ ...jwk, kid, use: 'sig', alg: 'ES256' }) as JWK

export async function startOpaqueServer(): Promise<OpaqueServer> {
  const ca = await makeCa('Authorization server CA')
  const [serverTls, gatewayTls] = await Promise.all([
    makeServer(ca),
    makeCertificate({ ca, subject: 'CN=gateway', ekus: ['client'] }),
  ])
  const appKey = makeKey('ES256')
  const gatewayKey = makeKey('ES256')
  const asked: string[] = []
  let handle: (...exchange: Parameters<Parameters<typeof createServer>[1] & object>) => unknown = () => undefined
  const serve: typeof handle = (incoming, outgoing) => {
    asked.push(incoming.url ?? '')
    return handle(incoming, outgoing)
  }
  const plain = createServer(serve)
  const mutual = createTlsServer(
    { key: serverTls.key, cert: serverTls.cert, ca: ca.cert, requestCert: true, rejectUnauthorized: false },
    serve,
  )
  const [port, mutualPort] = await Promise.all([listen(plain), listen(mutual)])
  const issuer = `http://localhost:${port}`
  const mutualOrigin = `https://localhost:${mutualPort}`
  const provider = await startProvider(issuer, {
    clients: clientsOf(published(appKey, 'app'), published(gatewayKey, 'gateway')),
    discovery: { mtls_endpoint_aliases: { introspection_endpoint: `${mutualOrigin}/token/introspection` } },
  })
  handle = provider.callback()

  async function post(
    path: string,
    form: Record<string, string>,
    options: { headers?: Record<string, string>; certificate?: Credential } = {},
  ) {
    const { certificate } = options
    const origin = certificate === undefined ? issuer : mutualOrigin
    const now = Math.floor(Date.now() / 1000)
    const client_id = certificate === undefined ? 'app' : 'app-mtls'
    const claims = { iss: client_id, sub: client_id, aud: issuer, jti: randomUUID(), iat: now, exp: now + 60 }
    const body = new URLSearchParams({
      ...form,
      client_id,
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: signJwt({ alg: 'ES256', kid: 'app' }, claims, appKey.privateKey),
    })
    const dispatcher = new Agent({
      connect: { ca: ca.cert, ...(certificate && { key: certificate.key, cert: certificate.cert }) },
    })
    const answer = await request(`${origin}${path}`, {
      dispatcher,
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', ...options.headers },
      body: body.toString(),
    })
    const text = await answer.body.text()
    await dispatcher.close()
    if (answer.statusCode !== 200) throw new Error(`${path} answered ${answer.statusCode} ${text}`)
    return text
  }

  return {
    issuer,
    asked,
    files: {
      'as-ca.crt': ca.cert,
      'gateway-jwt.key': pem(gatewayKey),
      'gateway-tls.key': gatewayTls.key,
      'gateway-tls.crt': gatewayTls.cert,
    },
    token: async (bound) => {
      const form = { grant_type: 'client_credentials', scope: SCOPE, resource: AUDIENCE }
      const options = 'key' in bound ? { headers: { dpop: proof(bound.key, `${issuer}/token`) } } : bound
      return String(JSON.parse(await post('/token', form, options)).access_token)
    },
    revoke: async (token) => void (await post('/token/revocation', { token })),
    close: async () => void (await Promise.all([end(plain), end(mutual)])),
  }
}

function proof(key: KeyPair, htu: string): string {
  const claims = { jti: randomUUID(), htm: 'POST', htu, iat: Math.floor(Date.now() / 1000) }
  return signJwt({ typ: 'dpop+jwt', alg: 'ES256', jwk: key.jwk }, claims, key.privateKey)
}

const client = (client_id: string, more: Partial<ClientMetadata>): ClientMetadata => ({
  client_id,
  redirect_uris: [],
  response_types: [],
  grant_types: [],
  ...more,
})

function clientsOf(app: JWK, gateway: JWK): ClientMetadata[] {
  const withKey = (key: JWK): Partial<ClientMetadata> => ({
    token_endpoint_auth_method: 'private_key_jwt',
    token_endpoint_auth_signing_alg: 'ES256',
    jwks: { keys: [key] } as NonNullable<ClientMetadata['jwks']>,
  })
  const gets = { grant_types: ['client_credentials'], scope: SCOPE }
  return [
    client('app', { ...withKey(app), ...gets }),
    client('app-mtls', { ...withKey(app), ...gets, tls_client_certificate_bound_access_tokens: true }),
    client('gateway', { ...withKey(gateway) }),
    client('gateway-tls', { token_endpoint_auth_method: 'tls_client_auth', tls_client_auth_subject_dn: 'CN=gateway' }),
    client('gateway-secret', { token_endpoint_auth_method: 'client_secret_basic', client_secret: 'p@ss:w/rd+ %41&=~' }),
  ]
}

async function startProvider(issuer: string, { clients, discovery }: Pick<Configuration, 'clients' | 'discovery'>) {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const signer = { ...privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig', kid: 'as-1' } as JWK
  const configuration: Configuration = {
    jwks: { keys: [signer] } as NonNullable<Configuration['jwks']>,
    clients: clients ?? [],
    discovery: discovery ?? {},
    clientDefaults: { id_token_signed_response_alg: 'ES256', introspection_signed_response_alg: 'ES256' },
    clientAuthMethods: ['private_key_jwt', 'tls_client_auth', 'client_secret_basic'],
    cookies: { keys: [randomBytes(32).toString('base64url')] },
    scopes: SCOPE.split(' '),
    ttl: { ClientCredentials: 300 },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      dPoP: { enabled: true },
      introspection: { enabled: true, allowedPolicy: (_context, { clientId }) => clientId.startsWith('gateway') },
      jwtIntrospection: { enabled: true },
      revocation: { enabled: true, allowedPolicy: (_context, asking, token) => asking.clientId === token.clientId },
      mTLS: CERTIFICATES,
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: () => ({ audience: AUDIENCE, scope: SCOPE, accessTokenFormat: 'opaque', accessTokenTTL: 300 }),
      },
    },
  }
  // Its development advice is printed on the console, and not about a test.
  const { info, warn } = console
  Object.assign(console, { info: () => undefined, warn: () => undefined })
  try {
    const { default: Provider } = await import('oidc-provider')
    return new Provider(issuer, configuration)
  } finally {
    Object.assign(console, { info, warn })
  }
}

const listen = (server: Server | TlsServer): Promise<number> =>
  new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)))

const end = (server: Server | TlsServer): Promise<void> =>
  new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
