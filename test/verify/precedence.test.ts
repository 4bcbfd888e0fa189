// Which of two faults is answered? The order of contract §4, for every pair of faults that one request can have at once.
import t from 'tap'
import type { Policy } from '../../src/verify/policy.js'
import type { Reason } from '../../src/verify/reasons.js'
import type { Registration } from '../../src/verify/registration.js'
import { readTarget } from '../../src/verify/target.js'
import type { InboundRequest, Issuer, VerifyPorts } from '../../src/verify/types.js'
import { verify } from '../../src/verify/verify.js'
import { clientKey, type Draft, issuerKey, makeDraft, printDraft } from '../support/draft.js'
import { makeRoute } from '../support/granted.js'
import { makeKey, sha256 } from '../support/jwt.js'
import { listOf } from '../support/revocations.js'

type Fault = { readonly reason: Reason; readonly change: (draft: Draft) => void }

const other = makeKey()
const proof = (change: (proof: NonNullable<Draft['proof']>, draft: Draft) => void) => (draft: Draft) => {
  if (draft.proof !== null) change(draft.proof, draft)
}
const flip = (jwt: string): string => {
  const [header, payload, signature = ''] = jwt.split('.')
  return [header, payload, (signature[0] === 'A' ? 'B' : 'A') + signature.slice(1)].join('.')
}

/** In the contract's order. */
const FAULTS: readonly Fault[] = [
  { reason: 'credentials_in_query', change: (r) => (r.target += '?access_token=x') },
  {
    reason: 'credentials_repeated',
    change: (r) => {
      const { credentials } = r
      r.credentials = (lines) => [...credentials(lines), ['Authorization', 'Bearer x']]
    },
  },
  { reason: 'token_malformed', change: (r) => (r.token.header.crit = []) },
  { reason: 'token_issuer', change: (r) => (r.token.claims.iss = 'https://evil.example.com') },
  { reason: 'token_type', change: (r) => (r.token.header.typ = 'JWT') },
  { reason: 'token_algorithm', change: (r) => (r.token.header.alg = 'HS256') },
  { reason: 'keys_unavailable', change: (r) => (r.token.header.kid = 'away') },
  { reason: 'token_signature', change: (r) => (r.token.key = other) },
  { reason: 'token_claim', change: (r) => delete r.token.claims.jti },
  { reason: 'token_audience', change: (r) => (r.token.claims.aud = 'https://other.example.com') },
  {
    reason: 'token_expired',
    change: (r) => {
      r.token.claims.iat = r.now - 5000
      r.token.claims.exp = r.now - 1
    },
  },
  { reason: 'token_not_yet_valid', change: (r) => (r.token.claims.nbf = r.now + 60) },
  { reason: 'binding_unsupported', change: (r) => (r.token.claims.cnf = { ...(r.token.claims.cnf as object), kid: 'x' }) },
  { reason: 'scheme_downgraded', change: (r) => (r.scheme = 'Bearer') },
  // The policy of the test demands both bindings, so a token without the certificate's is not enough.
  {
    reason: 'binding_insufficient',
    change: (r) => (r.token.claims.cnf = { ...(r.token.claims.cnf as object), 'x5t#S256': undefined }),
  },
  {
    reason: 'certificate_mismatch',
    change: (r) => ((r.token.claims.cnf as Record<string, unknown>)['x5t#S256'] &&= sha256('another')),
  },
  {
    reason: 'proof_repeated',
    change: (r) => {
      const { credentials } = r
      r.credentials = (lines) => [...credentials(lines), ['DPoP', 'x']]
    },
  },
  { reason: 'proof_malformed', change: proof((p) => (p.header.crit = [])) },
  { reason: 'proof_type', change: proof((p) => (p.header.typ = 'JWT')) },
  { reason: 'proof_algorithm', change: proof((p) => (p.header.alg = 'none')) },
  { reason: 'proof_private_key', change: proof((p) => (p.header.jwk = { ...(p.header.jwk as object), d: 'x' })) },
  { reason: 'proof_claim', change: proof((p) => delete p.claims.jti) },
  {
    reason: 'proof_key',
    change: proof((p) => {
      p.header.jwk = { ...other.jwk, ...('d' in (p.header.jwk as object) ? { d: 'x' } : {}) }
      if (p.key === clientKey) p.key = other
    }),
  },
  { reason: 'proof_token', change: proof((p) => (p.claims.ath = sha256('another'))) },
  { reason: 'proof_method', change: proof((p) => (p.claims.htm = 'POST')) },
  { reason: 'proof_target', change: proof((p) => (p.claims.htu = 'https://api.example.com/other')) },
  { reason: 'nonce_missing', change: proof((p) => delete p.claims.nonce) },
  { reason: 'proof_too_old', change: proof((p, r) => (p.claims.iat = r.now - 5000)) },
  { reason: 'proof_signature', change: (r) => (r.spoilProof = flip) },
  { reason: 'token_revoked', change: (r) => (r.token.claims.sid &&= 'revoked') },
  { reason: 'revocations_unavailable', change: (r) => r.headers.push(['X-List', 'stale']) },
  { reason: 'introspection_unavailable', change: (r) => (r.token.claims.away = true) },
  { reason: 'token_inactive', change: (r) => (r.token.claims.revoked = true) },
  { reason: 'token_lifetime', change: (r) => (r.token.claims.iat = Number(r.token.claims.exp) - 4000) },
  { reason: 'client_unknown', change: (r) => (r.token.claims.client_id = 'stranger') },
  { reason: 'client_inactive', change: (r) => (r.token.claims.client_id = 'suspended') },
  { reason: 'client_unqualified', change: (r) => (r.token.claims.pushed = false) },
  { reason: 'client_exceeded', change: (r) => (r.token.claims.aud = ['https://api.example.com', 'https://other.example.com']) },
  { reason: 'scope_missing', change: (r) => (r.token.claims.scope = 'none') },
  { reason: 'authorization_details_missing', change: (r) => delete r.token.claims.authorization_details },
  { reason: 'client_not_allowed', change: (r) => (r.token.claims.client_id = 'client-2') },
  { reason: 'tenant_mismatch', change: (r) => (r.token.claims.tenant_id = 'tenant-2') },
  { reason: 'tenant_not_registered', change: (r) => (r.token.claims.client_id = 'of-another-tenant') },
  { reason: 'user_required', change: (r) => (r.token.claims.sub = r.token.claims.client_id) },
  { reason: 'authentication_weak', change: (r) => (r.token.claims.acr = 'urn:example:aal1') },
  { reason: 'authentication_old', change: (r) => (r.token.claims.auth_time = r.now - 5000) },
]

