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
const AUDIT = process.env.AUDIT ?? 'all'
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

const samples = new Map<string, Sample[]>()

/** docs/benchmarks.md: medians with the least and the most, and what we cost of each peer. */
function page(names: readonly string[]): string {
  const of = (name: string, value: (sample: Sample) => number) => (samples.get(name) ?? []).map(value)
  const ours = median(of('holdfast', ({ cpu }) => cpu))
  const rows = names.map((name) => {
    const cpu = of(name, (sample) => sample.cpu)
    const spread = `${median(cpu).toFixed(0)} (${Math.min(...cpu).toFixed(0)}-${Math.max(...cpu).toFixed(0)})`
    const rest = [of(name, (sample) => sample.requestsPerSecond), of(name, ({ p50 }) => p50), of(name, ({ p99 }) => p99)].map(
      median,
    )
    const [perSecond = 0, p50 = 0, p99 = 0] = rest
    return `| ${name} | ${spread} | ${perSecond.toFixed(0)} | ${p50.toFixed(2)} | ${p99.toFixed(2)} | ${(ours / median(cpu)).toFixed(2)} |`
  })
  return `# Benchmarks

Printed by \`npm run bench\` on ${cpus().length} cores (${cpus()[0]?.model ?? 'unknown'}), Node ${process.version}. Shared machines are noisy: read the ratios, which come from
one interleaved run, and not the absolutes.

**The proven request**: HTTPS keep-alive, ${CONNECTIONS} connections, \`GET\`, an ES256 access token with \`cnf.jkt\`, a fresh ES256 DPoP proof each time, its \`jti\` recorded in Redis, a
signed assertion, an audit event written (\`${AUDIT}\`), 100 bytes from a plain upstream. One worker; ${ROUNDS} rounds of ${SECONDS} s after one that is not counted.

CPU is user and system time of all the server's processes, for each request; the median, and the least and the most.

| server | CPU us a request | requests/s | p50 ms | p99 ms | holdfast costs of it |
| --- | ---: | ---: | ---: | ---: | ---: |
${rows.join('\n')}

nginx checks nothing: it is the price of TLS and proxying alone. Apache with mod_oauth2 verifies token and proof and keeps 1,000 \`jti\` in shared memory; it does not look at \`ath\`,
signs no assertion and writes no event.
`
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
tiers: { proven: { extends: high_value, nonce: off, proof_max_age: 5m, audit: ${AUDIT} } }
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
    contenders.push({
      name: 'Apache + mod_oauth2',
      server: keep(await startApache(root, upstream.port, jwk, '&dpop.iat.slack.before=86400')),
      signed: true,
    })
  } else say('Apache + mod_oauth2 is left out: libapache2-mod-oauth2 is not installed')

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
  writeFileSync('docs/benchmarks.md', page(contenders.map(({ name }) => name)))
  say('docs/benchmarks.md written')
} finally {
  for (const server of servers.reverse()) await server.stop()
  rmSync(root, { recursive: true, force: true })
}
