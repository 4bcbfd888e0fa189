// Moving a fleet: what is only reported, what never is, and when it ends (contract §5).
import t from 'tap'
import { type Draft, makeDraft } from '../support/draft.js'
import { HOST, startLab } from '../support/lab.js'

const draft = (path: string, method = 'GET'): Draft => makeDraft({ host: HOST, path, method })
const inDays = (days: number): string => new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10)
const routes = (until: string) => `
  - { path: /new, methods: [GET], tier: both_nonce, upstream: cases, issuers: [https://as.example.com], report_only_until: ${until} }
  - { path: /step, methods: [GET], tier: sensitive_write, upstream: cases, issuers: [https://as.example.com], acr_values: ['urn:example:aal3'], report_only_until: ${until} }
`
const tiers = '\n  both_nonce: { extends: high_value, binding: dpop, audit: denials }\n'
const unbound = (request: Draft): Draft => {
  request.scheme = 'Bearer'
  request.proof = null
  delete request.token.claims.cnf
  return request
}

t.test('until the end of its date a new demand is only reported', async (t) => {
  const lab = await startLab({ store: 'memory', yaml: (parts) => ({ ...parts, tiers, routes: routes(inDays(0)) }) })
  t.teardown(() => lab.stop())
  const reported = async (request: Draft, reasons: readonly string[]) => {
    const reply = await lab.send(request)
    t.equal(reply.status, 200, reply.body)
    const event = await lab.refusal(reply.header('x-request-id') ?? '')
    t.match(event, { decision: 'would_deny', reason: reasons[0], reasons })
    const assertion = String(lab.calls.at(-1)?.headers['holdfast-assertion'])
    t.equal(JSON.parse(Buffer.from(assertion.split('.')[1] ?? '', 'base64url').toString()).report_only, true)
  }
  await reported(unbound(draft('/new')), ['token_unbound'])
  await reported(draft('/new'), ['nonce_missing'])
  const long = draft('/new')
  long.token.claims.exp = long.now + 3600
  await reported(long, ['nonce_missing', 'token_lifetime'])
  await reported(draft('/step'), ['authentication_weak'])
  const machine = draft('/step')
  machine.token.claims.sub = 'client-1'
  await reported(machine, ['user_required'])

  const refused = async (request: Draft, reason: string) => {
    const reply = await lab.send(request)
    t.equal(JSON.parse(reply.body).reason, reason)
  }
  const downgraded = draft('/new')
  downgraded.scheme = 'Bearer'
  await refused(downgraded, 'scheme_downgraded')
  const wrong = draft('/new')
  if (wrong.proof) wrong.proof.claims.htm = 'POST'
  await refused(wrong, 'proof_method')
  const old = draft('/new')
  if (old.proof) {
    old.proof.claims.iat = old.now - 300
    old.proof.claims.nonce = 'not ours'
  }
  await refused(old, 'proof_too_old')
  const twice = draft('/new')
  t.equal((await lab.send(twice)).status, 200)
  await refused(twice, 'proof_replayed')
})

t.test('after it, it enforces', async (t) => {
  const lab = await startLab({ store: 'memory', yaml: (parts) => ({ ...parts, tiers, routes: routes(inDays(-1)) }) })
  t.teardown(() => lab.stop())
  t.equal(JSON.parse((await lab.send(unbound(draft('/new')))).body).reason, 'token_unbound')
  t.equal(JSON.parse((await lab.send(draft('/new'))).body).reason, 'nonce_missing')
})
