// The servers that are compared: an upstream, plain TLS proxies, other gateways that verify tokens or proofs, and ours. Each in a
// folder of its own, on a loopback port, as one process tree.
import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, closeSync, existsSync, mkdtempSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { find } from '../examples/proxies/stage.js'

export type Server = { readonly port: number; readonly pid: number; stop(): Promise<void> }

/** A new one each time: a scenario may start what another did before. Others than we must be able to look into it. */
function folderFor(root: string, name: string): string {
  const folder = mkdtempSync(join(root, `${name}-`))
  chmodSync(folder, 0o755)
  return folder
}

type Run = { readonly child: ChildProcess; readonly log: string }

export const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })

async function started({ child, log }: Run, port: number): Promise<Server> {
  for (let i = 0; i < 2000; i++) {
    if (child.exitCode !== null) throw new Error(`${child.spawnfile} ended with ${child.exitCode}: ${readFileSync(log, 'utf8')}`)
    if (await answers(port)) return { port, pid: child.pid ?? 0, stop: () => stop(child) }
    await sleep(5)
  }
  throw new Error(`${child.spawnfile} does not listen on ${port}`)
}

const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    }).on('error', () => resolve(false))
  })

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const closed = new Promise((resolve) => child.once('close', resolve))
  child.kill('SIGTERM')
  await closed
}

/** What it says goes to a file, and is shown when it does not start. */
function run(command: string, args: readonly string[], cwd: string): Run {
  const log = join(cwd, 'stderr.log')
  const descriptor = openSync(log, 'a')
  const child = spawn(command, [...args], { cwd, stdio: ['ignore', 'ignore', descriptor] })
  closeSync(descriptor)
  return { child, log }
}

const NGINX = (
  folder: string,
  servers: string,
): string => `daemon off; master_process off; pid ${folder}/nginx.pid; error_log ${folder}/error.log;
events { worker_connections 1024; }
http { access_log off; keepalive_requests 1000000000; client_body_temp_path ${folder}/t1; proxy_temp_path ${folder}/t2; fastcgi_temp_path ${folder}/t3; uwsgi_temp_path ${folder}/t4; scgi_temp_path ${folder}/t5;
${servers} }`

/** 100 bytes, whatever is asked. */
export async function startUpstream(root: string): Promise<Server> {
  const folder = folderFor(root, 'upstream')
  const port = await freePort()
  writeFileSync(
    join(folder, 'nginx.conf'),
    NGINX(folder, `server { listen 127.0.0.1:${port}; location / { return 200 "${'x'.repeat(100)}"; } }`),
  )
  return started(run('nginx', ['-p', folder, '-c', join(folder, 'nginx.conf')], folder), port)
}

/** nginx: TLS and proxying, no checks at all; with `clientCa`, a certificate of that CA is demanded. */
export async function startNginx(root: string, upstream: number, { clientCa = '' } = {}): Promise<Server> {
  const folder = folderFor(root, 'nginx')
  const port = await freePort()
  const mtls = clientCa === '' ? '' : `ssl_client_certificate ${clientCa}; ssl_verify_client on;`
  const server = `upstream u { server 127.0.0.1:${upstream}; keepalive 64; }
server { listen 127.0.0.1:${port} ssl; ssl_certificate ${root}/server.crt; ssl_certificate_key ${root}/server.key; ssl_protocols TLSv1.2 TLSv1.3; ${mtls}
location / { proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection ""; } }`
  writeFileSync(join(folder, 'nginx.conf'), NGINX(folder, server))
  return started(run('nginx', ['-p', folder, '-c', join(folder, 'nginx.conf')], folder), port)
}

/** Ports of those whom a proxy asks and sends to. */
type Asked = { readonly upstream: number; readonly decisions: number }

