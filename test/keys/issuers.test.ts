// Keys over time: rotation, outage, unknown kids; by a real server and a clock of our own.
import type { ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { IssuerSource } from '../../src/config/config.js'
import { createIssuerKeys, type FetchedSet } from '../../src/keys/issuers.js'
import { waitFor } from '../support/fleet.js'
import { makeKey } from '../support/jwt.js'
import { json, source, startKeyServer } from './key-server.js'

const keyA = { ...makeKey().jwk, kid: 'a' }
const keyB = { ...makeKey().jwk, kid: 'b' }
const ES256 = (kid: string | null) => ({ kid, alg: 'ES256' })

async function lab(t: Test, more: Partial<IssuerSource> = {}) {
  const server = await startKeyServer(json({ keys: [keyA] }))
  const issuer = source('https://as.example.com', { from: 'uri', uri: `${server.origin}/jwks` }, more)
  const time = { now: 1_800_000_000 }
  const logged: string[] = []
  const keys = createIssuerKeys([issuer], { clock: () => time.now, log: (message) => logged.push(message) })
  t.teardown(() => {
    keys.close()
    return server.close()
  })
  return { server, issuer, time, logged, keys }
}
const kids = (answer: unknown) => (Array.isArray(answer) ? answer.map(({ kid }: { kid: string }) => kid) : answer)

t.test('answers at once for keys it has', async (t) => {
  const { keys, issuer, server } = await lab(t)
  await keys.start()
  t.same(kids(keys.keysFor(issuer, ES256('a'))), ['a'], 'not a promise')
  t.same(kids(keys.keysFor(issuer, ES256(null))), ['a'], 'the only one that fits')
  t.same(keys.degraded(), [])
  t.same(server.asked, ['/jwks'])
})

t.test('keeps issuers apart', async (t) => {
  const server = await startKeyServer((request, response) =>
    json({ keys: [{ ...(request.url === '/one' ? keyA : keyB), kid: 'same' }] })(request, response),
  )
  t.teardown(() => server.close())
  const one = source('https://one.example.com', { from: 'uri', uri: `${server.origin}/one` })
  const two = source('https://two.example.com', { from: 'uri', uri: `${server.origin}/two` })
  const keys = createIssuerKeys([one, two], { clock: () => 1, log: () => {} })
  t.teardown(() => keys.close())
  await keys.start()
  const exported = async (issuer: IssuerSource) => {
    const answer = await keys.keysFor(issuer, ES256('same'))
    return answer === 'unavailable' ? answer : answer.map(({ key }) => key.export({ format: 'jwk' }).x)
  }
  t.same(await exported(one), [keyA.x])
  t.same(await exported(two), [keyB.x])
  t.same(keys.keysFor(source('https://three.example.com', one.keys), ES256('same')), [], 'an issuer that is not ours')
  t.equal(keys.generation(source('https://three.example.com', one.keys)), -1)
})

t.test('an unknown kid: one fetch for all who ask, then unavailable for 30 s', async (t) => {
  const { keys, issuer, server, time } = await lab(t)
  await keys.start()
  t.equal(keys.keysFor(issuer, ES256('b')), 'unavailable', 'fetched a moment ago: the key may be new')
  time.now += 29
  t.equal(keys.keysFor(issuer, ES256('b')), 'unavailable')
  time.now += 1
  server.answer = json({ keys: [keyA, keyB] })
  const found = keys.keysFor(issuer, ES256('b'))
  t.ok(found instanceof Promise)
  t.same(kids(await found), ['b'])
  t.equal(server.asked.length, 2)

  time.now += 30
  const storm = await Promise.all(Array.from({ length: 1000 }, (_, i) => keys.keysFor(issuer, ES256(`unknown-${i}`))))
  t.ok(
    storm.every((answer) => Array.isArray(answer) && answer.length === 0),
    'not there: the signature can be no one’s',
  )
  t.equal(server.asked.length, 3, '1000 unknown kids are one fetch')
  t.equal(keys.keysFor(issuer, ES256('unknown-1')), 'unavailable')
  t.same(kids(keys.keysFor(issuer, ES256('a'))), ['a'], 'known keys go on')
  t.equal(server.asked.length, 3)
})

t.test('without kid: a fetch only when no key fits', async (t) => {
  const { keys, issuer, server, time } = await lab(t)
  server.answer = json({ keys: [keyA, keyB] })
  await keys.start()
  time.now += 30
  t.same(keys.keysFor(issuer, ES256(null)), [], 'two fit')
  t.equal(server.asked.length, 1)
  t.same(await keys.keysFor(issuer, { kid: null, alg: 'EdDSA' }), [], 'none fits')
  t.equal(server.asked.length, 2)
})

t.test('when the fetch for an unknown kid fails it is not known', async (t) => {
  const { keys, issuer, server, time, logged } = await lab(t)
  await keys.start()
  const generation = keys.generation(issuer)
  time.now += 30
  for (const answer of [json({}, 500), json({ keys: 'none' }), (_: unknown, response: ServerResponse) => response.destroy()]) {
    server.answer = answer
    t.equal(await keys.keysFor(issuer, ES256('b')), 'unavailable')
    t.equal(keys.keysFor(issuer, ES256('b')), 'unavailable', 'without another fetch')
    t.same(kids(keys.keysFor(issuer, ES256('a'))), ['a'], 'the last keys go on')
    t.equal(keys.degraded().length, 1)
    time.now += 30
  }
  t.equal(keys.generation(issuer), generation)
  server.answer = json({ keys: [keyA] })
  t.same(await keys.keysFor(issuer, ES256('b')), [])
  t.same(keys.degraded(), [])
  t.match(logged.at(-1), /there again/)
})

t.test('a clock that was set back does not stop fetching', async (t) => {
  const { keys, issuer, time } = await lab(t)
  await keys.start()
  time.now -= 86400
  t.same(await keys.keysFor(issuer, ES256('b')), [])
})

t.test('drops a key that is gone at the next refresh, and what it verified', async (t) => {
  const { keys, issuer, server } = await lab(t, { jwks_refresh: 0.2 })
  server.answer = json({ keys: [keyA, keyB] })
  await keys.start()
  const generation = keys.generation(issuer)
  const turn = async (body: unknown) => {
    server.answer = json(body)
    const asked = server.asked.length
    while (server.asked.length < asked + 2) await sleep(50)
  }
  await turn({ keys: [keyA, keyB, { ...makeKey().jwk, kid: 'c' }] })
  t.equal(keys.generation(issuer), generation, 'one more is nothing gone')
  t.same(kids(keys.keysFor(issuer, ES256('c'))), ['c'])
  await turn({ keys: [keyB] })
  t.ok(keys.generation(issuer) > generation)
  // Where the next refresh is under way, it is waited for.
  const gone = await keys.keysFor(issuer, ES256('a'))
  t.ok(gone === 'unavailable' || gone.length === 0, 'unknown now')
  const second = keys.generation(issuer)
  await turn({ keys: [{ ...keyB, use: 'enc' }] })
  t.ok(keys.generation(issuer) > second, 'it is no longer for signatures')
  t.match(keys.degraded(), [/no key that can be used/])
  await turn({ keys: [{ ...makeKey().jwk, kid: 'b' }] })
  t.same(kids(keys.keysFor(issuer, ES256('b'))), ['b'])
})

t.test('serves the last keys for jwks_max_stale when the issuer is silent', async (t) => {
  const { keys, issuer, server, time, logged } = await lab(t, { jwks_max_stale: 3600 })
  await keys.start()
  server.answer = json({}, 503)
  time.now += 3600
  t.same(kids(keys.keysFor(issuer, ES256('a'))), ['a'])
  const generation = keys.generation(issuer)
  time.now += 1
  t.ok(keys.generation(issuer) > generation, 'tokens it verified before are looked at again')
  t.equal(await keys.keysFor(issuer, ES256('a')), 'unavailable')
  t.match(logged.join('\n'), /jwks_max_stale/)
  server.answer = json({ keys: [keyA] })
  time.now += 30
  t.same(kids(await keys.keysFor(issuer, ES256('a'))), ['a'], 'and is back by itself')
})

t.test('starts degraded and gets better by itself', async (t) => {
  const { keys, issuer, server, logged } = await lab(t)
  server.answer = json({}, 500)
  await keys.start()
  t.match(keys.degraded(), [/issuer https:\/\/as\.example\.com: .*answered 500/])
  t.equal(keys.keysFor(issuer, ES256('a')), 'unavailable', 'never a 401: nobody knows')
  t.equal(logged.length, 1)
  server.answer = json({ keys: [keyA] })
  while (keys.degraded().length > 0) await sleep(50)
  t.same(kids(keys.keysFor(issuer, ES256('a'))), ['a'])
  t.equal(server.asked.length, 2, 'after a second')
})

t.test('callers before the first answer wait for it', async (t) => {
  const { keys, issuer, server } = await lab(t)
  server.answer = (request, response) => void setTimeout(() => json({ keys: [keyA] })(request, response), 100)
  const started = keys.start()
  t.same(kids(await keys.keysFor(issuer, ES256('a'))), ['a'])
  await started
  t.equal(server.asked.length, 1)
})

t.test('starts within 5 s whatever its issuers do', async (t) => {
  const { keys, server } = await lab(t)
  server.answer = () => {}
  const started = performance.now()
  await keys.start()
  t.ok(performance.now() - started < 6000)
  t.match(keys.degraded(), [/no answer within 5 s/])
})

t.test('keys from a file need no network', async (t) => {
  const file = (jwks: string) => source('https://as.example.com', { from: 'file', path: 'keys.json', jwks })
  const issuer = file(JSON.stringify({ keys: [keyA] }))
  const keys = createIssuerKeys([issuer], { clock: () => 1e10, log: t.fail })
  await keys.start()
  t.same(kids(keys.keysFor(issuer, ES256('a'))), ['a'])
  t.same(keys.keysFor(issuer, ES256('b')), [], 'no fetch is possible')
  t.same(keys.degraded(), [])
  for (const jwks of ['', '[]', '{}', '{"keys":[]}', '{"keys":[{"kty":"oct","k":"AA"}]}']) {
    t.throws(() => createIssuerKeys([file(jwks)], { clock: () => 1, log: t.fail }), /keys\.json/)
  }
})

t.test('generations never repeat, not even after a reload', async (t) => {
  const issuer = source('https://as.example.com', { from: 'file', path: 'keys.json', jwks: JSON.stringify({ keys: [keyA] }) })
  const make = () => createIssuerKeys([issuer], { clock: () => 1, log: t.fail })
  t.not(make().generation(issuer), make().generation(issuer))
})

t.test('takes sets that another process fetched, and knows how old they are', async (t) => {
  const issuer = source('https://as.example.com', { from: 'discovery' })
  const time = { now: 1000 }
  let answer: FetchedSet = { set: { keys: [keyA] }, age: 40 }
  const keys = createIssuerKeys([issuer], { clock: () => time.now, log: () => {}, fetchSet: async () => answer })
  t.teardown(() => keys.close())
  await keys.start()
  t.equal(await keys.keysFor(issuer, ES256('b')), 'unavailable', 'fetched before the key was asked for')
  answer = { set: { keys: [keyA] }, age: 0 }
  t.same(await keys.keysFor(issuer, ES256('b')), [])
})

t.test('closed: nothing is fetched any more, and nothing keeps the process alive', async (t) => {
  const { keys, issuer, server, time } = await lab(t)
  server.answer = () => {}
  const started = keys.start()
  keys.close()
  await started
  time.now += 60
  t.equal(keys.keysFor(issuer, ES256('b')), 'unavailable')
})

t.test('a configuration that follows another keeps what that one knows of the same place', async (t) => {
  const { keys: previous, issuer, server, time } = await lab(t, { jwks_max_stale: 100 })
  await previous.start()
  server.answer = json({}, 500)
  const follow = async (source: IssuerSource) => {
    const keys = createIssuerKeys([source], { clock: () => time.now, log: () => {}, previous })
    t.teardown(() => keys.close())
    await keys.start()
    return keys
  }
  const keys = await follow({ ...issuer, audience: ['https://other.example.com'], jwks_refresh: 60 })
  previous.close()
  t.same(kids(keys.keysFor(issuer, ES256('a'))), ['a'])
  t.equal(keys.generation(issuer), previous.generation(issuer), 'the same keys')
  await waitFor('it is said that the issuer is silent', () => keys.degraded().length === 1)
  const third = createIssuerKeys([issuer], { clock: () => time.now, log: () => {}, previous: keys })
  t.teardown(() => third.close())
  t.same(third.degraded(), keys.degraded(), 'a third one says so before it has asked')
  for (const elsewhere of [{ ca: 'another' }, { keys: { from: 'uri', uri: `${server.origin}/other` } as const }]) {
    const other = await follow({ ...issuer, ...elsewhere })
    t.equal(other.keysFor(issuer, ES256('a')), 'unavailable')
  }
  time.now += 101
  t.notOk(Array.isArray(keys.keysFor(issuer, ES256('a'))), 'no longer than jwks_max_stale')
})
