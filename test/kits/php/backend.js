// Serves serve.php, as test/kits/harness.ts describes: `backend.js server SETTINGS` by PHP's own server, `backend.js FPM SETTINGS`, where
// FPM is the path of php-fpm, by FPM behind an nginx.
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const [, , by, settings] = process.argv
const SCRIPT = join(import.meta.dirname, 'serve.php')
const folder = mkdtempSync(join(tmpdir(), 'holdfast-php-'))
const kept = join(folder, 'kept')
mkdirSync(kept, { mode: 0o700 })
const KIT = JSON.stringify({ ...JSON.parse(settings), folder: kept })
const children = []

const launch = (program, args, env = {}) =>
  children.push(spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, ...env } }))

process.once('exit', () => {
  for (const child of children) child.kill('SIGTERM')
  rmSync(folder, { recursive: true, force: true })
})
for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => process.exit())

const port = await new Promise((resolve) => {
  const server = createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address()
    server.close(() => resolve(port))
  })
})

function underFpm() {
  const socket = join(folder, 'fpm.sock')
  const isRoot = process.getuid?.() === 0
  writeFileSync(
    join(folder, 'fpm.conf'),
    `[global]\nerror_log = ${folder}/fpm.log\ndaemonize = no\n[pool]\nlisten = ${socket}\n${isRoot ? 'user = root\ngroup = root\n' : ''}pm = static
pm.max_children = 4\n`,
  )
  launch(by, ['--nodaemonize', ...(isRoot ? ['--allow-to-run-as-root'] : []), '--fpm-config', join(folder, 'fpm.conf')])
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder}/${name};`)
  writeFileSync(
    join(folder, 'nginx.conf'),
    `${isRoot ? 'user root;' : ''} daemon off; master_process off; pid ${folder}/pid; error_log ${folder}/error.log error;
events { } http { access_log off; ${paths.join(' ')} server { listen 127.0.0.1:${port}; location / {
  include /etc/nginx/fastcgi_params; fastcgi_param SCRIPT_FILENAME ${SCRIPT}; fastcgi_param KIT '${KIT}'; fastcgi_pass unix:${socket};
} } }`,
  )
  launch('nginx', ['-p', folder, '-c', join(folder, 'nginx.conf')])
}

if (by === 'server') launch('php', ['-q', '-S', `127.0.0.1:${port}`, SCRIPT], { KIT })
else underFpm()
for (;;) {
  if (children.some(({ exitCode }) => exitCode !== null)) throw new Error('a server ended before it listened')
  // FPM is there when what nginx hands on is answered: 401, as nothing comes with an assertion.
  const answer = await fetch(`http://127.0.0.1:${port}/`).catch(() => null)
  if (answer?.status === 401) break
  await sleep(50)
}
console.log(`listening ${port}`)
