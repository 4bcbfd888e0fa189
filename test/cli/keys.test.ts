// `holdfast keys`: what it writes, what it refuses, and what it leaves alone.

import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { keys } from '../../src/cli/keys.js'
import { loadConfig } from '../../src/config/load.js'
import { loadSigningKeys } from '../../src/keys/signing.js'
import { writeMaterial } from '../config/material.js'

const BEFORE = `version: 1
listen: { tls: { key: certs/server.key, cert: certs/server.crt } } # not to be touched
public_origins: [https://api.example.com]
watch: 10s
`
const AFTER = `
upstreams: { cases: { url: https://cases.internal } }
routes:
  - { path: /a, methods: [GET], tier: public, upstream: cases }
`
const ENV = { KEYS: 'certs' }

/** A folder with a routes.yaml whose assertion is written so. */
async function place(t: Test, assertion: string) {
  const cwd = t.testdir({})
  await writeMaterial(cwd)
  const file = join(cwd, 'routes.yaml')
  writeFileSync(file, BEFORE + assertion + AFTER)
  /** As if nobody had touched it for so many seconds. */
  const age = (seconds: number): void => utimesSync(file, Date.now() / 1000, Date.now() / 1000 - seconds)
  const run = async (...args: readonly string[]) => {
    const out: string[] = []
    const err: string[] = []
    const io = { out: (line: string) => void out.push(line), err: (line: string) => void err.push(line), env: ENV, cwd }
    return { code: await keys.run(args, io), out, err }
  }
  const states = async () => (await run('list')).out.slice(1).map((line) => line.split(/ {2,}/))
  return { cwd, file, age, run, states, text: () => readFileSync(file, 'utf8') }
}

t.test('a whole rotation', async (t) => {
  const { cwd, age, run, states, text } = await place(t, 'assertion: { ttl: 20s, key: certs/assertion.key } # ours')
  const [kid] = loadSigningKeys([readFileSync(join(cwd, 'certs/assertion.key'), 'utf8')]).jwks.keys.map((jwk) => jwk.kid)
  t.match(await states(), [['current', kid, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, 'certs/assertion.key', 'new']])

  chmodSync(join(cwd, 'certs/assertion.key'), 0o644)
  t.match(await run('new', 'certs/second.key'), { code: 0, err: [], out: [/is made, and published/, /keys: \[.*second\.key\]/] })
  t.equal(text(), `${BEFORE}assertion: { ttl: 20s, keys: [certs/assertion.key, certs/second.key] } # ours${AFTER}`)
  t.equal(statSync(join(cwd, 'certs/second.key')).mode & 0o777, 0o640, 'readable to whom the current one is, never to all')
  t.match(
    readFileSync(join(cwd, 'certs/second.key'), 'utf8'),
    /^Made: \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\n-----BEGIN PRIVATE KEY-----\n/,
  )
  t.match(await states(), [['current'], ['next', /.{43}/, String, 'certs/second.key', /^use, from /]])

  t.match(await run('use', 'certs/second.key'), { code: 1, out: [], err: [/may not have fetched this key.*wait until 20/] })
  age(590)
  t.equal((await run('use', 'certs/second.key')).code, 1)
  age(601)
  t.equal((await run('use', 'certs/second.key')).code, 0)
  t.equal(text(), `${BEFORE}assertion: { ttl: 20s, keys: [certs/second.key, certs/assertion.key] } # ours${AFTER}`)
  t.match(await run('use', 'certs/second.key'), { code: 1, err: [/signs already/] })
  t.match(await run('retire', 'certs/second.key'), { code: 1, err: [/this key signs/] })

  t.match(await run('retire', 'certs/assertion.key'), { code: 1, out: [], err: [/an assertion of this key can live/] })
  age(39)
  t.equal((await run('retire', 'certs/assertion.key')).code, 1, 'two looks of 10 s, and 20 s of an assertion')
  age(42)
  t.equal((await run('retire', 'certs/assertion.key')).code, 0)
  t.equal(text(), `${BEFORE}assertion: { ttl: 20s, keys: [certs/second.key] } # ours${AFTER}`)
  t.ok(existsSync(join(cwd, 'certs/assertion.key')), 'the file stays')
  t.match(await states(), [['current', String, String, 'certs/second.key', 'new']])
})

