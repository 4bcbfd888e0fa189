// What the Dockerfile makes: it serves as a user without a name, without capabilities, on a root that nothing can be written to, and holds
// no program but node.
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { lstatSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { makeDraft, printDraft } from '../support/draft.js'
import { childrenOf, HOST, makePlace, waitFor } from '../support/fleet.js'
import { exchange } from '../support/http.js'
import { makeImage, ROOT, whyNoImage } from '../support/image.js'
import { freePort } from '../support/redis.js'

const skip = whyNoImage()
const image = skip === false ? makeImage(t) : null

const files = (folder: string): readonly string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name))

t.test('holds no program but node, and nothing that its user may change', { skip }, async (t) => {
  const root = image?.root ?? ''
  const programs = ['bin', 'sbin', 'usr/bin', 'usr/sbin', 'usr/local/bin', 'usr/local/sbin'].flatMap((folder) => {
    const { stdout } = spawnSync('ls', [join(root, folder)], { encoding: 'utf8' })
    return stdout.split('\n').filter((name) => name !== '')
  })
  t.same(programs, ['node'])
  const loose = files(root).filter((file) => !lstatSync(file).isSymbolicLink() && (lstatSync(file).mode & 0o6002) !== 0)
  t.same(loose, [], 'nobody else writes to any, and none lends its rights')
  const others = files(root).filter((file) => lstatSync(file).uid !== 0)
  t.same(others, [], "all are root's")
  t.match(readdirSync(join(root, 'var/lib/dpkg/status.d')), ['libc6'], 'scanners see what it is made of')
  const { dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  const modules = readdirSync(join(root, 'app/node_modules'))
  for (const name of Object.keys(dependencies)) t.ok(modules.includes(name.split('/')[0] ?? ''), name)
  for (const name of ['typescript', 'tap', 'npm', 'oidc-provider', '@biomejs']) t.notOk(modules.includes(name), name)
})

t.test('serves from a read-only root, as process 1, and drains', { skip, timeout: 120_000 }, async (t) => {
  if (image === null) return
  const place = await makePlace(t)
  const [port, admin] = [await freePort(), await freePort()]
  const { port: upstream } = place.upstream.address() as { port: number }
  writeFileSync(
    join(place.folder, 'routes.yaml'),
    `version: 1
listen: { host: 127.0.0.1, port: ${port}, tls: { key: server.key, cert: server.crt } }
admin: { port: ${admin} }
workers: 2
limits: { event_loop_delay: 30s }
public_origins: [https://${HOST}]
issuers: [{ issuer: https://as.example.com, audience: https://api.example.com, jwks_file: issuer.jwks }]
replay: { store: redis, redis: { url: '${place.redis.url}', timeout: 5s } }
assertion: { key: assertion.key }
upstreams: { u: { url: 'http://127.0.0.1:${upstream}' } }
routes: [{ path: /pay, methods: [GET], tier: sensitive_read, upstream: u }]
`,
  )
  spawnSync('chown', ['-R', `0:${image.user.split(':')[1]}`, place.folder])
  spawnSync('chmod', ['-R', 'u=rwX,g=rX,o=', place.folder])
  const child = image.run(place.folder)
  t.teardown(() => child.kill('SIGKILL'))
  let [said, events] = ['', '']
  child.stderr?.on('data', (chunk) => {
    said += chunk
  })
  child.stdout?.on('data', (chunk) => {
    events += chunk
  })
  await waitFor(
    () => `it accepts requests: ${said}`,
    () => said.includes('"accepting requests"') || child.exitCode !== null,
  )
  if (child.exitCode !== null) throw new Error(said)
  const [first = 0] = childrenOf(child.pid)
  const processes = [first, ...childrenOf(first)]
  t.equal(processes.length, 3, 'the first process and two workers')
  for (const pid of processes) {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    const [uid] = image.user.split(':')
    t.match(status, new RegExp(`^Uid:\\t${uid}\\t${uid}\\t${uid}\\t${uid}$`, 'm'), 'real, effective, saved: one that is not root')
    t.match(status, /^CapEff:\t0+$/m)
    t.match(readFileSync(`/proc/${pid}/mountinfo`, 'utf8'), / \/ ro[, ]/, 'its root is read-only')
  }
  t.match(readFileSync(`/proc/${first}/status`, 'utf8'), /^NSpid:\t\d+\t1$/m, 'process 1')

  const options = { port, servername: HOST, ca: place.ca }
  const request = printDraft(makeDraft({ host: HOST, path: '/pay' }))
  t.match(await exchange(request, options), { status: 200, body: 'done' })
  t.match(await exchange(request, options), { status: 401, body: /proof_replayed/ })
  await waitFor('both are in the audit log, on standard output', () => events.split('\n').length > 2)

  const ended = once(child, 'exit')
  process.kill(first, 'SIGTERM')
  t.same(await ended, [0, null], said)
})
