// Real verdicts for the audit tests: a signed request goes through the real decide().
import { createHash } from 'node:crypto'
import { decide } from '../../src/decide.js'
import { newTimes } from '../../src/times.js'
import { replayKey } from '../../src/verify/hashes.js'
import type { Policy } from '../../src/verify/policy.js'
import { NOTHING_REVOKED } from '../../src/verify/revocations.js'
import { readTarget } from '../../src/verify/target.js'
import type { InboundRequest, Issuer, Refused, Route, RouteMatch } from '../../src/verify/types.js'
import type { Grant } from '../../src/verify/verdict.js'
import { type Draft, issuerKey, makeDraft, signProof } from '../support/draft.js'
import { held, makeRoute } from '../support/granted.js'
import { signJwt } from '../support/jwt.js'

const ISSUER: Issuer = {
  issuer: 'https://as.example.com',
  audience: ['https://api.example.com'],
  algorithms: ['ES256'],
  typ: 'at+jwt',
  claims: { client_id: 'client_id', scope: 'scope' },
  introspection: null,
}

const POLICY: Policy = {
  token: 'required',
  token_algorithms: ['ES256'],
  proof_algorithms: ['ES256'],
  introspect: 'off',
  clock_skew: 10,
  body_digest: true,
  max_body: 1024 * 1024,
  replay_outage: 'closed',
  audit: 'all',
  rate_limit: null,
  report_only_until: null,
  client: 'any',
  client_profile: null,
  client_evidence: 'declared',
  binding: 'any',
  token_max_ttl: 300,
  proof_max_age: 60,
  nonce: 'off',
  step_up: 'off',
  auth_max_age: null,
  scopes: ['case.write'],
  authorization_details: null,
  clients: null,
  tenant: { claim: 'tenant_id', equals: 'path.tenant' },
  acr_values: null,
  trustedIssuers: [ISSUER],
  audience: null,
}

const ROUTE: Route = makeRoute({
  path: '/tenants/:tenant/cases/:id',
  methods: ['POST'],
  tier: 'sensitive_write',
  policy: POLICY,
  resource: { type: 'case', id: 'path.id' },
})

export type Judged = {
  readonly inbound: InboundRequest
  readonly match: RouteMatch
  readonly verdict: Grant | Refused
  readonly draft: Draft
  /** Everything of the request that must never be told. */
  readonly secrets: readonly string[]
}

export type Change = {
  readonly policy?: Partial<Policy>
  readonly route?: Partial<Route>
  readonly draft?: (draft: Draft) => void
  readonly body?: Buffer
  readonly replayed?: true
}

/** Judges a request that is granted, but for what `change` says. */
export async function judge(change: Change = {}): Promise<Judged> {
  const draft = makeDraft({ host: 'api.example.com', path: '/tenants/tenant-1/cases/42?access=q-secret', method: 'POST' })
  change.draft?.(draft)
  const token = draft.spoilToken(signJwt(draft.token.header, draft.token.claims, draft.token.key.privateKey))
  const proof = draft.proof === null ? null : draft.spoilProof(signProof(draft.proof, token))
  const target = readTarget(draft.target, 'https://api.example.com')
  if (target === null) throw new Error('the target of the draft is canonical')
  const inbound: InboundRequest = {
    requestId: 'request-1',
    receivedAt: draft.now,
    method: draft.method,
    target,
    host: draft.host,
    authorization: [`${draft.scheme} ${token}`],
    dpop: proof === null ? [] : [proof],
    peer: { address: '192.0.2.7', port: 4711, certificate: null },
    rawHeaders: [
      'Host',
      draft.host,
      'Authorization',
      `${draft.scheme} ${token}`,
      'DPoP',
      proof ?? '',
      'Cookie',
      'session=c-secret',
    ],
    interactionId: null,
  }
  const match: RouteMatch = {
    route: { ...ROUTE, ...change.route, policy: { ...POLICY, ...change.policy } },
    captured: { tenant: 'tenant-1', id: '42' },
  }
  const used = new Set<string>()
  const jti = String(draft.proof?.claims.jti)
  if (change.replayed) used.add(replayKey(draft.proof?.key.jkt ?? '', jti))
  const verdict = await decide(
    { inbound, match },
    { holdBody: async () => held(change.body ?? Buffer.alloc(0)), times: newTimes(0) },
    {
      clock: () => draft.now,
      isRemembered: () => true,
      decisionFor: () => Promise.reject(new Error('the route asks nobody')),
      keysFor: () => [{ kid: 'issuer-1', key: issuerKey.publicKey }],
      revocations: NOTHING_REVOKED,
      keysGeneration: () => 1,
      introspect: () => 'inactive',
      nonceTime: () => null,
      tokens: new Map(),
      proofHeaders: new Map(),
      limits: { credential_bytes: 65536, proof_bytes: 8192, body_total: 60 },
      replay: {
        start: async () => undefined,
        firstUse: async ({ key }) => (used.has(key) ? 'used' : 'first'),
        degraded: () => null,
        close: async () => {},
      },
      charge: async () => null,
      record: async () => true,
    },
  )
  const parts = [token, proof ?? ''].flatMap((jwt) => jwt.split('.')).filter((part) => part !== '')
  const { x = 'x', y = 'y' } = draft.proof?.key.jwk ?? {}
  return { inbound, match, verdict, draft, secrets: [token, proof ?? token, ...parts, jti, x, y, 'q-secret', 'c-secret'] }
}

/** Written apart from the gateway's own. */
export const sha256 = (text: string | Buffer): string => createHash('sha256').update(text).digest('base64url')
