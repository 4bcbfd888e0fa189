// Where independent client libraries meet the gateway: a lab with TLS and Redis, whose tokens come from real authorization servers
// (oidc-provider): the demo's, and one that rotates its signing keys. Both are on loopback, in this process.
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import { importJWK, type JWK } from 'jose'
import * as oauth from 'oauth4webapi'
import type { ClientMetadata, Configuration } from 'oidc-provider'
import { Agent, buildConnector, type RequestInit, fetch as undiciFetch } from 'undici'
import { startAuthorizationServer } from '../../examples/demo/authorization-server.js'
import {
  type Connection,
  createOAuthClient,
  type HeldToken,
  type OAuthClient,
  REDIRECT_URI,
} from '../../examples/demo/oauth-clients.js'
import type { TestCertificates } from '../support/certificates.js'
import { HOST, type Lab, type LabYaml, startLab } from '../support/lab.js'
import { freePort } from '../support/redis.js'

export const ORIGIN = `https://${HOST}`
/** The same gateway under another name. */
export const OTHER_ORIGIN = 'https://localhost'
export const SCOPES = ['profile', 'case.read', 'case.write', 'payments', 'decide'] as const
export const ALL = SCOPES.join(' ')
export const STRONG = 'urn:example:aal2'

/** Who can log in, by `login_hint`. */
const PEOPLE = new Map([
  ['ada', { sub: 'ada', tenant: 'north', acr: STRONG, loggedInAgo: 60 }],
  ['ada-this-morning', { sub: 'ada', tenant: 'north', acr: STRONG, loggedInAgo: 7200 }],
  ['ada-weak', { sub: 'ada', tenant: 'north', acr: 'urn:example:aal1', loggedInAgo: 60 }],
])

type CertificateName = 'client' | 'other'

/** A connection that remembers the status of every answer, a token endpoint's and a gateway's. */
export type CountingConnection = Connection & { readonly statuses: number[] }

export type Realm = {
  readonly lab: Lab
  /** The demo's authorization server. */
  readonly issuer: string
  readonly rotating: RotatingServer
  connect(certificate?: CertificateName): CountingConnection
  /** A client of an authorization server, by its client_id; the certificate authenticates it where it is given one. */
  client(clientId: string, options?: { certificate?: CertificateName; at?: string }): Promise<OAuthClient>
  /** The key that every client with private_key_jwt signs with. */
  readonly authKey: oauth.CryptoKey
  /** Lab.reload, with the realm's own changes below. */
  reload(change: (parts: LabYaml) => LabYaml): Promise<void>
  close(): Promise<void>
}

export async function startRealm(): Promise<Realm> {
  const [port, mtlsPort] = [await freePort(), await freePort()]
  const issuer = `http://localhost:${port}`
  const lab = await startLab()
  const { d, ...publicKey } = newSigningKey('client')
  const rotating = await startRotatingServer([withKey('double', publicKey), withKey('single', publicKey)], {
    double: lab.thumbprint('client'),
  })
  const server = await startAuthorizationServer({
    issuer,
    port,
    mtls: { port: mtlsPort, ...serverFiles(lab.certificates), clientCa: lab.certificates.clientCa.cert },
    resource: ORIGIN,
    scopes: SCOPES,
    clients: clientsOf(publicKey),
    people: PEOPLE,
    lifetimes: new Map([
      ['short-1', 2],
      ['hour-1', 3600],
    ]),
  })
  const base = (parts: LabYaml): LabYaml => ({ ...parts, ...realmYaml(parts, [issuer, rotating.issuer]) })
  // Only now: what the issuers publish is fetched by the reload.
  await lab.reload(base)

  const connections: CountingConnection[] = []
  const connect: Realm['connect'] = (certificate) => {
    const opened = openConnection(lab, certificate)
    connections.push(opened)
    return opened
  }
  const authKey = (await importJWK({ ...publicKey, d } as JWK, 'ES256')) as oauth.CryptoKey
  return {
    lab,
    issuer,
    rotating,
    authKey,
    connect,
    client: (clientId, { certificate, at = issuer } = {}) =>
      createOAuthClient({
        issuer: at,
        clientId,
        connection: connect(certificate),
        resource: ORIGIN,
        ...(certificate === undefined ? { authKey } : {}),
      }),
    reload: (change) => lab.reload((parts) => change(base(parts))),
    close: async () => {
      for (const { close } of connections) await close()
      await Promise.all([server.close(), rotating.close()])
      await lab.stop()
    },
  }
}

