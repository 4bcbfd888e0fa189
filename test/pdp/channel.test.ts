// The way to a policy decision point, and the time that it takes: TLS in both directions, a token that ends or is revoked meanwhile, and a proof that is
// remembered for as long as it could come again.
import { Redis } from 'ioredis'
import t from 'tap'
import { makeCa, makeCertificate, makeServer } from '../support/certs.js'
import { makeDraft } from '../support/draft.js'
import { waitFor } from '../support/fleet.js'
import { HOST, type Lab } from '../support/lab.js'
import { asking, PERMIT, startDecidingLab, startPdp } from '../support/pdp.js'
import { revoke } from '../support/revocations.js'

const draftOf = (path = '/cases/7') => makeDraft({ host: HOST, path })
const reasonOf = (body: string): unknown => JSON.parse(body).reason
const detailOf = async (lab: Lab, reply: { header(name: string): string | undefined }) =>
  String((await lab.refusal(reply.header('x-request-id') ?? ''))?.detail)

t.test('TLS: both sides are verified, and a certificate that is replaced is taken by a reload', async (t) => {
  const [ca, foreignCa, gatewayCa] = await Promise.all([makeCa('PDP CA'), makeCa('Foreign CA'), makeCa('Gateway CA')])
  const [server, elsewhere, gateway, stranger] = await Promise.all([
    makeServer(ca),
    makeCertificate({ ca, subject: 'CN=pdp', names: ['pdp.example.com'], ekus: ['server'] }),
    makeCertificate({ ca: gatewayCa, subject: 'CN=gateway', ekus: ['client'] }),
    makeCertificate({ ca: foreignCa, subject: 'CN=gateway', ekus: ['client'] }),
  ])
  const demands = { ca: gatewayCa.cert, requestCert: true, rejectUnauthorized: true }
  const pdp = await startPdp('', { key: server.key, cert: server.cert, ...demands })
  const misnamed = await startPdp('', { key: elsewhere.key, cert: elsewhere.cert, ...demands })
  const ours = 'tls: { ca: pdp-ca.crt, cert: gateway.crt, key: gateway.key }'
  const lab = await startDecidingLab(pdp, ours, {
    files: {
      'pdp-ca.crt': ca.cert,
      'foreign-ca.crt': foreignCa.cert,
      'gateway.crt': gateway.cert,
      'gateway.key': gateway.key,
      'stranger.crt': stranger.cert,
      'stranger.key': stranger.key,
    },
  })
  t.teardown(async () => {
    await lab.stop()
    await Promise.all([pdp.stop(), misnamed.stop()])
  })
  const reply = await lab.send(draftOf())
  t.equal(reply.status, 200, reply.body)

  for (const [why, server, settings] of [
    ['it is of another CA', pdp, 'tls: { ca: foreign-ca.crt, cert: gateway.crt, key: gateway.key }'],
    ['it is of no CA that this machine knows', pdp, 'tls: { cert: gateway.crt, key: gateway.key }'],
    ['it has another name', misnamed, ours],
    ['it does not know us', pdp, 'tls: { ca: pdp-ca.crt, cert: stranger.crt, key: stranger.key }'],
    ['we show it nothing', pdp, 'tls: { ca: pdp-ca.crt }'],
  ] as const) {
    const before = server.asked.length
    await lab.reload((parts) => asking(parts, server, settings))
    const refused = await lab.send(draftOf())
    t.equal(reasonOf(refused.body), 'decision_unavailable', why)
    t.equal(server.asked.length, before, why)
  }
  await lab.reload((parts) => asking(parts, pdp, ours))
  t.equal((await lab.send(draftOf())).status, 200)
})

t.test('denies token_expired: a token that ended while it was asked, and the proof is not spent', async (t) => {
  const pdp = await startPdp()
  const lab = await startDecidingLab(pdp, '', { store: 'redis' })
  t.teardown(async () => {
    await lab.stop()
    await pdp.stop()
  })
  const draft = draftOf()
  const end = Math.ceil(Date.now() / 1000) + 2
  draft.token.claims.exp = end
  pdp.answer = async () => {
    await waitFor('its end', async () => Date.now() / 1000 > end)
    return PERMIT
  }
  const before = await lab.usedProofs()
  const reply = await lab.send(draft)
  t.equal(reply.status, 401)
  t.equal(reasonOf(reply.body), 'token_expired')
  t.equal(await lab.usedProofs(), before)
  t.equal(await detailOf(lab, reply), 'undefined')
})

t.test('denies token_revoked: a client that was revoked while it was asked, and the proof is not spent', async (t) => {
  const pdp = await startPdp()
  const lab = await startDecidingLab(pdp, '', { store: 'redis' })
  const { redis } = lab
  t.teardown(async () => {
    await lab.stop()
    await pdp.stop()
  })
  if (redis === null) throw new Error('this lab has one')
  const revoked = async (client: string): Promise<void> => {
    await revoke(redis, ['client', client])
    await waitFor('that it is enforced', () => lab.events().some(({ revoked_value }) => revoked_value === client))
  }
  await revoked('client-2')
  pdp.answer = async () => {
    await revoked('client-1')
    return PERMIT
  }
  const before = await lab.usedProofs()
  const reply = await lab.send(draftOf())
  t.equal(reply.status, 401)
  t.equal(reasonOf(reply.body), 'token_revoked')
  t.equal(await lab.usedProofs(), before)
})

t.test('a proof is remembered as much longer as a question may take', async (t) => {
  const pdp = await startPdp()
  const lab = await startDecidingLab(pdp, 'timeout: 1000s', { store: 'redis' })
  const redis = new Redis(lab.redis?.url ?? '')
  t.teardown(async () => {
    redis.disconnect()
    await lab.stop()
    await pdp.stop()
  })
  /** Seconds. */
  const longest = async (): Promise<number> => {
    const keys = await redis.keys('*')
    return Math.max(0, ...(await Promise.all(keys.map((key) => redis.pttl(key))))) / 1000
  }
  t.equal((await lab.send(draftOf('/read'))).status, 200)
  const plain = await longest()
  t.ok(plain < 500, `${plain} s where nobody is asked`)
  t.equal((await lab.send(draftOf())).status, 200)
  t.ok((await longest()) > 1000, `${await longest()} s where somebody is`)
})
