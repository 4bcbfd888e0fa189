// Pages whose requests come to an nginx that asks the decision API, configured as docs/browser.md and docs/decision-api.md say, in a real browser.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { portOf, startDeciding } from '../support/asking.js'
import { skip as noBrowser, type Page, startBrowser } from '../support/browser.js'
import { credentialsOf, makeDraft } from '../support/draft.js'
import { waitFor } from '../support/fleet.js'
import { HOST } from '../support/lab.js'
import { startPages } from '../support/pages.js'
import { freePort } from '../support/redis.js'

const NGINX = '/usr/sbin/nginx'
const API = `https://${HOST}`
const skip = noBrowser || (existsSync(NGINX) ? false : 'nginx is not installed')

/** The nginx blocks of a page of docs/, in order. */
const blocks = (page: string): readonly string[] =>
  [...readFileSync(join(process.cwd(), 'docs', page), 'utf8').matchAll(/^```nginx\n([\s\S]*?)^```/gm)].map(
    ([, block = '']) => block,
  )

/** Runs it on a port of this machine, with what the pages say. */
async function startNginx(t: Test, files: Readonly<Record<string, string>>, local: (config: string) => string): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-nginx-'))
  const port = await freePort()
  const [maps = '', headers = ''] = blocks('browser.md')
  const [server = ''] = blocks('decision-api.md')
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder}/${name};`)
  const config = server
    .replace('listen 443 ssl', `listen 127.0.0.1:${port} ssl`)
    .replace('  location / {', `${headers}\n  location / {`)
    .replaceAll('/etc/nginx/', `${folder}/`)
  mkdirSync(join(folder, 'logs'))
  for (const name of ['server.crt', 'server.key']) writeFileSync(join(folder, name), files[name] ?? '')
  writeFileSync(
    join(folder, 'nginx.conf'),
    `daemon off; master_process off; pid ${folder}/nginx.pid; error_log ${folder}/error.log;
events {}
http { access_log off; ${paths.join(' ')}
${local(maps + config)} }`,
  )
  const child = spawn(NGINX, ['-p', folder, '-c', join(folder, 'nginx.conf')], { stdio: 'ignore' })
  t.teardown(async () => {
    const ended = once(child, 'exit')
    if (child.exitCode === null && child.kill('SIGKILL')) await ended
    rmSync(folder, { recursive: true, force: true })
  })
  await waitFor(
    () => (existsSync(join(folder, 'error.log')) ? readFileSync(join(folder, 'error.log'), 'utf8') : 'nginx'),
    () => existsSync(join(folder, 'nginx.pid')),
  )
  return port
}

t.test('pages call through an nginx that asks, in a browser', { skip, timeout: 110_000 }, async (t) => {
  const seen: IncomingHttpHeaders[] = []
  const backend = createServer(({ headers }, response) => {
    seen.push(headers)
    response.writeHead(200, { 'Access-Control-Allow-Origin': '*', 'Access-Control-Allow-Credentials': 'true' }).end('done')
  }).listen(0, '127.0.0.1')
  await once(backend, 'listening')
  const { port } = backend.address() as AddressInfo
  const pages = await startPages(API)
  const lab = await startDeciding({
    routes: `
  - { path: /fresh, methods: [GET], tier: fresh, upstream: cases, issuers: [https://as.example.com] }`,
    tiers: '{ fresh: { extends: high_value, body_digest: off } }',
  })
  const APP = `http://localhost:${pages.port}`
  const nginx = await startNginx(t, lab.certificates.files, (config) =>
    config
      .replace('127.0.0.1:9191', `127.0.0.1:${portOf(lab)}`)
      .replace('127.0.0.1:9000', `127.0.0.1:${port}`)
      .replace('https://app.example.com', APP),
  )
  const browser = await startBrowser({
    certificate: lab.certificates.files['server.crt'] ?? '',
    rules: [`MAP ${HOST}:443 127.0.0.1:${nginx}`],
  })
  t.teardown(async () => {
    await browser.stop()
    await lab.stop()
    pages.close()
    backend.close()
    backend.closeAllConnections()
  })
  const ask = (page: Page, nonce?: string) => {
    const draft = makeDraft({ host: HOST, path: '/fresh', ...(nonce === undefined ? {} : { nonce }) })
    return page.fetch(`${API}/fresh`, { headers: credentialsOf(draft) })
  }

  const page = await browser.open(APP)
  const refused = await ask(page)
  t.match(refused, { status: 401, headers: { 'www-authenticate': /error="use_dpop_nonce"/, 'dpop-nonce': /.+/ } })
  t.equal(seen.length, 0)
  const nonce = typeof refused === 'string' ? '' : refused.headers['dpop-nonce']
  t.match(await ask(page, nonce), { status: 200, body: 'done', headers: { 'dpop-nonce': /.+/ } })
  t.equal(seen.length, 1)
  t.match(await page.fetch(`${API}/nothing`), { status: 404 })

  t.equal(await page.fetch(`${API}/fresh`, { method: 'DELETE' }), 'TypeError', 'a method that is not listed')
  t.equal(await page.fetch(`${API}/fresh`, { credentials: 'include' }), 'TypeError')
  const other = await browser.open(`http://127.0.0.1:${pages.port}`)
  t.equal(await ask(other, nonce), 'TypeError', 'another origin')
  t.equal(await other.fetch(`${API}/fresh`), 'TypeError')
  t.equal(seen.length, 1)
})
