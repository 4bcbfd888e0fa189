// The proxies of docs/behind.md, configured as that page says, between real clients and the gateway; skipped where they are not installed.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { type Credential, makeCa, makeCertificate, makeCrl } from '../support/certs.js'
import { type Draft, makeDraft, printDraft } from '../support/draft.js'
import { exchange, type Reply } from '../support/http.js'
import { HOST, type Lab, startLab } from '../support/lab.js'
import { freePort } from '../support/redis.js'

const PAGE = readFileSync(join(process.cwd(), 'docs/behind.md'), 'utf8')
/** What the page says, in its blocks of this language. */
const blocks = (language: string): readonly string[] =>
  [...PAGE.matchAll(new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\``, 'gm'))].map(([, block = '']) => block)

const ca = await makeCa('Client CA')
const ekus = ['client'] as const
const [client, other, revoked, foreign] = await Promise.all([
  makeCertificate({ ca, ekus }),
  makeCertificate({ ca, ekus }),
  makeCertificate({ ca, ekus }),
  makeCertificate({ ca: await makeCa('Client CA'), ekus }),
])
const pem = ({ cert }: { readonly cert: string }): string => encodeURIComponent(cert)
const der = ({ cert }: { readonly cert: string }): string => cert.replace(/-----[^-]*-----|\s/g, '')

type Setting = { readonly folder: string; readonly socket: string; readonly port: number }

/** A gateway on a socket, and a folder with all that a proxy needs. */
async function startBehind(t: Test, certificate: string): Promise<{ lab: Lab; setting: Setting }> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-peers-'))
  const socket = join(folder, 'edge.sock')
  const lab = await startLab({
    store: 'memory',
    files: { 'c.crt': ca.cert, 'c.crl': await makeCrl(ca, [revoked]) },
    yaml: (defaults) => ({
      ...defaults,
      listen: `{ socket: ${socket}, tls: off, behind: { hop: socket, address: forwarded_for, certificate: ${certificate}, client_ca: c.crt, crl: [c.crl] } }`,
    }),
  })
  t.teardown(async () => {
    await lab.stop()
    rmSync(folder, { recursive: true, force: true })
  })
  writeServer(folder, lab)
  return { lab, setting: { folder, socket, port: await freePort() } }
}

function writeServer(folder: string, { certificates: { files } }: Lab): void {
  for (const name of ['server.crt', 'server.key']) writeFileSync(join(folder, name), files[name] ?? '')
  writeFileSync(join(folder, 'server.pem'), `${files['server.crt']}${files['server.key']}`)
  writeFileSync(join(folder, 'client-ca.crt'), ca.cert)
}

/** Starts a proxy and waits until it can be connected to. */
async function run(t: Test, command: string, args: readonly string[], port: number): Promise<void> {
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.on('data', (chunk) => {
    said += chunk
  })
  t.teardown(async () => {
    const ended = once(child, 'exit')
    if (child.exitCode === null && child.kill('SIGKILL')) await ended
  })
  const { connect } = await import('node:net')
  for (let i = 0; i < 400; i++) {
    if (child.exitCode !== null) throw new Error(`${command}: ${said}`)
    const probe = connect(port, '127.0.0.1')
    const isThere = await Promise.race([once(probe, 'connect').then(() => true), once(probe, 'error').then(() => false)]).catch(
      () => false,
    )
    probe.destroy()
    if (isThere) return
    await sleep(25)
  }
  throw new Error(`${command} does not listen: ${said}`)
}

/** A request of whoever has a token bound to `whose`, on a connection with the certificate of `shown`. */
async function ask(port: number, whose: Credential, shown: Credential | null, headers: Draft['headers'] = []): Promise<Reply> {
  const made = makeDraft({ host: HOST, path: '/mtls' })
  Object.assign(made, { scheme: 'Bearer', proof: null, headers })
  made.token.claims.cnf = { 'x5t#S256': whose.x5tS256 }
  return exchange(printDraft(made), { port, servername: HOST, ...(shown === null ? {} : { cert: shown.cert, key: shown.key }) })
}

const outcomeOf = ({ status, body }: Reply): unknown => (status === 200 ? 200 : JSON.parse(body).reason)

