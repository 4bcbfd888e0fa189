// What clients see when something behind the gateway breaks (contract §9), by breaking the real thing.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { issuerKey, makeDraft, printDraft } from '../support/draft.js'
import { anonymous, certificateBound } from '../support/kinds.js'
import { HOST, type Lab, startLab } from '../support/lab.js'

const draft = (path = '/read/1', method = 'GET') => makeDraft({ host: HOST, path, method })
const reasonOf = (reply: { body: string }) => JSON.parse(reply.body).reason
const degraded = async (lab: Lab) => JSON.parse((await lab.admin('/readyz')).body).degraded as string[]

/** Tries until `good`, for five seconds at most. */
async function until(good: () => Promise<boolean>): Promise<boolean> {
  for (let i = 0; i < 50; i++) {
    if (await good()) return true
    await sleep(100)
  }
  return false
}

t.test('denies replay_unavailable: Redis is frozen, then gone; public requests go on; it recovers by itself', async (t) => {
  const lab = await startLab({ isImpatient: true })
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
  t.equal((await lab.send(anonymous(draft('/public')))).status, 200, 'public routes do not need it')
  const certified = () => lab.send(certificateBound(draft('/mtls'), lab.thumbprint('client')), { certificate: 'client' })
  t.equal((await certified()).status, 200, 'nor does a token that is bound to a certificate')
  t.equal((await lab.admin('/readyz')).status, 200, 'the process is fit for both')
  t.match(await degraded(lab), [/replay store/])

  lab.redis?.resume()
  t.ok(await until(async () => (await lab.send(draft())).status === 200), 'thawed')
  t.same(await degraded(lab), [])

  await lab.redis?.kill()
  const start = performance.now()
  t.equal(reasonOf(await lab.send(draft())), 'replay_unavailable')
  t.ok(performance.now() - start < 200)
  t.equal((await lab.send(anonymous(draft('/public')))).status, 200)
  t.equal((await certified()).status, 200)
})

t.test('denies replay_unavailable: Redis is back, but empty: what was accepted before never is again', async (t) => {
  const lab = await startLab()
  t.teardown(() => lab.stop())
  const spent = draft()
  t.equal((await lab.send(spent)).status, 200)
  const young = draft()
  await lab.redis?.kill()
  await lab.redis?.start()
  t.ok(await until(async () => (await degraded(lab)).length === 0))
  t.equal(reasonOf(await lab.send(spent)), 'proof_replayed', 'this process remembers it')
  t.equal(reasonOf(await lab.send(young)), 'replay_unavailable', 'another process may have accepted it')
  const stale = makeDraft({ host: HOST, path: '/nonce', nonce: await lab.nonce() })
  t.equal(reasonOf(await lab.send(stale)), 'nonce_stale', 'where there are nonces, a newer one will do')
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
  t.ok(Number(reply.header('retry-after')) > 0)
  t.same(reply.headers('www-authenticate'), [], 'a client must not throw its token away')
  t.equal((await lab.send(anonymous(draft('/public')))).status, 200)
  t.equal((await lab.admin('/readyz')).status, 200)
  t.match(await degraded(lab), [/issuer/])
  answers = true
  t.ok(await until(async () => (await lab.send(draft())).status === 200))
  t.same(await degraded(lab), [])
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
  for (let i = 0; i < 3; i++) t.equal((await lab.send(anonymous(draft('/public')))).status, 200)
  const late = await lab.send(anonymous(draft('/public')))
  t.equal(late.status, 429, 'by address, where no token is asked for')
  t.ok(Number(late.header('retry-after')) > 0)
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
  t.equal((await lab.send(anonymous(draft('/public')))).status, 200)
  t.equal((await lab.admin('/readyz')).status, 200)
  t.match(await degraded(lab), [/audit/])
  t.match(lab.logs.join('\n'), /audit/, 'the operator is told')
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

t.test('denies overloaded: the event loop is late, and nothing is judged until it is not', async (t) => {
  const lab = await startLab({ store: 'memory', isImpatient: true })
  t.teardown(() => lab.stop())
  const client = await lab.open()
  t.teardown(() => client.close())
  client.send(printDraft(draft()))
  t.equal((await client.response()).status, 200)
  const calls = lab.upstreamCalls()
  client.send(printDraft(draft()))
  // The request arrives while this process, which is the gateway too, is busy.
  const busyUntil = performance.now() + 800
  await new Promise(setImmediate)
  while (performance.now() < busyUntil);
  const reply = await client.response()
  t.equal(reply.status, 503)
  t.match(reply.body.toString(), 'overloaded')
  t.equal(lab.upstreamCalls(), calls)
  t.ok(await until(async () => (await lab.send(draft())).status === 200))
})

t.test('denies request_timeout: a head that stops', async (t) => {
  const lab = await startLab({ store: 'memory', yaml: (parts) => ({ ...parts, limits: '{ headers: 300ms }' }) })
  t.teardown(() => lab.stop())
  const reply = await lab.sendRaw(`GET /public HTTP/1.1\r\nHost: ${HOST}\r\nX-`)
  t.equal(reply.status, 408)
  t.equal(reasonOf(reply), 'request_timeout')
  t.equal(reply.header('connection'), 'close')
})

t.test('denies request_timeout: a body that stops', async (t) => {
  const lab = await startLab({
    store: 'memory',
    yaml: (parts) => ({ ...parts, limits: '{ body_idle: 300ms, body_total: 500ms }' }),
  })
  t.teardown(() => lab.stop())
  const announced = (path: string) => {
    const slow = draft(path, 'POST')
    slow.headers = [['Content-Length', '100']]
    return slow
  }
  for (const path of ['/tenants/tenant-1/decision', '/read/1']) {
    const reply = await lab.send(announced(path))
    t.equal(reply.status, 408, path)
    t.equal(reasonOf(reply), 'request_timeout')
  }
  const client = await lab.open()
  t.teardown(() => client.close())
  client.send(printDraft(announced('/tenants/tenant-1/decision')))
  const drip = setInterval(() => client.socket.writable && client.send('x'), 100)
  t.teardown(() => clearInterval(drip))
  t.equal((await client.response()).status, 408, 'one that drips, and is held')
})
