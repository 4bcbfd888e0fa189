// Several workers as an operator lives with them: crashes, starts that can't succeed, reloads, and a primary that is gone.

import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { makeCertificate } from '../support/certs.js'
import { startCallers } from '../support/crowd.js'
import { makeDraft, printDraft } from '../support/draft.js'
import { type Fleet, HOST, isAlive, makePlace, OPEN, serve, waitFor } from '../support/fleet.js'
import type { RawClient } from '../support/raw.js'

const paid = () => printDraft(makeDraft({ host: HOST, path: '/pay' }))

/** A connection that asks on and on, and the worker that serves it. */
type Caller = { readonly worker: number; readonly answers: number[]; readonly end: () => void; failed: boolean }

async function startCaller(gateway: Fleet): Promise<Caller> {
  const client: RawClient = await gateway.open()
  client.send(OPEN)
  const first = await client.response()
  const worker = await gateway.workerOf(first.header('x-request-id'))
  let isOver = false
  const end = (): void => {
    isOver = true
  }
  const caller: Caller = { worker, answers: [first.status], end, failed: false }
  const ask = async (): Promise<void> => {
    while (!isOver) {
      client.send(OPEN)
      caller.answers.push((await client.response()).status)
      await sleep(10)
    }
    client.close()
  }
  ask().catch(() => {
    caller.failed = true
  })
  return caller
}

/** What `/readyz` says, by as many connections as it takes to hear every worker. */
async function degraded(gateway: Fleet, times = 6): Promise<readonly (readonly string[])[]> {
  const all: string[][] = []
  for (let i = 0; i < times; i++) {
    const reply = await fetch(`http://127.0.0.1:${gateway.admin}/readyz`, { headers: { connection: 'close' } })
    all.push(((await reply.json()) as { degraded: string[] }).degraded)
  }
  return all
}

t.test('one of two is killed under load: the other goes on without an error, and it is back soon', async (t) => {
  const place = await makePlace(t)
  const gateway = await serve(t, place, { workers: 2 })
  const environment = readFileSync(`/proc/${gateway.workers()[0]}/environ`, 'utf8')
  t.notMatch(environment, /HOLDFAST|SECRET/, 'what workers share is not in their environment')
  const callers = await Promise.all(Array.from({ length: 8 }, () => startCaller(gateway)))
  t.same(
    [0, 1].map((one) => callers.filter(({ worker }) => worker === one).length > 0),
    [true, true],
    'both serve',
  )

  gateway.killOne()
  await gateway.until(/a worker ended and is replaced/)
  const [end] = gateway.lines('a worker ended and is replaced')
  t.match(end, { signal: 'SIGKILL', in_ms: 0 })
  // In the gap, and on until another has its place.
  const gap: number[] = []
  await waitFor('another worker', async () => {
    gap.push((await gateway.send(OPEN)).status)
    return gateway.said().includes('in place of one that ended')
  })
  t.ok(
    gap.every((status) => status === 200),
    `${gap.length} new connections are served meanwhile`,
  )
  const [back] = gateway.lines('a worker accepts requests in place of one that ended')
  t.equal(back?.worker, end?.worker)
  t.comment(`back after ${Number(back?.time) - Number(end?.time)} ms`)
  const before = callers.map(({ answers }) => answers.length)
  await waitFor('answers on', () =>
    callers.every(({ worker, answers }, i) => worker === end?.worker || answers.length > (before[i] ?? 0) + 10),
  )
  for (const { worker, answers, failed } of callers) {
    t.equal(failed, worker === end?.worker, 'connections of the dead are lost, and no others')
    t.same([...new Set(answers)], [200])
  }
  for (const { end } of callers) end()
  const later = await Promise.all(Array.from({ length: 4 }, () => startCaller(gateway)))
  t.ok(
    later.some(({ worker }) => worker === end?.worker),
    'the new one has its share',
  )
  for (const { end } of later) end()
  gateway.child.kill('SIGTERM')
  t.equal(await gateway.ended, 0)
})

t.test(
  'no connection waits for a worker that is gone: who arrives while workers are killed is answered or told at once',
  async (t) => {
    const place = await makePlace(t)
    const gateway = await serve(t, place, { workers: 2, timing: { pace: { first: 1, longest: 2 } } })
    const callers = startCallers({
      open: () => gateway.open(),
      request: () => OPEN,
      kinds: { arrives: 40 },
      stays: true,
    })
    for (let deaths = 1; deaths <= 8; deaths++) {
      const before = callers.tally.answered
      await waitFor('answers', () => callers.tally.answered > before + 50)
      await waitFor('a worker to kill', () => gateway.workers().length > 0)
      gateway.killOne()
      await gateway.until(/a worker ended and is replaced/, deaths)
    }
    callers.stop()
    let isDone = false
    void callers.done.then(() => {
      isDone = true
    })
    await waitFor('every caller to hear something', () => isDone)
    const { answered, lost, broken, refused } = callers.tally
    t.comment(JSON.stringify({ answered, lost: lost.length, broken, refused }))
    t.equal(refused, 0, 'somebody listens all the time')
    t.ok(lost.length + broken <= 8 * 40, 'what the dead had taken')
  },
)

