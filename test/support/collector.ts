// A collector: takes OTLP over HTTP as the specification has it (JSON encoding), and keeps the spans.
import { createServer as createPlain, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTls } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'

type Value = { readonly stringValue?: string; readonly intValue?: number | string; readonly boolValue?: boolean }
type Attribute = { readonly key: string; readonly value: Value }

/** opentelemetry-proto trace.proto, as much as is asked of it here. */
export type Span = {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  /** 1 internal, 2 server, 3 client. */
  readonly kind: number
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly attributes: readonly Attribute[]
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[]
  readonly status: { readonly code?: number }
}

type Export = {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] }
    readonly scopeSpans: readonly { readonly spans: readonly Span[] }[]
  }[]
}

export type Collector = {
  readonly url: string
  /** As they came. */
  readonly bodies: readonly string[]
  spans(): readonly Span[]
  /** One of each export. */
  resources(): readonly Readonly<Record<string, unknown>>[]
  /** Of one trace, by name of the span; waits until it is there as a whole. */
  trace(traceId: string, spans: number): Promise<ReadonlyMap<string, Span>>
}

export type CollectorSettings = {
  readonly tls?: { readonly key: string; readonly cert: string }
  /** Left out: 200. `hang`: it never answers. */
  readonly answer?: () => number | 'hang'
}

export async function startCollector(t: Test, { tls, answer = () => 200 }: CollectorSettings = {}): Promise<Collector> {
  const bodies: string[] = []
  const take = (request: IncomingMessage, response: ServerResponse): void => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const status = answer()
      if (status === 'hang') return
      if (request.url !== '/v1/traces' || request.headers['content-type'] !== 'application/json') {
        response.writeHead(400).end()
        return
      }
      if (status === 200) bodies.push(Buffer.concat(chunks).toString())
      response.writeHead(status, { 'content-type': 'application/json' }).end('{}')
    })
  }
  const server = tls === undefined ? createPlain(take) : createTls(tls, take)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const exports = (): readonly Export[] => bodies.map((body) => JSON.parse(body))
  const spans = (): readonly Span[] =>
    exports().flatMap((one) => one.resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)))
  return {
    url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}/v1/traces`,
    bodies,
    spans,
    resources: () => exports().flatMap((one) => one.resourceSpans.map(({ resource }) => attributesOf(resource.attributes))),
    trace: async (traceId, count) => {
      const own = () => spans().filter((span) => span.traceId === traceId)
      await until(`${count} spans of ${traceId}`, () => own().length >= count)
      return new Map(own().map((span) => [span.kind === 2 ? 'server' : span.kind === 3 ? 'upstream' : span.name, span]))
    },
  }
}

export const attributesOf = (attributes: readonly Attribute[]): Readonly<Record<string, unknown>> =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue ?? value.boolValue ?? Number(value.intValue)]))

/** Far longer than it can take. */
export async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 25_000
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
