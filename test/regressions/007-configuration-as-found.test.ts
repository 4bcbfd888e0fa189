// What fuzzing of routes.yaml and the files it names has found: each is a problem at its place now, or says nothing it must not.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import t from 'tap'
import { loadConfig } from '../../src/config/load.js'
import { formatProblem } from '../../src/config/problems.js'
import { writeMaterial } from '../config/material.js'
import { makeCertificate } from '../support/certs.js'

const folder = mkdtempSync(join(tmpdir(), 'holdfast-regression-'))
t.teardown(() => rmSync(folder, { recursive: true }))
await writeMaterial(folder)

const PKI =
  '{ key: certs/server.key, cert: certs/server.crt, client_certificates: pki, client_ca: certs/client-ca.crt, crl: [certs/clients.crl] }'
const whole = (more: string): string => `version: 1
listen: { tls: ${PKI} }
public_origins: [https://api.example.com]
issuers: [{ issuer: https://as.example.com, audience: https://api.example.com }]
assertion: { key: certs/assertion.key }
upstreams: { cases: { url: https://cases.internal } }
routes:
  - { path: /a, methods: [GET], tier: sensitive_read, upstream: cases }
${more}`

function load(yaml: string) {
  const file = join(folder, 'routes.yaml')
  writeFileSync(file, yaml)
  const { problems } = loadConfig(file, {})
  return { problems, lines: problems.map((problem) => formatProblem(problem).replace(`${folder}/`, '')) }
}

t.test('reports a CA whose lengths are BER, and does not throw', async (t) => {
  const path = join(folder, 'certs/client-ca.crt')
  const pem = readFileSync(path, 'utf8')
  const der = Buffer.from(pem.replace(/-----[^-]*-----|\s/g, ''), 'base64')
  // The subject (before the public key) with a length of nine bytes, as X.690 §8.1.3.5 allows; everything around it grows by eight.
  const at = der.indexOf(Buffer.from('3059301306072a8648ce3d0201', 'hex'))
  const subject = der.lastIndexOf(Buffer.from([0x31]), at - 8)
  const start = der.lastIndexOf(0x30, subject)
  const odd = Buffer.concat([der.subarray(0, start + 1), Buffer.from([0x88, 0, 0, 0, 0, 0, 0, 0]), der.subarray(start + 1)])
  odd.writeUInt16BE(der.readUInt16BE(2) + 8, 2)
  odd.writeUInt16BE(der.readUInt16BE(6) + 8, 6)
  writeFileSync(
    path,
    `-----BEGIN CERTIFICATE-----\n${odd.toString('base64').replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`,
  )
  t.teardown(() => writeFileSync(path, pem))
  t.match(load(whole('')).lines[0], /^routes\.yaml:2:\d+ listen\.tls\.crl: has no list of CN=Client CA/)
})

t.test('reports a CA without a name, which Node has no subject of', async (t) => {
  const path = join(folder, 'certs/client-ca.crt')
  const pem = readFileSync(path, 'utf8')
  writeFileSync(path, (await makeCertificate({ subject: '', isCa: true })).cert)
  t.teardown(() => writeFileSync(path, pem))
  t.match(load(whole('')).lines[0], /listen\.tls\.crl: has no list of the CA without a name/)
})

t.test('reports a time that no timer can wait for: Node would fire at once', async (t) => {
  t.match(load(whole('limits: { handshake: 25d }')).lines[0], /limits\.handshake: must be at most 24d/)
  t.match(load(whole('drain: 30d')).lines[0], /drain: must be at most 24d/)
})

t.test('reports in one line, whatever the name of a setting is', async (t) => {
  const { lines } = load(whole('"a\\n\\e[2Jb": 1'))
  t.match(lines[0], /^routes\.yaml:9:1 a\\x0a\\x1b\[2Jb: unknown setting/)
})

t.test('reports a place that is in the file, behind a syntax error too', async (t) => {
  const { problems } = load('[}\nc\nh:')
  t.match(problems.at(-1), { line: 3, column: 2 })
})

t.test('reports a tag without telling it, for it may be a secret that lacks its quotes', async (t) => {
  const { lines } = load(whole('dpop: { nonce_secret: !hunter2hunter2hunter2hunter2hunter2 }'))
  t.match(lines[0], /TAG_RESOLVE_FAILED/)
  t.notMatch(lines.join(), /hunter2/)
})

t.test('include: many stars cost nothing', async (t) => {
  mkdirSync(join(folder, 'routes.d'))
  writeFileSync(join(folder, 'routes.d', `${'a'.repeat(40)}.yaml`), 'routes: []\n')
  const before = performance.now()
  t.same(load(whole(`include: ['routes.d/${'a*'.repeat(8)}b']`)).lines, [])
  t.ok(performance.now() - before < 1000)
})
