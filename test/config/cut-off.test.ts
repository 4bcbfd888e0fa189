// A routes.yaml that is cut off anywhere within a line is never taken, whatever is left of it.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readNow, readOf } from '../../src/cluster/reloads.js'
import { findCutOff } from '../../src/config/cut-off.js'
import { writeMaterial } from './material.js'

const folder = t.testdir({})
await writeMaterial(folder)
const file = join(folder, 'routes.yaml')
const included = join(folder, 'more.yaml')
const YAML = `version: 1
listen: { tls: { key: certs/server.key, cert: certs/server.crt } }
public_origins: [https://api.example.com]
issuers: [{ issuer: legacy, audience: x, jwks_file: certs/jwks.json, typ: JWT }]
assertion: { key: certs/assertion.key }
upstreams: { cases: { url: https://cases.internal } }
include: [more.yaml]
routes:
  - path: /a
    methods: [GET]
    tier: sensitive_read
    upstream: cases
    scopes: [case.read]
    clients: [partner-1]
`
const MORE = 'routes:\n  - path: /b\n    methods: [GET]\n    tier: public\n    upstream: cases\n'

t.test('cut at every byte', async (t) => {
  writeFileSync(file, YAML)
  writeFileSync(included, MORE)
  const { loaded, recording } = readNow(file, {}, null)
  if (loaded.config === null) throw new Error('it has problems')
  const running = readOf(loaded.config, recording)
  let whole = 0
  for (const [path, text] of [
    [file, YAML],
    [included, MORE],
  ] as const) {
    for (let length = 0; length < text.length - 1; length++) {
      const cut = text.slice(0, length)
      writeFileSync(path, cut)
      const { loaded } = readNow(file, {}, running)
      if (cut.endsWith('\n')) continue
      t.equal(loaded.config, null, `${path} after ${length}`)
      if (loaded.problems[0]?.message.startsWith('ends within a line')) whole += 1
    }
    writeFileSync(path, text)
  }
  t.ok(whole > 10, `${whole} of them are whole YAML, and a configuration`)
  t.equal(readFileSync(file, 'utf8'), YAML)
})

t.test('what is not cut off', async (t) => {
  const files = (text: string) => ({ files: { a: text }, folders: {} })
  const problems = (before: string, now: string) => findCutOff(files(before), files(now))
  for (const [before, now] of [
    ['a: 1\nb: 2\n', 'a: 1\nb: 2\n'],
    ['a: 1\nb: 2\n', 'a: 1\nb: 2'],
    ['a: 1\nb: 2\n\n', 'a: 1\nb: 2'],
    ['a: 1\nb: 2\n', 'a: 1\n'],
    ['a: 1\nb: 2\n', 'a: 1\nb: 3'],
    ['a: 1\nb: 22', 'a: 1\nb: 2'],
    ['a: 1\n', 'a: 1\nb: 2'],
  ] as const)
    t.same(problems(before, now), [], JSON.stringify([before, now]))
  t.match(problems('a: 1\nb: 22\n', 'a: 1\nb: 2'), [{ file: 'a', line: 2, column: 5 }])
  t.match(problems('a: 1\n', ''), [{ line: 1, column: 1 }])
  t.same(findCutOff({ files: {}, folders: {} }, files('')), [], 'a file that was not there before')
})
