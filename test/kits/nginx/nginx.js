// An nginx with the kit's own configuration, made to run beside others: its ports, its files, and options that each request says.
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const KIT = join(import.meta.dirname, '..', '..', '..', 'kits', 'nginx')
const MODULE = '/usr/lib/nginx/modules/ngx_http_js_module.so'

/** The kit under a clock that a request sets in `X-Now`, where there is one. */
const CLOCK = `
import holdfast from 'holdfast.js'
const real = Date.now
function guard(r) {
  const now = r.headersIn['X-Now']
  Date.now = now === undefined ? real : () => Number(now) * 1000
  return holdfast.guard(r)
}
export default { guard }
`

const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })

/** Starts it; `changes` replace lines of holdfast.conf, each of which must be there. `behind`: host:port of what is believed. */
export async function startNginx({ issuer, jwks_url, behind, changes }) {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-nginx-'))
  const port = await freePort()
  writeFileSync(join(folder, 'clock.js'), CLOCK)
  let text = readFileSync(join(KIT, 'holdfast.conf'), 'utf8')
  const all = {
    'js_path /etc/nginx/holdfast;': `js_path ${KIT}; js_path ${folder};`,
    'from holdfast.js': 'from clock.js',
    '/var/cache/nginx/holdfast ': `${folder}/cache `,
    'listen 8080;': `listen 127.0.0.1:${port};`,
    'https://gateway.example.com;': `${issuer};`,
    'http://127.0.0.1:8081;': `http://${behind};`,
    'https://gateway.example.com/.well-known/holdfast-jwks.json;': `${jwks_url};`,
    ...changes,
  }
  for (const [old, changed] of Object.entries(all)) {
    if (!text.includes(old)) throw new Error(`holdfast.conf does not say ${old}`)
    text = text.replace(old, changed)
  }
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder}/${name};`)
  const user = process.getuid?.() === 0 ? 'user root;' : ''
  writeFileSync(
    join(folder, 'nginx.conf'),
    `load_module ${MODULE}; ${user} daemon off; master_process off; pid ${folder}/pid; error_log ${folder}/error.log error;
events { } http { access_log off; ${paths.join(' ')} keepalive_requests 100000;\n${text} }`,
  )
  const child = spawn('nginx', ['-p', folder, '-c', join(folder, 'nginx.conf')], { stdio: ['ignore', 'inherit', 'inherit'] })
  const stop = () => {
    child.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  }
  process.once('exit', stop)
  for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => process.exit())
  for (;;) {
    if (child.exitCode !== null) throw new Error(`nginx ended with ${child.exitCode}`)
    const answer = await fetch(`http://127.0.0.1:${port}/`).catch(() => null)
    if (answer !== null) return { port, stop }
    await sleep(50)
  }
}
