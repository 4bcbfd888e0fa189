// Everything the walk happens on: throwaway certificates, an authorization server, a legacy backend, the gateway as a process of
// its own with the repository's routes.yaml, `holdfast client` in front of it, and the OAuth clients.

import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { IncomingHttpHeaders } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { importJWK, type JWK } from 'jose'
import type { CryptoKey } from 'oauth4webapi'
import type { ClientMetadata } from 'oidc-provider'
import { parse, stringify } from 'yaml'
import { startPage } from '../browser/server.js'
import { startBackend } from '../legacy-backend/server.js'
import { startAuthorizationServer } from './authorization-server.js'
import { type RunningChild, runHoldfast, startHoldfast } from './children.js'
import { type Connection, connect, createOAuthClient, type OAuthClient, REDIRECT_URI } from './oauth-clients.js'
import type { Places } from './places.js'

const ROUTES = fileURLToPath(new URL('../../../routes.yaml', import.meta.url))
const SCOPES = ['profile', 'case.read', 'case.write', 'case.enforcement.modify', 'payments']
/** What the page asks for; payments are not for pages. */
const PAGE_SCOPES = SCOPES.filter((scope) => scope !== 'payments')
const STRONG = 'urn:example:aal2'

/** Who can log in, by `login_hint`: the same Ada, minutes and hours after her login. */
const PEOPLE = new Map([
  ['ada', { sub: 'ada', tenant: 'north', acr: STRONG, loggedInAgo: 120 }],
  ['ada-this-morning', { sub: 'ada', tenant: 'north', acr: STRONG, loggedInAgo: 7200 }],
])

export type Stage = {
  readonly places: Places
  readonly directory: string
  /** The portal that people use: private_key_jwt, tokens bound to a key or not bound at all. */
  readonly portal: OAuthClient
  /** partner-1: private_key_jwt, DPoP-bound tokens. */
  readonly partner: OAuthClient
  /** partner-2: certificate, certificate-bound tokens. */
  readonly mtlsPartner: OAuthClient
  readonly mtlsPartnerCertificate: string
  /** batch-1: its tokens live for an hour, and it is suspended. */
  readonly batch: OAuthClient
  /** A way to the gateway without a certificate, and one with somebody else's. */
  readonly network: Connection
  readonly strangerNetwork: Connection
  readonly backendUrl: string
  /** What reached the backend, first to last. */
  readonly backendSaw: readonly { readonly url: string; readonly headers: IncomingHttpHeaders }[]
  /** Audit events of the gateway so far, one JSON line each. */
  readonly auditLines: () => readonly string[]
  /** One request whose target is sent byte for byte; its status and reason. */
  readonly rawOutcome: (method: string, target: string) => Promise<string>
  /** Makes a token at its first use, and gives the same one afterwards. */
  readonly once: <T>(name: string, make: () => Promise<T>) => Promise<T>
  readonly close: () => Promise<void>
}

/** Sets the stage; what was started is ended again when a step fails. */
export async function setStage(places: Places, say: (step: string) => void): Promise<Stage> {
  const ends: (() => Promise<unknown>)[] = []
  const close = async (): Promise<void> => {
    for (const end of ends.reverse().splice(0)) await end().catch(() => {})
  }
  try {
    return await build(places, say, { onClose: (end) => void ends.push(end), close })
  } catch (error) {
    await close()
    throw error
  }
}

type Ends = { readonly onClose: (end: () => Promise<unknown>) => void; readonly close: () => Promise<void> }

