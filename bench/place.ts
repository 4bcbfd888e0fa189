// Where everything runs: a folder with keys and certificates, an upstream, Redis, and the builds of ours that are measured. Servers
// that a scenario starts are stopped at its end.
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { makeCertificates } from '../test/support/certificates.js'
import { type KeyPair, makeKey } from '../test/support/jwt.js'
import { BUILD, freePort, type Server, startHoldfast, startOwn, startRedis, startUpstream } from './peers.js'
import { AUDIENCE, ISSUER, KID, TENANT } from './requests.js'

/** One way to run ours: a node and a build. */
export type Variant = {
  /** What stands behind the name of a contender: '' where there is one variant only. */
  readonly label: string
  readonly node: string
  readonly dist: string
}

export type HoldfastSettings = {
  readonly workers?: number
  readonly clientCertificates?: 'off' | 'pop_only' | 'pki'
  readonly store?: 'redis' | 'memory'
  /** Left out: the one of this place. */
  readonly redisPort?: number
  /** Beside those it is shipped with. */
  readonly nodeFlags?: readonly string[]
  /** Routes that no one asks for. */
  readonly otherRoutes?: number
  /** With a registry of so many clients, their tenant, and what is revoked in the Redis of this place under `GOVERNED_PREFIX`. */
  readonly registered?: number
  /** With a decision API, for proxies that clients reach at these ports too. */
  readonly decidesFor?: readonly number[]
}

/** Where a gateway with a registry has its keys in Redis. */
export const GOVERNED_PREFIX = 'governed:'

/** One of ours that is running. */
export type Holdfast = Server & { readonly adminPort: number; readonly decisionPort: number }

export type Place = {
  readonly root: string
  readonly issuer: KeyPair
  readonly upstreamPort: number
  readonly redisPort: number
  readonly variants: readonly Variant[]
  /** Seconds that one load takes. */
  readonly seconds: number
  /** Is stopped when the scenario ends. */
  keep(server: Server): Server
  holdfast(variant: Variant, settings?: HoldfastSettings): Promise<Holdfast>
  /** `fastify-proxy` or `naive`, on the variant's node. */
  own(name: string, variant: Variant): Promise<Server>
  /** A folder of its own for each load. */
  folder(): string
  stopServers(): Promise<void>
  close(): Promise<void>
}

export async function openPlace(options: Variants & { readonly seconds: number }): Promise<Place> {
  const root = mkdtempSync(join(tmpdir(), 'holdfast-bench-'))
  chmodSync(root, 0o755)
  const { files, clients } = await makeCertificates('localhost')
  for (const [name, text] of Object.entries(files)) writeFileSync(join(root, name), text)
  writeFileSync(join(root, 'client.key'), clients.client.key)
  writeFileSync(join(root, 'client.crt'), clients.client.cert)
  const issuer = makeKey('ES256')
  writeFileSync(join(root, 'issuer.jwks'), JSON.stringify({ keys: [{ ...issuer.jwk, kid: KID }] }))
  const upstream = await startUpstream(root)
  const redis = await startRedis(root)
  let servers: Server[] = []
  let folders = 0
  const keep = <S extends Server>(server: S): S => {
    servers.push(server)
    return server
  }
  const stopServers = async () => {
    const stopping = servers
    servers = []
    await Promise.all(stopping.map((server) => server.stop()))
  }
  return {
    root,
    issuer,
    upstreamPort: upstream.port,
    redisPort: redis.port,
    variants: variantsOf(options),
    seconds: options.seconds,
    keep,
    async holdfast(variant, { nodeFlags = [], ...settings } = {}) {
      const [port, adminPort, decisionPort] = [await freePort(), await freePort(), await freePort()]
      const file = `routes.${port}.yaml`
      writeFileSync(
        join(root, file),
        routesYaml({ port, adminPort, upstreamPort: upstream.port, redisPort: redis.port, decisionPort, ...settings }),
      )
      const server = await startHoldfast(root, file, {
        port,
        node: variant.node,
        dist: variant.dist,
        flags: [...NODE_FLAGS, ...nodeFlags],
      })
      return keep({ ...server, adminPort, decisionPort })
    },
    async own(name, variant) {
      const settings = {
        upstream: `http://127.0.0.1:${upstream.port}`,
        redis: `redis://127.0.0.1:${redis.port}`,
        issuer: ISSUER,
        audience: AUDIENCE,
      }
      return keep(await startOwn(root, name, settings, variant.node))
    },
    folder() {
      folders += 1
      return join(root, `load-${folders}`)
    },
    stopServers,
    async close() {
      await stopServers()
      await Promise.all([upstream.stop(), redis.stop()])
      rmSync(root, { recursive: true, force: true })
    },
  }
}

/** `NODE_FLAGS="--cpu-prof --cpu-prof-dir=/tmp/prof" npm run bench -- proven` profiles ours. */
const NODE_FLAGS = process.env.NODE_FLAGS?.split(' ') ?? []

