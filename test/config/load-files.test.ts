// What golden cases cannot show: the Config as a whole is frozen, its hash, its warnings about files, and files that are not there.

import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadConfig } from '../../src/config/load.js'
import { formatProblem } from '../../src/config/problems.js'
import { writeMaterial } from './material.js'

const folder = t.testdir({})
await writeMaterial(folder)
const file = join(folder, 'routes.yaml')

const YAML = `version: 1
listen: { tls: { key: certs/server.key, cert: certs/server.crt, client_certificates: pki, client_ca: certs/client-ca.crt, crl: [certs/clients.crl, certs/far.crl] } }
public_origins: [https://api.example.com]
issuers: [{ issuer: legacy, audience: x, jwks_file: certs/jwks.json, typ: JWT }]
assertion: { key: certs/assertion.key }
upstreams: { cases: { url: https://cases.internal } }
routes:
  - { path: '/cases/:id', methods: [GET], tier: sensitive_read, upstream: cases }
`

t.test('a Config is frozen all the way down, and its parts are the same objects', async (t) => {
  writeFileSync(file, YAML)
  const { config } = loadConfig(file, {})
  t.ok(config)
  if (config === null) return
  const [route] = config.routes
  t.ok(
    [config, config.routes, route, route?.policy, route?.policy.token_algorithms, config.listeners[0]?.tls].every(
      Object.isFrozen,
    ),
  )
  t.equal(route?.upstream, config.upstreams[0])
  t.equal(route?.policy.trustedIssuers[0], config.issuers[0])
  t.equal(config.upstreams[0]?.url.origin, 'https://cases.internal')
  t.equal(config.listeners[0]?.crl.length, 2)
  t.match(config.match('https://api.example.com', '/cases/7', 'GET'), { route: { path: '/cases/:id' }, captured: { id: '7' } })
  t.equal(config.policyVersion, `sha256:${createHash('sha256').update(YAML).digest('hex')}`)
})

t.test('the version follows what is included, and not what secrets are', async (t) => {
  mkdirSync(join(folder, 'routes.d'), { recursive: true })
  const included = join(folder, 'routes.d/a.yaml')
  const version = (text: string, secret: string) => {
    writeFileSync(file, `${YAML}include: [${included}]\ndpop: { nonce_secret: "\${SECRET}" }\n`)
    writeFileSync(included, text)
    return loadConfig(file, { SECRET: secret.repeat(32) }).config?.policyVersion
  }
  const one = 'routes: [{ path: /b, methods: [GET], tier: public, upstream: cases }]'
  t.type(version(one, 'a'), 'string')
  t.equal(version(one, 'a'), version(one, 'b'))
  t.not(version(one, 'a'), version(one.replace('/b', '/c'), 'a'))
})

t.test('a file that is not there is one problem', async (t) => {
  const { config, problems } = loadConfig(join(folder, 'none.yaml'), {})
  t.equal(config, null)
  t.strictSame(problems.map(formatProblem), [
    `${join(folder, 'none.yaml')}:1:1 cannot be read (ENOENT): give the path of a readable YAML file`,
  ])
})

t.test('no problem shows a value, which may be a secret', async (t) => {
  const secret = 'SECRET-VALUE'
  const REFERENCE = `"$\{S}"`
  const text = YAML.replaceAll(/certs\/[a-z.-]+|https:\/\/[a-z.]+|legacy|JWT|GET|pki/g, REFERENCE).replace(
    '[x]',
    `[${REFERENCE}]`,
  )
  writeFileSync(file, text)
  const { problems } = loadConfig(file, { S: secret })
  t.ok(problems.length > 5)
  for (const problem of problems) t.notMatch(formatProblem(problem), secret)
})

t.test('whatever the bytes, loading does not throw', async (t) => {
  const bytes = readFileSync(join(folder, 'certs/server.crt'))
  const texts = [
    '\u0000',
    '[[[['.repeat(20_000),
    '&a *a',
    '? {a: 1}\n: 2',
    '!!js/function x',
    '<<: {a: 1}',
    '{__proto__: {x: 1}}',
    bytes,
  ]
  for (const text of texts) {
    writeFileSync(file, text)
    const { config, problems } = loadConfig(file, {})
    t.equal(config, null)
    t.ok(problems.length > 0)
  }
})
