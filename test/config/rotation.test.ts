// Rotations that backends would notice are warned of, with the line; those by the book are not.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Config } from '../../src/config/config.js'
import { checkConfig, loadConfig } from '../../src/config/load.js'
import { madeAt, PUBLISHED_FIRST, withDate } from '../../src/config/rotation.js'
import { makeAssertionKey } from '../support/certificates.js'
import { writeMaterial } from './material.js'

const folder = t.testdir({})
await writeMaterial(folder)
const file = join(folder, 'routes.yaml')
const ago = (seconds: number) => new Date(Date.now() - seconds * 1000)
for (const name of ['a', 'b', 'c']) writeFileSync(join(folder, `${name}.key`), makeAssertionKey())
writeFileSync(join(folder, 'young.key'), withDate(makeAssertionKey(), ago(5)))
writeFileSync(join(folder, 'grown.key'), withDate(makeAssertionKey(), ago(PUBLISHED_FIRST + 5)))

const write = (assertion: string): void =>
  writeFileSync(
    file,
    `version: 1
listen: { tls: { key: certs/server.key, cert: certs/server.crt } }
public_origins: [https://api.example.com]
upstreams: { cases: { url: https://cases.internal } }
routes: [{ path: /a, methods: [GET], tier: public, upstream: cases }]
assertion:
  ${assertion}
`,
  )
const load = (assertion: string, running: Config | null = null) => {
  write(assertion)
  const { config, warnings } = loadConfig(file, {}, running)
  if (config === null) throw new Error(`it has problems: ${assertion}`)
  return { config, said: warnings.map(({ line, column, path, message }) => `${line}:${column} ${path} ${message}`) }
}

t.test('a reload', async (t) => {
  for (const [before, after, expected] of [
    ['key: a.key', 'keys: [a.key, b.key]', []],
    ['keys: [a.key, b.key]', 'keys: [b.key, a.key]', []],
    ['keys: [b.key, a.key]', 'keys: [b.key]', []],
    ['keys: [b.key, a.key]', 'keys: [a.key, b.key]', []],
    ['key: a.key', 'keys: [b.key, a.key]', [/^7:10 assertion\.keys\.0 signs from now on, and was never published before/]],
    ['keys: [a.key, b.key]', 'key: b.key', [/^7:8 assertion\.key the key that signed until now is gone/]],
    ['key: a.key', 'key: b.key', [/never published/, /is gone/]],
  ] as const) {
    const { config, said } = load(before)
    t.same(said, [], 'nothing was there before')
    const again = load(after, config).said
    t.equal(again.length, expected.length, `${before} -> ${after}`)
    t.match(again, expected)
  }
})

t.test('holdfast check, which knows only when keys were made', async (t) => {
  const warned = (assertion: string): boolean => {
    write(assertion)
    const { problems, warnings } = checkConfig(file, {})
    t.same(problems, [])
    return warnings.some(({ path, message }) => path === 'assertion.keys.0' && message.startsWith('signs, though it was made'))
  }
  t.ok(warned('keys: [young.key, a.key]'))
  t.notOk(warned('keys: [a.key, young.key]'))
  t.notOk(warned('keys: [grown.key, a.key]'))
  t.notOk(warned('keys: [young.key]'), 'a first key has nothing before it')
  t.notOk(warned('keys: [a.key, b.key]'), 'a key that does not say when it was made')
})

t.test('when a key was made stands before it, and nowhere else', async (t) => {
  const pem = makeAssertionKey()
  t.equal(madeAt(withDate(pem, new Date(1_800_000_000_999))), 1_800_000_000)
  t.equal(madeAt(pem), null)
  t.equal(madeAt(`Made: yesterday\n${pem}`), null)
  t.equal(madeAt(`Made: 2026-99-99T00:00:00Z\n${pem}`), null)
})
