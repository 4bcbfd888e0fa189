// A configuration that is made again from what was read before, whatever became of its files.

import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { recordedDisk, recordingDisk } from '../../src/config/disk.js'
import { loadConfig } from '../../src/config/load.js'
import { writeMaterial } from './material.js'

const folder = t.testdir({})
await writeMaterial(folder)
const file = join(folder, 'routes.yaml')
mkdirSync(join(folder, 'routes.d'))
writeFileSync(join(folder, 'secret'), `${'s'.repeat(32)}\n`)
writeFileSync(join(folder, 'routes.d/a.yaml'), 'routes: [{ path: /a, methods: [GET], tier: public, upstream: cases }]\n')
writeFileSync(
  file,
  `version: 1
listen: { tls: { key: certs/server.key, cert: certs/server.crt, client_certificates: pki, client_ca: certs/client-ca.crt, crl: [certs/clients.crl, certs/far.crl] } }
public_origins: [https://api.example.com]
issuers: [{ issuer: legacy, audience: x, jwks_file: certs/jwks.json, typ: JWT }]
dpop: { nonce_secret: "\${file:secret}" }
replay: { store: redis, redis: { url: redis://localhost } }
assertion: { key: certs/assertion.key }
upstreams: { cases: { url: https://cases.internal } }
include: [routes.d/*.yaml]
`,
)

const recording = recordingDisk()
const first = loadConfig(file, {}, null, recording.disk)
t.same(first.problems, [])
// As a worker is told.
const texts = JSON.parse(JSON.stringify(recording.texts))

t.test('a file is read once, though it may change between two looks at it', async (t) => {
  const secret = join(folder, 'secret')
  t.equal(recording.disk.read(secret), `${'s'.repeat(32)}\n`)
  writeFileSync(secret, 'other')
  t.equal(recording.disk.read(secret), `${'s'.repeat(32)}\n`)
})

t.test('the same again, without the files', async (t) => {
  for (const name of ['routes.yaml', 'routes.d', 'certs', 'secret']) rmSync(join(folder, name), { recursive: true })
  const again = loadConfig(file, {}, null, recordedDisk(texts))
  t.same(again.problems, [])
  // Functions and patterns aside, all of it.
  t.equal(JSON.stringify(again.config), JSON.stringify(first.config))
  t.match(again.config?.match('https://api.example.com', '/a', 'GET'), { route: { path: '/a' } })
})

t.test('what was not read is not there', async (t) => {
  t.throws(() => recordedDisk(texts).read('/etc/hostname'))
  t.throws(() => recordedDisk(texts).list('/'))
  t.equal(loadConfig(join(folder, 'other.yaml'), {}, null, recordedDisk(texts)).problems.length, 1)
})

t.test('`auto` stays what it was when it began: a container may be given more cores while it runs', async (t) => {
  if (first.config === null) throw new Error('there is no configuration')
  const running = { ...first.config, workers: 77 }
  const { config, problems } = loadConfig(file, {}, running, recordedDisk(texts))
  t.same(problems, [])
  t.equal(config?.workers, 77)
})
