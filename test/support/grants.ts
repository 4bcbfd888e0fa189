// Grants made by hand, for tests of what comes after the decision. The evidence is what decide() would have found.

import { randomUUID } from 'node:crypto'
import type { Policy } from '../../src/verify/policy.js'
import type { AccessToken, Evidence, Issuer, Route, Upstream } from '../../src/verify/types.js'
import { type Grant, grant } from '../../src/verify/verdict.js'

/** An upstream as routes.yaml gives it when only `url` and `audience` are written. */
export const makeUpstream = (url: string, change: Partial<Upstream> = {}): Upstream => ({
  name: 'cases',
  url: new URL(url),
  audience: 'cases',
  tls: {},
  timeouts: { connect: 2, headers: 30, body: 30 },
  connections: 64,
  preserve_host: false,
  pass_token: false,
  pass_headers: [],
  client_cert: false,
  set_headers: {},
  case_insensitive: false,
  ...change,
})

export const makeRoute = (upstream: Upstream, change: Partial<Route> & { max_body?: number } = {}): Route => {
  const { max_body = 1024 ** 2, ...rest } = change
  return {
    path: '/*',
    methods: ['GET', 'POST'],
    tier: 'sensitive_write',
    upstream,
    policy: { token: 'required', max_body } as Policy,
    websocket: false,
    matrix_params: false,
    strip_prefix: null,
    add_prefix: null,
    origins: ['https://api.example.com'],
    action: null,
    resource: null,
    ...rest,
  }
}

const issuer: Issuer = {
  issuer: 'https://as.example.com',
  audience: ['https://api.example.com'],
  algorithms: ['ES256'],
  typ: 'at+jwt',
  claims: { client_id: 'client_id', scope: 'scope' },
}

/** A token that lives until `exp`, epoch seconds. */
export const makeToken = (exp: number): AccessToken => ({
  header: { typ: 'at+jwt', alg: 'ES256' },
  claims: {},
  issuer,
  clientId: 'client-1',
  subject: 'user-1',
  scope: ['case.read'],
  audience: ['https://api.example.com'],
  jti: 'token-1',
  iat: exp - 300,
  exp,
  ath: 'ath',
  confirmation: null,
})

export type GrantDraft = {
  readonly route: Route
  readonly method?: string
  /** Path and query as sent. */
  readonly url?: string
  readonly rawHeaders?: readonly string[]
  /** null: a public route. */
  readonly token?: AccessToken | null
  readonly body?: Uint8Array | null
}

export function makeGrant({ route, method = 'GET', url = '/', rawHeaders = [], token, body = null }: GrantDraft): Grant {
  const [rawPath = '/', query] = url.split('?')
  const evidence: Evidence = {
    inbound: {
      requestId: randomUUID(),
      receivedAt: Date.now() / 1000,
      method,
      target: { origin: 'https://api.example.com', path: rawPath, rawPath, query: query ?? null, matrix: false },
      host: 'api.example.com',
      authorization: [],
      dpop: [],
      peer: { address: '203.0.113.7', port: 4711, certificate: null },
      rawHeaders,
      interactionId: null,
    },
    now: Date.now() / 1000,
    token: token === undefined ? makeToken(Date.now() / 1000 + 240) : token,
    scheme: 'Bearer',
    proof: null,
    nonceTime: null,
    certificate: null,
    tenant: null,
    captured: {},
    reported: [],
  }
  return grant(evidence, route, randomUUID(), body)
}
