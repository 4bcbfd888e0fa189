// Sets an example up: a folder with throwaway certificates and tokens, a backend that shows what it got, Holdfast behind the proxy, and the proxy
// itself with the configuration of its example. Everything is on loopback, and ends with `stop`.

import { type ChildProcess, spawn } from 'node:child_process'
import { createHash, generateKeyPairSync, X509Certificate } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { get } from 'node:https'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { type Issued, issue, USAGES } from '../../src/cli/x509.js'
import { startHoldfast } from '../demo/children.js'

const ROOT = join(import.meta.dirname, '..', '..', '..')
const CACHE = join(ROOT, 'node_modules', '.cache', 'holdfast')

/** How each proxy is called, started in the example's folder, and what its clients' certificates travel in. */
export const PROXIES = {
  envoy: { format: 'xfcc', args: ['--config-path', 'envoy.yaml', '--log-level', 'error', '--use-dynamic-base-id'] },
  nginx: { format: 'nginx', args: ['-p', '.', '-c', 'nginx.conf'] },
  traefik: { format: 'traefik', args: ['--configFile=traefik.yaml'] },
  caddy: { format: 'client_cert', args: ['run', '--config', 'Caddyfile'] },
  haproxy: { format: 'haproxy', args: ['-db', '-f', 'haproxy.cfg'] },
} as const
export type ProxyName = keyof typeof PROXIES

/** Where a program is; undefined: nowhere. */
export const find = (name: ProxyName): string | undefined =>
  [CACHE, ...(process.env.PATH ?? '').split(delimiter), '/usr/sbin'].map((folder) => join(folder, name)).find(existsSync)

/** The ports that the files of the examples name. */
export const PORTS = { proxy: 10443, holdfast: 10444, backend: 10445, admin: 10446, asking: 10447, decisions: 10448 } as const
export type Ports = { readonly [Name in keyof typeof PORTS]: number }

export type Client = {
  /** PEM. */
  readonly cert: string
  readonly key: string
}

export type Example = {
  readonly folder: string
  readonly origin: string
  readonly ports: Ports
  /** What the backend got, newest last. */
  readonly calls: readonly {
    readonly url: string
    readonly method: string
    readonly headers: Readonly<Record<string, unknown>>
  }[]
  /** Clients of the CA that the proxy asks for. */
  readonly clients: Readonly<Record<'client' | 'other', Client>>
  /** A certificate of the CA of hops, for another name than the hop's. */
  readonly neighbour: Client
  /** A token, bound as `cnf` says. */
  token(cnf: object): Promise<string>
  auditLines(): readonly Readonly<Record<string, unknown>>[]
  stop(): Promise<void>
}

/** `ports`: others than the files say, so that several can run. Rejects with what a part of it said when it did not start. */
export async function startExample(name: ProxyName, ports: Ports = PORTS): Promise<Example> {
  const program = find(name)
  if (program === undefined) throw new Error(`${name} is not on this machine`)
  const folder = mkdtempSync(join(tmpdir(), `holdfast-${name}-`))
  mkdirSync(join(folder, 'certs'))
  mkdirSync(join(folder, 'tmp'))
  const certificates = await writeCertificates(folder)
  const issuer = await writeIssuer(folder)
  const localize = (text: string): string =>
    Object.entries(PORTS).reduce((all, [which, port]) => all.replaceAll(String(port), String(ports[which as keyof Ports])), text)
  copyAs(join(ROOT, 'examples', name), folder, localize)
  copyAs(join(ROOT, 'examples', 'proxies'), folder, (text) =>
    localize(text).replace(/certificate: \w+/g, `certificate: ${PROXIES[name].format}`),
  )

  const calls: Example['calls'][number][] = []
  const backend = createServer((request, response) => {
    const { url = '', method = '', headers } = request
    calls.push({ url, method, headers })
    response.setHeader('Content-Type', 'application/json').end(`${JSON.stringify({ method, url, headers }, null, 2)}\n`)
  })
  await new Promise<void>((resolve) => backend.listen(ports.backend, '127.0.0.1', resolve))
  const ends: (() => Promise<void> | void)[] = [
    () => rmSync(folder, { recursive: true, force: true }),
    () => {
      backend.closeAllConnections()
      backend.close()
    },
  ]
  const stop = async (): Promise<void> => {
    for (const end of ends.splice(0).reverse()) await end()
  }
  try {
    const gateway = await startHoldfast(['serve', join(folder, 'routes.yaml')], () => listens(ports.holdfast))
    ends.push(gateway.end)
    ends.push(await startProxy(program, PROXIES[name].args, folder, ports.proxy))
  } catch (error) {
    await stop()
    throw error
  }
  const origin = `https://localhost:${ports.proxy}`
  return {
    folder,
    origin,
    ports,
    calls,
    ...certificates,
    token: (cnf) => tokenOf(issuer, origin, cnf),
    auditLines: () =>
      readFileSync(join(folder, 'audit.jsonl'), 'utf8')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line)),
    stop,
  }
}

