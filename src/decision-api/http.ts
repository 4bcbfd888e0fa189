// Questions by HTTP, each endpoint in the dialect of those who ask there (contract §10): nginx, Traefik, Caddy, Envoy.

import type { IncomingMessage } from 'node:http'
import type { Enforcement } from '../edge/enforce.js'
import { framingProblem } from '../edge/framing.js'
import { drain, refuse } from '../edge/refuse.js'
import type { EdgeExchange } from '../edge/server.js'
import type { Refusal } from '../verify/challenge.js'
import { deny } from '../verify/verdict.js'
import { answer, type PermitFor, type Question } from './answer.js'
import { endpointOf, readAsked } from './asked.js'

/** Answers one exchange. Never rejects. */
export function answerHttp(exchange: EdgeExchange, enforcement: Enforcement, permitFor: PermitFor): Promise<void> {
  const { request, response, connection, rawTarget } = exchange
  if (request.httpVersion === '1.0') response.shouldKeepAlive = false
  const endpoint = endpointOf(rawTarget)
  const message = { method: request.method ?? '', httpVersion: request.httpVersion, rawTarget, rawHeaders: request.rawHeaders }
  const question: Question = {
    connection,
    message,
    read() {
      const broken = framingProblem(request)
      if (broken !== null) return deny(broken)
      if (endpoint === null) return deny('route_unknown', 'the decision API has no such path')
      const asked = readAsked(endpoint, { method: message.method, url: rawTarget, rawHeaders: request.rawHeaders })
      return typeof asked === 'string' ? deny('request_malformed', asked) : asked
    },
    holdBody: async (maxBody) => {
      const body = endpoint === 'ext_authz' && hasWholeBody(request) ? await enforcement.holdBody(exchange, maxBody) : null
      // A mark without bytes is a client's: Envoy sets it where it has some.
      return body === null || ('bytes' in body && body.bytes.length === 0) ? deny('body_unavailable') : body
    },
    permit({ set }, own) {
      response.writeHead(200, [...set, ...withoutNames(own, set), 'Content-Length', '0'])
      response.end()
      if (!request.complete) drain(request)
    },
    refuse: (denial, context) =>
      void refuse(request, response, denial, context, endpoint === 'auth_request' ? narrowed : undefined),
  }
  return answer(question, enforcement, permitFor)
}

/** Envoy's mark on a question that has the body of what it asks about for its own: is it cut off? */
const hasWholeBody = ({ headers }: IncomingMessage): boolean => headers['x-envoy-auth-partial-body'] === 'false'

/**
 * nginx's auth_request knows 401 and 403 and takes all else for a fault, and of several challenges it passes on the first: that must be the one
 * by which a DPoP client comes to its nonce.
 */
function narrowed({ status, headers, body }: Refusal): Refusal {
  const challenges: string[] = []
  const others: string[] = []
  for (let i = 0; i < headers.length; i += 2) {
    const [name = '', value = ''] = [headers[i], headers[i + 1]]
    if (name !== 'WWW-Authenticate') others.push(name, value)
    else if (value.startsWith('DPoP ')) challenges.unshift(name, value)
    else challenges.push(name, value)
  }
  return { status: status === 401 ? 401 : 403, headers: [...others, ...challenges, 'Holdfast-Status', String(status)], body }
}

/** Flat headers without those of the same names as in `others`. */
function withoutNames(headers: readonly string[], others: readonly string[]): readonly string[] {
  const names = new Set<string>()
  for (let i = 0; i < others.length; i += 2) names.add((others[i] ?? '').toLowerCase())
  const kept: string[] = []
  for (let i = 0; i < headers.length; i += 2) {
    const [name = '', value = ''] = [headers[i], headers[i + 1]]
    if (!names.has(name.toLowerCase())) kept.push(name, value)
  }
  return kept
}