/** nginx: TLS and proxying, and each request is asked about at a decision API on loopback. */
export async function startAskingNginx(root: string, port: number, ports: Asked): Promise<Server> {
  const folder = folderFor(root, 'nginx')
  const server = `upstream u { server 127.0.0.1:${ports.upstream}; keepalive 64; }
upstream decisions { server 127.0.0.1:${ports.decisions}; keepalive 64; }
server { listen 127.0.0.1:${port} ssl; ssl_certificate ${root}/server.crt; ssl_certificate_key ${root}/server.key; ssl_protocols TLSv1.2 TLSv1.3;
location / { auth_request /decision; auth_request_set $assertion $upstream_http_holdfast_assertion;
  proxy_set_header Holdfast-Assertion $assertion; proxy_set_header Authorization ""; proxy_set_header DPoP "";
  proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection ""; }
location = /decision { internal; proxy_pass http://decisions/auth-request; proxy_http_version 1.1; proxy_set_header Connection "";
  proxy_pass_request_body off; proxy_set_header Content-Length ""; proxy_set_header X-Original-Method $request_method;
  proxy_set_header X-Original-URL $scheme://$http_host$request_uri; proxy_set_header X-Original-Request-Id $request_id; } }`
  writeFileSync(join(folder, 'nginx.conf'), NGINX(folder, server))
  return started(run('nginx', ['-p', folder, '-c', join(folder, 'nginx.conf')], folder), port)
}

/** Envoy: TLS and proxying, and each request is asked about by gRPC at a decision API on loopback. */
export async function startAskingEnvoy(root: string, port: number, ports: Asked): Promise<Server> {
  const folder = folderFor(root, 'envoy')
  const extension = (name: string, type: string, settings: object = {}): object => ({
    name,
    typed_config: { '@type': `type.googleapis.com/envoy.extensions.${type}`, ...settings },
  })
  const at = (port: number): object => ({ address: { socket_address: { address: '127.0.0.1', port_value: port } } })
  const cluster = (name: string, port: number, settings: object = {}): object => ({
    name,
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: at(port) }] }] },
    ...settings,
  })
  const certificate = { certificate_chain: { filename: `${root}/server.crt` }, private_key: { filename: `${root}/server.key` } }
  const http = {
    '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
    explicit_http_config: { http2_protocol_options: {} },
  }
  const manager = {
    stat_prefix: 'edge',
    use_remote_address: true,
    route_config: {
      virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'u' } }] }],
    },
    http_filters: [
      extension('envoy.filters.http.ext_authz', 'filters.http.ext_authz.v3.ExtAuthz', {
        transport_api_version: 'V3',
        encode_raw_headers: true,
        grpc_service: { envoy_grpc: { cluster_name: 'decisions' }, timeout: '5s' },
      }),
      extension('envoy.filters.http.router', 'filters.http.router.v3.Router'),
    ],
  }
  const listener = {
    ...at(port),
    filter_chains: [
      {
        transport_socket: extension('envoy.transport_sockets.tls', 'transport_sockets.tls.v3.DownstreamTlsContext', {
          common_tls_context: { tls_certificates: [certificate] },
        }),
        filters: [
          extension(
            'envoy.filters.network.http_connection_manager',
            'filters.network.http_connection_manager.v3.HttpConnectionManager',
            manager,
          ),
        ],
      },
    ],
  }
  const clusters = [
    cluster('u', ports.upstream),
    cluster('decisions', ports.decisions, {
      typed_extension_protocol_options: { 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': http },
    }),
  ]
  const file = join(folder, 'envoy.json')
  writeFileSync(file, JSON.stringify({ static_resources: { listeners: [listener], clusters } }))
  const args = ['--config-path', file, '--log-level', 'error', '--use-dynamic-base-id', '--concurrency', '1']
  return started(run(find('envoy') ?? '', args, folder), port)
}

export const hasEnvoy = (): boolean => find('envoy') !== undefined
export const hasNginx = (): boolean => existsSync('/usr/sbin/nginx')
export const hasHaproxy = (): boolean => existsSync('/usr/sbin/haproxy')

