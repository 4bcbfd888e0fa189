// Revocations while Redis is away: the last known list is enforced, then closed tiers refuse; a start without a list; and a gateway that
// has no Redis at all. Requests are bound to certificates, so that none of them needs the replay store.
import t, { type Test } from 'tap'
import { type Draft, makeDraft } from '../support/draft.js'
import { waitFor } from '../support/fleet.js'
import { certificateBound } from '../support/kinds.js'
import { HOST, type Lab, type LabYaml, startLab } from '../support/lab.js'
import { freePort } from '../support/redis.js'
import { revoke } from '../support/revocations.js'

const withTiers =
  (more: LabYaml) =>
  (yaml: LabYaml): LabYaml => ({
    ...yaml,
    tiers: `${yaml.tiers}  lenient: { extends: certificates, replay_outage: local }\n`,
    routes: `${yaml.routes}  - { path: /lenient, methods: [GET], tier: lenient, upstream: cases, issuers: [https://as.example.com] }\n`,
    ...more,
  })

async function start(t: Test, more: LabYaml = {}): Promise<Lab> {
  const lab = await startLab({ yaml: withTiers(more) })
  t.teardown(() => lab.stop())
  return lab
}

const ask = async (lab: Lab, path: string, subject = 'alice') => {
  const draft: Draft = certificateBound(makeDraft({ host: HOST, path }), lab.thumbprint('client'))
  draft.token.claims.sub = subject
  const { status, body } = await lab.send(draft, { certificate: 'client' })
  return status === 200 ? 'granted' : String(JSON.parse(body).reason)
}

t.test('Redis goes: what is revoked stays so, and closed tiers refuse once the list is too old', async (t) => {
  const lab = await start(t, { revocations: '{ max_stale: 4s }' })
  if (lab.redis === null) throw new Error('this lab has one')
  await revoke(lab.redis, ['subject', 'mallory'])
  await waitFor('the refusal', async () => (await ask(lab, '/mtls', 'mallory')) === 'token_revoked')
  t.equal(await ask(lab, '/mtls'), 'granted')

  await lab.redis.kill()
  t.equal(await ask(lab, '/lenient', 'mallory'), 'token_revoked', 'the last known list')
  await waitFor('the list is too old', async () => (await ask(lab, '/mtls')) === 'revocations_unavailable')
  t.equal(await ask(lab, '/lenient'), 'granted', 'a tier that would rather be open')
  for (const path of ['/mtls', '/lenient']) t.equal(await ask(lab, path, 'mallory'), 'token_revoked', path)
  const { status, body } = await lab.admin('/readyz')
  t.equal(status, 200)
  t.match(JSON.parse(body).degraded, [/replay store/, /^revocations: /])
  t.match((await lab.admin('/metrics')).body, /holdfast_degraded\{part="revocations"\} 1/)

  await lab.redis.start()
  await waitFor('it is followed again', async () => (await ask(lab, '/mtls')) === 'granted')
  t.equal(await ask(lab, '/mtls', 'mallory'), 'token_revoked', 'though Redis came back empty')
  t.equal(await lab.redis.call('HLEN', 'holdfast:{revocations}:list'), 1)
})

t.test('denies revocations_unavailable: a start without Redis knows no list', async (t) => {
  const lab = await start(t, { replay: `{ store: redis, redis: { url: 'redis://127.0.0.1:${await freePort()}' } }` })
  t.equal(await ask(lab, '/mtls'), 'revocations_unavailable')
  t.equal(await ask(lab, '/lenient'), 'granted')
  t.match((await lab.admin('/metrics')).body, /holdfast_revocations_age_seconds \d/)
})

t.test('a gateway without Redis has no list, and says nothing of one', async (t) => {
  const lab = await startLab({ store: 'memory', yaml: withTiers({}) })
  t.teardown(() => lab.stop())
  t.equal(await ask(lab, '/mtls'), 'granted')
  t.notMatch((await lab.admin('/metrics')).body, /holdfast_revocations_age_seconds \d/)
  t.same(JSON.parse((await lab.admin('/readyz')).body).degraded, [])
})

t.test('a certificate that is revoked is refused, bound to the token or not', async (t) => {
  const lab = await start(t)
  if (lab.redis === null) throw new Error('this lab has one')
  await revoke(lab.redis, ['certificate', lab.thumbprint('client')])
  await waitFor('the refusal', async () => (await ask(lab, '/mtls')) === 'token_revoked')
  const draft = makeDraft({ host: HOST, path: '/read/1' })
  t.equal((await lab.send(draft)).status, 200, 'a token of a DPoP key, without it')
  t.equal((await lab.send(makeDraft({ host: HOST, path: '/read/1' }), { certificate: 'client' })).status, 401, 'and with it')
})

t.test('report-only covers no revocation, and bearer tokens are judged too', async (t) => {
  const lab = await start(t, {
    tiers: `\n  bound_read: { extends: sensitive_read, binding: any, audit: all, report_only_until: 2099-12-31 }\n  certificates: { extends: sensitive_read, binding: mtls }\n  both: { extends: sensitive_read, binding: both }\n  lenient: { extends: certificates, replay_outage: local }\n`,
  })
  if (lab.redis === null) throw new Error('this lab has one')
  const bearer = (subject: string): Draft => {
    const draft = makeDraft({ host: HOST, path: '/read/1' })
    draft.scheme = 'Bearer'
    draft.proof = null
    delete draft.token.claims.cnf
    draft.token.claims.sub = subject
    return draft
  }
  await revoke(lab.redis, ['subject', 'mallory'])
  await waitFor('the refusal', async () => (await lab.send(bearer('mallory'))).status === 401)
  t.equal(JSON.parse((await lab.send(bearer('mallory'))).body).reason, 'token_revoked')
  t.equal((await lab.send(bearer('alice'))).status, 200, 'reported only, for it is not bound')
})