t.test('a worker that dies again and again is waited for longer each time', async (t) => {
  const place = await makePlace(t)
  const gateway = await serve(t, place, { workers: 2, timing: { pace: { first: 200, longest: 60_000 } } })
  const [survivor, ...others] = gateway.workers()
  for (let deaths = 1; deaths <= 4; deaths++) {
    const victim = (): number | undefined => gateway.workers().find((pid) => pid !== survivor)
    await waitFor('a worker to kill', () => victim() !== undefined)
    process.kill(Number(victim()), 'SIGKILL')
    await gateway.until(/a worker ended and is replaced/, deaths)
    t.equal((await gateway.send(OPEN)).status, 200, 'the other serves')
  }
  t.equal(others.length, 1)
  t.same(
    gateway.lines('a worker ended and is replaced').map(({ in_ms }) => in_ms),
    [0, 200, 400, 800],
  )
})

t.test('a worker that stands still is ended and replaced, also while the gateway drains', async (t) => {
  const place = await makePlace(t)
  const gateway = await serve(t, place, { workers: 2, timing: { pulse: { beat: 300, missed: 20 } } })
  const stand = (): void => {
    const [pid] = gateway.workers()
    // As a loop that does not end: it takes nothing, says nothing, and does not heed SIGTERM.
    process.kill(Number(pid), 'SIGSTOP')
  }
  const [stopped] = gateway.workers()
  stand()
  const arrivals = Array.from({ length: 6 }, () => gateway.send(OPEN))
  await gateway.until(/a worker does not answer any more and is ended/)
  await gateway.until(/in place of one that ended/)
  t.notOk(isAlive(Number(stopped)))
  const statuses = (await Promise.all(arrivals)).map(({ status }) => status)
  t.same(statuses, Array(6).fill(200), 'also who was on the way to it')
  t.match(gateway.lines('a worker ended and is replaced'), [{ signal: 'SIGKILL' }])
  t.equal(gateway.workers().length, 2)
  for (let i = 0; i < 4; i++) t.equal((await gateway.send(OPEN)).status, 200)

  stand()
  gateway.child.kill('SIGTERM')
  t.equal(await gateway.ended, 1, 'one of them has lost what it had')
  t.equal(gateway.lines('a worker does not answer any more and is ended').length, 2)
})

t.test("a start that can't succeed ends with exit code 1 and says why, with one process and with two", async (t) => {
  const place = await makePlace(t)
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => taken.close())
  const { port } = taken.address() as AddressInfo
  const fleets = [1, 2].map((workers) => serve(t, place, { workers, port }, true))
  for (const fleet of await Promise.all(fleets)) {
    t.equal(await fleet.ended, 1)
    t.match(fleet.said(), new RegExp(`can't listen on 127.0.0.1:${port} \\(.*EADDRINUSE`))
    t.notMatch(fleet.said(), /"accepting requests"/)
  }
})

t.test('without its primary a worker finishes what is in flight and ends, and the port is free', async (t) => {
  const waiting: (() => void)[] = []
  const place = await makePlace(t, (send) => void waiting.push(send))
  const gateway = await serve(t, place, { workers: 2 })
  const workers = gateway.workers()
  const replies = [gateway.send(paid()), gateway.send(paid()), gateway.send(paid())]
  await waitFor('requests in flight', () => waiting.length === 3)
  gateway.child.kill('SIGKILL')
  await gateway.until(/the primary process is gone/, 2)
  await t.rejects(gateway.send(paid()), 'nothing new is accepted')
  t.ok(workers.every(isAlive), 'they wait for the upstream')
  for (const send of waiting) send()
  for (const reply of replies) t.equal((await reply).status, 200)
  await waitFor('the end of the workers', () => !workers.some(isAlive))
  const next = await serve(t, place, { workers: 2, port: gateway.port })
  const reply = next.send(OPEN)
  await waitFor('a request', () => waiting.length === 4)
  waiting[3]?.()
  t.equal((await reply).status, 200)
})

t.test('a signal that reaches the primary and its workers alike drains once', async (t) => {
  const waiting: (() => void)[] = []
  const place = await makePlace(t, (send) => void waiting.push(send))
  const gateway = await serve(t, place, { workers: 2 })
  const replies = [gateway.send(paid()), gateway.send(paid())]
  await waitFor('requests in flight', () => waiting.length === 2)
  // As a service manager does to a whole control group, and a terminal to its foreground.
  for (const signal of ['SIGHUP', 'SIGTERM'] as const) process.kill(-Number(gateway.child.pid), signal)
  await gateway.until(/"draining"/, 3)
  for (const send of waiting) send()
  for (const reply of replies) t.equal((await reply).status, 200)
  t.equal(await gateway.ended, 0)
})

