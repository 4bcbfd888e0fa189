import { once } from 'node:events'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { createPools } from '../../src/upstream/pools.js'
import type { Upstream } from '../../src/verify/types.js'
import type { Denial } from '../../src/verify/verdict.js'
import { type Credential, makeCa, makeCertificate } from '../support/certs.js'
import { call, openFront } from '../support/front.js'
import { makeRoute, makeUpstream } from '../support/grants.js'

const authority = await makeCa('Internal CA')
const stranger = await makeCa('Another CA')
const issue = (ca: Credential, name: string, names: readonly string[]) => makeCertificate({ ca, subject: `CN=${name}`, names })
const server = await issue(authority, 'cases', ['127.0.0.1', 'localhost'])
const otherName = await issue(authority, 'other', ['other.internal'])
const gateway = await issue(authority, 'gateway', ['gateway.internal'])

type Tls = Partial<https.ServerOptions>

/** An upstream behind TLS that says who called it, and under which name. */
async function withTls(t: Test, options: Tls, change: Partial<Upstream>, host = '127.0.0.1') {
  const secure: { version: string | null; servername: string | false | null }[] = []
  const upstream = https.createServer({ cert: server.cert, key: server.key, ...options }, (request, response) => {
    const socket = request.socket as TLSSocket & { servername: string | false | null }
    secure.push({ version: socket.getProtocol(), servername: socket.servername })
    response.end(socket.getPeerCertificate().subject?.CN ?? 'nobody')
  })
  let connections = 0
  upstream.on('secureConnection', () => {
    connections++
  })
  upstream.listen(0, '127.0.0.1')
  await once(upstream, 'listening')
  const url = `https://${host}:${(upstream.address() as AddressInfo).port}`
  const front = await openFront({ route: makeRoute(makeUpstream(url, change)) })
  t.teardown(async () => {
    await front.close()
    upstream.close()
  })
  return { front, secure, connections: () => connections }
}

t.test('verifies the upstream, always', async (t) => {
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'
  t.teardown(() => {
    delete process.env.NODE_TLS_REJECT_UNAUTHORIZED
  })
  const rows: [why: string, options: Tls, change: Partial<Upstream>, detail: string][] = [
    ['a CA that the system does not know', {}, {}, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
    ['a certificate of another CA', {}, { tls: { ca: stranger.cert } }, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
    [
      'a certificate for another name',
      { cert: otherName.cert, key: otherName.key },
      { tls: { ca: authority.cert } },
      'ERR_TLS_CERT_ALTNAME_INVALID',
    ],
    [
      'another name that the client’s Host names',
      { cert: otherName.cert, key: otherName.key },
      { tls: { ca: authority.cert }, preserve_host: true },
      'ERR_TLS_CERT_ALTNAME_INVALID',
    ],
  ]
  for (const [why, options, change, detail] of rows) {
    t.test(`denies upstream_unreachable: ${why}`, async (t) => {
      const { front, secure } = await withTls(t, options, change)
      const reply = await call(front.port, { headers: { host: 'other.internal' } })
      t.same([reply.status, reply.body], [502, '{"reason":"upstream_unreachable"}'])
      t.equal((front.results[0] as Denial).detail, detail)
      t.equal(secure.length, 0)
    })
  }
  t.test('denies upstream_unreachable: TLS 1.1', async (t) => {
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const
    const { front } = await withTls(t, old, { tls: { ca: authority.cert } })
    t.equal((await call(front.port)).status, 502)
  })
  t.test('denies upstream_unreachable: no TLS there', async (t) => {
    const plain = (await import('node:http')).createServer((_, response) => void response.end('plain')).listen(0, '127.0.0.1')
    await once(plain, 'listening')
    const url = `https://127.0.0.1:${(plain.address() as AddressInfo).port}`
    const front = await openFront({ route: makeRoute(makeUpstream(url, { tls: { ca: authority.cert } })) })
    t.teardown(async () => {
      await front.close()
      plain.close()
    })
    t.equal((await call(front.port)).status, 502)
  })
})

t.test('grants what its CA vouches for', async (t) => {
  t.test('by address', async (t) => {
    const { front, secure } = await withTls(t, {}, { tls: { ca: authority.cert } })
    t.match(await call(front.port), { status: 200, body: 'nobody' })
    t.same(secure, [{ version: 'TLSv1.3', servername: false }])
  })
  t.test('by name, which is the configured one whatever Host says, on one connection', async (t) => {
    const { front, secure, connections } = await withTls(t, {}, { tls: { ca: authority.cert }, preserve_host: true }, 'localhost')
    for (const host of ['a.example.com', 'b.example.com']) t.equal((await call(front.port, { headers: { host } })).status, 200)
    t.same(
      secure.map(({ servername }) => servername),
      ['localhost', 'localhost'],
    )
    t.equal(connections(), 1)
  })
  t.test('with a certificate of ours', async (t) => {
    const demand = { requestCert: true, rejectUnauthorized: true, ca: authority.cert }
    const { front } = await withTls(t, demand, { tls: { ca: authority.cert, cert: gateway.cert, key: gateway.key } })
    t.match(await call(front.port), { status: 200, body: 'gateway' })
  })
  t.test('but not without it', async (t) => {
    const demand = { requestCert: true, rejectUnauthorized: true, ca: authority.cert }
    const { front } = await withTls(t, demand, { tls: { ca: authority.cert } })
    t.equal((await call(front.port)).status, 502)
  })
  t.test('with TLS 1.2', async (t) => {
    const { front, secure } = await withTls(t, { maxVersion: 'TLSv1.2' }, { tls: { ca: authority.cert } })
    t.equal((await call(front.port)).status, 200)
    t.equal(secure[0]?.version, 'TLSv1.2')
  })
})

t.test('knows the upstreams of its configuration only', async (t) => {
  const one = makeUpstream('http://127.0.0.1:1')
  const pools = createPools([one])
  t.teardown(() => pools.destroy())
  t.ok(pools.get(one))
  t.equal(pools.dialling(), false)
  t.throws(() => pools.get({ ...one }), /cases is not of this configuration/)
})
