// The demo's authorization server: a real one (oidc-provider), on loopback, with keys of its own. Issues DPoP-bound,
// certificate-bound and plain JWT access tokens (RFC 9068). What it asks people is in interactions.ts.

import { generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import type { TLSSocket } from 'node:tls'
import type { ClientMetadata, Configuration, JWK } from 'oidc-provider'
import { interact, type Person } from './interactions.js'

export type AuthorizationServerSettings = {
  readonly issuer: string
  readonly port: number
  /** Where clients authenticate with certificates (RFC 8705 §5). */
  readonly mtls: { readonly port: number; readonly key: string; readonly cert: string; readonly clientCa: string }
  /** The one resource that tokens are for, and all scopes it knows. */
  readonly resource: string
  readonly scopes: readonly string[]
  readonly clients: readonly ClientMetadata[]
  /** By `login_hint`. */
  readonly people: ReadonlyMap<string, Person>
  /** Access token lifetimes in seconds, of clients that differ from the default. */
  readonly lifetimes: ReadonlyMap<string, number>
}

export type RunningAuthorizationServer = { readonly close: () => Promise<void> }

/** Seconds. */
const DEFAULT_LIFETIME = 120

export async function startAuthorizationServer(settings: AuthorizationServerSettings): Promise<RunningAuthorizationServer> {
  const provider = await quietly(async () => {
    // Imported here, because loading it already prints advice for production that is not about a demo.
    const { default: Provider } = await import('oidc-provider')
    return new Provider(settings.issuer, configurationOf(settings))
  })
  const handle = provider.callback()
  const plain = createServer((request, response) => {
    const work = request.url?.startsWith('/interaction/')
      ? interact(provider, settings, request, response)
      : handle(request, response)
    work.catch(() => response.writeHead(500).end())
  })
  const { key, cert, clientCa, port } = settings.mtls
  const mutual = createTlsServer({ key, cert, ca: clientCa, requestCert: true, rejectUnauthorized: false }, handle)
  await listen(plain, settings.port)
  await listen(mutual, port)
  return { close: async () => void (await Promise.all([end(plain), end(mutual)])) }
}

/** Clients are known by their certificates, and tokens bound to them (RFC 8705). */
export const CERTIFICATES: NonNullable<Configuration['features']>['mTLS'] = {
  enabled: true,
  certificateBoundAccessTokens: true,
  tlsClientAuth: true,
  getCertificate: ({ socket }) => certificateOf(socket as TLSSocket),
  certificateAuthorized: ({ socket }) => (socket as TLSSocket).authorized === true,
  certificateSubjectMatches: ({ socket }, _property, expected) => certificateOf(socket as TLSSocket)?.subject === expected,
}

function configurationOf(settings: AuthorizationServerSettings): Configuration {
  const mtlsOrigin = `https://localhost:${settings.mtls.port}`
  return {
    jwks: { keys: [signingKey('ES256'), signingKey('PS256')] },
    clients: [...settings.clients],
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    clientAuthMethods: ['private_key_jwt', 'tls_client_auth', 'none'],
    // Pages may use the token endpoint from where they are registered, and nobody else's.
    clientBasedCORS: (_context, origin, client) =>
      client.clientAuthMethod === 'none' && client.redirectUris?.some((uri) => new URL(uri).origin === origin) === true,
    cookies: { keys: [randomBytes(32).toString('base64url')] },
    scopes: [...settings.scopes],
    acrValues: [...new Set([...settings.people.values()].map(({ acr }) => acr))],
    discovery: { mtls_endpoint_aliases: { token_endpoint: `${mtlsOrigin}/token` } },
    findAccount: (_context, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
    interactions: { url: (_context, interaction) => `/interaction/${interaction.uid}` },
    loadExistingGrant: async (context) => {
      // Whoever uses a page is asked; where nobody sits there, all that the client is registered for is agreed to.
      const { client, session, provider, result } = context.oidc
      if (client?.clientAuthMethod === 'none') {
        const agreed = result?.consent?.grantId ?? session?.grantIdFor(client.clientId)
        return agreed === undefined ? undefined : provider.Grant.find(agreed)
      }
      const grant = new provider.Grant({ clientId: client?.clientId ?? '', accountId: session?.accountId ?? '' })
      grant.addOIDCScope(settings.scopes.join(' '))
      grant.addResourceScope(settings.resource, settings.scopes.join(' '))
      await grant.save()
      return grant
    },
    extraTokenClaims: (context) => {
      const code = context.oidc.entities.AuthorizationCode
      const person = [...settings.people.values()].find(({ sub }) => sub === code?.accountId)
      return person && { acr: code?.acr, auth_time: code?.authTime, tenant_id: person.tenant }
    },
    features: {
      devInteractions: { enabled: false },
      userinfo: { enabled: false },
      clientCredentials: { enabled: true },
      // The nonce is asked for here too (RFC 9449 §8): a client that can't handle it would not get far.
      dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true },
      mTLS: CERTIFICATES,
      resourceIndicators: {
        enabled: true,
        defaultResource: () => settings.resource,
        useGrantedResource: () => true,
        getResourceServerInfo: (_context, _resource, client) => ({
          audience: settings.resource,
          scope: settings.scopes.join(' '),
          accessTokenTTL: settings.lifetimes.get(client.clientId) ?? DEFAULT_LIFETIME,
          accessTokenFormat: 'jwt',
          // Both algorithms are in use: one for each way of authenticating.
          jwt: { sign: { alg: client.clientAuthMethod === 'tls_client_auth' ? 'PS256' : 'ES256' } },
        }),
      },
    },
    // Sessions and grants live as long as the demo may; said here, so that it is not guessed with a notice.
    ttl: {
      Session: 3600,
      Grant: 3600,
      Interaction: 600,
      AuthorizationCode: 60,
      IdToken: 300,
      AccessToken: lifetime,
      ClientCredentials: lifetime,
    },
  }
}

/** Seconds that an access token lives: the resource's say, because a fixed number here would win over it. */
const lifetime = (_context: unknown, token: { resourceServer?: { accessTokenTTL?: number | undefined } | undefined }): number =>
  token.resourceServer?.accessTokenTTL ?? DEFAULT_LIFETIME

function certificateOf(socket: TLSSocket): X509Certificate | undefined {
  const raw = socket.getPeerCertificate?.()?.raw
  return raw && new X509Certificate(raw)
}

function signingKey(alg: 'ES256' | 'PS256'): JWK {
  const { privateKey } =
    alg === 'ES256' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }) : generateKeyPairSync('rsa', { modulusLength: 2048 })
  return { ...privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid: `demo-${alg.toLowerCase()}` } as JWK
}

/** Runs with the console's notices held back: oidc-provider prints its development advice there and nowhere else. */
async function quietly<T>(work: () => Promise<T>): Promise<T> {
  const { info, warn } = console
  Object.assign(console, { info: () => {}, warn: () => {} })
  try {
    return await work()
  } finally {
    Object.assign(console, { info, warn })
  }
}

const listen = (server: Server | TlsServer, port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', resolve)
  })

const end = (server: Server | TlsServer): Promise<void> =>
  new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