/** This node and this build first; named apart only where there are several: by node, or where there is one node, by build. */
function variantsOf({ nodes, against }: Variants): readonly Variant[] {
  const own = [process.execPath, ...nodes].map((node) => ({
    label: nodes.length > 0 ? `, Node ${versionOf(node)}` : `, ${basename(BUILD)}`,
    node,
    dist: BUILD,
  }))
  const others = against.map((dist) => ({ label: `, ${basename(resolve(dist))}`, node: process.execPath, dist: resolve(dist) }))
  const all = [...own, ...others]
  return all.length === 1 ? all.map((variant) => ({ ...variant, label: '' })) : all
}

/** `26.10` of v26.10.0. */
const versionOf = (node: string): string =>
  /^v(\d+\.\d+)/.exec(spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout)?.[1] ?? ''

/** What is wrong with the nodes and builds that were asked for; null: nothing. */
export function problemOf({ nodes, against }: Variants): string | null {
  const node = nodes.find((path) => spawnSync(path, ['--version']).status !== 0)
  if (node !== undefined) return `${node} is not a node that runs`
  const build = against.find((dist) => !existsSync(join(dist, 'src', 'main.js')))
  return build === undefined ? null : `${build} is not a build: it has no src/main.js`
}

type Variants = { readonly nodes: readonly string[]; readonly against: readonly string[] }

type Resolved = HoldfastSettings & {
  readonly port: number
  readonly adminPort: number
  readonly upstreamPort: number
  readonly redisPort: number
  readonly decisionPort: number
}

/** A route for each scenario; tiers as they are built in, but for what would keep a load generator from asking. */
function routesYaml(settings: Resolved): string {
  const {
    port,
    adminPort,
    upstreamPort,
    redisPort,
    workers = 1,
    clientCertificates = 'off',
    store = 'redis',
    otherRoutes = 0,
    registered = 0,
    decisionPort,
    decidesFor = [],
  } = settings
  const redis = `url: 'redis://127.0.0.1:${redisPort}'${registered > 0 ? `, key_prefix: '${GOVERNED_PREFIX}'` : ''}`
  const replay = store === 'memory' ? '{ store: memory }' : `{ store: redis, redis: { ${redis} } }`
  const tenant =
    registered > 0 ? `, tenant: { claim: tenant_id, equals: host, hosts: { 'https://localhost:${port}': ${TENANT} } }` : ''
  const others = Array.from(
    { length: otherRoutes },
    (_, i) => `  - { path: '/other/${i % 50}/:id/part-${i}', methods: [GET], tier: low_user, upstream: u, scopes: [payments] }\n`,
  )
  return `version: 1
listen:
  host: 127.0.0.1
  port: ${port}
  tls: { key: server.key, cert: server.crt, client_certificates: ${clientCertificates}${clientCertificates === 'pki' ? ', client_ca: client-ca.crt' : ''} }
public_origins: [${[port, ...decidesFor].map((each) => `'https://localhost:${each}'`)}]
${decidesFor.length === 0 ? '' : `decision_api: { port: ${decisionPort}, hop: loopback }\n`}admin: { port: ${adminPort} }
workers: ${workers}
issuers: [{ issuer: '${ISSUER}', audience: '${AUDIENCE}', jwks_file: issuer.jwks, algorithms: [ES256] }]
replay: ${replay}
dpop: { nonce_secret: ${'n'.repeat(32)} }
audit: { file: audit.${port}.jsonl }
assertion: { issuer: 'https://gateway.example.com', key: assertion.key }
${registered === 0 ? '' : `clients:\n${Array.from({ length: registered }, (_, i) => registrationOf(`client-${i}`)).join('')}`}tiers:
  proven: { extends: high_value, nonce: off, audit: all }
  durable: { extends: high_value, nonce: off }
  unheld: { extends: proven, body_digest: off }
  certified: { extends: sensitive_read, binding: mtls }
  open: { extends: public, rate_limit: off }
upstreams: { u: { url: 'http://127.0.0.1:${upstreamPort}', audience: u } }
routes:
  - { path: /proven, methods: [GET], tier: proven, upstream: u, scopes: [payments]${tenant} }
  - { path: /durable, methods: [GET], tier: durable, upstream: u, scopes: [payments] }
  - { path: /unheld, methods: [GET], tier: unheld, upstream: u, scopes: [payments] }
  - { path: /document, methods: [POST], tier: proven, upstream: u, scopes: [payments] }
  - { path: /low, methods: [GET], tier: low_user, upstream: u, scopes: [payments] }
  - { path: /public, methods: [GET], tier: open, upstream: u }
${clientCertificates === 'off' ? '' : '  - { path: /certified, methods: [GET], tier: certified, upstream: u, scopes: [payments] }\n'}${others.join('')}`
}

/** One that may do all that is asked for on any tier. */
const registrationOf = (id: string): string =>
  `  - { client_id: ${id}, status: active, approval: { by: bench, on: 2026-01-01 }, highest_tier: high_value, scopes: [payments], tenants: [${TENANT}],
      grant_types: [authorization_code], redirect_uris: ['https://client.example.com/cb'], token_endpoint_auth_method: private_key_jwt,
      require_pushed_authorization_requests: true, require_signed_request_object: true }\n`