/** haproxy: TLS, and the ES256 signature of a Bearer token on every request; nothing else of the token. */
export async function startHaproxy(root: string, upstream: number, publicKeyPem: string): Promise<Server> {
  const folder = folderFor(root, 'haproxy')
  const port = await freePort()
  writeFileSync(join(folder, 'issuer.pem'), publicKeyPem)
  const both = ['server.crt', 'server.key'].map((name) => readFileSync(join(root, name), 'utf8'))
  writeFileSync(join(folder, 'server.pem'), both.join(''))
  writeFileSync(
    join(folder, 'haproxy.cfg'),
    `global
  nbthread 1
defaults
  mode http
  timeout client 30s
  timeout server 30s
  timeout connect 5s
  http-reuse always
frontend edge
  bind 127.0.0.1:${port} ssl crt ${folder}/server.pem
  http-request set-var(txn.bearer) http_auth_bearer
  http-request set-var(txn.alg) var(txn.bearer),jwt_header_query('$.alg')
  http-request deny deny_status 401 unless { var(txn.alg) -m str ES256 } { var(txn.bearer),jwt_verify(txn.alg,"${folder}/issuer.pem") 1 }
  default_backend upstream
backend upstream
  server u 127.0.0.1:${upstream}
`,
  )
  return started(run('haproxy', ['-db', '-f', join(folder, 'haproxy.cfg')], folder), port)
}

const APACHE_MODULES = '/usr/lib/apache2/modules'
export const hasApache = (): boolean => existsSync(`${APACHE_MODULES}/mod_oauth2.so`)

/** Apache and mod_oauth2: token and proof verified, `jti` in shared memory. `options` are those of OAuth2TokenVerify besides its type. */
export async function startApache(root: string, upstream: number, jwk: object, options = ''): Promise<Server> {
  const folder = folderFor(root, 'apache')
  const port = await freePort()
  const modules = ['mpm_event', 'authn_core', 'authz_core', 'authz_user', 'ssl', 'socache_shmcb', 'proxy', 'proxy_http', 'oauth2']
  const json = JSON.stringify(jwk).replaceAll('"', '\\"')
  writeFileSync(
    join(folder, 'httpd.conf'),
    `${modules.map((name) => `LoadModule ${name === 'mpm_event' ? 'mpm_event' : name}_module ${APACHE_MODULES}/mod_${name}.so`).join('\n')}
ServerRoot ${folder}
ServerName localhost
PidFile ${folder}/httpd.pid
ErrorLog ${folder}/error.log
Listen 127.0.0.1:${port}
User www-data
Group www-data
MaxKeepAliveRequests 0
KeepAlive On
SSLEngine on
SSLCertificateFile ${root}/server.crt
SSLCertificateKeyFile ${root}/server.key
OAuth2TokenVerify jwk "${json}" type=dpop${options}
<Location />
  AuthType oauth2
  Require valid-user
  OAuth2AcceptTokenIn header name=Authorization&type=DPoP
  ProxyPass http://127.0.0.1:${upstream}/
</Location>
`,
  )
  return started(
    run(
      'apache2',
      ['-X', '-DFOREGROUND', '-f', join(folder, 'httpd.conf')].filter((flag) => flag !== '-X'),
      folder,
    ),
    port,
  )
}

export async function startRedis(root: string): Promise<Server> {
  const port = await freePort()
  return started(
    run('redis-server', ['--port', String(port), '--save', '', '--appendonly', 'no', '--loglevel', 'warning'], root),
    port,
  )
}

/** Ours, of a build: its folder `dist`, on a node of its own. */
export async function startHoldfast(
  root: string,
  file: string,
  { port, node = process.execPath, dist = BUILD, flags = [] }: HoldfastOptions,
): Promise<Server> {
  const main = join(dist, 'src', 'main.js')
  return started(run(node, [...shippedFlags(main), ...flags, main, 'serve', file], root), port)
}

/** What its first line starts node with: `#!/usr/bin/env -S node --flag`. */
const shippedFlags = (main: string): readonly string[] => readFileSync(main, 'utf8').split('\n', 1)[0]?.split(' ').slice(3) ?? []

export type HoldfastOptions = {
  readonly port: number
  readonly node?: string
  readonly dist?: string
  /** Of node, before its own: `--cpu-prof`. */
  readonly flags?: readonly string[]
}

/** The folder that this file was compiled into. */
export const BUILD = join(import.meta.dirname, '..')

/** A server of bench/, as a process of its own: `fastify-proxy` or `naive`. */
export async function startOwn(root: string, name: string, settings: object, node = process.execPath): Promise<Server> {
  const port = await freePort()
  return started(run(node, [join(BUILD, 'bench', `${name}.js`), JSON.stringify({ ...settings, root, port })], root), port)
}
