// The registry of clients, in front of everything real: who is refused, for what, and what the audit log says of those who pass. Each
// client is registered like `client-1` but for one thing.
import t, { type Test } from 'tap'
import type { Reason } from '../../src/verify/reasons.js'
import { type Draft, makeDraft } from '../support/draft.js'
import { HOST, type Lab, type LabYaml, type SendOptions, startLab } from '../support/lab.js'

const yesterday = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10)
const today = new Date().toISOString().slice(0, 10)

/** A whole registration, as YAML; `change` replaces what it says. */
const register = (id: string, change: Readonly<Record<string, string>> = {}): string => {
  const settings = {
    client_id: id,
    issuer: 'https://as.example.com',
    status: 'active',
    approval: '{ by: jane.doe, on: 2026-01-31 }',
    highest_tier: 'high_value',
    scopes: '[case.read, case.write, payments]',
    audiences: '[https://api.example.com]',
    token_endpoint_auth_method: 'private_key_jwt',
    require_pushed_authorization_requests: 'on',
    require_signed_request_object: 'on',
    security_contact: 'security@partner.example',
    ...change,
  }
  return `  - { ${Object.entries(settings)
    .map(([key, value]) => `${key}: ${value}`)
    .join(', ')} }`
}

const CLIENTS = [
  register('client-1'),
  register('draft', { status: 'draft' }),
  register('approved', { status: 'approved' }),
  register('suspended', { status: 'suspended' }),
  register('expired', { expires: yesterday }),
  register('last-day', { expires: today }),
  register('rotten', { rotation: `{ last: ${yesterday}, every: 0s, enforced: on }` }),
  register('late', { rotation: `{ last: ${yesterday}, every: 0s }` }),
  register('testing', { status: 'testing', highest_tier: 'sensitive_read' }),
  register('with-a-secret', { token_endpoint_auth_method: 'client_secret_basic' }),
  register('pushes-nothing', { require_pushed_authorization_requests: 'off' }),
  register('signs-nothing', { require_signed_request_object: 'off' }),
  register('machine', {
    grant_types: '[client_credentials]',
    require_pushed_authorization_requests: 'off',
    require_signed_request_object: 'off',
  }),
  register('few-scopes', { scopes: '[case.read, case.write]' }),
  register('other-audience', { audiences: '[https://other.example.com]' }),
  register('one-route', { routes: '[/nonce]' }),
  register('other-tenant', { tenants: '[tenant-2]' }),
  register('one-tenant', { tenants: '[tenant-1]' }),
  register('of-the-other-issuer', { issuer: 'https://as2.example.com' }),
  register('by-subject', { certificates: '{ tls_client_auth_subject_dn: cn=CLIENT-1 }' }),
  register('by-other-subject', { certificates: '{ tls_client_auth_subject_dn: CN=client-3 }' }),
]

