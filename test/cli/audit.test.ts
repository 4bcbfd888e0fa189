// `holdfast audit`: what was done to a log is found, where it was done, and a log that nothing was done to is whole.
import { execFileSync } from 'node:child_process'
import { appendFileSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { type AuditLogOptions, openAuditLog } from '../../src/audit/log.js'
import { audit } from '../../src/cli/audit.js'
import { loadSigningKeys } from '../../src/keys/signing.js'
import { auditKeys, SIGNED } from '../support/audit.js'

const JWKS = JSON.stringify(auditKeys.jwks)

/** A folder with `keys.jwks`. */
function makeFolder(t: Test): string {
  const folder = t.testdir({ 'keys.jwks': JWKS })
  return folder
}

const openLog = (folder: string, more: Partial<AuditLogOptions> = {}) =>
  openAuditLog({
    ...SIGNED,
    file: join(folder, 'audit.jsonl'),
    log: () => undefined,
    ...more,
  })

const event = (id: number, more: object = {}) => ({
  event_type: 'authorization_decision',
  time: new Date(1_800_000_000_000 + id * 1000).toISOString(),
  request_id: `r${id}`,
  subject: `user-${id % 3}`,
  client_id: id % 2 === 0 ? 'even' : 'odd',
  ...more,
})

/** Twelve events, a checkpoint behind the sixth, one at each end: 15 lines. */
async function writeLog(folder: string, more: Partial<AuditLogOptions> = {}): Promise<string> {
  const log = await openLog(folder, { checkpoints: 0.05, ...more })
  for (let id = 1; id <= 6; id++) log.write(event(id))
  await sleep(300)
  for (let id = 7; id <= 12; id++) log.write(event(id))
  await log.close()
  return join(folder, 'audit.jsonl')
}

async function run(folder: string, ...args: string[]) {
  const out: string[] = []
  const err: string[] = []
  const io = { out: (line: string) => out.push(line), err: (line: string) => err.push(line), env: {}, cwd: folder }
  const code = await audit.run(args, io)
  return { code, out, err }
}
const verifyIn = (folder: string, ...args: string[]) => run(folder, 'verify', '--jwks', 'keys.jwks', ...args)

t.test('a log that nothing was done to is whole', async (t) => {
  const folder = makeFolder(t)
  const file = await writeLog(folder)
  const lines = readFileSync(file, 'utf8').trim().split('\n')
  t.equal(lines.length, 15)
  t.match(lines[0], /^\{"prev":null,.*"at":"begin"/)
  const { code, out, err } = await verifyIn(folder, 'audit.jsonl')
  t.same(err, [])
  t.match(out, [/^audit\.jsonl: 12 events, 3 checkpoints, 20\d\d-/, /^whole: /])
  t.equal(code, 0)
  const hash =
    execFileSync('sh', ['-c', 'sed -n 4p audit.jsonl | sha256sum'], { cwd: folder, encoding: 'utf8' }).split(' ')[0] ?? ''
  t.equal(JSON.parse(lines[4] ?? '').prev, Buffer.from(hash, 'hex').toString('base64url'), 'as anyone can see with sha256sum')
})

/** What someone does to the lines of a log (from 0), and what is said of it. */
const DEEDS: readonly [name: string, (lines: string[]) => string[], says: RegExp][] = [
  ['removed', (l) => l.filter((_, i) => i !== 3), /^audit.jsonl:4: .*events 3 to 3 \(seq\) are missing/],
  ['several removed', (l) => l.filter((_, i) => i < 2 || i > 4), /^audit.jsonl:3: .*events 2 to 4 \(seq\) are missing/],
  ['changed', (l) => l.with(3, (l[3] ?? '').replace('user-0', 'user-9')), /^audit.jsonl:5: .*line before it, which was changed/],
  [
    'one byte of a checkpoint changed',
    (l) => l.with(7, (l[7] ?? '').replace(/"checkpoint":"(.{200})./, '"checkpoint":"$1-')),
    /^audit.jsonl:8: .*checkpoint/,
  ],
  ['reordered', (l) => l.with(3, l[4] ?? '').with(4, l[3] ?? ''), /^audit.jsonl:5: is out of order/],
  ['repeated', (l) => l.toSpliced(4, 0, l[3] ?? ''), /^audit.jsonl:5: is out of order/],
  [
    'put in',
    (l) => l.toSpliced(4, 0, '{"prev":null,"seq":99,"event_type":"authorization_decision"}'),
    /^audit.jsonl:5: does not go on/,
  ],
  ['garbage put in', (l) => l.toSpliced(4, 0, 'nonsense'), /^audit.jsonl:5: is no line of the gateway/],
  ['cut off at the end', (l) => l.slice(0, -1), /^audit.jsonl:14: ends with 6 events behind the last checkpoint/],
  ['cut off at a checkpoint', (l) => l.slice(0, 8), /^audit.jsonl:8: ends at a checkpoint, not at an end/],
  ['cut off at the beginning', (l) => l.slice(1), /^audit.jsonl:1: is not where a gateway begins/],
  ['cut off at the beginning up to a checkpoint', (l) => l.slice(7), /^audit.jsonl:1: is not where a gateway begins/],
  ['a checkpoint removed', (l) => l.filter((_, i) => i !== 7), /^audit.jsonl:8: does not go on/],
  ['a checkpoint moved', (l) => l.filter((_, i) => i !== 7).toSpliced(5, 0, l[7] ?? ''), /^audit.jsonl:6: does not go on/],
]

t.test('whatever is done to it is found, and where', async (t) => {
  const folder = makeFolder(t)
  const file = await writeLog(folder)
  const lines = readFileSync(file, 'utf8').trim().split('\n')
  for (const [name, deed, says] of DEEDS) {
    writeFileSync(file, `${deed(lines).join('\n')}\n`)
    const { code, err, out } = await verifyIn(folder, 'audit.jsonl')
    t.equal(code, 1, name)
    t.ok(
      err.some((line) => says.test(line)),
      `${name}: ${err.join('; ')}`,
    )
    t.match(out.at(-1), /^not whole: \d+ problem/)
  }
})

t.test('any byte changed, any line removed, any place cut: never whole', async (t) => {
  const folder = makeFolder(t)
  const file = await writeLog(folder)
  const bytes = readFileSync(file)
  const isWhole = async (changed: Uint8Array): Promise<boolean> => {
    writeFileSync(file, changed)
    return (await verifyIn(folder, 'audit.jsonl')).code === 0
  }
  t.ok(await isWhole(bytes))
  const missed: string[] = []
  for (let at = 0; at < bytes.length; at += 7) {
    const changed = Buffer.from(bytes)
    changed[at] = (bytes[at] ?? 0) ^ 1
    if (await isWhole(changed)) missed.push(`byte ${at}`)
  }
  for (let at = 0; at < bytes.length - 1; at += 13) if (await isWhole(bytes.subarray(0, at))) missed.push(`cut at ${at}`)
  // Nothing at all is what a gateway leaves that had nothing to write.
  t.same(missed, ['cut at 0'])
})

t.test('who has no key can make no checkpoint', async (t) => {
  const folder = makeFolder(t)
  const { privateKey } = (await import('node:crypto')).generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const strange = loadSigningKeys([privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()])
  const { kid } = auditKeys.current
  await writeLog(folder, { signer: () => strange.current })
  t.match((await verifyIn(folder, 'audit.jsonl')).err[0], /^audit.jsonl:1: is a checkpoint signed by a key that was not given/)
  writeFileSync(join(folder, 'audit.jsonl'), '')
  await writeLog(folder, { signer: () => ({ ...strange.current, kid }) })
  t.match((await verifyIn(folder, 'audit.jsonl')).err[0], /^audit.jsonl:1: is a checkpoint with a wrong signature/)
})

t.test('goes on after a restart, and over files that were put aside', async (t) => {
  const folder = makeFolder(t)
  const file = await writeLog(folder)
  await writeLog(folder, { instance: 'i-2' })
  t.match(await verifyIn(folder, 'audit.jsonl'), { code: 0, out: [/24 events, 6 checkpoints/, /whole/] })

  // By somebody else, with a rename.
  const log = await openLog(folder)
  await log.writeDurable(event(20))
  renameSync(file, join(folder, 'old.jsonl'))
  await log.writeDurable(event(21))
  await log.reopen()
  await log.writeDurable(event(22))
  await log.close()
  t.match(await verifyIn(folder, 'audit.jsonl', 'old.jsonl'), { code: 0, err: [] }, 'in whatever order')
  const alone = await verifyIn(folder, 'audit.jsonl')
  t.match(alone, { code: 0, out: [/audit.jsonl:1: note: goes on from a file that was not given/, /./, /whole/] })

  // By the gateway itself.
  const size = await openLog(folder, { rotate: { size: 20_000, keep: 3 }, instance: 'i-4' })
  for (let id = 100; id < 400; id++) await size.writeDurable(event(id, { path: 'x'.repeat(300) }))
  await size.close()
  const aside = readdirSync(folder)
    .filter((name) => /^audit\.\d{8}T\d{6}\.\d{3}Z\.jsonl$/.test(name))
    .sort()
  t.equal(aside.length, 3, 'older ones are deleted')
  t.match(await verifyIn(folder, ...aside, 'audit.jsonl'), { code: 0, err: [] })
  const [first = '', middle = '', last = ''] = aside
  const gap = await verifyIn(folder, first, last, 'audit.jsonl')
  t.match(gap, { code: 1, err: [new RegExp(`^${last}:1: does not go on where ${first} ends`)] })
  t.match(await verifyIn(folder, first, middle, last), { code: 0 }, 'each ends with a checkpoint of its own')
})

t.test('a gateway that was killed left its log so, and one that runs', async (t) => {
  const folder = makeFolder(t)
  const file = await writeLog(folder)
  const lines = readFileSync(file, 'utf8').trim().split('\n')
  writeFileSync(file, `${lines.slice(0, 11).join('\n')}\n${(lines[11] ?? '').slice(0, 40)}`)
  t.match((await verifyIn(folder, 'audit.jsonl')).err, [/:12: is cut off/, /:12: ends with 3 events behind the last checkpoint/])
  t.match(await verifyIn(folder, '--running', 'audit.jsonl'), { code: 0, err: [], out: [/:12: note/, /:12: note/, /./, /whole/] })

  await writeLog(folder, { instance: 'i-2' })
  const { code, out, err } = await verifyIn(folder, 'audit.jsonl')
  t.same(err, [])
  t.match(out, [/:12: note: was torn/, /:13: note: begins anew: the gateway before it had no time to end/, /21 events/, /whole/])
  t.equal(code, 0)

  appendFileSync(file, 'x')
  t.equal((await verifyIn(folder, 'audit.jsonl')).code, 1)
})

t.test('export prints what is asked for, as it stands', async (t) => {
  const folder = makeFolder(t)
  const file = await writeLog(folder)
  const log = await openLog(folder)
  log.write({ event_type: 'request_outcome', request_id: 'r4', upstream_status: 200 })
  log.write({ event_type: 'request_outcome', request_id: 'r5', upstream_status: 200 })
  await log.close()
  const exportOf = async (...args: string[]) => {
    const { code, out, err } = await run(folder, 'export', '--jwks', 'keys.jwks', ...args, 'audit.jsonl')
    t.equal(code, 0)
    t.match(err, [/^whole/])
    t.ok(out.every((line) => readFileSync(file, 'utf8').includes(`${line}\n`)))
    return out.map((line) => `${JSON.parse(line).event_type === 'request_outcome' ? 'o' : ''}${JSON.parse(line).request_id}`)
  }
  t.same(await exportOf('--request', 'r4'), ['r4', 'or4'])
  t.same(await exportOf('--subject', 'user-1'), ['r1', 'r4', 'r7', 'r10', 'or4'])
  t.same(await exportOf('--subject', 'user-1', '--client', 'odd'), ['r1', 'r7'])
  t.same(await exportOf('--client', 'odd', '--since', event(7).time, '--until', event(10).time), ['r7', 'r9'])
  t.equal((await exportOf()).length, 14)

  writeFileSync(file, readFileSync(file, 'utf8').replace('user-1', 'user-2'))
  const { code, out, err } = await run(folder, 'export', '--jwks', 'keys.jwks', '--request', 'r9', 'audit.jsonl')
  t.match({ code, out, err }, { code: 1, out: [/"r9"/], err: [/which was changed/, /not whole/] }, 'with what is wrong beside it')
})

t.test('says what is wrong with how it was called', async (t) => {
  const folder = makeFolder(t)
  mkdirSync(join(folder, 'directory'))
  const wrong = async (code: number, says: RegExp, ...args: string[]) => {
    const { code: was, err } = await run(folder, ...args)
    t.equal(was, code, args.join(' '))
    t.match(err.join('\n'), says)
  }
  await wrong(2, /expected verify or export/)
  await wrong(2, /expected verify or export/, 'list', 'a')
  await wrong(2, /verify expects the files/, 'verify')
  await wrong(2, /leave the filter out/, 'verify', '--client', 'a', 'audit.jsonl')
  await wrong(2, /expected a time/, 'export', '--since', 'yesterday', 'audit.jsonl')
  await wrong(2, /Unknown option/, 'verify', '--fast', 'audit.jsonl')
  await wrong(1, /--config routes.yaml, or --jwks FILE/, 'verify', 'audit.jsonl')
  await wrong(1, /keys.json can't be read \(ENOENT\)/, 'verify', '--jwks', 'keys.json', 'audit.jsonl')
  await wrong(1, /audit.jsonl can't be read \(ENOENT\)/, 'verify', '--jwks', 'keys.jwks', 'audit.jsonl')
  await wrong(1, /directory can't be read \(EISDIR\)/, 'verify', '--jwks', 'keys.jwks', 'directory')
})
