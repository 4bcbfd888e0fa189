// What a reload may change, and what it refuses with its line (contract §2 Reload).
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { loadConfig } from '../../src/config/load.js'
import { makeCertificates } from '../support/certificates.js'

t.test('refuses what only a restart can change, each with its line', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-reload-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  mkdirSync(join(folder, 'keys'))
  const { files } = await makeCertificates('api.example.com')
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, 'keys', name), text)
  const file = join(folder, 'routes.yaml')
  const text = (
    changes: Partial<Record<'port' | 'admin' | 'audit' | 'path' | 'replay' | 'otlp' | 'decisions', string>> = {},
  ): string => `version: 1
listen: { port: ${changes.port ?? 8443}, tls: { key: keys/server.key, cert: keys/server.crt } }
admin: { port: ${changes.admin ?? 9090} }
decision_api: { hop: loopback, address: ${changes.path === undefined ? 'forwarded_for' : 'forwarded'}, port: ${changes.decisions ?? 9191} }
workers: 1
replay: ${changes.replay ?? '{ store: memory }'}
audit: { file: ${changes.audit ?? 'a.jsonl'} }
tracing: { otlp: '${changes.otlp ?? 'http://127.0.0.1:4318/v1/traces'}' }
public_origins: [https://api.example.com]
issuers: [{ issuer: https://as.example.com, audience: https://api.example.com }]
assertion: { issuer: https://gateway.example.com, key: keys/assertion.key }
upstreams: { u: { url: 'http://127.0.0.1:1', audience: u } }
routes: [{ path: ${changes.path ?? '/a'}, methods: [GET], tier: public, upstream: u }]
`
  const load = (yaml: string, running: Parameters<typeof loadConfig>[2] = null) => {
    writeFileSync(file, yaml)
    return loadConfig(file, {}, running)
  }
  const { config, problems } = load(text())
  t.same(problems, [])
  t.ok(load(text({ path: '/b' }), config).config, 'routes may change, and whose word a hop is taken for')
  for (const [changes, line, path] of [
    [{ port: '8444' }, 2, 'listen'],
    [{ admin: '9091' }, 3, 'admin'],
    [{ decisions: '9192' }, 4, 'decision_api'],
    [{ replay: '{ store: redis, redis: { url: redis://127.0.0.1:1 } }' }, 6, 'replay'],
    [{ audit: 'b.jsonl' }, 7, 'audit'],
    [{ otlp: 'http://127.0.0.1:4319/v1/traces' }, 8, 'tracing'],
  ] as const) {
    const refused = load(text(changes), config)
    t.equal(refused.config, null)
    t.match(refused.problems, [{ line, path, message: /restart/ }], path)
    t.ok(load(text(changes)).config, `${path}: fine at a start`)
  }
})
