// A policy decision point on loopback that answers as a test tells it to, wrong things included, and remembers what it was asked; and a lab
// whose routes ask it.
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer, type ServerOptions } from 'node:https'
import type { AddressInfo } from 'node:net'
import { type Lab, type LabOptions, startLab } from './lab.js'

export type Asked = {
  readonly path: string
  readonly method: string
  readonly headers: IncomingHttpHeaders
  /** The JSON that was sent; null: none was. */
  readonly question: Record<string, unknown> | null
}
export type Answer = { readonly status?: number; readonly headers?: Record<string, string>; readonly body: string | Buffer }

export type PdpServer = {
  readonly url: string
  /** Questions; what metadata was asked for stands in `metadataAsked`. */
  readonly asked: Asked[]
  readonly metadataAsked: Asked[]
  /** 'silence': the connection is held and nothing is said. */
  answer: (asked: Asked) => Answer | 'silence' | 'reset' | Promise<Answer>
  metadata: (asked: Asked) => Answer | 'silence' | 'reset'
  stop(): Promise<void>
}

export const json = (body: unknown, more: Omit<Answer, 'body'> = {}): Answer => ({
  ...more,
  headers: { 'content-type': 'application/json', ...more.headers },
  body: typeof body === 'string' ? body : JSON.stringify(body),
})

export const PERMIT = json({ decision: true })
export const DENY = json({ decision: false })

/** Metadata as the specification has it (§9.1.1). */
export const metadataOf = (url: string, change: Record<string, unknown> = {}): Answer =>
  json({
    policy_decision_point: url,
    access_evaluation_endpoint: `${url}/access/v1/evaluation`,
    access_evaluations_endpoint: `${url}/access/v1/evaluations`,
    ...change,
  })

/** `path`: what its identifier has behind the origin. */
export async function startPdp(path = '', tls?: ServerOptions): Promise<PdpServer> {
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', async () => {
      const text = Buffer.concat(chunks).toString()
      const { headers, url = '', method = '' } = request
      const asked: Asked = { path: url, method, headers, question: text === '' ? null : JSON.parse(text) }
      const isMetadata = url.startsWith('/.well-known/')
      const list = isMetadata ? server.metadataAsked : server.asked
      list.push(asked)
      const answer = await (isMetadata ? server.metadata(asked) : server.answer(asked))
      if (answer === 'silence') return
      if (answer === 'reset') return void request.socket.resetAndDestroy()
      const echoed = { 'x-request-id': String(headers['x-request-id'] ?? '') }
      response.writeHead(answer.status ?? 200, { ...(isMetadata ? {} : echoed), ...answer.headers }).end(answer.body)
    })
  }
  const http = tls === undefined ? createServer(listener) : createTlsServer(tls, listener)
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const server: PdpServer = {
    url: `${tls === undefined ? 'http' : 'https'}://localhost:${(http.address() as AddressInfo).port}${path}`,
    asked: [],
    metadataAsked: [],
    answer: () => PERMIT,
    metadata: () => metadataOf(server.url),
    stop: () =>
      new Promise((resolve) => {
        http.close(() => resolve())
        http.closeAllConnections()
      }),
  }
  return server
}

/** Routes that ask `policies`, beside a `/read` that asks nobody. */
const ROUTES = `
  - { path: '/cases/:id', methods: [GET, POST], tier: bound_read, upstream: cases, issuers: [https://as.example.com], decision: { pdp: policies } }
  - { path: '/accounts/:id', methods: [GET, POST], tier: bound_read, upstream: cases, issuers: [https://as.example.com],
      action: account.read, resource: { type: account, id: path.id }, decision: { pdp: policies } }
  - { path: '/tenants/:tenant/files/:id', methods: [POST], tier: held, upstream: cases, issuers: [https://as.example.com],
      tenant: { claim: tenant_id, equals: path.tenant },
      decision: { pdp: policies, action: file.share, resources: [{ type: tenant, id: path.tenant }, { type: file, id: path.id }, { type: feature, id: sharing }] } }
  - { path: /read, methods: [GET], tier: bound_read, upstream: cases, issuers: [https://as.example.com] }
`

/** A lab that asks `server`; `settings` are those of the policy decision point, in YAML's flow style. */
export function startDecidingLab(server: Pick<PdpServer, 'url'>, settings = '', options: LabOptions = {}): Promise<Lab> {
  return startLab({ store: 'memory', ...options, yaml: (parts) => asking(options.yaml?.(parts) ?? parts, server, settings) })
}

/** Its time-out is long, because most tests are not about a slow one. */
export function asking(parts: Record<string, string>, { url }: Pick<PdpServer, 'url'>, settings = ''): Record<string, string> {
  const wide = settings.includes('timeout') ? settings : `timeout: 20s, ${settings}`
  return {
    ...parts,
    pdps: `{ policies: { url: '${url}', ${wide} } }`,
    tiers: parts.tiers?.includes('held:') ? parts.tiers : `${parts.tiers}\n  held: { extends: bound_read, body_digest: on }\n`,
    routes: ROUTES,
  }
}
