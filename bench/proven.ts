// The proven request: HTTPS keep-alive, one DPoP-bound token again and again, a fresh proof each time, its jti in Redis, an
// assertion signed, an audit event written. Peers are interleaved; the medians of three rounds are what is compared.
import { randomUUID } from 'node:crypto'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeCertificates } from '../test/support/certificates.js'
import { makeKey, sha256, signJwt } from '../test/support/jwt.js'
import { measure, type Sample } from './load.js'
import { freePort, hasApache, type Server, startApache, startHoldfast, startNginx, startRedis, startUpstream } from './peers.js'

const ROUNDS = Number(process.env.ROUNDS ?? 3)
const SECONDS = 3
const CONNECTIONS = 32
const ISSUER = 'https://as.example.com'

const root = mkdtempSync(join(tmpdir(), 'holdfast-bench-'))
chmodSync(root, 0o755)
const say = (line: string) => process.stderr.write(`${line}\n`)
const servers: Server[] = []
const keep = (server: Server): Server => {
  servers.push(server)
  return server
}

const issuer = makeKey('ES256')
const client = makeKey('ES256')

/** Requests for one origin, signed now. */
function signRequests(origin: string, count: number): [string, string][] {
  const now = Math.floor(Date.now() / 1000)
  const claims = {
    iss: ISSUER,
    aud: 'https://api.example.com',
    sub: 'user-1',
    client_id: 'client-1',
    jti: randomUUID(),
    iat: now,
    exp: now + 280,
    scope: 'payments',
    cnf: { jkt: client.jkt },
  }
  const token = signJwt({ typ: 'at+jwt', alg: 'ES256', kid: 'issuer-1' }, claims, issuer.privateKey)
  const ath = sha256(token)
  const header = { typ: 'dpop+jwt', alg: 'ES256', jwk: client.jwk }
  return Array.from({ length: count }, () => {
    const proof = { jti: randomUUID(), htm: 'GET', htu: `${origin}/pay`, iat: now, ath }
    return [`DPoP ${token}`, signJwt(header, proof, client.privateKey)]
  })
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0

try {
  const { files } = await makeCertificates('localhost')
  for (const [name, text] of Object.entries(files)) writeFileSync(join(root, name), text)
  writeFileSync(join(root, 'issuer.jwks'), JSON.stringify({ keys: [{ ...issuer.jwk, kid: 'issuer-1' }] }))
  const upstream = keep(await startUpstream(root))
  const redis = keep(await startRedis(root))
  const port = await freePort()
  writeFileSync(
    join(root, 'routes.yaml'),
    `version: 1
listen: { host: 127.0.0.1, port: ${port}, tls: { key: server.key, cert: server.crt } }
public_origins: ['https://localhost:${port}']
admin: { port: ${await freePort()} }
workers: 1
issuers: [{ issuer: '${ISSUER}', audience: 'https://api.example.com', jwks_file: issuer.jwks, algorithms: [ES256] }]
replay: { store: redis, redis: { url: 'redis://127.0.0.1:${redis.port}' } }
dpop: { nonce_secret: ${'n'.repeat(32)} }
audit: { file: audit.jsonl }
assertion: { issuer: 'https://gateway.example.com', key: assertion.key }
tiers: { proven: { extends: high_value, nonce: off, proof_max_age: 5m, audit: ${process.env.AUDIT ?? 'all'} } }
upstreams: { u: { url: 'http://127.0.0.1:${upstream.port}', audience: u } }
routes: [{ path: /pay, methods: [GET], tier: proven, upstream: u, scopes: [payments] }]
`,
  )
  const contenders: { name: string; server: Server; signed: boolean }[] = [
    { name: 'holdfast', server: keep(await startHoldfast(root, 'routes.yaml', port)), signed: true },
    { name: 'nginx TLS proxy, no checks', server: keep(await startNginx(root, upstream.port)), signed: false },
  ]
  if (hasApache()) {
    const jwk = { ...issuer.jwk, kid: 'issuer-1', alg: 'ES256' }
    contenders.push({ name: 'Apache + mod_oauth2', server: keep(await startApache(root, upstream.port, jwk)), signed: true })
  } else say('Apache + mod_oauth2 is left out: libapache2-mod-oauth2 is not installed')

  const samples = new Map<string, Sample[]>()
  // Round 0 warms everything up and is not counted.
  for (let round = 0; round <= ROUNDS; round++) {
    for (const { name, server, signed } of contenders) {
      const origin = `https://localhost:${server.port}`
      const headers = signed ? signRequests(origin, 40_000) : []
      const load = {
        url: `${origin}/pay`,
        folder: root,
        headers,
        seconds: SECONDS,
        connections: CONNECTIONS,
        expect: 200,
        pid: server.pid,
      }
      const sample = await measure(load)
      if (round > 0) samples.set(name, [...(samples.get(name) ?? []), sample])
      say(
        `round ${round}: ${name}: ${sample.cpu.toFixed(0)} us, ${sample.requestsPerSecond.toFixed(0)}/s, p50 ${sample.p50} ms, p99 ${sample.p99} ms, ${sample.unexpected} unexpected`,
      )
    }
  }
  const cost = (name: string): number => median((samples.get(name) ?? []).map((sample) => sample.cpu))
  console.log(`\nNode ${process.version}, ${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}\n`)
  for (const { name } of contenders) {
    console.log(
      `${name.padEnd(30)} ${cost(name).toFixed(0).padStart(6)} us CPU a request, ${(cost('holdfast') / cost(name)).toFixed(2)} is what holdfast costs of it`,
    )
  }
} finally {
  for (const server of servers.reverse()) await server.stop()
  rmSync(root, { recursive: true, force: true })
}
