// The whole gateway on real sockets, with everything around it: an issuer's keys, a real Redis, an upstream that writes down what it
// gets, certificates of every kind. One lab serves a whole table of requests.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import type { Config } from '../../src/config/config.js'
import { loadConfig } from '../../src/config/load.js'
import { type Gateway, startGateway } from '../../src/gateway.js'
import type { Seconds } from '../../src/verify/scalars.js'
import { eventsIn } from './audit.js'
import { makeCertificates, type TestCertificates } from './certificates.js'
import { type Draft, issuerKey, printDraft } from './draft.js'
import { exchange, type Reply } from './http.js'
import { openRaw, type RawClient } from './raw.js'
import { type RunningRedis, startRedis } from './redis.js'

/** What the upstream got. */
export type Call = {
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly rawHeaders: readonly string[]
  readonly body: Buffer
  readonly trailers: readonly string[]
}

export type LabOptions = {
  /** Replaces parts of routes.yaml, as YAML text: tiers, routes, and any other top-level key. */
  readonly yaml?: (defaults: LabYaml) => LabYaml
  /** What the upstream answers; left out: 200 with what it got, as JSON. */
  readonly upstream?: (request: IncomingMessage, response: import('node:http').ServerResponse) => void
  /** Takes WebSocket handshakes. */
  readonly upgrade?: (request: IncomingMessage, socket: Duplex) => void
  /** Files beside routes.yaml, from the start. */
  readonly files?: Readonly<Record<string, string>>
  readonly store?: 'memory' | 'redis'
  /** Gives up on a slow store, and on itself when it is late, as soon as gateways do that are told nothing. Left out: much later, because a
   * busy machine is slow, and most tests are about something else. */
  readonly isImpatient?: boolean
}

/** Top-level parts of routes.yaml, each as YAML text. */
export type LabYaml = Record<string, string>

export type SendOptions = { readonly certificate?: keyof TestCertificates['clients'] }

export type Lab = {
  readonly port: number
  readonly adminPort: number
  readonly gateway: Gateway
  /** What the gateway told its operator. */
  readonly logs: readonly string[]
  readonly redis: RunningRedis | null
  readonly certificates: TestCertificates
  send(draft: Draft, options?: SendOptions): Promise<Reply>
  /** Bytes as they are, on a connection of their own. */
  sendRaw(bytes: string | Buffer, options?: SendOptions): Promise<Reply>
  /** A connection that stays, for as many requests as a test likes. */
  open(options?: SendOptions): Promise<RawClient>
  /** What the admin listener answers. */
  admin(path: string): Promise<{ readonly status: number; readonly body: string }>
  /** Puts a file beside routes.yaml. */
  write(name: string, text: string): void
  /** A fresh nonce, asked for as a client does. */
  nonce(): Promise<string>
  thumbprint(name: keyof TestCertificates['clients']): string
  readonly calls: readonly Call[]
  upstreamCalls(): number
  usedProofs(): Promise<number>
  /** The audit events written so far, newest last. */
  events(): readonly Record<string, unknown>[]
  /** The audit event of a refused request. */
  refusal(requestId: string): Promise<Record<string, unknown> | undefined>
  reload(yaml: (defaults: LabYaml) => LabYaml): Promise<void>
  stop(): Promise<void>
}

export const HOST = 'api.example.com'

const ROUTES = `
  - { path: /public, methods: [GET, POST], tier: public, upstream: cases }
  - { path: /profile, methods: [GET, POST], tier: low_user, upstream: cases, issuers: [https://as.example.com] }
  - { path: '/read/:id', methods: [GET, POST], tier: bound_read, upstream: cases, issuers: [https://as.example.com], scopes: [case.read, case.write],
      resource: { type: case, id: path.id } }
  - { path: /nonce, methods: [GET], tier: high_value, upstream: cases, issuers: [https://as.example.com] }
  - { path: /mtls, methods: [GET], tier: certificates, upstream: cases, issuers: [https://as.example.com] }
  - { path: /both, methods: [GET], tier: both, upstream: cases, issuers: [https://as.example.com] }
  - { path: /partner, methods: [GET], tier: bound_read, upstream: cases, issuers: [https://as.example.com], clients: [client-1] }
  - { path: '/tenants/:tenant/decision', methods: [POST], tier: sensitive_write, upstream: cases, issuers: [https://as.example.com],
      tenant: { claim: tenant_id, equals: path.tenant }, acr_values: ['urn:example:aal2'] }
`

const TIERS = `
  bound_read: { extends: sensitive_read, binding: any, audit: all }
  certificates: { extends: sensitive_read, binding: mtls }
  both: { extends: sensitive_read, binding: both }
`

function defaults(upstream: number, redis: number | null): LabYaml {
  return {
    version: '1',
    listen: `{ host: 127.0.0.1, port: 8443, tls: { key: server.key, cert: server.crt, client_certificates: pki, client_ca: client-ca.crt } }`,
    admin: '{ host: 127.0.0.1, port: 9090 }',
    workers: '1',
    drain: '1s',
    public_origins: `[https://${HOST}]`,
    issuers: `
  - { issuer: https://as.example.com, audience: https://api.example.com, jwks_file: issuer.jwks, algorithms: [PS256, ES256, EdDSA] }
  - { issuer: https://as2.example.com, audience: https://api.example.com, jwks_file: issuer.jwks, algorithms: [ES256] }`,
    replay: redis === null ? '{ store: memory }' : `{ store: redis, redis: { url: redis://127.0.0.1:${redis} } }`,
    dpop: `{ nonce_secret: ${'n'.repeat(32)} }`,
    audit: '{ file: audit.jsonl }',
    assertion: '{ issuer: https://gateway.example.com, key: assertion.key }',
    tiers: TIERS,
    upstreams: `{ cases: { url: 'http://127.0.0.1:${upstream}', audience: cases } }`,
    routes: ROUTES,
  }
}

