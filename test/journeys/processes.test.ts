// `holdfast serve` as it is run: real processes, one Redis, signals (contract §1, §9).
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { json, startKeyServer } from '../keys/key-server.js'
import { eventsIn } from '../support/audit.js'
import { issuerKey, makeDraft, printDraft } from '../support/draft.js'
import { type Fleet, HOST, makePlace, type Place, serve, waitFor } from '../support/fleet.js'
import { exchange } from '../support/http.js'

const MAIN = join(import.meta.dirname, '..', '..', 'src', 'main.js')

const draft = () => makeDraft({ host: HOST, path: '/pay' })
const send = (place: Place, { port }: Fleet, bytes: Buffer) => exchange(bytes, { port, servername: HOST, ca: place.ca })

t.test('two processes, 200 parallel copies of one proof: exactly one is granted', async (t) => {
  const place = await makePlace(t)
  const [one, two] = await Promise.all([serve(t, place), serve(t, place)])
  const bytes = printDraft(draft())
  const replies = await Promise.all(Array.from({ length: 200 }, (_, i) => send(place, i % 2 === 0 ? one : two, bytes)))
  t.equal(replies.filter(({ status }) => status === 200).length, 1)
  t.equal(replies.filter(({ status, body }) => status === 401 && JSON.parse(body).reason === 'proof_replayed').length, 199)
})

t.test('two workers: one of them all fetches the keys, and a storm of unknown kids makes one fetch more at most', async (t) => {
  const place = await makePlace(t)
  const issuer = await startKeyServer(json({ keys: [{ ...issuerKey.jwk, kid: 'issuer-1' }] }))
  t.teardown(() => issuer.close())
  const gateway = await serve(t, place, { workers: 2, keys: `jwks_uri: ${issuer.origin}/jwks` })
  t.equal(issuer.asked.length, 1, 'at the start')
  const unknown = (kid: string) => {
    const one = draft()
    one.token.header.kid = kid
    return printDraft(one)
  }
  const replies = await Promise.all(Array.from({ length: 100 }, (_, i) => send(place, gateway, unknown(`kid-${i}`))))
  t.ok(replies.every(({ status }) => status === 401 || status === 503))
  t.ok(issuer.asked.length <= 2, `${issuer.asked.length} fetches`)
  for (let i = 0; i < 10; i++) t.equal((await send(place, gateway, printDraft(draft()))).status, 200)
})

t.test('two workers: one line when both accept, a file each, and one that dies is replaced', async (t) => {
  const place = await makePlace(t)
  const gateway = await serve(t, place, { workers: 2 })
  t.match(gateway.said(), /"workers":2/)
  t.match(gateway.said(), /"policy_version":"sha256:[0-9a-f]{64}"/)
  const bytes = printDraft(draft())
  const copies = await Promise.all(Array.from({ length: 100 }, () => send(place, gateway, bytes)))
  t.equal(copies.filter(({ status }) => status === 200).length, 1)
  for (let i = 0; i < 10; i++) t.equal((await send(place, gateway, printDraft(draft()))).status, 200)
  await sleep(200)
  const lines = ['', '.1'].map((suffix) => readFileSync(join(place.folder, `audit-${gateway.port}${suffix}.jsonl`), 'utf8'))
  t.match(lines[0], /"worker":0/)
  t.match(lines[1], /"worker":1/)

  gateway.killOne()
  await gateway.until(/a worker ended and is replaced/)
  await gateway.until(/in place of one that ended/)
  for (let i = 0; i < 6; i++) t.equal((await send(place, gateway, printDraft(draft()))).status, 200)
  gateway.child.kill('SIGTERM')
  const [code] = await once(gateway.child, 'exit')
  t.equal(code, 0)
})

t.test('SIGTERM finishes what is in flight and exits 0', async (t) => {
  const waiting: (() => void)[] = []
  const place = await makePlace(t, (send) => void waiting.push(send))
  const gateway = await serve(t, place)
  const reply = send(place, gateway, printDraft(draft()))
  await waitFor('a request in flight', () => waiting.length === 1)
  gateway.child.kill('SIGTERM')
  await waitFor('the end of its listener', () =>
    gateway.open().then(
      (client) => client.close() ?? false,
      () => true,
    ),
  )
  waiting[0]?.()
  t.equal((await reply).status, 200)
  const [code] = await once(gateway.child, 'exit')
  t.equal(code, 0)
})

t.test('SIGHUP takes a new file, and keeps the old one when it is bad', async (t) => {
  const place = await makePlace(t)
  const gateway = await serve(t, place)
  const text = readFileSync(gateway.file, 'utf8')
  writeFileSync(gateway.file, text.replace('tier: sensitive_read', 'tier: nonsense'))
  gateway.child.kill('SIGHUP')
  await gateway.until(/routes-\d+\.yaml:\d+:\d+ routes\.0\.tier/)
  t.equal((await send(place, gateway, printDraft(draft()))).status, 200, 'the old one serves on')
  const ready = await fetch(`http://127.0.0.1:${gateway.admin}/readyz`)
  t.equal(ready.status, 200)
  t.match(await ready.json(), { degraded: [/reload/] })
  writeFileSync(gateway.file, text.replace('path: /pay', 'path: /other'))
  gateway.child.kill('SIGHUP')
  await gateway.until(/"reloaded"/)
  t.equal((await send(place, gateway, printDraft(draft()))).status, 404)
})

t.test('SIGHUP opens the audit file anew, after it was renamed', async (t) => {
  const place = await makePlace(t)
  const gateway = await serve(t, place)
  const file = join(place.folder, `audit-${gateway.port}.jsonl`)
  t.equal((await send(place, gateway, printDraft(draft()))).status, 200)
  await sleep(200)
  renameSync(file, `${file}.1`)
  t.equal((await send(place, gateway, printDraft(draft()))).status, 200)
  gateway.child.kill('SIGHUP')
  await gateway.until(/"reloaded"/)
  t.ok(existsSync(file))
  t.equal((await send(place, gateway, printDraft(draft()))).status, 200)
  await sleep(200)
  const lines = (name: string) => eventsIn(name).length
  t.equal(lines(`${file}.1`) + lines(file), 3, 'no line is lost')
  t.ok(lines(file) > 0, 'and the new file has what came last')
})

t.test('a second SIGTERM does not wait', async (t) => {
  let isInFlight = false
  const place = await makePlace(t, () => {
    isInFlight = true
  })
  const gateway = await serve(t, place)
  void send(place, gateway, printDraft(draft())).catch(() => undefined)
  await waitFor('a request in flight', () => isInFlight)
  gateway.child.kill('SIGTERM')
  await gateway.until(/"draining"/)
  t.equal(gateway.child.exitCode, null, 'it waits for what is in flight')
  gateway.child.kill('SIGTERM')
  t.same(await once(gateway.child, 'exit'), [1, null])
})

t.test('a configuration with problems does not start: exit 1, every problem on stderr', async (t) => {
  const place = await makePlace(t)
  const file = join(place.folder, 'bad.yaml')
  writeFileSync(file, 'version: 1\nlisten: { port: 99999 }\nnonsense: 1\n')
  const child = spawn(process.execPath, [MAIN, 'serve', file], { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.on('data', (chunk) => {
    said += chunk
  })
  const [code] = await once(child, 'close')
  t.equal(code, 1)
  t.match(said, /bad\.yaml:2:\d+ listen\.port/)
  t.match(said, /bad\.yaml:3:1 nonsense/)
})
