// The operator's listener, over real HTTP and HTTPS.
import { get, request } from 'node:http'
import { get as getTls } from 'node:https'
import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { type Health, readinessOf } from '../../src/admin/health.js'
import { type AdminOptions, openAdmin } from '../../src/admin/server.js'
import { makeAuthority } from '../keys/key-server.js'

const HEALTHY: Health = { phase: 'serving', isOverloaded: false, parts: [null, null] }
const JWKS = { keys: [{ kty: 'EC', crv: 'P-256', x: 'x', y: 'y', kid: 'k' }] }

async function lab(t: Test, more: Partial<AdminOptions> = {}) {
  const state = { health: HEALTHY }
  const admin = await openAdmin({
    host: '127.0.0.1',
    port: 0,
    tls: null,
    jwks: () => JWKS,
    readiness: () => readinessOf(state.health),
    metrics: async () => 'holdfast_requests_total 1\n',
    ...more,
  })
  t.teardown(() => admin.close())
  const ask = async (path: string, init: RequestInit = {}) => {
    const response = await fetch(`${admin.address}${path}`, init)
    return { status: response.status, headers: response.headers, text: await response.text() }
  }
  return { admin, state, ask }
}

t.test('answers its four paths, GET and HEAD', async (t) => {
  const { ask } = await lab(t)
  t.match(await ask('/livez'), { status: 200, text: 'ok\n' })
  t.match(await ask('/readyz'), { status: 200, text: '{"ready":true,"degraded":[]}' })
  const keys = await ask('/.well-known/jwks.json')
  t.same(JSON.parse(keys.text), JWKS)
  t.match(keys.headers.get('content-type'), /^application\/jwk-set\+json/)
  t.equal(keys.headers.get('cache-control'), 'max-age=60')
  const metrics = await ask('/metrics')
  t.equal(metrics.text, 'holdfast_requests_total 1\n')
  t.equal(metrics.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8')
  t.equal(metrics.headers.get('cache-control'), 'no-store')
  t.equal(metrics.headers.get('x-content-type-options'), 'nosniff')
  for (const path of ['/livez', '/readyz', '/metrics', '/.well-known/jwks.json']) {
    t.match(await ask(path, { method: 'HEAD' }), { status: 200, text: '' }, path)
  }
})

t.test('is ready while degraded, and not ready before, during a drain and when overloaded', async (t) => {
  const { ask, state } = await lab(t)
  state.health = { ...HEALTHY, parts: ['replay store: away', null, 'audit log: full'] }
  t.match(await ask('/readyz'), { status: 200, text: '{"ready":true,"degraded":["replay store: away","audit log: full"]}' })
  for (const health of [
    { ...HEALTHY, phase: 'starting' },
    { ...HEALTHY, phase: 'draining' },
    { ...HEALTHY, isOverloaded: true },
  ] as const) {
    state.health = health
    t.match(await ask('/readyz'), { status: 503, text: '{"ready":false,"degraded":[]}' })
    t.equal((await ask('/livez')).status, 200, 'alive all the same')
  }
})

t.test('has nothing else, and repeats nothing', async (t) => {
  const { ask } = await lab(t, { metrics: null })
  t.equal((await ask('/metrics')).status, 404)
  for (const path of ['/', '/livez/', '/LIVEZ', '/nothing-of-ours', '/readyz/..%2flivez', '/%ff', '/livez%00']) {
    const { status, text } = await ask(path)
    t.ok(status === 404 || status === 400, `${path} ${status}`)
    t.notMatch(text, /nothing-of-ours|livez|%|FST_|node_modules/i, path)
  }
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']) {
    const { status, headers, text } = await ask('/livez', { method })
    t.equal(status, 405, method)
    t.equal(headers.get('allow'), 'GET, HEAD')
    t.equal(text, '{"error":"GET and HEAD only"}')
  }
  const big = { method: 'POST', body: 'x'.repeat(100_000), headers: { 'content-type': 'application/json' } }
  t.ok((await ask('/livez', big)).status >= 400)
})

t.test('tells nothing of a fault of ours', async (t) => {
  const { ask } = await lab(t, {
    metrics: () => Promise.reject(new Error('secret path /etc/holdfast')),
    jwks: () => {
      throw new Error('secret path /etc/holdfast')
    },
  })
  for (const path of ['/metrics', '/.well-known/jwks.json']) {
    const { status, text } = await ask(path)
    t.equal(status, 500)
    t.equal(text, '{"error":"the gateway made an error"}')
  }
})

t.test('refuses headers that no probe sends', async (t) => {
  const { admin } = await lab(t)
  const { port } = new URL(admin.address)
  const status = await new Promise((resolve) =>
    request({ port, path: '/livez', headers: { 'x-a': 'a'.repeat(9000) } }, (response) =>
      resolve(response.resume().statusCode),
    ).end(),
  )
  t.equal(status, 431)
})

t.test('closes at once, idle connections and all', async (t) => {
  const { admin } = await lab(t)
  const socket = connect(Number(new URL(admin.address).port), '127.0.0.1')
  await new Promise((resolve) => socket.once('connect', resolve))
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.on('error', () => {})
  await admin.close()
  await closed
  await t.rejects(new Promise((_, reject) => get(admin.address, () => {}).once('error', reject)))
})

t.test('serves over TLS', async (t) => {
  const { ca, key, cert } = await makeAuthority('localhost')
  const { admin } = await lab(t, { tls: { key, cert } })
  const { port } = new URL(admin.address)
  const status = await new Promise((resolve, reject) =>
    getTls({ port, host: 'localhost', path: '/livez', ca }, (response) => resolve(response.resume().statusCode)).once(
      'error',
      reject,
    ),
  )
  t.equal(status, 200)
})

t.test('says what to do when it can not listen', async (t) => {
  const { admin } = await lab(t)
  const port = Number(new URL(admin.address).port)
  await t.rejects(lab(t, { port }), /EADDRINUSE.*another host or port/)
})