async function build(places: Places, say: (step: string) => void, { onClose, close }: Ends): Promise<Stage> {
  say('making throwaway certificates and keys')
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-demo-'))
  onClose(async () => rmSync(directory, { recursive: true, force: true }))
  const files = await makeCertificates(directory)
  const routesText = places.shift(readFileSync(ROUTES, 'utf8'))
  const routesFile = join(directory, 'routes.yaml')
  writeFileSync(routesFile, routesText)
  const routes = readRoutes(routesText)

  say('starting the authorization server')
  const keys = { portal: newAuthKey(), partner: newAuthKey(), batch: newAuthKey() }
  const authorizationServer = await startAuthorizationServer({
    issuer: places.issuer,
    port: places.portOf('authorization server'),
    mtls: { port: places.portOf('authorization server for certificates'), ...files.server, clientCa: files.clientCa },
    resource: routes.audience,
    scopes: SCOPES,
    clients: [...clientsOf(keys, files.partner.cert), pageClient(places)],
    people: PEOPLE,
    lifetimes: new Map([['batch-1', 3600]]),
  })
  onClose(authorizationServer.close)

  say('starting the legacy backend')
  const backendSaw: { url: string; headers: IncomingHttpHeaders }[] = []
  const backend = await startBackend(
    {
      host: '127.0.0.1',
      port: places.portOf('legacy backend'),
      jwksUrl: `${places.admin}/.well-known/jwks.json`,
      issuer: routes.assertionIssuer,
      audience: routes.assertionAudience,
      header: routes.assertionHeader,
    },
    ({ url, headers }) => backendSaw.push({ url: url ?? '', headers }),
  )
  onClose(async () => {
    backend.close()
    backend.closeAllConnections()
  })

  say('starting the gateway: holdfast serve routes.yaml')
  const gateway = await startHoldfast(['serve', routesFile], () => answers(`${places.admin}/readyz`))
  onClose(gateway.end)

  say('serving the page for browsers')
  const page = await startPage({
    port: places.portOf('page for browsers'),
    issuer: places.issuer,
    gateway: places.gateway,
    clientId: 'page',
    redirectUri: redirectOf(places),
    resource: routes.audience,
    scopes: PAGE_SCOPES,
  })
  onClose(async () => {
    page.close()
    page.closeAllConnections()
  })
  if (!(await answers(places.page))) throw new Error(`the page for browsers does not answer at ${places.page}`)

  say('starting holdfast client')
  const clientFile = join(directory, 'client.yaml')
  writeFileSync(join(directory, 'partner-1.jwk'), JSON.stringify(keys.partner), { mode: 0o600 })
  writeFileSync(clientFile, clientFileText(places, routes.audience))
  const holdfastClient = await startHoldfast(['client', clientFile], () => answers(`${places.client}/public/reference-data`))
  onClose(holdfastClient.end)

  const connection = (tls: { cert?: string; key?: string }): Connection => {
    const opened = connect({ ca: files.ca, ...tls })
    onClose(opened.close)
    return opened
  }
  const network = connection({})
  const common = { issuer: places.issuer, resource: routes.audience, connection: network }
  const withKey = async (clientId: string, key: JWK) =>
    createOAuthClient({ ...common, clientId, authKey: (await importJWK(key, 'ES256')) as CryptoKey })
  const made = new Map<string, Promise<unknown>>()

  return {
    places,
    directory,
    portal: await withKey('portal', keys.portal),
    partner: await withKey('partner-1', keys.partner),
    mtlsPartner: await createOAuthClient({ ...common, clientId: 'partner-2', connection: connection(files.partner) }),
    mtlsPartnerCertificate: files.partner.cert,
    batch: await withKey('batch-1', keys.batch),
    network,
    strangerNetwork: connection(files.stranger),
    backendUrl: places.backend,
    backendSaw,
    auditLines: () => auditLines(gateway, routes.auditFile === null ? null : join(directory, routes.auditFile)),
    rawOutcome: (method, target) => rawOutcome(places, files.ca, { method, target }),
    once: <T>(name: string, make: () => Promise<T>) => {
      const known = (made.get(name) as Promise<T> | undefined) ?? make()
      made.set(name, known)
      return known
    },
    close,
  }
}

type KeyAndCertificate = { readonly key: string; readonly cert: string }
type Material = {
  readonly ca: string
  readonly clientCa: string
  readonly server: KeyAndCertificate
  readonly partner: KeyAndCertificate
  readonly stranger: KeyAndCertificate
}

/** `holdfast certs`, into the directory where routes.yaml looks for them. */
async function makeCertificates(directory: string): Promise<Material> {
  const certs = join(directory, 'certs')
  await runHoldfast(['certs', certs])
  const read = (name: string) => readFileSync(join(certs, name), 'utf8')
  const pair = (name: string) => ({ key: read(`${name}.key`), cert: read(`${name}.crt`) })
  return {
    ca: read('ca.crt'),
    clientCa: read('client-ca.crt'),
    server: pair('server'),
    partner: pair('client'),
    stranger: pair('other-client'),
  }
}