const printYaml = (parts: LabYaml): string =>
  Object.entries(parts)
    .map(([key, value]) => `${key}: ${value}\n`)
    .join('')

const LONG: Seconds = 30
const DEFAULT_TIMEOUT: Seconds = 0.1

function patient({ limits, replay, ...config }: Config): Config {
  return {
    ...config,
    limits: { ...limits, event_loop_delay: LONG },
    replay:
      replay.store === 'redis' && replay.redis.timeout === DEFAULT_TIMEOUT
        ? { store: 'redis', redis: { ...replay.redis, timeout: LONG } }
        : replay,
  }
}

export async function startLab(options: LabOptions = {}): Promise<Lab> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-lab-'))
  const certificates = await makeCertificates(HOST)
  const calls: Call[] = []
  const upstream = await startUpstream(calls, options.upstream)
  if (options.upgrade !== undefined) upstream.on('upgrade', options.upgrade)
  const redis = options.store === 'memory' ? null : await startRedis()
  const observer = redis === null ? null : new Redis(redis.url, { lazyConnect: false })
  observer?.on('error', () => undefined)
  const parts = defaults((upstream.address() as AddressInfo).port, redis?.port ?? null)

  for (const [name, text] of Object.entries({ ...certificates.files, ...options.files })) writeFileSync(join(folder, name), text)
  const jwk = { ...issuerKey.jwk, kid: 'issuer-1', use: 'sig' }
  writeFileSync(join(folder, 'issuer.jwks'), JSON.stringify({ keys: [jwk] }))
  const load = (yaml: LabYaml): Config => {
    const file = join(folder, 'routes.yaml')
    writeFileSync(file, printYaml(yaml))
    const { config, problems } = loadConfig(file, process.env)
    if (config === null)
      throw new Error(problems.map((problem) => `${problem.line}: ${problem.path} ${problem.message}`).join('\n'))
    return {
      ...(options.isImpatient === true ? config : patient(config)),
      // Any free port, which routes.yaml cannot ask for.
      listeners: config.listeners.map((listener) => ({ ...listener, port: 0 })),
      admin: { ...config.admin, port: 0 },
    }
  }
  const yaml = options.yaml?.(parts) ?? parts
  const logs: string[] = []
  const log = (line: string): void => void logs.push(line)
  const stopOthers = async (): Promise<void> => {
    observer?.disconnect()
    await redis?.stop()
    upstream.closeAllConnections()
    upstream.close()
    rmSync(folder, { recursive: true, force: true })
  }
  const secrets = { nonceSecret: 'x'.repeat(32), ticketSecret: 'x'.repeat(43) }
  const gateway = await startGateway(load(yaml), { version: 'test', worker: 0, ...secrets, log }).catch(
    async (error: unknown) => {
      await stopOthers()
      throw error
    },
  )
  const portOf = (address: string | undefined): number => Number(address?.split(':').at(-1))
  const port = portOf(gateway.addresses[0])

  const adminPort = portOf(gateway.adminAddress)
  const tls = ({ certificate }: SendOptions = {}) => ({
    servername: HOST,
    ca: certificates.files['ca.crt'],
    ...(certificate === undefined ? {} : certificates.clients[certificate]),
  })

  const sendRaw: Lab['sendRaw'] = (bytes, sending) => exchange(bytes, { port, ...tls(sending) })
  const events: Lab['events'] = () => eventsIn(join(folder, 'audit.jsonl'))
  return {
    port,
    adminPort,
    gateway,
    logs,
    redis,
    certificates,
    calls,
    sendRaw,
    open: (sending) => openRaw(port, tls(sending)),
    admin: async (path) => {
      const reply = await fetch(`http://127.0.0.1:${adminPort}${path}`)
      return { status: reply.status, body: await reply.text() }
    },
    write: (name, text) => writeFileSync(join(folder, name), text),
    send: (draft, sending) => sendRaw(printDraft(draft), sending),
    nonce: async () => {
      const { makeDraft } = await import('./draft.js')
      const reply = await sendRaw(printDraft(makeDraft({ host: HOST, path: '/nonce' })))
      return reply.header('dpop-nonce') ?? ''
    },
    thumbprint: (name) => certificates.clients[name].x5tS256,
    upstreamCalls: () => calls.length,
    usedProofs: async () => (observer === null ? 0 : observer.dbsize()),
    events,
    refusal: async (requestId) => {
      // Lines that no one waits for are written within 100 ms.
      for (let i = 0; i < 40; i++) {
        const event = events().find((one) => one.request_id === requestId)
        if (event !== undefined) return event
        await sleep(25)
      }
      return undefined
    },
    reload: (change) => gateway.reload(load(change(yaml))),
    stop: async () => {
      await gateway.drain()
      await stopOthers()
    },
  }
}

function startUpstream(calls: Call[], answer: LabOptions['upstream']): Promise<Server> {
  const server = createServer((request, response) => {
    if (answer !== undefined) return answer(request, response)
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const { method = '', url = '', headers, rawHeaders } = request
      const call = { method, url, headers, rawHeaders, body: Buffer.concat(chunks), trailers: request.rawTrailers }
      calls.push(call)
      const text = JSON.stringify({ method, url, headers })
      response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) })
      response.end(text)
    })
  })
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)))
}
