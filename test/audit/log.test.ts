// Lines on a real disk: in order, whole, synced, and what happens when the disk is full or the process dies.
import { execFileSync, spawn } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { type AuditLogOptions, fileOfWorker, openAuditLog } from '../../src/audit/log.js'
import { eventsIn, SIGNED } from '../support/audit.js'
import { waitFor } from '../support/fleet.js'

const event = (request_id: string, more: object = {}) => ({ event_type: 'authorization_decision', request_id, ...more })
type Line = { request_id?: string; seq: number; worker: number; instance: string; [member: string]: unknown }
const linesOf = (file: string): Line[] => eventsIn<Line>(file)

async function lab(t: Test, more: Partial<AuditLogOptions> = {}) {
  const logged: string[] = []
  const file = more.file ?? join(t.testdir(), 'audit.jsonl')
  const log = await openAuditLog({
    ...SIGNED,
    file,
    log: (message) => logged.push(message),
    ...more,
  })
  t.teardown(() => log.close())
  return { file, log, logged }
}

t.test('writes one JSON line an event, in the order of seq', async (t) => {
  const { file, log } = await lab(t)
  const waiting: Promise<boolean>[] = []
  for (let i = 0; i < 300; i++) {
    if (i % 3 === 0) waiting.push(log.writeDurable(event(`r${i}`)))
    else log.write(event(`r${i}`, { path: `/é"\n\u2028\u0000\ud800`, list: ['a', 'b'], gone: undefined }))
    if (i % 50 === 0) await sleep(1)
  }
  t.ok((await Promise.all(waiting)).every((written) => written))
  await log.close()
  const lines = linesOf(file)
  t.same(
    lines.map(({ request_id, seq }) => [request_id, seq]),
    Array.from({ length: 300 }, (_, i) => [`r${i}`, i + 1]),
  )
  t.match(lines[1], { worker: 0, instance: 'i-1', path: `/é"\n\u2028\u0000\ud800`, list: ['a', 'b'] })
  t.notOk('gone' in (lines[1] ?? {}))
  t.notOk('level' in (lines[1] ?? {}))
  t.equal(readFileSync(file, 'utf8').split('\n').length, 303, 'and a checkpoint at the beginning and at the end')
})

t.test('shares one fsync among all who wait', async (t) => {
  const { log, file } = await lab(t)
  const answers = await Promise.all(Array.from({ length: 32 }, (_, i) => log.writeDurable(event(`r${i}`))))
  t.ok(answers.every((written) => written))
  t.equal(log.counters().syncs, 1)
  t.equal(linesOf(file).length, 32, 'there before the promise is')
  log.write(event('r'))
  await sleep(150)
  t.equal(linesOf(file).length, 33, 'within 100 ms')
  t.equal(log.counters().syncs, 1, 'nobody waited')
  t.equal(log.degraded(), null)
})

t.test('each worker has a file of its own, mode 0600, and appends', async (t) => {
  t.equal(fileOfWorker('/var/log/audit.jsonl', 0), '/var/log/audit.jsonl')
  t.equal(fileOfWorker('/var/log/audit.jsonl', 3), '/var/log/audit.3.jsonl')
  t.equal(fileOfWorker('/var/log.d/audit', 1), '/var/log.d/audit.1')
  const file = join(t.testdir(), 'audit.jsonl')
  for (const worker of [0, 1, 0]) {
    const { log } = await lab(t, { file, worker })
    t.ok(await log.writeDurable(event(`w${worker}`)))
    await log.close()
  }
  t.equal(linesOf(file).length, 2)
  t.match(linesOf(fileOfWorker(file, 1)), [{ worker: 1, request_id: 'w1' }])
  t.equal(statSync(file).mode & 0o777, 0o600)
})

