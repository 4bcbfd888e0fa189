// What an event says, member by member, and what it never says.
import t from 'tap'
import { type AuditFacts, decisionEvent, outcomeEvent } from '../../src/audit/event.js'
import { linesFor, recordAfter, recordBefore } from '../../src/audit/record.js'
import type { AuditEvent, AuditLog } from '../../src/audit/types.js'
import { deny } from '../../src/verify/verdict.js'
import { clientKey } from '../support/draft.js'
import { makeKey, signJwt } from '../support/jwt.js'
import { type Change, type Judged, judge, sha256 } from './judged.js'

const NOW = 1_800_000_000.123
const factsOf = ({ inbound, match, verdict }: Judged, more: Partial<AuditFacts> = {}): AuditFacts => ({
  arrived: inbound,
  match,
  verdict,
  outcome: null,
  durationMs: null,
  removed: [],
  policyVersion: 'v1',
  now: NOW,
  ...more,
})
/** As it is written. */
const plain = (event: AuditEvent) => JSON.parse(JSON.stringify(event)) as Record<string, unknown>
const ANSWERED = { upstreamStatus: 201, reason: null, bytes: 17, domainDecision: 'approved' } as const
const FAILED = { upstreamStatus: null, reason: 'upstream_timeout', bytes: 0, domainDecision: null } as const

t.test('grants: every member, in its order', async (t) => {
  const judged = await judge({ body: Buffer.from('body') })
  const { draft, verdict } = judged
  if ('denial' in verdict) throw new Error(`granted, but for ${verdict.denial.reason}`)
  const event = plain(decisionEvent(factsOf(judged, { outcome: ANSWERED, durationMs: 12.34567, removed: ['x-user', 'dpop'] })))
  const expected = {
    event_type: 'authorization_decision',
    time: '2027-01-15T08:00:00.123Z',
    request_id: 'request-1',
    decision: 'permit',
    route: '/tenants/:tenant/cases/:id',
    tier: 'sensitive_write',
    method: 'POST',
    path: '/tenants/tenant-1/cases/42',
    host: 'api.example.com',
    qsh: sha256('access=q-secret'),
    subject: 'user-1',
    client_id: 'client-1',
    scope: 'case.read case.write payments',
    token_issuer: 'https://as.example.com',
    token_audience: ['https://api.example.com'],
    token_id: draft.token.claims.jti,
    token_exp: draft.now + 240,
    assurance: 'urn:example:aal2',
    auth_time: draft.now - 30,
    sender_constraint: 'dpop',
    sender_constraint_verified: true,
    thumbprint: clientKey.jkt,
    tenant_id: 'tenant-1',
    action: 'POST /tenants/:tenant/cases/:id',
    resource_type: 'case',
    resource_id: '42',
    proof_id: sha256(String(draft.proof?.claims.jti)),
    assertion_id: verdict.assertionId,
    policy_version: 'v1',
    client_address: '192.0.2.7',
    upstream: 'cases',
    upstream_status: 201,
    duration_ms: 12.346,
    bytes: 17,
    domain_decision: 'approved',
    bdh: sha256('body'),
    removed: ['x-user', 'dpop'],
  }
  t.strictSame(event, expected)
  t.same(Object.keys(event).sort(), Object.keys(expected).sort())
})

t.test('says the least of what it knows the least of', async (t) => {
  const unread = { requestId: 'request-2', method: '', rawTarget: '', rawHeaders: [], peer: { address: '192.0.2.7' } }
  const verdict = { denial: deny('request_malformed'), found: { token: null, scheme: null, proof: null } }
  const facts: AuditFacts = {
    arrived: unread,
    match: null,
    verdict,
    outcome: null,
    durationMs: 1,
    removed: [],
    policyVersion: 'v1',
    now: NOW,
  }
  t.strictSame(plain(decisionEvent(facts)), {
    event_type: 'authorization_decision',
    time: '2027-01-15T08:00:00.123Z',
    request_id: 'request-2',
    decision: 'deny',
    reason: 'request_malformed',
    spec: 'RFC 9112 §2.2',
    policy_version: 'v1',
    client_address: '192.0.2.7',
    duration_ms: 1,
  })
  const seen = (rawTarget: string) =>
    plain(
      decisionEvent({ ...facts, arrived: { ...unread, method: 'GET', rawTarget, rawHeaders: ['HOST', 'other.example.com'] } }),
    )
  t.match(seen('/a//b?secret#secret'), { method: 'GET', path: '/a//b', host: 'other.example.com' })
  t.notOk('path' in seen('https://user:secret@api.example.com/'), 'a target that is not a path may hold a password')
})