const withRegistry = (clients: readonly string[]) => (yaml: LabYaml) => ({
  ...yaml,
  issuers: yaml.issuers?.replace(
    '[PS256, ES256, EdDSA] }',
    '[PS256, ES256, EdDSA], evidence: { client_auth: claim.client_auth, par: claim.par, request_object: claim.jar } }',
  ) as string,
  clients: `\n${clients.join('\n')}`,
  tiers: `${yaml.tiers}
  proven: { extends: sensitive_read, client_profile: [client_auth, par], client_evidence: proven }
  for_anyone: { extends: sensitive_read, client: any }
`,
  routes: `${yaml.routes}
  - { path: /proven, methods: [GET], tier: proven, upstream: cases, issuers: [https://as.example.com] }
  - { path: /anyone, methods: [GET], tier: for_anyone, upstream: cases, issuers: [https://as.example.com] }
  - { path: /hosts, methods: [GET], tier: bound_read, upstream: cases, issuers: [https://as.example.com],
      tenant: { claim: tenant_id, equals: host, hosts: { 'https://${HOST}': tenant-1 } } }
  - { path: /headers, methods: [GET], tier: bound_read, upstream: tenants, issuers: [https://as.example.com],
      tenant: { claim: tenant_id, equals: header.x-tenant } }
`,
  upstreams: yaml.upstreams?.replace(
    /^\{ cases: (\{.*?) \}/,
    '{ cases: $1 }, tenants: $1, set_headers: { X-Tenant: tenant-1 } }',
  ) as string,
})

type Row = {
  readonly client: string
  readonly path?: string
  readonly method?: string
  readonly claims?: Readonly<Record<string, unknown>>
  readonly refused: readonly [reason: Reason, detail?: string] | null
}

const TENANT = { path: '/tenants/tenant-1/decision', method: 'POST' }
const ASSERTED = { client_auth: 'private_key_jwt', par: true }

const ROWS: readonly Row[] = [
  { client: 'client-1', refused: null },
  { client: 'client-1', path: '/nonce', refused: null },
  { client: 'client-1', ...TENANT, refused: null },
  { client: 'stranger', refused: ['client_unknown'] },
  { client: 'Client-1', refused: ['client_unknown'] },
  { client: 'constructor', refused: ['client_unknown'] },
  { client: 'of-the-other-issuer', refused: ['client_unknown'] },
  { client: 'stranger', path: '/profile', refused: null },
  { client: 'stranger', path: '/anyone', refused: null },
  { client: 'draft', refused: ['client_inactive', 'draft'] },
  { client: 'approved', refused: ['client_inactive', 'approved'] },
  { client: 'suspended', refused: ['client_inactive', 'suspended'] },
  { client: 'suspended', path: '/profile', refused: ['client_inactive', 'suspended'] },
  { client: 'suspended', path: '/anyone', refused: ['client_inactive', 'suspended'] },
  { client: 'expired', refused: ['client_inactive', 'expired'] },
  { client: 'last-day', refused: null },
  { client: 'rotten', refused: ['client_inactive', 'rotation'] },
  { client: 'late', refused: null },
  { client: 'testing', refused: null },
  { client: 'testing', ...TENANT, refused: ['client_unqualified', 'tier'] },
  { client: 'testing', path: '/nonce', refused: ['client_unqualified', 'tier'] },
  { client: 'with-a-secret', refused: null },
  { client: 'with-a-secret', ...TENANT, refused: ['client_unqualified', 'client_auth: missing'] },
  { client: 'pushes-nothing', ...TENANT, refused: null },
  { client: 'pushes-nothing', path: '/nonce', refused: ['client_unqualified', 'par: missing'] },
  { client: 'pushes-nothing', path: '/nonce', claims: { par: true }, refused: null },
  { client: 'signs-nothing', path: '/nonce', refused: ['client_unqualified', 'request_object: missing'] },
  { client: 'machine', path: '/nonce', refused: null },
  { client: 'client-1', path: '/nonce', claims: { par: false }, refused: ['client_unqualified', 'par: contradicted'] },
  {
    client: 'client-1',
    path: '/nonce',
    claims: { jar: 'true' },
    refused: ['client_unqualified', 'request_object: contradicted'],
  },
  {
    client: 'client-1',
    path: '/nonce',
    claims: { client_auth: 'tls_client_auth' },
    refused: ['client_unqualified', 'client_auth: contradicted'],
  },
  { client: 'client-1', path: '/proven', refused: ['client_unqualified', 'client_auth: declared'] },
  {
    client: 'client-1',
    path: '/proven',
    claims: { client_auth: 'private_key_jwt' },
    refused: ['client_unqualified', 'par: declared'],
  },
  { client: 'client-1', path: '/proven', claims: ASSERTED, refused: null },
  {
    client: 'with-a-secret',
    path: '/proven',
    claims: { ...ASSERTED, client_auth: 'client_secret_basic' },
    refused: ['client_unqualified', 'client_auth: contradicted'],
  },
  { client: 'few-scopes', refused: ['client_exceeded', 'scope: payments'] },
  { client: 'few-scopes', claims: { scope: 'case.write case.read' }, refused: null },
  { client: 'other-audience', refused: ['client_exceeded', 'audience: https://api.example.com'] },
  {
    client: 'client-1',
    claims: { aud: ['https://api.example.com', 'https://other.example.com'] },
    refused: ['client_exceeded', 'audience: https://other.example.com'],
  },
  { client: 'one-route', refused: ['client_exceeded', 'route'] },
  { client: 'one-route', path: '/nonce', refused: null },
  { client: 'other-tenant', refused: null },
  { client: 'other-tenant', ...TENANT, refused: ['tenant_not_registered'] },
  { client: 'other-tenant', ...TENANT, claims: { tenant_id: 'tenant-2' }, refused: ['tenant_mismatch'] },
  { client: 'one-tenant', ...TENANT, refused: null },
  { client: 'client-1', path: '/hosts', refused: null },
  { client: 'client-1', path: '/hosts', claims: { tenant_id: 'tenant-2' }, refused: ['tenant_mismatch'] },
  { client: 'other-tenant', path: '/hosts', refused: ['tenant_not_registered'] },
  { client: 'client-1', path: '/headers', refused: null },
  { client: 'client-1', path: '/headers', claims: { tenant_id: 'tenant-2' }, refused: ['tenant_mismatch'] },
]

async function draftOf(lab: Lab, { client, path = '/read/1', method = 'GET', claims = {} }: Row): Promise<Draft> {
  const nonce = path === '/nonce' ? { nonce: await lab.nonce() } : {}
  const draft = makeDraft({ host: HOST, path, method, ...nonce })
  Object.assign(draft.token.claims, { client_id: client, ...claims })
  return draft
}

async function answers(t: Test, lab: Lab, draft: Draft, refused: Row['refused'], options?: SendOptions): Promise<void> {
  const before = { used: await lab.usedProofs(), calls: lab.upstreamCalls() }
  const reply = await lab.send(draft, options)
  if (refused === null) return void t.equal(reply.status, 200, reply.body)
  const [reason, detail] = refused
  t.equal(reply.status, 403)
  t.equal(JSON.parse(reply.body).reason, reason)
  t.same(reply.headers('www-authenticate'), [], 'no challenge: another token would not help')
  t.same({ used: await lab.usedProofs(), calls: lab.upstreamCalls() }, before, 'nothing recorded, upstream not called')
  const event = await lab.refusal(reply.header('x-request-id') ?? '')
  t.match(event, { reason, decision: 'deny', client_id: draft.token.claims.client_id })
  t.equal(event?.detail, detail)
  if (detail !== undefined) t.notOk(reply.text.includes(detail), 'no detail in the answer')
}

t.test('the registry', async (t) => {
  const lab = await startLab({ yaml: withRegistry(CLIENTS) })
  t.teardown(() => lab.stop())
  for (const row of ROWS) {
    const { client, path, claims, refused } = row
    const title = `${client} ${path ?? ''} ${claims === undefined ? '' : JSON.stringify(claims)}`.trimEnd()
    await t.test(refused === null ? `grants ${title}` : `denies ${refused[0]}: ${title}`, async (t) =>
      answers(t, lab, await draftOf(lab, row), refused),
    )
  }

  await t.test('an event says how well the client is known', async (t) => {
    const eventOf = async (row: Omit<Row, 'refused'>) => {
      const reply = await lab.send(await draftOf(lab, { ...row, refused: null }))
      return (await lab.refusal(reply.header('x-request-id') ?? '')) ?? {}
    }
    t.match(await eventOf({ client: 'testing' }), { decision: 'permit', client_status: 'testing', client_evidence: undefined })
    t.match(await eventOf({ client: 'client-1', path: '/nonce' }), { client_status: 'active', client_evidence: 'declared' })
    t.match(await eventOf({ client: 'client-1', path: '/nonce', claims: { par: true } }), { client_evidence: 'declared' })
    t.match(await eventOf({ client: 'client-1', path: '/proven', claims: ASSERTED }), { client_evidence: 'proven' })
    t.match(await eventOf({ client: 'suspended' }), { decision: 'deny', client_status: 'suspended', client_evidence: undefined })
    t.notOk('client_status' in (await eventOf({ client: 'stranger', path: '/anyone' })))
  })

  await t.test('all of it is counted', async (t) => {
    const { body } = await lab.admin('/metrics')
    const statuses = CLIENTS.filter((client) => client.includes('status: active')).length
    for (const line of [
      /^holdfast_client_refusals_total\{reason="client_unknown",why=""\} [1-9]/m,
      /^holdfast_client_refusals_total\{reason="client_inactive",why="suspended"\} [1-9]/m,
      /^holdfast_client_refusals_total\{reason="client_unqualified",why="par"\} [1-9]/m,
      /^holdfast_client_refusals_total\{reason="client_exceeded",why="scope"\} 1$/m,
      /^holdfast_client_evidence_total\{evidence="proven"\} [1-9]/m,
      /^holdfast_client_evidence_total\{evidence="declared"\} [1-9]/m,
      new RegExp(`^holdfast_clients\\{status="active"\\} ${statuses}$`, 'm'),
      /^holdfast_clients\{status="suspended"\} 1$/m,
      /^holdfast_clients_overdue\{kind="expiry"\} 2$/m,
      /^holdfast_clients_overdue\{kind="contact"\} 0$/m,
      /^holdfast_refusals_total\{reason="tenant_not_registered"\} [1-9]/m,
    ])
      t.match(body, line)
    t.notOk(body.includes('payments'), 'no word of a token is a label')
  })

  await t.test('a header of the client is never asked for the tenant', async (t) => {
    const draft = await draftOf(lab, { client: 'client-1', path: '/headers', claims: { tenant_id: 'tenant-2' }, refused: null })
    draft.headers.push(['X-Tenant', 'tenant-2'])
    await answers(t, lab, draft, ['tenant_mismatch'])
  })

  await t.test('a token bound to a certificate is bound to one that its client registered', async (t) => {
    for (const [client, refused] of [
      ['by-subject', null],
      ['by-other-subject', ['client_exceeded', 'certificate']],
      ['client-1', null],
    ] as const) {
      const draft = await draftOf(lab, { client, path: '/mtls', refused })
      draft.scheme = 'Bearer'
      draft.proof = null
      draft.token.claims.cnf = { 'x5t#S256': lab.thumbprint('client') }
      await answers(t, lab, draft, refused, { certificate: 'client' })
    }
  })

  await t.test('a token that is not bound to the certificate is not judged by it', async (t) =>
    answers(t, lab, await draftOf(lab, { client: 'by-other-subject', refused: null }), null, { certificate: 'client' }),
  )

  await t.test('a token that was taken before is judged by the registry of now', async (t) => {
    const draft = await draftOf(lab, { client: 'client-1', refused: null })
    const again = async (refused: Row['refused']) => {
      const next = await draftOf(lab, { client: 'client-1', refused })
      await answers(t, lab, { ...next, token: draft.token }, refused)
    }
    await answers(t, lab, draft, null)
    const take = (clients: string) => lab.reload((yaml) => ({ ...yaml, clients }))
    await take(`\n${register('client-1', { status: 'suspended' })}`)
    await again(['client_inactive', 'suspended'])
    await take('[]')
    await again(['client_unknown'])
    await take(`\n${register('client-1')}`)
    await again(null)
  })
})

t.test('a self-signed certificate is the client’s that registered it, whatever it calls itself', async (t) => {
  const popOnly = (clients: readonly string[]) => (yaml: LabYaml) => ({
    ...yaml,
    listen: yaml.listen?.replace('client_certificates: pki, client_ca: client-ca.crt', 'client_certificates: pop_only') as string,
    clients: `\n${clients.join('\n')}`,
  })
  const lab = await startLab({ store: 'memory', yaml: popOnly([register('client-1')]) })
  t.teardown(() => lab.stop())
  const [own, foreign] = [lab.thumbprint('selfSigned'), lab.thumbprint('other')]
  await lab.reload(
    popOnly([
      register('by-own', { certificates: `{ thumbprints: [${own}, ${foreign}] }` }),
      register('by-foreign', { certificates: `{ thumbprints: [${foreign}] }` }),
      register('by-name', { certificates: '{ tls_client_auth_subject_dn: CN=client-1 }' }),
    ]),
  )
  for (const [client, refused] of [
    ['by-own', null],
    ['by-foreign', ['client_exceeded', 'certificate']],
    ['by-name', ['client_exceeded', 'certificate']],
  ] as const) {
    const draft = await draftOf(lab, { client, path: '/mtls', refused })
    draft.scheme = 'Bearer'
    draft.proof = null
    draft.token.claims.cnf = { 'x5t#S256': own }
    await answers(t, lab, draft, refused, { certificate: 'selfSigned' })
  }
})

t.test('a registry in a file of its own is taken with the rest', async (t) => {
  const text = (status: string) => `clients:\n${register('client-1', { status })}\n`
  const own = (yaml: LabYaml) => ({ ...yaml, clients: 'clients.yaml' })
  const lab = await startLab({ store: 'memory', yaml: own, files: { 'clients.yaml': text('active') } })
  t.teardown(() => lab.stop())
  await answers(t, lab, await draftOf(lab, { client: 'client-1', refused: null }), null)
  lab.write('clients.yaml', text('suspended'))
  await lab.reload(own)
  const refused: Row['refused'] = ['client_inactive', 'suspended']
  await answers(t, lab, await draftOf(lab, { client: 'client-1', refused }), refused)
})
