// The servers that are compared: an upstream, a plain TLS proxy, another gateway that verifies DPoP, and ours. Each in a folder of
// its own, on a loopback port, as one process tree.
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

export type Server = { readonly port: number; readonly pid: number; stop(): Promise<void> }

export const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })

async function started(child: ChildProcess, port: number): Promise<Server> {
  for (let i = 0; i < 200; i++) {
    if (child.exitCode !== null) throw new Error(`${child.spawnfile} ended with ${child.exitCode}`)
    if (await answers(port)) return { port, pid: child.pid ?? 0, stop: () => stop(child) }
    await sleep(50)
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
  const closed = new Promise((resolve) => child.once('close', resolve))
  child.kill('SIGTERM')
  await closed
}

function run(command: string, args: readonly string[], cwd: string): ChildProcess {
  return spawn(command, [...args], { cwd, stdio: ['ignore', 'ignore', 'inherit'] })
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
  const folder = join(root, 'upstream')
  mkdirSync(folder)
  const port = await freePort()
  writeFileSync(
    join(folder, 'nginx.conf'),
    NGINX(folder, `server { listen 127.0.0.1:${port}; location / { return 200 "${'x'.repeat(100)}"; } }`),
  )
  return started(run('nginx', ['-p', folder, '-c', join(folder, 'nginx.conf')], folder), port)
}

/** nginx: TLS and proxying, no checks at all. */
export async function startNginx(root: string, upstream: number): Promise<Server> {
  const folder = join(root, 'nginx')
  mkdirSync(folder)
  const port = await freePort()
  const server = `upstream u { server 127.0.0.1:${upstream}; keepalive 64; }
server { listen 127.0.0.1:${port} ssl; ssl_certificate ${root}/server.crt; ssl_certificate_key ${root}/server.key;
location / { proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection ""; } }`
  writeFileSync(join(folder, 'nginx.conf'), NGINX(folder, server))
  return started(run('nginx', ['-p', folder, '-c', join(folder, 'nginx.conf')], folder), port)
}

const APACHE_MODULES = '/usr/lib/apache2/modules'
export const hasApache = (): boolean => existsSync(`${APACHE_MODULES}/mod_oauth2.so`)

/** Apache and mod_oauth2: token and proof verified, `jti` in shared memory. `options` are those of OAuth2TokenVerify besides its type. */
export async function startApache(root: string, upstream: number, jwk: object, options = ''): Promise<Server> {
  const folder = join(root, 'apache')
  mkdirSync(folder)
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

/** Ours, on the node that runs this; `NODE_FLAGS="--cpu-prof --cpu-prof-dir=/tmp/prof"` profiles it. */
export async function startHoldfast(root: string, file: string, port: number): Promise<Server> {
  const main = join(import.meta.dirname, '..', 'src', 'main.js')
  const flags = process.env.NODE_FLAGS?.split(' ') ?? []
  return started(run(process.execPath, [...flags, main, 'serve', file], root), port)
}