const CERTIFICATE = sha256('certificate')
const REGISTRATION: Registration = {
  status: 'active',
  end: null,
  tiers: new Set(['sensitive_read']),
  scopes: null,
  audiences: new Set(['https://api.example.com']),
  routes: null,
  tenants: new Set(['tenant-1']),
  authMethod: 'private_key_jwt',
  declared: new Set(['client_auth', 'par']),
  certificate: null,
}
const ISSUER: Issuer = {
  issuer: 'https://as.example.com',
  audience: ['https://api.example.com'],
  algorithms: ['ES256'],
  typ: 'at+jwt',
  claims: { client_id: 'client_id', scope: 'scope' },
  introspection: null,
  evidence: { par: 'pushed' },
  registry: new Map([
    ['client-1', REGISTRATION],
    ['client-2', REGISTRATION],
    ['suspended', { ...REGISTRATION, status: 'suspended' }],
    ['of-another-tenant', { ...REGISTRATION, tenants: new Set(['tenant-3']) }],
  ]),
}
const POLICY = {
  token: 'required',
  token_algorithms: ['ES256'],
  proof_algorithms: ['ES256'],
  clock_skew: 10,
  replay_outage: 'closed',
  binding: 'both',
  token_max_ttl: 300,
  introspect: 'always',
  proof_max_age: 60,
  nonce: 'required',
  step_up: 'required',
  auth_max_age: 900,
  report_only_until: null,
  scopes: ['case.read'],
  authorization_details: [{ type: 'case' }],
  clients: ['client-1', 'of-another-tenant'],
  client: 'registered',
  client_profile: ['client_auth', 'par'],
  client_evidence: 'declared',
  tenant: { claim: 'tenant_id', equals: 'path.tenant' },
  acr_values: ['urn:example:aal2'],
  trustedIssuers: [ISSUER],
  audience: null,
} as unknown as Policy