t.test('lists in every form, with references that stay', async (t) => {
  for (const [written, expected] of [
    [
      'assertion:\n  keys:\n    - certs/assertion.key # first\n  ttl: 5s',
      'assertion:\n  keys: [certs/assertion.key, "a b.key"]\n  ttl: 5s',
    ],
    [
      `assertion: { keys: [ "$\{KEYS}/assertion.key" ], ttl: 5s }`,
      `assertion: { keys: ["$\{KEYS}/assertion.key", "a b.key"], ttl: 5s }`,
    ],
    [
      'assertion:\n  key: certs/assertion.key # x\n  ttl: 5s',
      'assertion:\n  keys: [certs/assertion.key, "a b.key"] # x\n  ttl: 5s',
    ],
  ] as const) {
    const { cwd, file, run, text } = await place(t, written)
    t.equal((await run('new', 'a b.key')).code, 0)
    t.equal(text(), BEFORE + expected + AFTER)
    t.equal(loadConfig(file, ENV).config?.assertion.keys.length, 2)
    t.match(await run('use', join(cwd, 'a b.key'), '--force'), { code: 0, out: [String, /keys: \["a b\.key", /] })
  }
})

t.test('behind a link, the file it leads to is written', async (t) => {
  const { cwd, file, run, text } = await place(t, 'assertion: { key: certs/assertion.key }')
  mkdirSync(join(cwd, 'linked'))
  symlinkSync('../certs', join(cwd, 'linked/certs'))
  symlinkSync('../routes.yaml', join(cwd, 'linked/routes.yaml'))
  chmodSync(file, 0o640)
  t.equal((await run('new', 'linked/certs/b.key', '--config', 'linked/routes.yaml')).code, 0)
  t.match(text(), /keys: \[certs\/assertion\.key, certs\/b\.key\]/)
  t.equal(statSync(file).mode & 0o777, 0o640)
  t.notOk(existsSync(`${file}.new`))
})

t.test(
  'files stay those of the gateway, whoever makes the step',
  { skip: process.getuid?.() !== 0 && 'only root has files of others' },
  async (t) => {
    const { cwd, file, run } = await place(t, 'assertion: { key: certs/assertion.key }')
    for (const path of [file, join(cwd, 'certs/assertion.key')]) {
      chownSync(path, 1234, 2345)
      chmodSync(path, 0o600)
    }
    t.equal((await run('new', 'certs/b.key')).code, 0)
    for (const path of [file, join(cwd, 'certs/b.key')]) t.match(statSync(path), { uid: 1234, gid: 2345 })
  },
)

t.test('nothing is overwritten, and nothing is done to a file with problems', async (t) => {
  const { cwd, file, run, text } = await place(t, 'assertion: { key: certs/assertion.key }')
  const before = text()
  t.match(await run('new', 'certs/assertion.key'), { code: 1, err: [/can't be made \(EEXIST\)/] })
  t.match(await run('use', 'certs/server.key'), { code: 1, err: [/not in `assertion\.keys`/] })
  t.match(await run('retire', 'certs/nothing.key'), { code: 1, err: [/not in `assertion\.keys`/] })
  writeFileSync(`${file}.new`, 'of someone else')
  t.match(await run('new', 'certs/c.key'), {
    code: 1,
    err: [/can't be written \(EEXIST\)/, '  keys: [certs/assertion.key, certs/c.key]'],
  })
  t.equal(text(), before)
  t.equal(readFileSync(`${file}.new`, 'utf8'), 'of someone else')
  writeFileSync(file, before.replace('tier: public', 'tier: publik'))
  t.match(await run('list'), { code: 1, out: [], err: [/routes\.yaml:\d+:\d+ routes\.0\.tier: /] })
  t.notOk(existsSync(join(cwd, 'certs/d.key')))
})

t.test('what is not written out is refused', async (t) => {
  const { run } = await place(t, 'assertion: &a { key: certs/assertion.key }\ntiers: { x: { extends: public } }')
  t.equal((await run('list')).code, 0)
  const alias = await place(t, 'include: &list [certs/assertion.key]\nassertion: { keys: *list }')
  const { code, err } = await alias.run('new', 'b.key')
  t.equal(code, 1)
  t.ok(err.length > 0)
})

t.test('wrong usage', async (t) => {
  const { run } = await place(t, 'assertion: { key: certs/assertion.key }')
  for (const args of [[], ['lists'], ['list', 'x'], ['new'], ['use', 'a', 'b'], ['list', '--nonsense'], ['toString', 'x']])
    t.match(await run(...args), { code: 2, err: [/^holdfast keys: /, 'try: holdfast keys --help'] }, args.join(' '))
})
