// A legacy backend that trusts one thing: the gateway's signed assertion. `verifyAssertion` is all that such a backend needs
// (about 30 lines with any JWT library); the rest are its routes. It never sees an access token. See README.md beside it.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createRemoteJWKSet, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose'

export type BackendSettings = {
  readonly host: string
  readonly port: number
  /** The gateway's public keys: `/.well-known/jwks.json` of its admin listener. */
  readonly jwksUrl: string
  /** `assertion.issuer` of routes.yaml. */
  readonly issuer: string
  /** `audience` of this upstream in routes.yaml. */
  readonly audience: string
  /** `assertion.header` of routes.yaml, in lower case. */
  readonly header: string
}

type Expected = Pick<BackendSettings, 'issuer' | 'audience' | 'header'> & {
  readonly keys: JWTVerifyGetKey
  readonly seen: Map<string, number>
}

/** The assertion's claims, or null: then the request did not come through the gateway, or not like this. */
export async function verifyAssertion(request: IncomingMessage, expected: Expected): Promise<JWTPayload | null> {
  const assertion = request.headers[expected.header]
  if (typeof assertion !== 'string') return null
  try {
    const { payload } = await jwtVerify(assertion, expected.keys, {
      issuer: expected.issuer,
      audience: expected.audience,
      typ: 'holdfast+jwt',
      algorithms: ['ES256'],
      requiredClaims: ['exp', 'iat', 'jti', 'htm', 'target'],
      // Made now: neither long ago nor ahead of time.
      maxTokenAge: 60,
      clockTolerance: 2,
    })
    // Made for this request alone: this method and target, once.
    if (payload.htm !== request.method || payload.target !== request.url) return null
    const now = Date.now() / 1000
    for (const [jti, exp] of expected.seen) if (exp < now) expected.seen.delete(jti)
    const { jti = '', exp = 0 } = payload
    if (expected.seen.has(jti)) return null
    expected.seen.set(jti, exp + 2)
    return payload
  } catch {
    return null
  }
}

const CASE = /^\/cases\/([^/]+)$/
const NOTES = /^\/cases\/([^/]+)\/notes$/
const DECISION = /^\/tenants\/([^/]+)\/cases\/([^/]+)\/enforcement-decision$/

/** What the routes answer; null: no such route. Whoever asks is who the assertion says it is, and nobody else. */
function answerFor(method: string, path: string, says: JWTPayload): { status: number; body: object } | null {
  const caller = { sub: says.sub, client_id: says.client_id, scope: says.scope, tier: says.tier, binding: says.binding }
  if (method === 'GET' && path === '/public/reference-data') return { status: 200, body: { currencies: ['EUR', 'NOK', 'USD'] } }
  if (path === '/profile') return { status: 200, body: { profile: says.sub, caller } }
  const [, id] = CASE.exec(path) ?? []
  if (method === 'GET' && id) return { status: 200, body: { case: id, state: 'open', caller } }
  const [, noted] = NOTES.exec(path) ?? []
  if (method === 'POST' && noted) return { status: 201, body: { case: noted, note: 'added', caller } }
  const [, tenant, decided] = DECISION.exec(path) ?? []
  if (method === 'POST' && decided && tenant === says.tenant) {
    return { status: 200, body: { case: decided, tenant, decided_by: says.sub, acr: says.acr, caller } }
  }
  if (method === 'POST' && path === '/payments/initiate') return { status: 201, body: { payment: 'initiated', caller } }
  return null
}

/** Starts the backend. `observe` is told every request that arrives, trusted or not. */
export async function startBackend(settings: BackendSettings, observe?: (request: IncomingMessage) => void): Promise<Server> {
  const keys = createRemoteJWKSet(new URL(settings.jwksUrl))
  const expected: Expected = { ...settings, keys, seen: new Map() }

  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    observe?.(request)
    const says = await verifyAssertion(request, expected)
    request.resume()
    if (says === null) return send(response, 403, { error: 'this request does not carry an assertion of the gateway' })
    const [path = ''] = (request.url ?? '').split('?')
    const answer = answerFor(request.method === 'HEAD' ? 'GET' : (request.method ?? ''), path, says)
    if (answer === null) return send(response, 404, { error: 'no such resource' })
    send(response, answer.status, answer.body)
  }
  const server = createServer((request, response) => {
    serve(request, response).catch(() => send(response, 500, { error: 'internal error' }))
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(settings.port, settings.host, resolve)
  })
  return server
}

function send(response: ServerResponse, status: number, body: object): void {
  if (response.headersSent) return
  response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`)
}
