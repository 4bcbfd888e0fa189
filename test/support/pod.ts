// A pod of deploy/ on this machine: routes.yaml from a volume as the kubelet lays it out, Redis over TLS beside it, probes asked as the
// kubelet asks. Ports and names change, because there is no cluster, and nothing else.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeAssertionKey } from './certificates.js'
import { type Credential, makeCa, makeCertificate, makeServer } from './certs.js'
import { type Owner, waitFor } from './fleet.js'
import { exchange, type Reply } from './http.js'
import { gatewayOf, type Manifest, mountConfig, type Probe, readManifests, templateOf } from './kubernetes.js'
import { MAIN } from './process.js'
import { freePort, startRedis } from './redis.js'

/** What is outside the pod. */
export type Cluster = {
  /** Of every certificate. */
  readonly ca: Credential
  /** Of every server, the gateway's listener too. */
  readonly server: Credential
  readonly folder: string
  readonly redisPort: number
}

const PASSWORD = 'password-of-redis'

/** `host`: the name that clients know the gateway by. */
export async function makeCluster(t: Owner, host: string): Promise<Cluster> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-cluster-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const ca = await makeCa('CA of all')
  const server = await makeServer(ca, [host])
  const files = { 'server.crt': server.cert, 'server.key': server.key, 'ca.crt': ca.cert }
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  const redisPort = await freePort()
  const settings = {
    requirepass: PASSWORD,
    'tls-port': `${redisPort}`,
    'tls-auth-clients': 'no',
    'tls-cert-file': join(folder, 'server.crt'),
    'tls-key-file': join(folder, 'server.key'),
    'tls-ca-cert-file': join(folder, 'ca.crt'),
  }
  const redis = await startRedis({
    password: PASSWORD,
    settings: Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]),
  })
  t.teardown(() => redis.stop())
  return { ca, server, folder, redisPort }
}

export type Here = { readonly port: number; readonly folder: string }
export type Replacement = readonly [what: RegExp, by: string]

export type PodOptions = {
  readonly cluster: Cluster
  /** Manifests. */
  readonly file: string
  readonly host: string
  /** In routes.yaml, besides admin and Redis. Each must be there to be replaced. */
  readonly replacements: (here: Here) => readonly Replacement[]
  /** What the issuer publishes, where it is read from `issuer.jwks`. */
  readonly jwks: string
}

export type Pod = {
  /** Of the mounted volume. */
  readonly folder: string
  said(): string
  /** Whether what the pod has for the kubelet passes. */
  passes(probe: 'startupProbe' | 'livenessProbe' | 'readinessProbe'): Promise<boolean>
  degraded(): Promise<unknown>
  send(request: Buffer): Promise<Reply>
  /** As the kubelet ends it: its exit code, and the share of the grace period that it took. */
  end(): Promise<{ readonly code: number | null; readonly share: number }>
}

/** Starts the gateway of a pod, and waits until the kubelet would have requests sent to it. */
export async function startPod(t: Owner, { cluster, file, host, replacements, jwks }: PodOptions): Promise<Pod> {
  const { ca, server, redisPort } = cluster
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-pod-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const client = await makeCertificate({ ca, subject: 'CN=gateway', ekus: ['client'] })
  const [port, admin] = [await freePort(), await freePort()]
  const manifests = withRoutes(readManifests(readFileSync(file, 'utf8')), [
    [/admin: \{ .* \}/, `admin: { port: ${admin} }\nlimits: { event_loop_delay: 30s }`],
    [/rediss:\/\/redis.data.svc:6379/, `rediss://localhost:${redisPort}, timeout: 5s`],
    // Nobody here needs ten seconds to hear of it.
    [/drain_delay: \d+s/, 'drain_delay: 1s'],
    ...replacements({ port, folder }),
  ])
  mountConfig(manifests, folder, {
    'certs/server.crt': server.cert,
    'certs/server.key': server.key,
    'certs/gateway.crt': client.cert,
    'certs/gateway.key': client.key,
    'certs/client-ca.crt': ca.cert,
    'certs/as-ca.crt': ca.cert,
    'certs/legacy-ca.crt': ca.cert,
    'certs/redis-ca.crt': ca.cert,
    'certs/assertion.key': makeAssertionKey(),
    'secrets/redis': `${PASSWORD}\n`,
    'secrets/nonce': 'a-secret-that-nonces-are-made-with\n',
  })
  writeFileSync(join(folder, 'issuer.jwks'), jwks)

  const routes = join(folder, 'routes.yaml')
  const child = spawn(process.execPath, [MAIN, 'serve', routes], { cwd: '/', stdio: ['ignore', 'ignore', 'pipe'] })
  t.teardown(() => child.kill('SIGKILL'))
  let said = ''
  child.stderr.on('data', (chunk) => {
    said += chunk
  })
  const { spec } = templateOf(manifests)
  const answers = async ({ httpGet }: Probe): Promise<boolean> => {
    const answer = await fetch(`http://127.0.0.1:${admin}${httpGet?.path}`).catch(() => null)
    return answer !== null && answer.status >= 200 && answer.status < 400
  }
  const pod: Pod = {
    folder,
    said: () => said,
    passes: (probe) => answers(gatewayOf(spec)[probe]),
    degraded: async () => ((await (await fetch(`http://127.0.0.1:${admin}/readyz`)).json()) as { degraded: unknown }).degraded,
    send: (request) => exchange(request, { port, servername: host, ca: ca.cert }),
    end: async () => {
      const ended = once(child, 'exit')
      const begin = performance.now()
      child.kill('SIGTERM')
      const [code] = (await ended) as [number | null]
      return { code, share: (performance.now() - begin) / (spec.terminationGracePeriodSeconds * 1000) }
    },
  }
  await waitFor(
    () => `it is ready: ${said}`,
    async () => child.exitCode !== null || ((await pod.passes('startupProbe')) && (await pod.passes('readinessProbe'))),
  )
  if (child.exitCode !== null) throw new Error(said)
  return pod
}

const withRoutes = (manifests: readonly Manifest[], replacements: readonly Replacement[]): readonly Manifest[] =>
  manifests.map((manifest) => {
    const { 'routes.yaml': routes, ...others } = manifest.data ?? {}
    if (routes === undefined) return manifest
    const here = replacements.reduce((before, [what, by]) => {
      const after = before.replace(what, by)
      if (after === before) throw new Error(`routes.yaml has no ${what}`)
      return after
    }, routes)
    return { ...manifest, data: { ...others, 'routes.yaml': here } }
  })
