// Grants for tests that send requests over real connections: an upstream's URL, a route to it, a token with an end.
import { randomUUID } from 'node:crypto'
import type { Policy } from '../../src/verify/policy.js'
import type { AccessToken, Route, Upstream } from '../../src/verify/types.js'
import type { Grant } from '../../src/verify/verdict.js'
import * as granted from './granted.js'

/** An upstream as routes.yaml gives it when only `url` and `audience` are written. */
export const makeUpstream = (url: string, change: Partial<Upstream> = {}): Upstream =>
  granted.makeUpstream({ url: new URL(url), ...change })

export const makeRoute = (upstream: Upstream, change: Partial<Route> & { max_body?: number } = {}): Route => {
  const { max_body = 1024 ** 2, ...rest } = change
  const policy = { token: 'required', max_body } as Policy
  return granted.makeRoute({ path: '/*', methods: ['GET', 'POST'], tier: 'sensitive_write', upstream, policy, ...rest })
}

/** A token that lives until `exp`, epoch seconds. */
export const makeToken = (exp: number): AccessToken =>
  granted.makeToken({ claims: {}, iat: exp - 300, exp, confirmation: null, scope: ['case.read'] })

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
  const now = Date.now() / 1000
  const [rawPath = '/', query = null] = url.split('?')
  const target = { origin: granted.ORIGIN, base: granted.ORIGIN, path: rawPath, rawPath, query, matrix: false }
  return granted.makeGrant({
    inbound: { requestId: randomUUID(), receivedAt: now, method, target, rawHeaders },
    evidence: { now, token: token === undefined ? makeToken(now + 240) : token, scheme: 'Bearer', proof: null },
    route,
    upstream: route.upstream,
    ...(body === null ? {} : { body }),
  })
}
