// `holdfast check`: command, standard output, standard error, exit code.

import { copyFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { check } from '../../src/cli/check.js'
import { writeMaterial } from '../config/material.js'

const cwd = t.testdir({ sub: {} })
await writeMaterial(cwd)

async function run(...args: readonly string[]) {
  const out: string[] = []
  const err: string[] = []
  const io = { out: (line: string) => void out.push(line), err: (line: string) => void err.push(line), env: {}, cwd }
  return { code: await check.run(args, io), out, err }
}

const GOOD = `version: 1
listen: { tls: { key: certs/server.key, cert: certs/server.crt } }
public_origins: [https://api.example.com]
assertion: { key: certs/assertion.key }
upstreams: { cases: { url: https://cases.internal } }
routes:
  - { path: /a, methods: [GET], tier: public, upstream: cases }
`

t.test('a file without problems', async (t) => {
  writeFileSync(join(cwd, 'routes.yaml'), GOOD)
  t.strictSame(await run(), { code: 0, out: ['routes.yaml: 1 route, no problems'], err: [] })
  t.strictSame(await run('./routes.yaml'), { code: 0, out: ['./routes.yaml: 1 route, no problems'], err: [] })
})

t.test('warnings do not fail', async (t) => {
  writeFileSync(
    join(cwd, 'weak.yaml'),
    GOOD.replace('[GET]', '[GET, POST]')
      .replace('tier: public', 'tier: low_user')
      .replace('assertion', 'issuers: [{ issuer: http://localhost:1, audience: x }]\nassertion'),
  )
  const { code, out, err } = await run('weak.yaml')
  t.equal(code, 0)
  t.strictSame(out, ['weak.yaml: 1 route, no problems, 3 warnings'])
  t.match(err, [
    /^weak\.yaml:1:1 warning replay\.store: /,
    /^weak\.yaml:4:21 warning issuers\.0\.issuer: /,
    /^weak\.yaml:8:\d+ warning routes\.0\.tier: POST with an unbound token/,
  ])
})

t.test('every problem at once, named as the file was', async (t) => {
  writeFileSync(
    join(cwd, 'sub/bad.yaml'),
    GOOD.replaceAll('certs/', '../certs/').replace('/a,', '/%61,').replace('tier: public', 'tier: publik'),
  )
  const { code, out, err } = await run('sub/bad.yaml')
  t.equal(code, 1)
  t.strictSame(out, ['sub/bad.yaml: 2 problems'])
  t.strictSame(err, [
    'sub/bad.yaml:7:13 routes.0.path: is not in normal form: write /a',
    'sub/bad.yaml:7:41 routes.0.tier: expected the name of a tier: public, low_user, sensitive_read, sensitive_write, high_value',
  ])
  const absolute = await run(join(cwd, 'sub/bad.yaml'))
  t.match(absolute.err[0], join(cwd, 'sub/bad.yaml'))
  const missing = await run('none.yaml')
  t.strictSame(missing, {
    code: 1,
    out: ['none.yaml: 1 problem'],
    err: ['none.yaml:1:1 cannot be read (ENOENT): give the path of a readable YAML file'],
  })
})

t.test('wrong usage', async (t) => {
  for (const args of [['a', 'b'], ['--fix']]) {
    const { code, out, err } = await run(...args)
    t.equal(code, 2)
    t.strictSame(out, [])
    t.match(err, ['holdfast check: expected at most one file', 'try: holdfast check --help'])
  }
  t.match(check.help, 'Exit code: 0 no problems, 1 problems, 2 wrong usage.')
})

t.test('the sample of this repository, with material in its place', async (t) => {
  copyFileSync('routes.yaml', join(cwd, 'sample.yaml'))
  const { code, out, err } = await run('sample.yaml')
  t.equal(code, 0, err.join('\n'))
  t.match(out, [/^sample\.yaml: 7 routes, no problems, \d warnings$/])
  t.strictSame(err.filter((line) => line.includes('listen.tls.cert')).length, 1, 'the throwaway certificate is for another host')
})