/** Files of an example, changed on their way. */
function copyAs(from: string, to: string, change: (text: string) => string): void {
  for (const file of readdirSync(from)) {
    if (/\.(?:ts|md)$/.test(file)) continue
    writeFileSync(join(to, file), change(readFileSync(join(from, file), 'utf8')))
  }
}

/** An hour before and a day after now. */
const VALID = { notBefore: -3_600_000, notAfter: 86_400_000 } as const

async function writeCertificates(folder: string): Promise<Pick<Example, 'clients' | 'neighbour'>> {
  const write = (file: string, text: string): void => writeFileSync(join(folder, 'certs', file), text, { mode: 0o600 })
  const make = (subject: string, isCa: boolean, issuer: Issued | null, names: string[] = [], usage?: keyof typeof USAGES) => {
    const [notBefore, notAfter] = [new Date(Date.now() + VALID.notBefore), new Date(Date.now() + VALID.notAfter)]
    return issue({ subject: `CN=${subject}`, isCa, names, usages: usage ? [USAGES[usage]] : [], notBefore, notAfter }, issuer)
  }
  const [ca, hops, clients] = await Promise.all([
    make('Example CA', true, null),
    make('Hops', true, null),
    make('Clients', true, null),
  ])
  const [proxy, holdfast, hop, neighbour, client, other] = await Promise.all([
    make('localhost', false, ca, ['localhost'], 'server'),
    // Traefik's forwardAuth takes no other name than that of its address.
    make('holdfast', false, ca, ['holdfast.internal', '127.0.0.1'], 'server'),
    make('ingress', false, hops, ['ingress.internal'], 'client'),
    make('neighbour', false, hops, ['neighbour.internal'], 'client'),
    make('client', false, clients, [], 'client'),
    make('other', false, clients, [], 'client'),
  ])
  write('ca.crt', ca.cert)
  write('hops-ca.crt', hops.cert)
  write('client-ca.crt', clients.cert)
  const named = { proxy, holdfast, hop, client, other }
  for (const [name, { cert, key }] of Object.entries(named)) {
    write(`${name}.crt`, cert)
    write(`${name}.key`, key)
    // For HAProxy, which has both in one.
    write(`${name}.pem`, cert + key)
  }
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  write('assertion.key', privateKey.export({ type: 'pkcs8', format: 'pem' }).toString())
  return { clients: { client, other }, neighbour }
}

type Signing = { readonly key: Awaited<ReturnType<typeof generateKeyPair>>['privateKey']; readonly kid: string }

async function writeIssuer(folder: string): Promise<Signing> {
  const { privateKey, publicKey } = await generateKeyPair('ES256')
  const kid = 'example'
  const jwk = { ...(await exportJWK(publicKey)), kid, alg: 'ES256', use: 'sig' }
  writeFileSync(join(folder, 'certs', 'issuer.jwks'), JSON.stringify({ keys: [jwk] }))
  return { key: privateKey, kid }
}

/** A token of a user, for five minutes. */
const tokenOf = ({ key, kid }: Signing, audience: string, cnf: object): Promise<string> =>
  new SignJWT({ client_id: 'example', scope: 'case.read', cnf })
    .setProtectedHeader({ typ: 'at+jwt', alg: 'ES256', kid })
    .setIssuer('https://as.example.com')
    .setAudience(audience)
    .setSubject('user-1')
    .setJti(crypto.randomUUID())
    .setIssuedAt()
    .setExpirationTime('5m')
    .sign(key)

/** RFC 8705 §3.1. */
export const thumbprintOf = ({ cert }: Client): string =>
  createHash('sha256').update(new X509Certificate(cert).raw).digest('base64url')

const listens = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
      .once('connect', () => {
        socket.destroy()
        resolve(true)
      })
      .once('error', () => resolve(false))
  })

/** Does the proxy serve, as it is configured? Some listen before they know what for. */
const serves = (port: number, ca: string): Promise<boolean> =>
  new Promise((resolve) => {
    const request = get({
      port,
      host: '127.0.0.1',
      servername: 'localhost',
      path: '/public',
      ca,
      agent: false,
      headers: { Host: `localhost:${port}` },
    })
    request.once('response', (response) => {
      response.resume()
      resolve(response.statusCode === 200)
    })
    request.once('error', () => resolve(false))
  })

async function startProxy(program: string, args: readonly string[], cwd: string, port: number): Promise<() => Promise<void>> {
  const env = { ...process.env, HOME: cwd, XDG_DATA_HOME: cwd, XDG_CONFIG_HOME: cwd }
  const child: ChildProcess = spawn(program, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] })
  const kill = (): void => void child.kill('SIGKILL')
  process.once('exit', kill)
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk) => {
      said = (said + chunk).slice(-4000)
    })
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const deadline = Date.now() + 30_000
  const ca = readFileSync(join(cwd, 'certs', 'ca.crt'), 'utf8')
  while (!(await serves(port, ca))) {
    if (child.exitCode !== null || Date.now() > deadline) {
      kill()
      throw new Error(`${program} did not start:\n${said}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return async () => {
    child.kill('SIGTERM')
    const late = setTimeout(kill, 3000)
    await ended
    clearTimeout(late)
    process.off('exit', kill)
  }
}
