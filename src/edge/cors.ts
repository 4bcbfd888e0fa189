// May a page of another origin ask, and read what it is answered (CORS, https://fetch.spec.whatwg.org)? Pages send their tokens
// themselves: so never `*` and never `Access-Control-Allow-Credentials`, because what a browser adds of its own accord, a cookie or a
// certificate, must not work for whatever page is open. Does not judge anything but preflights: `Origin` is no credential.

import type { IncomingMessage } from 'node:http'
import type { Config } from '../config/config.js'
import { drain } from './refuse.js'
import type { EdgeExchange } from './server.js'

export type Cors = {
  /** For every answer, flat: lets a page of a listed origin read it, and keeps caches from giving it to another. */
  readOf(request: IncomingMessage): readonly string[]
  /** null: this is no preflight of a page of a listed origin, and is judged as any other request. */
  readPreflight(request: IncomingMessage): Preflight | null
}

export type Preflight = {
  /** What the page wants to send. */
  readonly method: string
  /** For the answer, flat, where the resource has these methods. */
  readonly allow: (methods: readonly string[]) => readonly string[]
}

/** Of our answers, what a client needs to go on; browsers show pages but few headers unasked (RFC 9449 §8). */
const EXPOSED = ['DPoP-Nonce', 'WWW-Authenticate', 'Retry-After', 'X-Request-Id']

/** What clients of ours send and pages may not unasked. */
const ALLOWED = ['Authorization', 'DPoP', 'Content-Type']

/** Prepared once for a configuration. */
export function createCors({ origins, max_age, headers, expose }: NonNullable<Config['cors']>): Cors {
  const exposed = [...EXPOSED, ...expose].join(', ')
  const allowed = [...ALLOWED, ...headers].join(', ')
  const read = new Map(
    origins.map((origin) => [
      origin,
      ['Vary', 'Origin', 'Access-Control-Allow-Origin', origin, 'Access-Control-Expose-Headers', exposed],
    ]),
  )
  const others = ['Vary', 'Origin']
  const allow: Preflight['allow'] = (methods) => [
    ...['Access-Control-Allow-Methods', methods.join(', ')],
    ...['Access-Control-Allow-Headers', allowed],
    ...['Access-Control-Max-Age', String(Math.floor(max_age))],
  ]
  return {
    readOf: ({ headers: { origin = '' } }) => read.get(origin) ?? others,
    readPreflight({ method: own, headers: { origin = '', 'access-control-request-method': method } }) {
      return own === 'OPTIONS' && method !== undefined && read.has(origin) ? { method, allow } : null
    },
  }
}

/** Without a body, and without a decision: nothing was asked for yet. */
export function answerPreflight({ request, response }: EdgeExchange, headers: readonly string[]): null {
  response.writeHead(204, [...headers])
  response.end()
  if (!request.complete) drain(request)
  return null
}