t.test('denies: names whose token it was, and whether the holder was seen', async (t) => {
  const event = async (change: Change) => {
    const judged = await judge(change)
    return plain(decisionEvent(factsOf(judged)))
  }
  const named = { subject: 'user-1', client_id: 'client-1', token_issuer: 'https://as.example.com', sender_constraint: 'dpop' }
  const stranger = makeKey()
  t.match(
    await event({
      draft: (draft) => {
        if (draft.proof === null) return
        draft.proof.key = stranger
        draft.proof.header.jwk = stranger.jwk
      },
    }),
    {
      ...named,
      decision: 'deny',
      reason: 'proof_key',
      spec: 'RFC 9449 §4.3 (12b)',
      sender_constraint_verified: false,
      thumbprint: clientKey.jkt,
    },
  )
  t.match(await event({ policy: { scopes: ['admin'] } }), { ...named, reason: 'scope_missing', sender_constraint_verified: true })
  t.match(await event({ replayed: true }), { ...named, reason: 'proof_replayed', sender_constraint_verified: false })
  const tenant = await event({ draft: (draft) => Object.assign(draft.token.claims, { tenant_id: 'tenant-2' }) })
  t.match(tenant, { ...named, reason: 'tenant_mismatch', tenant_id: 'tenant-2' })
  const expired = await event({ draft: (draft) => Object.assign(draft.token.claims, { exp: draft.now }) })
  t.match(expired, { decision: 'deny', reason: 'token_expired', route: '/tenants/:tenant/cases/:id', resource_id: '42' })
  for (const member of ['subject', 'client_id', 'sender_constraint', 'assertion_id', 'upstream', 'bdh'])
    t.notOk(member in expired, member)
})

t.test('reports would_deny with all its reasons', async (t) => {
  const judged = await judge({
    policy: { report_only_until: 4_000_000_000, token_max_ttl: 60, binding: 'both' },
  })
  const event = plain(decisionEvent(factsOf(judged, { outcome: FAILED })))
  t.match(event, {
    decision: 'would_deny',
    reason: 'binding_insufficient',
    reasons: ['binding_insufficient', 'token_lifetime'],
    spec: 'FAPI 2.0 §5.3.4',
    sender_constraint_verified: true,
  })
})

t.test('an upstream that fails leaves a permit a permit, with the reason', async (t) => {
  const judged = await judge()
  const facts = factsOf(judged, { outcome: FAILED, durationMs: 30_000 })
  t.match(plain(decisionEvent(facts)), {
    decision: 'permit',
    reason: 'upstream_timeout',
    spec: 'RFC 9110 §15.6.5',
    upstream: 'cases',
  })
  t.strictSame(plain(outcomeEvent(facts)), {
    event_type: 'request_outcome',
    time: '2027-01-15T08:00:00.123Z',
    request_id: 'request-1',
    reason: 'upstream_timeout',
    spec: 'RFC 9110 §15.6.5',
    duration_ms: 30000,
    bytes: 0,
  })
})

t.test('names certificates, unbound tokens and public requests', async (t) => {
  const judged = await judge()
  const { verdict } = judged
  if ('denial' in verdict || verdict.evidence.token === null) throw new Error('granted with a token')
  const { token } = verdict.evidence
  const found = (confirmation: { jkt: string | null; x5tS256: string | null } | null) => {
    const refused = { denial: deny('scope_missing'), found: { token: { ...token, confirmation }, scheme: null, proof: null } }
    return plain(decisionEvent(factsOf({ ...judged, verdict: refused })))
  }
  t.match(found(null), { sender_constraint: 'none', sender_constraint_verified: false })
  t.match(found({ jkt: null, x5tS256: 'X' }), { sender_constraint: 'mtls', thumbprint: 'X', sender_constraint_verified: true })
  t.match(found({ jkt: 'J', x5tS256: 'X' }), { sender_constraint: 'both', thumbprint: 'J' })
  const open = plain(decisionEvent(factsOf(await judge({ policy: { token: 'none' } }))))
  t.match(open, { decision: 'permit', sender_constraint: 'none', sender_constraint_verified: false })
  t.notOk('subject' in open)
})

t.test('takes action and resource from the route', async (t) => {
  const event = async (route: Change['route']) => plain(decisionEvent(factsOf(await judge(route === undefined ? {} : { route }))))
  t.match(await event({ action: 'case.close', resource: { type: 'case', id: 'path.other' } }), {
    action: 'case.close',
    resource_type: 'case',
  })
  t.notOk('resource_id' in (await event({ resource: { type: 'case', id: 'path.other' } })), 'a value that was not captured')
  t.notOk('resource_type' in (await event({ resource: null })))
})

t.test('no token, proof or key material in any event', async (t) => {
  const changes: Record<string, Change> = {
    granted: { body: Buffer.from('body') },
    'scope missing': { policy: { scopes: ['admin'] } },
    replayed: { replayed: true },
    'as Bearer': { draft: (draft) => Object.assign(draft, { scheme: 'Bearer' }) },
    'bad signature': {
      draft: (draft) => Object.assign(draft, { spoilProof: (proof: string) => `${proof.slice(0, -8)}AAAAAAAA` }),
    },
    'broken token': { draft: (draft) => Object.assign(draft, { spoilToken: (token: string) => `${token}=` }) },
    'private key in the proof': {
      draft: (draft) => Object.assign(draft.proof?.header ?? {}, { jwk: clientKey.privateKey.export({ format: 'jwk' }) }),
    },
    'as a batch': { draft: (draft) => draft.headers.push(['X-Anything', 'anything']) },
  }
  for (const [why, change] of Object.entries(changes)) {
    const judged = await judge(change)
    const facts = factsOf(judged, { outcome: ANSWERED, durationMs: 1, removed: ['authorization', 'dpop', 'cookie'] })
    const text = JSON.stringify([decisionEvent(facts), outcomeEvent(facts)])
    for (const secret of judged.secrets) t.notOk(text.includes(secret), `${why}: ${secret.slice(0, 12)}`)
    t.notMatch(text, /eyJ|PRIVATE|"d":/, why)
  }
})

