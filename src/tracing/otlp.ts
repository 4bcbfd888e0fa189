// Traces by OpenTelemetry's SDK to a collector, OTLP over HTTP. Loaded only where routes.yaml says `tracing`. Fails open: a collector
// that is away, slow or broken costs its spans and nothing else; what waits for it is bounded.

import { setTimeout as sleep } from 'node:timers/promises'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { defaultResource, detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources'
import {
  AlwaysOnSampler,
  BatchSpanProcessor,
  RandomIdGenerator,
  type SpanExporter,
  TracerProvider,
} from '@opentelemetry/sdk-trace'
import { spanIdOf, traceIdOf } from './context.js'
import { makeSpans } from './spans.js'
import type { CollectorTls, Traces } from './traces.js'

export type OtlpOptions = {
  /** Where the collector takes traces: the whole URL. */
  readonly url: string
  readonly tls: CollectorTls
  readonly version: string
  /** Names this process among others. */
  readonly instance: string
  /** Told when the collector stops taking spans and when it takes them again, once each. */
  readonly log: (message: string) => void
}

/** Spans that wait, of a few KB each; those that go out at once; and the wait for more of them (milliseconds). */
const MOST_WAITING = 8192
const MOST_AT_ONCE = 256
const WAIT_MS = 1000
/** How long one export may take, repetitions included, and so how long `close` can (milliseconds). */
const EXPORT_MS = 3000

/** Opens nothing yet: the collector is spoken to when there are spans. */
export function openTraces({ url, tls, version, instance, log }: OtlpOptions): Traces {
  const counts = { made: 0, sent: 0, failed: 0 }
  let problem: string | null = null
  const say = (next: string | null): void => {
    if (next === problem) return
    problem = next
    log(next === null ? 'traces: the collector takes them again' : `traces: the collector does not take them (${next})`)
  }

  const exporterWith = (tls: CollectorTls): OTLPTraceExporter =>
    new OTLPTraceExporter({
      url,
      timeoutMillis: EXPORT_MS,
      // At the end all that waits goes out at once.
      concurrencyLimit: MOST_WAITING / MOST_AT_ONCE + 1,
      httpAgentOptions: { ...tls, rejectUnauthorized: true, keepAlive: true },
    })
  let exporter = exporterWith(tls)
  const counting: SpanExporter = {
    export: (spans, done) =>
      exporter.export(spans, (result) => {
        if (result.error === undefined) counts.sent += spans.length
        else counts.failed += spans.length
        say(result.error === undefined ? null : codeOf(result.error))
        done(result)
      }),
    shutdown: () => exporter.shutdown(),
  }

  const random = new RandomIdGenerator()
  const names = { trace: '', span: '' }
  const provider = new TracerProvider({
    // Which requests have a trace was decided before (context.ts), because the upstream had to be told.
    sampler: new AlwaysOnSampler(),
    idGenerator: {
      generateTraceId: () => names.trace,
      generateSpanId: () => {
        const given = names.span
        names.span = ''
        return given === '' ? random.generateSpanId() : given
      },
    },
    resource: defaultResource()
      .merge(resourceFromAttributes({ 'service.name': 'holdfast', 'service.version': version, 'service.instance.id': instance }))
      .merge(detectResources({ detectors: [envDetector] })),
    spanProcessors: [
      new BatchSpanProcessor({
        exporter: counting,
        maxQueueSize: MOST_WAITING,
        maxExportBatchSize: MOST_AT_ONCE,
        scheduledDelayMillis: WAIT_MS,
        exportTimeoutMillis: 2 * EXPORT_MS,
      }),
    ],
  })
  const tracer = provider.getTracer('holdfast', version)
  const ids = {
    name: (assertionId: string): void => {
      names.span = spanIdOf(assertionId)
    },
  }

  return {
    ended(request) {
      names.trace = traceIdOf(request.requestId)
      counts.made += makeSpans(tracer, request, ids)
    },
    readings: () => ({ ...counts }),
    renew(tls) {
      const before = exporter
      exporter = exporterWith(tls)
      // What it is sending it may finish.
      void before.shutdown().catch(() => undefined)
    },
    close: () => Promise.race([provider.shutdown().catch(() => undefined), sleep(EXPORT_MS, undefined, { ref: false })]),
  }
}

/** Never a text of the collector's. */
function codeOf(error: Error): string {
  const { code } = error as { code?: unknown }
  return typeof code === 'string' || typeof code === 'number' ? String(code) : error.name
}
