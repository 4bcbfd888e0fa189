// The kill switch as an operator uses it: `holdfast revoke` as a process of its own, two gateways, one Redis that keeps its data on disk.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { clientKey, makeDraft, printDraft } from '../support/draft.js'
import { type Fleet, HOST, makePlace, OPEN, serve, waitFor } from '../support/fleet.js'
import { callSteadily } from '../support/load.js'
import { revoke } from '../support/revocations.js'

const MAIN = join(import.meta.dirname, '..', '..', 'src', 'main.js')
const PERSISTENT = ['--appendonly', 'yes', '--appendfsync', 'always']

type Said = { readonly code: number | null; readonly out: string; readonly err: string }

async function holdfast(gateway: Fleet, command: string, args: readonly string[], stdin = ''): Promise<Said> {
  const child = spawn(process.execPath, [MAIN, command, ...args, '--config', gateway.file], { stdio: 'pipe' })
  let [out, err] = ['', '']
  child.stdout.on('data', (chunk) => {
    out += chunk
  })
  child.stderr.on('data', (chunk) => {
    err += chunk
  })
  child.stdin.end(stdin)
  const [code] = await once(child, 'close')
  return { code, out, err }
}

const pay = (change: (claims: Record<string, unknown>) => void = () => undefined) => {
  const draft = makeDraft({ host: HOST, path: '/pay' })
  change(draft.token.claims)
  return printDraft(draft)
}

const reasonOf = (body: Buffer | string): string => JSON.parse(String(body)).reason

t.test('revoked at one gateway, refused at the other; also when all were restarted; until it is taken back', async (t) => {
  const place = await makePlace(t, undefined, PERSISTENT)
  const gateways = [await serve(t, place), await serve(t, place)]
  const [first, second] = gateways
  if (first === undefined || second === undefined) throw new Error('two were started')
  for (const gateway of gateways) t.equal((await gateway.send(pay())).status, 200)

  const said = await holdfast(first, 'revoke', ['--jkt', clientKey.jkt, '--reason', 'lost laptop', '--by', 'alice'])
  t.match(said, { code: 0, out: /^revoked: jkt ".{43}", all tokens, for ever\n$/, err: '' })
  await waitFor('a refusal', async () => (await second.send(pay())).status === 401)
  const refused = await second.send(pay())
  t.equal(reasonOf(refused.body), 'token_revoked')
  t.match(refused.header('www-authenticate'), /error="invalid_token"/)

  for (const gateway of gateways) {
    gateway.child.kill('SIGKILL')
    await gateway.ended
  }
  await place.redis.kill()
  await place.redis.start()
  const again = await serve(t, place)
  t.equal(reasonOf((await again.send(pay())).body), 'token_revoked', 'from its first request on')
  const list = await holdfast(again, 'revocations', [])
  t.match(JSON.parse(list.out), { kind: 'jkt', value: clientKey.jkt, by: 'alice', reason: 'lost laptop' })

  t.match(await holdfast(again, 'unrevoke', ['--jkt', clientKey.jkt, '--reason', 'found it']), { code: 0 })
  await waitFor('a grant', async () => (await again.send(pay())).status === 200)
  t.equal((await holdfast(again, 'revocations', [])).out, '')
  t.match(JSON.parse((await holdfast(again, 'revocations', ['--all'])).out), { effect: 'none', reason: 'found it' })
  t.match(await holdfast(again, 'unrevoke', ['--jkt', clientKey.jkt, '--reason', 'twice']), { code: 1, err: /is not revoked/ })
})

t.test('while both serve 1,000 requests a second: refused at the other gateway within a second', async (t) => {
  const place = await makePlace(t)
  const [first, second] = [await serve(t, place), await serve(t, place)]
  // Made before they are sent: it is the gateways that are to be busy, not this test.
  const seconds = 2
  const rate = 500
  const load = async (gateway: Fleet) => {
    const clients = await Promise.all(Array.from({ length: 20 }, () => gateway.open()))
    const requests = Array.from({ length: seconds * rate }, () => OPEN)
    const latencies = await callSteadily({ clients, requests, rate, expect: 200 })
    for (const client of clients) client.close()
    return latencies
  }
  t.equal((await second.send(pay())).status, 200)
  const running = Promise.all([load(first), load(second)])
  const by = performance.now()
  await revoke(place.redis, ['jkt', clientKey.jkt])
  const written = performance.now()
  await waitFor('a refusal', async () => (await second.send(pay())).status === 401)
  const took = performance.now() - written
  t.comment(`${took.toFixed(0)} ms after it was written, ${(performance.now() - by).toFixed(0)} ms after it was asked for`)
  // It is asked five times a second; the rest is for a machine that many share.
  t.ok(took < 10_000, `${took} ms`)
  for (let i = 0; i < 10; i++) t.equal((await second.send(pay())).status, 401, 'and never granted again')
  for (const { p99 } of await running) t.comment(`p99 ${p99.toFixed(1)} ms`)
})

t.test('every worker refuses, and tells how old its list is', async (t) => {
  const place = await makePlace(t)
  const gateway = await serve(t, place, { workers: 2 })
  await revoke(place.redis, ['jkt', clientKey.jkt])
  const files = ['', '.1'].map((worker) => join(place.folder, `audit-${gateway.port}${worker}.jsonl`))
  const enforces = (file: string): boolean => readFileSync(file, 'utf8').includes('"change":"revoked"')
  await waitFor('both workers', () => files.every(enforces))
  for (let i = 0; i < 10; i++) t.equal((await gateway.send(pay())).status, 401)
  const metrics = await (await fetch(`http://127.0.0.1:${gateway.admin}/metrics`)).text()
  t.match(metrics, /^holdfast_revocations\{kind="jkt"\} 1$/m, 'not the sum of both')
  t.match(metrics, /^holdfast_revocations_age_seconds \d/m)
  await place.redis.kill()
  const late = await serve(t, place, { workers: 2 })
  t.match(
    await (await fetch(`http://127.0.0.1:${late.admin}/metrics`)).text(),
    /^holdfast_revocations_age_seconds \d/m,
    'without one',
  )
})
