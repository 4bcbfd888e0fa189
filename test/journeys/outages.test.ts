// What clients see when something behind the gateway breaks (contract §9), by breaking the real thing.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { issuerKey, makeDraft } from '../support/draft.js'
import { HOST, startLab } from '../support/lab.js'

const draft = (path = '/read/1', method = 'GET') => makeDraft({ host: HOST, path, method })
const reasonOf = (reply: { body: string }) => JSON.parse(reply.body).reason

t.test('denies replay_unavailable: Redis is frozen, then gone; public requests go on; it recovers by itself', async (t) => {
  const lab = await startLab()
  t.teardown(() => lab.stop())
  t.equal((await lab.send(draft())).status, 200)
  lab.redis?.pause()
  for (const what of ['the first waits for the time-out', 'the next does not']) {
    const start = performance.now()
    const reply = await lab.send(draft())
    t.equal(reply.status, 503, what)
    t.equal(reasonOf(reply), 'replay_unavailable')
    t.equal(reply.header('retry-after'), '1')
    t.same(reply.headers('www-authenticate'), [])
    t.ok(performance.now() - start < 200, `${Math.round(performance.now() - start)} ms`)
  }
  const open = draft('/public')
  open.credentials = () => []
  open.proof = null
  t.equal((await lab.send(open)).status, 200, 'public routes do not need it')
  lab.redis?.resume()
  await sleep(1500)
  t.equal((await lab.send(draft())).status, 200)
  await lab.redis?.kill()
  t.equal(reasonOf(await lab.send(draft())), 'replay_unavailable')
})

t.test('a local tier goes on without Redis, and takes each proof once', async (t) => {
  const lab = await startLab({
    yaml: (parts) => ({ ...parts, tiers: `${parts.tiers?.replace('audit: all', 'audit: all, replay_outage: local')}` }),
  })
  t.teardown(() => lab.stop())
  await lab.redis?.kill()
  await sleep(50)
  const twice = draft()
  t.equal((await lab.send(twice)).status, 200)
  t.equal(reasonOf(await lab.send(twice)), 'proof_replayed')
})

t.test('denies keys_unavailable: the issuer is silent, and 503 turns into 200 when it is back', async (t) => {
  let answers = false
  const issuer = createServer((_, response) => {
    response.writeHead(answers ? 200 : 500)
    response.end(JSON.stringify({ keys: [{ ...issuerKey.jwk, kid: 'issuer-1' }] }))
  })
  await new Promise<void>((resolve) => issuer.listen(0, '127.0.0.1', resolve))
  t.teardown(() => issuer.close())
  const { port } = issuer.address() as AddressInfo
  const lab = await startLab({
    store: 'memory',
    yaml: (parts) => ({
      ...parts,
      issuers: parts.issuers?.replace('jwks_file: issuer.jwks', `jwks_uri: 'http://127.0.0.1:${port}/jwks'`) ?? '',
    }),
  })
  t.teardown(() => lab.stop())
  const reply = await lab.send(draft())
  t.equal(reply.status, 503)
  t.equal(reasonOf(reply), 'keys_unavailable')
  answers = true
  for (let i = 0; i < 60 && (await lab.send(draft())).status !== 200; i++) await sleep(100)
  t.equal((await lab.send(draft())).status, 200)
})

t.test('denies rate_limited: charged when everything else has passed', async (t) => {
  const lab = await startLab({
    store: 'memory',
    yaml: (parts) => ({
      ...parts,
      tiers: `${parts.tiers?.replace('audit: all', 'audit: all, rate_limit: 2/m')}\n  public: { rate_limit: 3/m }`,
    }),
  })
  t.teardown(() => lab.stop())
  const wrong = draft()
  wrong.token.claims.scope = 'none'
  for (let i = 0; i < 3; i++) t.equal((await lab.send(wrong)).status, 403, 'a refusal costs nothing')
  for (let i = 0; i < 2; i++) t.equal((await lab.send(draft())).status, 200)
  const reply = await lab.send(draft())
  t.equal(reply.status, 429)
  t.equal(reasonOf(reply), 'rate_limited')
  t.ok(Number(reply.header('retry-after')) > 0)
  const other = draft()
  other.token.claims.client_id = 'client-2'
  t.equal((await lab.send(other)).status, 200, 'another client')
  const open = draft('/public')
  open.credentials = () => []
  for (let i = 0; i < 3; i++) t.equal((await lab.send(open)).status, 200)
  t.equal((await lab.send(open)).status, 429, 'by address, where no token is asked for')
})

t.test('denies audit_unavailable: a durable tier does not forward what it cannot write down', async (t) => {
  const lab = await startLab({ store: 'memory', yaml: (parts) => ({ ...parts, audit: '{ file: /dev/full }' }) })
  t.teardown(() => lab.stop())
  const calls = lab.upstreamCalls()
  const reply = await lab.send(draft('/tenants/tenant-1/decision', 'POST'))
  t.equal(reply.status, 503)
  t.equal(reasonOf(reply), 'audit_unavailable')
  t.equal(lab.upstreamCalls(), calls)
  t.equal((await lab.send(draft())).status, 200, 'other tiers go on')
})

t.test('denies overloaded: the memory for held bodies is full, and the proof is not spent', async (t) => {
  const lab = await startLab({ yaml: (parts) => ({ ...parts, limits: '{ digest_buffer: 1KiB }' }) })
  t.teardown(() => lab.stop())
  const large = draft('/tenants/tenant-1/decision', 'POST')
  large.body = Buffer.alloc(2000)
  const before = await lab.usedProofs()
  const reply = await lab.send(large)
  t.equal(reply.status, 503)
  t.equal(reasonOf(reply), 'overloaded')
  t.equal(await lab.usedProofs(), before)
  large.body = Buffer.from('{}')
  t.equal((await lab.send(large)).status, 200, 'the same proof, with a body that fits')
})

t.test('denies request_timeout: a body that stops', async (t) => {
  const lab = await startLab({ store: 'memory', yaml: (parts) => ({ ...parts, limits: '{ body_idle: 300ms }' }) })
  t.teardown(() => lab.stop())
  const slow = draft('/tenants/tenant-1/decision', 'POST')
  slow.headers = [['Content-Length', '100']]
  const reply = await lab.send(slow)
  t.equal(reply.status, 408)
  t.equal(reasonOf(reply), 'request_timeout')
})
