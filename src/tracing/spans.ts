// The spans of one request (OpenTelemetry semantic conventions for HTTP): the request as the client sees it, and in it what was
// verified, recorded and sent on. Made when it is over, from the record of when what happened, so that nothing is made of those that
// have no trace. `url.path`, `url.full`, `client.address` and the user agent are left out on purpose: they name people, and a
// trace goes to more readers than an audit log (docs/decisions.md).

import {
  type Attributes,
  type Context,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api'
import { reasonRow } from '../verify/reasons.js'
import type { Grant } from '../verify/verdict.js'
import { readTraceparent } from './context.js'
import type { TracedRequest } from './traces.js'

const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH'])

/** The id of the span that is made next: that of the request to the upstream, by its assertion. */
export type SpanIds = { name(assertionId: string): void }

/** Makes the spans; returns how many. */
export function makeSpans(tracer: Tracer, request: TracedRequest, ids: SpanIds): number {
  const { receivedAt, times, durationMs, match, verdict } = request
  const at = (moment: number): number => receivedAt * 1000 + (moment - times.began)
  const end = receivedAt * 1000 + durationMs
  const method = METHODS.has(request.method) ? request.method : '_OTHER'
  const name = method === '_OTHER' ? 'HTTP' : method
  const remote = readTraceparent(request.rawHeaders)
  const links =
    remote === null
      ? []
      : [{ context: { traceId: remote.traceId, spanId: remote.spanId, traceFlags: Number(remote.isSampled), isRemote: true } }]

  const server = tracer.startSpan(
    match === null ? name : `${name} ${match.route.path}`,
    { kind: SpanKind.SERVER, startTime: receivedAt * 1000, links, attributes: attributesOf(request, method) },
    ROOT_CONTEXT,
  )
  const status = statusOf(request)
  if (status !== null) server.setAttribute('http.response.status_code', status)
  if (status !== null && status >= 500) fail(server, reasonOf(request) ?? String(status))

  const inside = trace.setSpan(ROOT_CONTEXT, server)
  const phase = (phase: string, began: number, ended: number): number => {
    if (ended === 0) return 0
    tracer.startSpan(phase, { startTime: at(began) }, inside).end(at(ended))
    return 1
  }
  const made =
    phase('verify', times.verifying, times.verified) +
    phase('decision', times.asking, times.asked) +
    phase('replay', times.recording, times.recorded)
  const grant = times.signed > 0 && !('denial' in verdict) ? verdict : null
  if (grant !== null) sendSpan({ tracer, request, grant, name, method, inside, ids, at, end })
  server.end(end)
  return 1 + made + Number(grant !== null)
}

type Sending = {
  readonly tracer: Tracer
  readonly request: TracedRequest
  readonly grant: Grant
  readonly name: string
  readonly method: string
  readonly inside: Context
  readonly ids: SpanIds
  readonly at: (moment: number) => number
  readonly end: number
}

/** The upstream knows this span by its name, and goes on from there. */
function sendSpan({ tracer, request, grant, name, method, inside, ids, at, end }: Sending): void {
  const { upstream } = grant.route
  const { hostname, port, protocol } = upstream.url
  ids.name(grant.assertionId)
  const span = tracer.startSpan(
    name,
    {
      kind: SpanKind.CLIENT,
      startTime: at(request.times.signed),
      attributes: {
        'http.request.method': method,
        'server.address': hostname,
        'server.port': Number(port) || (protocol === 'https:' ? 443 : 80),
        'holdfast.upstream': upstream.name,
      },
    },
    inside,
  )
  if (request.times.answered > 0) span.addEvent('answered', at(request.times.answered))
  const { upstreamStatus = null, reason = null } = request.outcome ?? {}
  if (upstreamStatus !== null) span.setAttribute('http.response.status_code', upstreamStatus)
  if (reason !== null) fail(span, reason)
  else if (upstreamStatus !== null && upstreamStatus >= 400) fail(span, String(upstreamStatus))
  span.end(end)
}

function fail(span: Span, type: string): void {
  span.setAttribute('error.type', type)
  span.setStatus({ code: SpanStatusCode.ERROR })
}

function attributesOf(request: TracedRequest, method: string): Attributes {
  const { requestId, host, httpVersion, match, verdict } = request
  const decision = 'denial' in verdict ? 'deny' : verdict.evidence.reported.length === 0 ? 'permit' : 'would_deny'
  return {
    'http.request.method': method,
    'url.scheme': 'https',
    'network.protocol.version': httpVersion === '' ? undefined : httpVersion,
    'server.address': host?.replace(/:\d+$/, ''),
    'http.route': match?.route.path,
    'holdfast.route': match?.route.path,
    'holdfast.tier': match?.route.tier,
    'holdfast.decision': decision,
    'holdfast.reason': reasonOf(request),
    'holdfast.request_id': requestId,
  }
}

/** Why it was refused, would have been, or failed. */
function reasonOf({ verdict, outcome }: TracedRequest): string | undefined {
  if ('denial' in verdict) return verdict.denial.reason
  return verdict.evidence.reported[0]?.reason ?? outcome?.reason ?? undefined
}

/** What the client got; null: it left first. */
function statusOf({ verdict, outcome }: TracedRequest): number | null {
  if ('denial' in verdict) return reasonRow(verdict.denial.reason).status
  if (outcome === null) return null
  return outcome.upstreamStatus ?? (outcome.reason === null ? null : reasonRow(outcome.reason).status)
}