function realmYaml(parts: LabYaml, issuers: readonly string[]): LabYaml {
  const any = `upstream: cases, issuers: ['${issuers.join("', '")}']`
  return {
    public_origins: `[${ORIGIN}, ${OTHER_ORIGIN}]`,
    issuers: issuers.map((name) => `\n  - { issuer: '${name}', audience: ${ORIGIN}, algorithms: [PS256, ES256] }`).join(''),
    // Nonces of `quick` end within a test.
    tiers: `${parts.tiers}  quick: { extends: high_value, proof_max_age: 3s }\n`,
    routes: `
  - { path: /profile, methods: [GET], tier: low_user, ${any}, scopes: [profile] }
  - { path: '/cases/:id', methods: [GET], tier: sensitive_read, ${any}, scopes: [case.read] }
  - { path: '/cases/:id/notes', methods: [POST], tier: bound_read, ${any}, scopes: [case.write] }
  - { path: /payments, methods: [POST], tier: high_value, ${any}, scopes: [payments] }
  - { path: /quick, methods: [GET], tier: quick, ${any} }
  - { path: /mtls, methods: [GET], tier: certificates, ${any} }
  - { path: /both, methods: [GET], tier: both, ${any} }
  - { path: '/tenants/:tenant/decision', methods: [POST], tier: sensitive_write, ${any}, scopes: [decide],
      tenant: { claim: tenant_id, equals: path.tenant }, acr_values: ['${STRONG}'] }
`,
  }
}

const serverFiles = ({ files }: TestCertificates) => ({ key: files['server.key'] ?? '', cert: files['server.crt'] ?? '' })

/** Names of the gateway go to its port, whatever it is; the URL, and with it `htu`, stays as clients out there have it. */
function openConnection(lab: Lab, certificate: CertificateName | undefined): CountingConnection {
  const own = certificate === undefined ? {} : lab.certificates.clients[certificate]
  const { cert, key } = { cert: undefined, key: undefined, ...own }
  const ca = lab.certificates.files['ca.crt']
  const open = buildConnector({ ca, cert, key, rejectUnauthorized: true } as buildConnector.BuildOptions)
  const dispatcher = new Agent({
    connect: (options, done) => {
      const isGateway = options.protocol === 'https:' && options.port === ''
      const there = { hostname: '127.0.0.1', host: '127.0.0.1', port: String(lab.port), servername: options.hostname }
      open(isGateway ? { ...options, ...there } : options, done)
    },
  })
  const statuses: number[] = []
  return {
    statuses,
    fetch: async (url, init) => {
      const response = await undiciFetch(url, { ...init, dispatcher } as RequestInit)
      statuses.push(response.status)
      return response as unknown as Response
    },
    close: () => dispatcher.destroy(),
  }
}

const withKey = (clientId: string, publicKey: JWK): ClientMetadata => ({
  client_id: clientId,
  redirect_uris: [],
  grant_types: ['client_credentials'],
  response_types: [],
  scope: ALL,
  token_endpoint_auth_method: 'private_key_jwt',
  token_endpoint_auth_signing_alg: 'ES256',
  jwks: { keys: [publicKey] } as NonNullable<ClientMetadata['jwks']>,
})

const withCertificate = (clientId: string, subject: string): ClientMetadata => ({
  client_id: clientId,
  redirect_uris: [],
  grant_types: ['client_credentials'],
  response_types: [],
  scope: ALL,
  token_endpoint_auth_method: 'tls_client_auth',
  tls_client_auth_subject_dn: subject,
  tls_client_certificate_bound_access_tokens: true,
})

const clientsOf = (publicKey: JWK): readonly ClientMetadata[] => [
  {
    ...withKey('portal', publicKey),
    redirect_uris: [REDIRECT_URI],
    grant_types: ['authorization_code'],
    response_types: ['code'],
  },
  ...['partner-1', 'short-1', 'hour-1'].map((clientId) => withKey(clientId, publicKey)),
  withCertificate('partner-2', 'CN=client-1'),
  withCertificate('partner-3', 'CN=client-2'),
]

