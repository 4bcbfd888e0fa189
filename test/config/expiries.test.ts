// What of a configuration ends, and when: one of each kind, from files.
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { expiriesOf } from '../../src/config/expiries.js'
import { loadConfig } from '../../src/config/load.js'
import { writeMaterial } from './material.js'

const folder = mkdtempSync(join(tmpdir(), 'holdfast-expiries-'))
t.teardown(() => rmSync(folder, { recursive: true }))
await writeMaterial(folder)

const YAML = `version: 1
listen:
  - { port: 8443, tls: { key: certs/server.key, cert: certs/server.crt } }
  - { port: 8444, tls: { key: certs/ended.key, cert: certs/ended.crt, client_certificates: pki, client_ca: certs/client-ca.crt, crl: [certs/clients.crl] } }
  - { port: 8445, tls: { key: certs/server.key, cert: certs/server.crt }, behind: { hop: { ca: certs/two-cas.crt, names: [hop] }, certificate: xfcc, client_ca: certs/client-ca.crt } }
  - { socket: edge.sock, tls: off, behind: { hop: socket } }
admin: { tls: { key: certs/gateway.key, cert: certs/gateway.crt } }
public_origins: [https://api.example.com]
issuers: [{ issuer: https://as.example.com, audience: https://api.example.com, tls: { ca: certs/ca.crt },
  introspection: { client_id: a, tls: { cert: certs/gateway.crt, key: certs/gateway.key } } }]
replay: { store: redis, redis: { url: rediss://redis:6379, tls: { ca: certs/two-cas.crt, cert: certs/gateway.crt, key: certs/gateway.key } } }
tracing: { otlp: 'https://collector:4318/v1/traces', tls: { ca: certs/ca.crt, cert: certs/gateway.crt, key: certs/gateway.key } }
assertion: { key: certs/assertion.key }
pdps: { policies: { url: https://pdp.internal, tls: { ca: certs/ca.crt, cert: certs/gateway.crt, key: certs/gateway.key } } }
upstreams:
  cases: { url: https://cases.internal, tls: { ca: certs/internal-ca.crt, cert: certs/gateway.crt, key: certs/gateway.key } }
  plain: { url: http://127.0.0.1:80 }
routes:
  - { path: /a, methods: [GET], tier: sensitive_read, upstream: cases }
`
writeFileSync(join(folder, 'routes.yaml'), YAML)
const { config, problems } = loadConfig(join(folder, 'routes.yaml'), {})

const text = (name: string): string => readFileSync(join(folder, 'certs', name), 'utf8')
const endOf = (name: string): number => Date.parse(new X509Certificate(text(name)).validTo) / 1000

t.test('everything that has an end is listed by what it is for', async (t) => {
  if (config === null) throw new Error(JSON.stringify(problems))
  const listed = expiriesOf(config).map(({ kind, name, at }) => [kind, name, at])
  const crl = listed.find(([kind]) => kind === 'crl')
  t.ok(Number(crl?.[2]) > Date.now() / 1000 + 20 * 3600, 'nextUpdate of a list, a day ahead')
  t.strictSame(listed, [
    ['listener', '0.0.0.0:8443', endOf('server.crt')],
    ['listener', '0.0.0.0:8444', endOf('ended.crt')],
    ['client_ca', '0.0.0.0:8444', endOf('client-ca.crt')],
    ['listener', '0.0.0.0:8445', endOf('server.crt')],
    ['client_ca', '0.0.0.0:8445', endOf('client-ca.crt')],
    ['hop_ca', '0.0.0.0:8445', Math.min(endOf('client-ca.crt'), endOf('two-cas.crt'))],
    ['admin', '127.0.0.1:9090', endOf('gateway.crt')],
    ['upstream', 'cases', endOf('gateway.crt')],
    ['upstream_ca', 'cases', endOf('ca.crt')],
    ['pdp', 'policies', endOf('gateway.crt')],
    ['pdp_ca', 'policies', endOf('ca.crt')],
    ['issuer_ca', 'https://as.example.com', endOf('ca.crt')],
    ['introspection', 'https://as.example.com', endOf('gateway.crt')],
    ['tracing', 'collector', endOf('gateway.crt')],
    ['tracing_ca', 'collector', endOf('ca.crt')],
    ['redis', 'replay', endOf('gateway.crt')],
    ['redis_ca', 'replay', Math.min(endOf('client-ca.crt'), endOf('two-cas.crt'))],
    ['crl', '0.0.0.0:8444', crl?.[2]],
  ])
})