t.test('refuses to open what it can not write, and says what to do', async (t) => {
  const dir = t.testdir({ file: '' })
  const open = (file: string) => openAuditLog({ ...SIGNED, file, refusalsPerSecond: 1, instance: 'i', worker: 0, log: () => {} })
  await t.rejects(open(join(dir, 'none', 'audit.jsonl')), /ENOENT.*create its directory/)
  await t.rejects(open(dir), /EISDIR/)
  await t.rejects(open(join(dir, 'file', 'audit.jsonl')), /ENOTDIR/)
})

t.test('begins on a new line after a process that died within one', async (t) => {
  const file = join(t.testdir(), 'audit.jsonl')
  writeFileSync(file, '{"event_type":"authorization_dec')
  const { log } = await lab(t, { file })
  t.ok(await log.writeDurable(event('after')))
  t.match(readFileSync(file, 'utf8'), /^\{"event_type":"authorization_dec\n\{.*"begin".*\}\n\{.*"after".*\}\n$/)
})

t.test('every line that was said to be on disk is there after kill -9', async (t) => {
  const file = join(t.testdir(), 'audit.jsonl')
  const child = spawn(process.execPath, [new URL('./writer.js', import.meta.url).pathname, file], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let told = ''
  child.stdout.on('data', (chunk: Buffer) => {
    told += chunk
    if (told.length > 4000) child.kill('SIGKILL')
  })
  await new Promise((resolve) => child.once('close', resolve))
  t.equal(child.signalCode, 'SIGKILL')
  const ids = told.split('\n').slice(0, -1)
  t.ok(ids.length > 500)
  const text = readFileSync(file, 'utf8')
  const whole = text.slice(0, text.lastIndexOf('\n'))
  const there = new Set(whole.split('\n').map((line) => (JSON.parse(line) as Line).request_id))
  t.same(
    ids.filter((id) => !there.has(id)),
    [],
  )
})

t.test('a device that is always full: durable is refused, the rest waits, bounded', async (t) => {
  const { log, logged } = await lab(t, { file: '/dev/full' })
  const started = performance.now()
  t.same(await Promise.all([log.writeDurable(event('a')), log.writeDurable(event('b'))]), [false, false])
  t.equal(await log.writeDurable(event('c')), false)
  t.ok(performance.now() - started < 100)
  t.match(log.degraded(), /ENOSPC/)
  t.match(logged, [/ENOSPC.*durable requests are refused/])
  const big = event('x', { path: 'x'.repeat(8000) })
  for (let i = 0; i < 3000; i++) log.write(big)
  t.ok(log.counters().dropped > 900 && log.counters().dropped < 1000, '16 MiB wait, the rest is dropped')
  t.match(log.degraded(), /ENOSPC.*lines lost/)
  t.match(logged.join('\n'), /dropped/)
  t.equal(await log.writeDurable(event('d')), false)
  await log.close()
  t.match(logged.at(-1), /unwritten/)
  log.write(event('late'))
  t.equal(await log.writeDurable(event('late')), false, 'closed is closed')
})

/** A real file system of 128 KiB, where this user may mount one. */
function smallDisk(t: Test): string | null {
  const dir = mkdtempSync(join(tmpdir(), 'holdfast-audit-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=128k', 'tmpfs', dir], { stdio: 'ignore' })
  } catch {
    rmSync(dir, { recursive: true })
    t.pass('skipped: no file system can be mounted here')
    return null
  }
  t.teardown(() => {
    // Lazily: the log that is closed after this still has its file open.
    execFileSync('umount', ['-l', dir])
    rmSync(dir, { recursive: true })
  })
  return dir
}

t.test('a disk that runs full: no torn line, no line of a refused request, and it recovers by itself', async (t) => {
  const disk = smallDisk(t)
  if (disk === null) return
  const { log, file, logged } = await lab(t, { file: join(disk, 'audit.jsonl') })
  const path = 'x'.repeat(1500)
  const written = new Set<string>()
  const refused = new Set<string>()
  for (let i = 0; refused.size < 5; i++) {
    const ids = [`d${i}-0`, `d${i}-1`, `d${i}-2`]
    const answers = await Promise.all(ids.map((id) => log.writeDurable(event(id, { path }))))
    ids.forEach((id, n) => {
      ;(answers[n] ? written : refused).add(id)
    })
  }
  t.match(log.degraded(), /ENOSPC/)
  log.write(event('meanwhile', { path }))
  const full = readFileSync(file, 'utf8')
  t.ok(full.endsWith('\n'), 'no torn line')
  const there = () => new Set(linesOf(file).map(({ request_id }) => request_id))
  t.same(there(), written, 'what was written is there, what was refused is not')

  // What log rotation with copytruncate does.
  truncateSync(file, 0)
  await sleep(1300)
  t.equal(log.degraded(), null)
  t.match(logged.at(-1), /writes again/)
  t.ok(await log.writeDurable(event('after')))
  t.same([...there()], ['meanwhile', 'after'])
})

t.test('a file system that becomes full again and again never tears a line', async (t) => {
  const disk = smallDisk(t)
  if (disk === null) return
  const { log, file } = await lab(t, { file: join(disk, 'audit.jsonl') })
  const acknowledged: string[] = []
  const found = new Set<unknown>()
  for (let round = 0; round < 8; round++) {
    for (let i = 0; i < 30; i++) {
      const ids = Array.from({ length: 8 }, (_, n) => `${round}-${i}-${n}`)
      const answers = await Promise.all(ids.map((id) => log.writeDurable(event(id, { path: 'x'.repeat(700 + 13 * i) }))))
      acknowledged.push(...ids.filter((_, n) => answers[n]))
    }
    for (const { request_id } of linesOf(file)) found.add(request_id)
    truncateSync(file, 0)
    await sleep(110)
  }
  t.ok(acknowledged.length > 100 && acknowledged.length < 8 * 30 * 8)
  t.same([...found].sort(), [...acknowledged].sort())
})

t.test('reopens after the file was renamed', async (t) => {
  const { log, file, logged } = await lab(t)
  await log.writeDurable(event('old'))
  renameSync(file, `${file}.1`)
  const during = log.writeDurable(event('during'))
  await log.reopen()
  await during
  t.ok(await log.writeDurable(event('new')))
  t.match(linesOf(`${file}.1`), [{ request_id: 'old' }, { request_id: 'during' }])
  t.match(linesOf(file), [{ request_id: 'new' }])
  rmSync(file)
  mkdirSync(file)
  await log.reopen()
  t.match(logged.at(-1), /EISDIR.*old file goes on/)
  t.ok(await log.writeDurable(event('still')))
})

t.test('follows a rotation that sends no signal', { timeout: 60_000 }, async (t) => {
  const { log, file, logged } = await lab(t)
  await log.writeDurable(event('old'))
  renameSync(file, `${file}.1`)
  t.ok(await log.writeDurable(event('between')))
  await waitFor('a new file is there', () => existsSync(file))
  t.same(linesOf(file), [], 'before anything is written to it')
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.ok(await log.writeDurable(event('new')))
  t.match(linesOf(`${file}.1`), [{ request_id: 'old' }, { request_id: 'between' }])
  t.match(linesOf(file), [{ request_id: 'new' }])

  rmSync(file)
  mkdirSync(file)
  await waitFor('it is said that there is no file', () => logged.length > 0)
  t.match(logged, [/EISDIR.*old file goes on/])
  t.ok(await log.writeDurable(event('still')))
  await log.reopen()
  await log.reopen()
  t.equal(logged.length, 1, 'once')
  rmSync(file, { recursive: true })
  await waitFor('the file is there again', () => existsSync(file))
  t.ok(await log.writeDurable(event('again')))
  t.match(linesOf(file), [{ request_id: 'again' }])
})

t.test('bounds the refusals of callers who have proven nothing', async (t) => {
  const { log, file } = await lab(t, { refusalsPerSecond: 3 })
  const refuse = (count: number, reason: string) => {
    for (let i = 0; i < count; i++) log.writeUnproven(event(`r${i}`, { reason, time: `t${i}` }))
  }
  refuse(2, 'token_malformed')
  refuse(5, 'proof_missing')
  refuse(2, 'token_malformed')
  log.write(event('proven'))
  await sleep(1200)
  refuse(4, 'token_expired')
  t.equal(log.counters().counted, 7)
  await log.close()
  const lines = linesOf(file)
  t.same(
    lines.map(({ event_type, reason, request_id }) => reason ?? request_id ?? event_type),
    [
      'token_malformed',
      'token_malformed',
      'proof_missing',
      'proven',
      'refusals_summary',
      'token_expired',
      'token_expired',
      'token_expired',
      'refusals_summary',
    ],
  )
  t.match(lines[4], { counts: { proof_missing: 4, token_malformed: 2 }, time: 't1', seq: 5 })
  t.match(lines[8], { counts: { token_expired: 1 } }, 'what is counted is told even at the end')
})

t.test('standard output takes lines too', async (t) => {
  const code = `
    import { openAuditLog } from ${JSON.stringify(new URL('../../src/audit/log.js', import.meta.url).href)}
    import { SIGNED } from ${JSON.stringify(new URL('../support/audit.js', import.meta.url).href)}
    const log = await openAuditLog({ ...SIGNED, file: null, refusalsPerSecond: 1, instance: 'i', worker: 2, log: () => {} })
    log.write({ event_type: 'a', request_id: 'r1', path: 'x'.repeat(200000) })
    if (!(await log.writeDurable({ event_type: 'a', request_id: 'r2' }))) process.exit(1)
    if (log.counters().syncs !== 0) process.exit(2)
    await log.close()
  `
  const out = execFileSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' })
  const lines = out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line)
    .filter((line) => line.event_type !== 'checkpoint')
  t.match(lines, [{ request_id: 'r1', worker: 2 }, { request_id: 'r2' }])
})

t.test('a sink that does not answer: durable is refused within a second, then at once, until it answers', async (t) => {
  const file = join(t.testdir(), 'audit.fifo')
  execFileSync('mkfifo', [file])
  const { log, logged } = await lab(t, { file })
  const started = performance.now()
  t.equal(await log.writeDurable(event('a', { path: 'x'.repeat(200_000) })), false)
  const waited = performance.now() - started
  t.ok(waited > 700 && waited < 1900, `${waited} ms; a second is for a machine that has time`)
  t.match(log.degraded(), /not answered/)
  const again = performance.now()
  t.equal(await log.writeDurable(event('b')), false)
  t.ok(performance.now() - again < 50)
  const reader = spawn('cat', [file], { stdio: 'ignore' })
  t.teardown(() => reader.kill())
  while (log.degraded() !== null) await sleep(20)
  t.match(logged.at(-1), /writes again/)
  t.ok(await log.writeDurable(event('c')))
})

t.test('who comes while a write hangs waits no longer than who came first', async (t) => {
  const file = join(t.testdir(), 'audit.fifo')
  execFileSync('mkfifo', [file])
  const { log } = await lab(t, { file })
  log.write(event('a', { path: 'x'.repeat(200_000) }))
  await sleep(400)
  const started = performance.now()
  t.equal(await log.writeDurable(event('b')), false)
  t.ok(performance.now() - started < 1000)
  const reader = spawn('cat', [file], { stdio: 'ignore' })
  t.teardown(() => reader.kill())
  await waitFor('the disk is well', () => log.degraded() === null)
  t.ok(await log.writeDurable(event('c')))
})

t.test('a file that others write to as well keeps its lines apart', async (t) => {
  const { log, file } = await lab(t)
  await log.writeDurable(event('a'))
  appendFileSync(file, '{"other":1}\n')
  chmodSync(file, 0o640)
  await log.writeDurable(event('b'))
  t.equal(linesOf(file).length, 3)
  t.equal(statSync(file).mode & 0o777, 0o640, 'an operator’s mode is kept')
})