const newSigningKey = (kid: string): JWK => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return { ...privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig', kid } as JWK
}

export type RotatingServer = {
  readonly issuer: string
  /** Publishes the keys of these names and no others; the last one signs. */
  publish(...kids: string[]): Promise<void>
  /** How often its key set was read. */
  keySetReads(): number
  close(): Promise<void>
}

/**
 * oidc-provider with a key set that changes, which the demo's has not. It binds a token to a DPoP key or to a certificate, not to
 * both at once; `certificates` (thumbprints by client_id) are those it adds to the tokens of clients that it knows to have one.
 */
async function startRotatingServer(
  clients: readonly ClientMetadata[],
  certificates: Readonly<Record<string, string>>,
): Promise<RotatingServer> {
  const { default: Provider } = await import('oidc-provider')
  const keys = new Map<string, JWK>()
  const cookieKey = randomBytes(32).toString('base64url')
  let handle: (...exchange: Parameters<Parameters<typeof createServer>[1] & object>) => unknown = () => undefined
  let reads = 0
  const server = createServer((request, response) => {
    if (request.url === '/jwks') reads += 1
    handle(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const issuer = `http://localhost:${typeof address === 'object' ? address?.port : 0}`

  const configuration = (published: readonly JWK[], signer: string): Configuration => ({
    jwks: { keys: [...published] } as NonNullable<Configuration['jwks']>,
    clients: [...clients],
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    clientAuthMethods: ['private_key_jwt'],
    cookies: { keys: [cookieKey] },
    scopes: [...SCOPES],
    ttl: { ClientCredentials: 120 },
    formats: {
      customizers: {
        jwt: (_context, { clientId }, { payload }) => {
          const thumbprint = certificates[clientId ?? '']
          if (thumbprint !== undefined) payload.cnf = { ...(payload.cnf as object), 'x5t#S256': thumbprint }
        },
      },
    },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      dPoP: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: () => ({
          audience: ORIGIN,
          scope: ALL,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'ES256', kid: signer } },
        }),
      },
    },
  })
  const publish: RotatingServer['publish'] = async (...kids) => {
    for (const kid of kids) if (!keys.has(kid)) keys.set(kid, newSigningKey(kid))
    const published = kids.flatMap((kid) => keys.get(kid) ?? [])
    handle = quietly(() => new Provider(issuer, configuration(published, kids.at(-1) ?? ''))).callback()
  }
  await publish('first')
  return {
    issuer,
    publish,
    keySetReads: () => reads,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** Its development advice is printed on the console, and not about a test. */
function quietly<T>(work: () => T): T {
  const { info, warn } = console
  Object.assign(console, { info: () => undefined, warn: () => undefined })
  try {
    return work()
  } finally {
    Object.assign(console, { info, warn })
  }
}

/**
 * Moves the clock of all parties ahead, for what else would be half a minute of waiting. Never back: that is a clock that
 * steps back, and `closed` tiers refuse then.
 */
export function advanceClock(seconds: number): void {
  const before = Date.now
  Date.now = () => before() + seconds * 1000
}

export type Change = (header: Record<string, unknown>, claims: Record<string, unknown>) => void

/** A handle of oauth4webapi whose proofs are changed, or looked at, before they are signed. */
export const changedProofs = (keys: oauth.CryptoKeyPair, change: Change): oauth.DPoPHandle =>
  oauth.DPoP({}, keys, { [oauth.modifyAssertion]: change as never })

/** A connection that changes the headers which a library has made. */
export const spoiledConnection = (connection: Connection, change: (headers: Record<string, string>) => void): Connection => ({
  ...connection,
  fetch: (url, init) => {
    const headers = { ...init.headers }
    change(headers)
    return connection.fetch(url, { ...init, headers })
  },
})

/** A JWS with another signature of the same form. */
export const forged = (jws: string): string => jws.replace(/[^.]{4}(?=[^.]{20}$)/, (part) => (part === 'AAAA' ? 'BBBB' : 'AAAA'))

export const keysOf = ({ keys }: Pick<HeldToken, 'keys'>): oauth.CryptoKeyPair => {
  if (keys === null) throw new Error('this token is bound to no key')
  return keys
}