t.test('masks what looks like a token wherever a client can put one', async (t) => {
  const jwt = signJwt({ alg: 'ES256' }, { sub: 'a' }, clientKey.privateKey)
  const judged = await judge({ draft: (draft) => Object.assign(draft.token.claims, { sub: `a ${jwt} b`, acr: jwt }) })
  const facts = factsOf(judged, { outcome: { ...ANSWERED, domainDecision: `ok ${jwt}` }, removed: [jwt] })
  const event = plain(decisionEvent(facts))
  t.match(event, { subject: 'a [token] b', assurance: '[token]', domain_decision: 'ok [token]', removed: ['[token]'] })
  const unread = { requestId: 'r', method: 'GET', rawTarget: `/a/${jwt}/b`, rawHeaders: [], peer: { address: '' } }
  t.match(plain(decisionEvent({ ...facts, arrived: unread, match: null })), { path: '/a/[token]/b' })
})

t.test('bounds what others chose, and takes no longer for nasty texts', async (t) => {
  const judged = await judge({
    draft: (draft) =>
      Object.assign(draft.token.claims, {
        sub: 'é\u0000"\u2028'.repeat(3000),
        aud: ['https://api.example.com', ...Array(500).fill('a')],
        auth_time: 'now',
      }),
  })
  const event = plain(decisionEvent(factsOf(judged, { removed: Array(500).fill('x') })))
  t.equal(String(event.subject).length, 1025)
  t.equal((event.token_audience as string[]).length, 100)
  t.equal((event.removed as string[]).length, 100)
  t.notOk('auth_time' in event)
  t.notOk(JSON.stringify(event).includes('\n'))
  const started = performance.now()
  for (const nasty of ['eyJ'.repeat(2700), 'eyJa.'.repeat(1600), '-eyJa.b'.repeat(1100), '.eyJ'.repeat(2000)]) {
    const unread = { requestId: 'r', method: 'GET', rawTarget: `/${nasty}`, rawHeaders: [], peer: { address: '' } }
    decisionEvent({ ...factsOf(judged), arrived: unread })
  }
  t.ok(performance.now() - started < 50)
})

t.test('writes the lines that the tier asks for', async (t) => {
  const written: [how: string, event: Record<string, unknown>][] = []
  const log: AuditLog = {
    write: (event) => written.push(['write', plain(event)]),
    writeUnproven: (event) => written.push(['unproven', plain(event)]),
    writeDurable: async (event) => written.push(['durable', plain(event)]) > 0,
    degraded: () => null,
    close: async () => {},
  }
  const run = async (change: Change, outcome: AuditFacts['outcome'] = ANSWERED) => {
    written.length = 0
    const judged = await judge(change)
    if (linesFor(judged.verdict) === 'both') t.ok(await recordBefore(log, factsOf(judged)))
    recordAfter(log, factsOf(judged, { outcome, durationMs: 1 }))
    return written.map(([how, event]) =>
      [how, event.event_type, event.decision, event.reason].filter((part) => part !== undefined),
    )
  }
  const decision = 'authorization_decision'
  const reportOnly = { report_only_until: 4_000_000_000, token_max_ttl: 60 }
  t.strictSame(await run({ policy: { audit: 'denials' } }), [])
  t.strictSame(await run({ policy: { audit: 'denials' } }, FAILED), [], 'not even when the upstream failed')
  t.strictSame(await run({ policy: { audit: 'denials', ...reportOnly } }), [['write', decision, 'would_deny', 'token_lifetime']])
  t.strictSame(await run({ policy: { audit: 'all' } }), [['write', decision, 'permit']])
  t.strictSame(await run({ policy: { audit: 'all' } }, FAILED), [['write', decision, 'permit', 'upstream_timeout']])
  t.strictSame(await run({ policy: { audit: 'durable' } }, FAILED), [
    ['durable', decision, 'permit'],
    ['write', 'request_outcome', 'upstream_timeout'],
  ])
  t.strictSame(await run({ policy: { audit: 'durable', ...reportOnly } }), [
    ['durable', decision, 'would_deny', 'token_lifetime'],
    ['write', 'request_outcome'],
  ])
  t.equal(written[0]?.[1].request_id, written[1]?.[1].request_id)
  for (const audit of ['denials', 'all', 'durable'] as const) {
    t.strictSame(await run({ policy: { audit, scopes: ['admin'] } }, null), [['write', decision, 'deny', 'scope_missing']], audit)
    t.strictSame(
      await run({ policy: { audit }, replayed: true }, null),
      [['unproven', decision, 'deny', 'proof_replayed']],
      audit,
    )
  }
})
