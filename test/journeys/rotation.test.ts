// Keys and secrets are rotated under load, by the runbook of docs/operations.md: no backend meets an assertion that it can't verify, and
// no client meets a nonce that is not taken. And a rotation that goes too fast.

import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createLocalJWKSet, type JWK, jwtVerify } from 'jose'
import t, { type Test } from 'tap'
import { startCallers } from '../support/callers.js'
import { makeAssertionKey } from '../support/certificates.js'
import { makeDraft, printDraft } from '../support/draft.js'
import { type Fleet, HOST, makePlace, OPEN, serve, waitFor } from '../support/fleet.js'
import { startLab } from '../support/lab.js'

const MAIN = join(import.meta.dirname, '..', '..', 'src', 'main.js')

/** The keys that a gateway publishes, as any of its workers answers. */
async function published({ send }: Pick<Fleet, 'send'>): Promise<readonly JWK[]> {
  const { body } = await send(`GET /.well-known/holdfast-jwks.json HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`)
  return JSON.parse(body).keys
}

/**
 * A backend that verifies every assertion, and fetches keys at the times that a test says and never for an unknown one: it refuses
 * where it does not know a key.
 */
async function startBackend(t: Test) {
  let keys: readonly JWK[] = []
  const kids = new Set<string>()
  const server = createServer(async (request, response) => {
    const assertion = String(request.headers['holdfast-assertion'])
    try {
      const { protectedHeader } = await jwtVerify(assertion, createLocalJWKSet({ keys: [...keys] }), {
        typ: 'holdfast+jwt',
        // A busy machine is late, which is not what this is about.
        clockTolerance: 60,
      })
      kids.add(protectedHeader.kid ?? '')
      response.end('verified')
    } catch (error) {
      response.writeHead(403)
      response.end(String(error))
    }
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return {
    port: (server.address() as AddressInfo).port,
    kids,
    fetchKeys: async (gateway: Fleet): Promise<void> => {
      keys = await published(gateway)
    },
  }
}

t.test('an assertion key is made, put to use and retired, and no backend refuses anything', async (t) => {
  const place = await makePlace(t)
  const backend = await startBackend(t)
  const gateway = await serve(t, place, {
    workers: 2,
    watch: '100ms',
    assertion: 'ttl: 2s',
    upstreams: `b: { url: 'http://127.0.0.1:${backend.port}', audience: b }`,
    more: '  - { path: /verified, methods: [GET], tier: open, upstream: b }\n',
  })
  let reloads = 0
  await backend.fetchKeys(gateway)
  /** A step by the command, and until all workers have taken it. */
  const step = async (...args: readonly string[]): Promise<void> => {
    await promisify(execFile)(process.execPath, [MAIN, 'keys', ...args, '--config', gateway.file], { cwd: place.folder })
    reloads += 1
    await gateway.until(/"reloaded"/, reloads)
  }
  const callers = startCallers(t, [gateway], {
    kept: 4,
    fresh: 1,
    request: () => `GET /verified HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`,
  })
  const goOn = async (): Promise<void> => {
    const before = callers.count()
    await waitFor('answers on', () => callers.count() > before + 50)
  }
  /** Instead of a wait of minutes: as if routes.yaml had been written that long ago. */
  const wait = (seconds: number): void => utimesSync(gateway.file, Date.now() / 1000, Date.now() / 1000 - seconds)

  await goOn()
  const [old] = [...backend.kids]
  await step('new', 'next.key')
  await goOn()
  t.same([...backend.kids], [old], 'the new one is published, and does not sign')
  t.equal((await published(gateway)).length, 2)
  await t.rejects(step('use', 'next.key'), /may not have fetched/)
  await backend.fetchKeys(gateway)
  wait(601)
  await step('use', 'next.key')
  await waitFor('the new one signs', () => backend.kids.size === 2)
  await goOn()
  await waitFor('it is said to be safe', async () =>
    step('retire', 'assertion.key').then(
      () => true,
      () => false,
    ),
  )
  await backend.fetchKeys(gateway)
  await goOn()
  await callers.stop()
  t.same(callers.failures, [], `${callers.count()} assertions verified`)
  t.same(
    (await published(gateway)).map(({ kid }) => kid),
    [[...backend.kids][1]],
  )
  t.notMatch(gateway.said(), /never published|is gone/, 'nothing to warn of')
})

t.test('a key that is replaced at once stays published while its assertions live, and that is warned of', async (t) => {
  const place = await makePlace(t)
  const gateway = await serve(t, place, { workers: 2, assertion: 'ttl: 2s' })
  const [old] = (await published(gateway)).map(({ kid }) => kid)
  writeFileSync(join(place.folder, 'assertion.key'), makeAssertionKey())
  const replacedAt = performance.now()
  gateway.child.kill('SIGHUP')
  await gateway.until(/"reloaded"/)
  const kids = (await published(gateway)).map(({ kid }) => kid)
  // Else the machine stood still for as long as an assertion lives.
  if (performance.now() - replacedAt < 2000) {
    t.equal(kids.length, 2)
    t.equal(kids[1], old)
  }
  t.match(
    gateway.said(),
    /"level":40[^\n]*routes-\d+\.yaml:\d+:\d+ assertion\.key: signs from now on, and was never published before/,
  )
  t.match(gateway.said(), /"level":40[^\n]*assertion\.key: the key that signed until now is gone/)
  await waitFor('only the new one is left', async () => {
    const left = await Promise.all([published(gateway), published(gateway)])
    return left.every((keys) => keys.length === 1)
  })
  t.ok(performance.now() - replacedAt >= 2000, 'not before its last assertion has ended')
  t.not((await published(gateway))[0]?.kid, old)
})

t.test('a request that began before is signed by the new key, and the old one is needed no longer than is said', async (t) => {
  const lab = await startLab({
    store: 'memory',
    yaml: (parts) => ({ ...parts, assertion: '{ issuer: https://gateway.example.com, key: assertion.key, ttl: 1s }' }),
  })
  t.teardown(() => lab.stop())
  const jwks = async (): Promise<readonly JWK[]> => JSON.parse((await lab.admin('/.well-known/jwks.json')).body).keys
  const [old] = await jwks()
  const request = makeDraft({ host: HOST, path: '/tenants/tenant-1/decision', method: 'POST' })
  request.body = Buffer.from('half')
  const bytes = printDraft(request)
  const client = await lab.open()
  t.teardown(() => client.close())
  client.send(bytes.subarray(0, bytes.length - 2))
  await waitFor('it is being served', async () => /holdfast_requests_in_flight 1\n/.test((await lab.admin('/metrics')).body))
  lab.write('assertion.key', makeAssertionKey())
  await lab.reload((parts) => parts)
  const [current] = await jwks()
  client.send(bytes.subarray(bytes.length - 2))
  t.equal((await client.response()).status, 200)
  const [header = ''] = String(lab.calls.at(-1)?.headers['holdfast-assertion']).split('.')
  const { kid } = JSON.parse(Buffer.from(header, 'base64url').toString())
  t.equal(kid, current?.kid)
  t.not(kid, old?.kid)
  await waitFor('the old one is gone', async () => (await jwks()).length === 1)
})

t.test('the nonce secret changes at two replicas under load, and no nonce is refused', async (t) => {
  const place = await makePlace(t)
  const settings = {
    watch: '100ms',
    more: `  - { path: /nonce, methods: [GET], tier: fresh, upstream: u }
dpop: { nonce_secret: "$\{file:nonce.secret}" }
`,
    tiers: 'fresh: { extends: high_value, proof_max_age: 5s }',
  }
  const [old, next] = ['o', 'n'].map((letter) => letter.repeat(40)) as [string, string]
  writeFileSync(join(place.folder, 'nonce.secret'), old)
  const gateways = await Promise.all([serve(t, place, { ...settings, workers: 2 }), serve(t, place, settings)])
  const first = (await gateways[0].send(printDraft(makeDraft({ host: HOST, path: '/nonce' })))).header('dpop-nonce') ?? ''
  let longest = 0
  let last = performance.now()
  const callers = startCallers(t, gateways, {
    kept: 4,
    fresh: 2,
    // A client that begins is given its first nonce with a refusal: these begin with one.
    request: (nonce = first) => {
      longest = Math.max(longest, performance.now() - last)
      last = performance.now()
      return printDraft(makeDraft({ host: HOST, path: '/nonce', nonce }))
    },
  })
  const goOn = async (): Promise<void> => {
    const before = callers.count()
    await waitFor('answers on', () => callers.count() > before + 100)
  }
  await goOn()
  const yaml = gateways.map(({ file }) => readFileSync(file, 'utf8'))
  for (const [i, secrets] of [`['${old}', '${next}']`, `['${next}', '${old}']`, `'${next}'`].entries()) {
    // The last one is not before the nonces of the old secret are too old to be taken: then no client has one that is young.
    if (i === 2) await new Promise((resolve) => setTimeout(resolve, 6000))
    for (const [j, { file, until }] of gateways.entries()) {
      writeFileSync(file, `${yaml[j]?.replace(/^dpop: .*$/m, `dpop: { nonce_secret: ${secrets} }`)}`)
      await until(/"reloaded"/, i + 1)
      await goOn()
    }
  }
  await callers.stop()
  // A machine that stood still for seconds makes nonces old, which is not what this is about.
  const failures = longest < 2000 ? callers.failures : callers.failures.filter((failure) => !failure.includes('nonce_stale'))
  t.same(failures, [], `${callers.count()} nonces taken`)
  const stale = await gateways[1].send(printDraft(makeDraft({ host: HOST, path: '/nonce', nonce: first })))
  t.match(JSON.parse(stale.body), { reason: 'nonce_stale' }, 'one of the old secret is not taken any more')
  t.equal((await gateways[0].send(OPEN)).status, 200)
})