t.test('a reload is taken by all or by none, and one that starts later serves by the same', async (t) => {
  const place = await makePlace(t)
  const gateway = await serve(t, place, { workers: 2 })
  const text = readFileSync(gateway.file, 'utf8')
  const reload = (changed: string): void => {
    writeFileSync(gateway.file, changed)
    gateway.child.kill('SIGHUP')
  }
  const statuses = async (): Promise<readonly number[]> => {
    const replies = await Promise.all(Array.from({ length: 6 }, () => gateway.send(paid())))
    return [...new Set(replies.map(({ status }) => status))]
  }
  const callers = await Promise.all(Array.from({ length: 4 }, () => startCaller(gateway)))

  reload(text.replace('tier: sensitive_read', 'tier: nonsense'))
  await gateway.until(
    /"reload: 1 problem\(s\) in the configuration, first \S+:\d+:\d+ routes\.0\.tier: .*; the old one serves on"/,
  )
  await waitFor('all workers to say so', async () => (await degraded(gateway)).every(([why]) => why?.startsWith('reload: 1 ')))
  t.equal([...gateway.said().matchAll(/"msg":"\S+ routes\.0\.tier/g)].length, 1, 'the problem is said once')
  gateway.killOne()
  await gateway.until(/in place of one that ended/)
  t.same(await statuses(), [200], 'also by a worker that was started beside the bad file')
  t.ok((await degraded(gateway)).every(([why]) => why?.startsWith('reload: 1 ')))

  // What only OpenSSL finds wrong, when the first worker is to take it.
  const [key, cert] = ['server.key', 'server.crt'].map((name) => join(place.folder, name)) as [string, string]
  const files = [key, cert].map((name) => [name, readFileSync(name, 'utf8')] as const)
  const weak = await makeCertificate({ keyType: 'RSA 1024', names: [HOST] })
  writeFileSync(key, weak.key)
  writeFileSync(cert, weak.cert)
  reload(text.replace('path: /pay', 'path: /other'))
  await gateway.until(/"worker \d: reload: .*the old one serves on"/)
  await waitFor('all workers to say so', async () => (await degraded(gateway)).every(([why]) => why?.startsWith('worker ')))
  t.same(await statuses(), [200])

  for (const [name, content] of files) writeFileSync(name, content)
  reload(text.replace('path: /pay', 'path: /other'))
  await gateway.until(/"reloaded"/)
  t.same(await statuses(), [404], 'all of them')
  t.same(await degraded(gateway), Array(6).fill([]))
  writeFileSync(gateway.file, text)
  gateway.killOne()
  await gateway.until(/in place of one that ended/, 2)
  t.same(await statuses(), [404], 'the file changed, but nobody said that it is to be taken')
  gateway.child.kill('SIGHUP')
  await gateway.until(/"reloaded"/, 2)
  t.same(await statuses(), [200])
  for (const { answers, end } of callers) {
    end()
    t.same([...new Set(answers)], [200])
  }
})

t.test('a connection that the primary accepted has the limits of any other', async (t) => {
  const place = await makePlace(t)
  const gateway = await serve(t, place, { workers: 2, limits: 'handshake: 1s, headers: 1s, idle: 1s' })
  const silent = connect(gateway.port, '127.0.0.1').resume()
  const gone = new Promise((resolve) => silent.on('error', () => undefined).once('close', resolve))
  const head = await gateway.open()
  head.send(OPEN.slice(0, 20))
  const idle = await gateway.open()
  idle.send(OPEN)
  t.equal((await idle.response()).status, 200)
  t.match(await head.ended(20_000), /^HTTP\/1\.1 408 /)
  t.equal(await idle.ended(20_000), '')
  await gone
})

t.test('beyond `connections` a new one is closed, and nobody is busy with it', async (t) => {
  const place = await makePlace(t)
  const gateway = await serve(t, place, { workers: 2, limits: 'connections: 4' })
  const { port } = gateway
  const clients: RawClient[] = []
  let refused = 0
  await waitFor('a full house', async () => {
    const client = await gateway.open().catch(() => null)
    if (client === null) refused += 1
    else clients.push(client)
    return refused >= 4
  })
  t.equal(clients.length, 4)
  const pids = [Number(gateway.child.pid), ...gateway.workers()]
  const before = cpuOf(pids)
  const started = Date.now()
  await sleep(1000)
  const share = (cpuOf(pids) - before) / (Date.now() - started)
  t.ok(share < 0.5, `${share.toFixed(2)} of one core, for doing nothing on ${port}`)
  for (const client of clients) client.close()
  await waitFor('room again', () =>
    gateway.send(OPEN).then(
      ({ status }) => status === 200,
      () => false,
    ),
  )
})

/** Milliseconds of CPU that processes have used; the kernel counts in hundredths of a second (proc(5)). */
const cpuOf = (pids: readonly number[]): number =>
  pids
    .map((pid) => readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [])
    .reduce((sum, fields) => sum + (Number(fields[11]) + Number(fields[12])) * 10, 0)