const ports = (draft: Draft): VerifyPorts => ({
  keysFor: (_, { kid }) => (kid === 'away' ? 'unavailable' : [{ kid: 'issuer-1', key: issuerKey.publicKey }]),
  revocations: {
    list: () => listOf(['session', 'revoked']),
    isStale: () => draft.headers.some(([name]) => name === 'X-List'),
  },
  keysGeneration: () => 1,
  introspect: () => {
    const { away, revoked } = draft.token.claims
    return away ? { unavailable: 'away' } : revoked ? 'inactive' : { active: { active: true } }
  },
  nonceTime: (nonce) => (nonce === 'ours' ? draft.now : null),
  tokens: new Map(),
  proofHeaders: new Map(),
  limits: { credential_bytes: 8192, proof_bytes: 8192 },
})

function newDraft(): Draft {
  const draft = makeDraft({ host: 'api.example.com', path: '/t/tenant-1', nonce: 'ours' })
  draft.token.claims.cnf = { jkt: clientKey.jkt, 'x5t#S256': CERTIFICATE }
  draft.token.claims.sid = 'session'
  draft.token.claims.authorization_details = [{ type: 'case' }]
  return draft
}

/** The request that the gateway would read off the draft's bytes. */
function inboundOf(draft: Draft): InboundRequest {
  const [start = '', ...lines] = printDraft(draft).toString('latin1').split('\r\n')
  const valuesOf = (name: string) =>
    lines.filter((line) => line.startsWith(`${name}: `)).map((line) => line.slice(name.length + 2))
  const target = readTarget(start.split(' ')[1] ?? '', 'https://api.example.com')
  if (target === null) throw new Error(`no target: ${start}`)
  const certificate = {
    x5tS256: CERTIFICATE,
    der: Buffer.alloc(0),
    invalid: null,
    notBefore: 0,
    notAfter: Infinity,
    judged: true,
    subject: '',
  }
  return {
    requestId: 'request-1',
    receivedAt: draft.now,
    method: draft.method,
    target,
    host: 'api.example.com',
    authorization: valuesOf('Authorization'),
    dpop: valuesOf('DPoP'),
    peer: { address: '192.0.2.1', port: 1, certificate },
    rawHeaders: [],
    interactionId: null,
  }
}

async function answer(draft: Draft): Promise<Reason | 'granted'> {
  const match = { route: makeRoute({ policy: POLICY }), captured: { tenant: 'tenant-1' } }
  const verdict = await verify({ inbound: inboundOf(draft), match }, draft.now, ports(draft))
  return 'denial' in verdict ? verdict.denial.reason : 'granted'
}

t.test('the unchanged request is granted, and each fault alone has its reason', async (t) => {
  t.equal(await answer(newDraft()), 'granted')
  for (const { reason, change } of FAULTS) {
    const draft = newDraft()
    change(draft)
    t.equal(await answer(draft), reason)
  }
})

/** Pairs that no request can have at once: the second fault undoes the first. */
const EXCLUSIVE = new Set([
  'keys_unavailable token_signature',
  'token_expired token_lifetime',
  'binding_insufficient certificate_mismatch',
  'token_audience client_exceeded',
  // There is one `client_id`.
  'client_unknown client_inactive',
  'client_unknown client_not_allowed',
  'client_unknown tenant_not_registered',
  'client_inactive client_not_allowed',
  'client_inactive tenant_not_registered',
  'client_not_allowed tenant_not_registered',
])

t.test('of two faults the one that stands earlier in the contract is answered', async (t) => {
  for (const [i, first] of FAULTS.entries()) {
    for (const second of FAULTS.slice(i + 1)) {
      if (EXCLUSIVE.has(`${first.reason} ${second.reason}`)) continue
      const draft = newDraft()
      first.change(draft)
      second.change(draft)
      t.equal(await answer(draft), first.reason, `${first.reason} before ${second.reason}`)
    }
  }
})