const newAuthKey = (): JWK => {
  const jwk = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' })
  return { ...jwk, alg: 'ES256', use: 'sig' } as JWK
}

function clientsOf(keys: { portal: JWK; partner: JWK; batch: JWK }, partnerCertificate: string): readonly ClientMetadata[] {
  const withKey = ({ d: _private, ...publicKey }: JWK): ClientMetadata =>
    ({
      token_endpoint_auth_method: 'private_key_jwt',
      token_endpoint_auth_signing_alg: 'ES256',
      jwks: { keys: [publicKey] },
    }) as unknown as ClientMetadata
  const alone = { redirect_uris: [], grant_types: ['client_credentials'], response_types: [], scope: SCOPES.join(' ') }
  const withBrowser = { redirect_uris: [REDIRECT_URI], grant_types: ['authorization_code'], response_types: ['code'] as const }
  return [
    { ...withKey(keys.portal), client_id: 'portal', ...withBrowser, response_types: ['code'], scope: SCOPES.join(' ') },
    { ...withKey(keys.partner), client_id: 'partner-1', ...alone, response_types: [], dpop_bound_access_tokens: true },
    { ...withKey(keys.batch), client_id: 'batch-1', ...alone, response_types: [], dpop_bound_access_tokens: true },
    {
      client_id: 'partner-2',
      ...alone,
      response_types: [],
      token_endpoint_auth_method: 'tls_client_auth',
      tls_client_auth_subject_dn: new X509Certificate(partnerCertificate).subject,
      tls_client_certificate_bound_access_tokens: true,
    },
  ]
}

const redirectOf = ({ page }: Places): string => `${page}/`

/** A public client (RFC 6749 §2.1): it can keep a key to itself, and no secret that was given to it before. */
const pageClient = (places: Places): ClientMetadata => ({
  client_id: 'page',
  token_endpoint_auth_method: 'none',
  redirect_uris: [redirectOf(places)],
  grant_types: ['authorization_code'],
  response_types: ['code'],
  scope: PAGE_SCOPES.join(' '),
  dpop_bound_access_tokens: true,
})

/** What the other parties must know of routes.yaml. */
function readRoutes(text: string) {
  const file = parse(text) as {
    issuers: [{ audience: string }]
    assertion: { issuer: string; header?: string }
    upstreams: Record<string, { audience: string }>
    audit?: { file?: string }
  }
  return {
    audience: file.issuers[0].audience,
    assertionIssuer: file.assertion.issuer,
    assertionHeader: (file.assertion.header ?? 'Holdfast-Assertion').toLowerCase(),
    assertionAudience: Object.values(file.upstreams)[0]?.audience ?? '',
    auditFile: file.audit?.file ?? null,
  }
}

const clientFileText = (places: Places, resource: string): string =>
  stringify({
    listen: { port: places.portOf('holdfast client') },
    gateway: places.gateway,
    tls: { ca: 'certs/ca.crt' },
    issuer: places.issuer,
    client_id: 'partner-1',
    auth: 'private_key_jwt',
    client_key: 'partner-1.jwk',
    scope: 'case.read case.write payments',
    resource,
  })

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url)).ok
  } catch {
    return false
  }
}

function auditLines(gateway: RunningChild, file: string | null): readonly string[] {
  const lines = file === null ? gateway.lines : readFileSync(file, 'utf8').split('\n')
  return lines.filter((line) => line.startsWith('{') && line.includes('"event_type"'))
}

const rawOutcome = (places: Places, ca: string, { method, target }: { method: string; target: string }): Promise<string> =>
  new Promise((resolve, reject) => {
    const request = httpsRequest(places.gateway, { method, path: target, ca, agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
      })
      response.on('end', () => resolve(/"reason":"(\w+)"/.exec(text)?.[1] ?? `status ${response.statusCode}`))
    })
    request.on('error', reject).end()
  })