/** What every hop must keep, whoever it is. */
async function walk(
  t: Test,
  { lab, setting: { port } }: { lab: Lab; setting: Setting },
  smuggled: Draft['headers'],
): Promise<void> {
  t.equal(outcomeOf(await ask(port, client, client)), 200, 'the client itself')
  t.equal(lab.calls[0]?.headers['x-forwarded-for'], '127.0.0.1')
  t.equal(outcomeOf(await ask(port, client, client, [['X-Forwarded-For', '6.6.6.6']])), 200)
  t.equal(lab.calls.at(-1)?.headers['x-forwarded-for'], '127.0.0.1', 'by no address of its own making')
  t.equal(outcomeOf(await ask(port, client, null)), 'certificate_missing')
  t.equal(outcomeOf(await ask(port, client, other)), 'certificate_mismatch')
  t.equal(outcomeOf(await ask(port, revoked, revoked)), 'certificate_invalid', 'revoked, which the hop does not look at')
  t.equal(
    outcomeOf(await ask(port, client, null, smuggled)),
    'certificate_missing',
    'with the header of the client that it would be',
  )
  t.equal(outcomeOf(await ask(port, client, other, smuggled)), 'certificate_mismatch', 'and a certificate of its own')
  const folded = smuggled.map(([name, value]): [string, string] => [name.replaceAll('-', '_'), value])
  t.equal(outcomeOf(await ask(port, client, null, folded)), 'certificate_missing', 'with _ for -')
  const dropped = smuggled.map(([name]) => name).join(', ')
  t.match(
    outcomeOf(await ask(port, client, null, [...smuggled, ['Connection', dropped]])),
    /^certificate_|^request_/,
    'that Connection names',
  )
  const dpop = await exchange(printDraft(makeDraft({ host: HOST, path: '/read/1' })), { port, servername: HOST })
  t.equal(dpop.status, 200, 'a DPoP proof names the target that the client sees')
}

t.test('nginx', { skip: existsSync('/usr/sbin/nginx') ? false : 'nginx is not installed' }, async (t) => {
  const { lab, setting } = await startBehind(t, 'nginx')
  const { folder, socket, port } = setting
  const [block = ''] = blocks('nginx')
  const server = block
    .replaceAll('/etc/nginx/', `${folder}/`)
    .replace('/run/holdfast/edge.sock', socket)
    .replace('listen 443 ssl', `listen 127.0.0.1:${port} ssl`)
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${folder}/${name};`)
    .join(' ')
  mkdirSync(join(folder, 'logs'))
  writeFileSync(
    join(folder, 'nginx.conf'),
    `daemon off; master_process off; pid ${folder}/nginx.pid; error_log ${folder}/error.log;\nevents {}\nhttp { access_log off; ${paths}\n${server} }`,
  )
  await run(t, '/usr/sbin/nginx', ['-p', folder, '-c', join(folder, 'nginx.conf')], port)
  await walk(t, { lab, setting }, [
    ['ssl-client-cert', pem(client)],
    ['ssl-client-verify', 'SUCCESS'],
  ])
  const stranger = await ask(port, foreign, foreign)
  t.equal(stranger.status, 400, 'whom nginx does not know it refuses itself')
})

t.test('HAProxy', { skip: existsSync('/usr/sbin/haproxy') ? false : 'HAProxy is not installed' }, async (t) => {
  const { lab, setting } = await startBehind(t, 'haproxy')
  const { folder, socket, port } = setting
  const through = await startLab({
    store: 'memory',
    yaml: (defaults) => ({
      ...defaults,
      listen: '{ host: 127.0.0.1, tls: { key: server.key, cert: server.crt }, proxy_protocol: { from: [127.0.0.1] } }',
    }),
  })
  t.teardown(() => through.stop())
  const [tcp, older] = [await freePort(), await freePort()]
  const [http = '', passing = ''] = blocks('haproxy')
  const config = `global
  maxconn 100
defaults
  timeout client 30s
  timeout server 30s
  timeout connect 5s
${http.replaceAll('/etc/haproxy/', `${folder}/`).replace('/run/holdfast/edge.sock', socket).replace('bind :443', `bind 127.0.0.1:${port}`)}
${passing.replace('10.0.0.7:8443', `127.0.0.1:${through.port}`).replace('bind :443', `bind 127.0.0.1:${tcp}`)}
${passing
  .replace('listen tls', 'listen first')
  .replace('send-proxy-v2', 'send-proxy')
  .replace('10.0.0.7:8443', `127.0.0.1:${through.port}`)
  .replace('bind :443', `bind 127.0.0.1:${older}`)}
`
  writeFileSync(join(folder, 'haproxy.cfg'), config)
  execFileSync('/usr/sbin/haproxy', ['-c', '-f', join(folder, 'haproxy.cfg')], { stdio: 'ignore' })
  await run(t, '/usr/sbin/haproxy', ['-db', '-f', join(folder, 'haproxy.cfg')], port)
  await walk(t, { lab, setting }, [
    ['X-SSL-Client-Cert', der(client)],
    ['X-SSL-Client-Verify', '0'],
  ])
  for (const one of [tcp, older]) {
    const reply = await exchange(printDraft(makeDraft({ host: HOST, path: '/read/1' })), { port: one, servername: HOST })
    t.equal(reply.status, 200, 'TLS that is passed through')
    t.equal(through.calls.at(-1)?.headers['x-forwarded-for'], '127.0.0.1')
  }
})
