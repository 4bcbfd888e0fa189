// The routes.yaml of the sidecar examples, served for real from a volume as the kubelet lays it out: probes, a proven request to the backend
// on loopback, Redis over TLS, an end within the time that the pod is given.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { ROOT, renderedFile } from '../../scripts/chart.js'
import { makeAssertionKey } from '../support/certificates.js'
import { makeCa, makeServer } from '../support/certs.js'
import { issuerKey, makeDraft, printDraft } from '../support/draft.js'
import { makePlace, waitFor } from '../support/fleet.js'
import { exchange } from '../support/http.js'
import { gatewayOf, type Manifest, mountConfig, type Probe, readManifests, templateOf } from '../support/kubernetes.js'
import { MAIN } from '../support/process.js'
import { freePort, startRedis } from '../support/redis.js'

const EXAMPLES = [
  { name: 'the chart', file: renderedFile('sidecar'), host: 'api.example.com' },
  { name: 'deploy/kubernetes/sidecar.yaml', file: join(ROOT, 'deploy', 'kubernetes', 'sidecar.yaml'), host: 'cases.example.com' },
]

/** Puts this machine in place of a cluster. Each is there to be replaced. */
function replaceAll(text: string, replacements: readonly (readonly [RegExp, string])[]): string {
  return replacements.reduce((before, [what, by]) => {
    const after = before.replace(what, by)
    if (after === before) throw new Error(`there is no ${what}`)
    return after
  }, text)
}

for (const { name, file, host } of EXAMPLES) {
  t.test(`${name}: serves`, { timeout: 120_000 }, async (t) => {
    const place = await makePlace(t)
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-pod-'))
    t.teardown(() => rmSync(folder, { recursive: true, force: true }))
    const ca = await makeCa('CA of all')
    const server = await makeServer(ca, [host])
    const material = { 'server.crt': server.cert, 'server.key': server.key, 'ca.crt': ca.cert }
    for (const [name, text] of Object.entries(material)) writeFileSync(join(place.folder, name), text)
    const [port, admin, redisPort] = [await freePort(), await freePort(), await freePort()]
    const tls = {
      port: redisPort,
      'cert-file': 'server.crt',
      'key-file': 'server.key',
      'ca-cert-file': 'ca.crt',
      'auth-clients': 'no',
    }
    const redis = await startRedis({
      password: 'password-of-redis',
      settings: [
        ...['--requirepass', 'password-of-redis'],
        ...Object.entries(tls).flatMap(([key, value]) => [
          `--tls-${key}`,
          `${value}`.replace(/.*\.(crt|key)$/, join(place.folder, '$&')),
        ]),
      ],
    })
    t.teardown(() => redis.stop())

    const { port: backend } = place.upstream.address() as { port: number }
    const manifests = readManifests(readFileSync(file, 'utf8')).map((manifest): Manifest => {
      const { 'routes.yaml': routes, ...others } = manifest.data ?? {}
      if (routes === undefined) return manifest
      const here = replaceAll(routes, [
        [/listen: \{ (port: \d+, )?/, `listen: { host: 127.0.0.1, port: ${port}, `],
        [/admin: \{ .* \}/, `admin: { port: ${admin} }\nlimits: { event_loop_delay: 30s }`],
        [/audience: \S+/, 'audience: https://api.example.com, jwks_file: issuer.jwks'],
        [/rediss:\/\/redis.data.svc:6379/, `rediss://localhost:${redisPort}, timeout: 5s`],
        [/http:\/\/127.0.0.1:8080/, `http://127.0.0.1:${backend}`],
      ])
      return { ...manifest, data: { ...others, 'routes.yaml': here } }
    })
    mountConfig(manifests, folder, {
      'certs/server.crt': server.cert,
      'certs/server.key': server.key,
      'certs/redis-ca.crt': ca.cert,
      'certs/assertion.key': makeAssertionKey(),
      'secrets/redis': 'password-of-redis\n',
    })
    writeFileSync(join(folder, 'issuer.jwks'), JSON.stringify({ keys: [{ ...issuerKey.jwk, kid: 'issuer-1' }] }))

    const child = spawn(process.execPath, [MAIN, 'serve', join(folder, 'routes.yaml')], {
      cwd: '/',
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    t.teardown(() => child.kill('SIGKILL'))
    let said = ''
    child.stderr.on('data', (chunk) => {
      said += chunk
    })
    const { spec } = templateOf(manifests)
    const { livenessProbe, readinessProbe, startupProbe } = gatewayOf(spec)
    /** As the kubelet asks. */
    const passes = async ({ httpGet }: Probe): Promise<boolean> => {
      const answer = await fetch(`http://127.0.0.1:${admin}${httpGet?.path}`).catch(() => null)
      return answer !== null && answer.status >= 200 && answer.status < 400
    }
    await waitFor(
      () => `it is ready: ${said}`,
      async () => child.exitCode !== null || ((await passes(startupProbe)) && (await passes(readinessProbe))),
    )
    t.ok(await passes(livenessProbe), said)

    const options = { port, servername: host, ca: ca.cert }
    const request = printDraft(makeDraft({ host, path: '/cases/7' }))
    t.match(await exchange(request, options), { status: 200, body: 'done' })
    t.match(await exchange(request, options), { status: 401, body: /proof_replayed/ })
    const readiness = await fetch(`http://127.0.0.1:${admin}/readyz`)
    t.same(await readiness.json(), { ready: true, degraded: [] }, 'Redis is reached with its CA and password')

    const ended = once(child, 'exit')
    const begin = Date.now()
    child.kill('SIGTERM')
    t.same(await ended, [0, null], said)
    t.ok(Date.now() - begin < spec.terminationGracePeriodSeconds * 1000, 'before the kubelet would kill it')
  })
}
