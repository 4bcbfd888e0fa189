// A backend that can't be changed: real Apache, whose CGI program believes `X-Remote-User`, and for which `X_Remote_User` is the same name. It must hear
// of the token's user and of nobody else, however a client spells its lies; and what it answers must lead back through the gateway.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type Draft, makeDraft, printDraft } from '../support/draft.js'
import { waitFor } from '../support/fleet.js'
import { exchange, type Reply } from '../support/http.js'
import { certificateBound } from '../support/kinds.js'
import { HOST, type Lab, startLab } from '../support/lab.js'
import { freePort } from '../support/redis.js'

t.setTimeout(120_000)
const APACHE = '/usr/sbin/apache2'
const skip = existsSync(APACHE) ? false : 'apache2 is not installed'

/** Shows what it was told, as CGI programs are (RFC 3875 §4.1), and answers as its path asks. */
const PROGRAM = (port: number): string => `#!/usr/bin/env python3
import json, os, sys
path = os.environ.get('PATH_INFO', '')
own = 'http://127.0.0.1:${port}/cgi/env'
where = {'/app/own': own + '/app/2?a=b', '/app/other': 'https://elsewhere.example/x', '/app/root': 'http://127.0.0.1:${port}/other'}.get(path)
if where: sys.stdout.write('Status: 302\\r\\nLocation: ' + where + '\\r\\n')
sys.stdout.write('Holdfast-Decision: permitted by rule 7\\r\\nContent-Type: application/json\\r\\n\\r\\n')
sys.stdout.write(json.dumps({name: value for name, value in os.environ.items()}))
`

/** Resolves to the port of an Apache with that program at /cgi/env, in any case. */
async function startApache(t: Test): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-legacy-'))
  chmodSync(folder, 0o755)
  const port = await freePort()
  writeFileSync(join(folder, 'env'), PROGRAM(port))
  chmodSync(join(folder, 'env'), 0o755)
  const modules = ['mpm_event', 'authz_core', 'alias', 'cgid']
  writeFileSync(
    join(folder, 'httpd.conf'),
    `${modules.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join('\n')}
ServerRoot ${folder}
ServerName localhost
PidFile ${folder}/httpd.pid
ScriptSock ${folder}/cgi.sock
ErrorLog ${folder}/error.log
Listen 127.0.0.1:${port}
User ${process.getuid?.() === 0 ? 'www-data' : `#${process.getuid?.()}`}
Group ${process.getuid?.() === 0 ? 'www-data' : `#${process.getgid?.()}`}
ScriptAliasMatch (?i)^/cgi/env(.*)$ ${folder}/env$1
<Directory ${folder}>
  Require all granted
</Directory>
`,
  )
  const child = spawn(APACHE, ['-DFOREGROUND', '-f', join(folder, 'httpd.conf')], { stdio: 'ignore' })
  t.teardown(async () => {
    const ended = once(child, 'exit')
    if (child.exitCode === null && child.kill('SIGTERM')) await ended
    rmSync(folder, { recursive: true, force: true })
  })
  const log = (): string => (existsSync(join(folder, 'error.log')) ? readFileSync(join(folder, 'error.log'), 'utf8') : '')
  await waitFor(
    () => `Apache listens: ${log()}`,
    () =>
      new Promise((resolve) => {
        const probe = connect(port, '127.0.0.1')
          .once('connect', () => {
            probe.destroy()
            resolve(true)
          })
          .once('error', () => resolve(false))
      }),
  )
  return port
}

const ISSUER = 'issuers: [https://as.example.com]'
const startLegacy = (port: number): Promise<Lab> =>
  startLab({
    store: 'memory',
    yaml: (defaults) => ({
      ...defaults,
      upstreams: `
  legacy:
    url: http://127.0.0.1:${port}/cgi/env
    client_cert: true
    case_insensitive: true
    set_headers: { X-Remote-User: token.sub, X-Remote-Client: client_id, X-Remote-Cert: certificate, X-Via: gateway }
`,
      routes: `
  - { path: '/app/:id', methods: [GET, POST], tier: bound_read, upstream: legacy, ${ISSUER} }
  - { path: '/admin/*', methods: [GET], tier: bound_read, upstream: legacy, ${ISSUER}, scopes: [admin] }
  - { path: '/certified/:id', methods: [GET], tier: certificates, upstream: legacy, ${ISSUER} }
  - { path: '/open/*', methods: [GET], tier: public, upstream: legacy }
  - { path: '/*', methods: [GET], tier: public, upstream: legacy }
`,
    }),
  })

type Environment = Readonly<Record<string, string>>
const environmentOf = ({ body }: Reply): Environment => JSON.parse(body)

/** The request of `draft` with raw lines put behind its own. */
const send = ({ port }: Lab, draft: Draft, raw = ''): Promise<Reply | null> => {
  const text = Buffer.from(printDraft(draft)).toString('latin1')
  const end = text.indexOf('\r\n\r\n')
  const bytes = Buffer.from(`${text.slice(0, end)}${raw === '' ? '' : `\r\n${raw}`}${text.slice(end)}`, 'latin1')
  return exchange(bytes, { port, servername: HOST }).catch(() => null)
}

/** Each is tried as a line of its own, with the value `admin`. */
const NAMES = ['X-Remote-User', 'X-Remote-Client', 'X-Remote-Cert', 'X-Via', 'Client-Cert', 'Remote-User', 'Holdfast-Assertion']
const SPELLINGS: readonly ((name: string) => string)[] = [
  (name) => `${name}: admin`,
  (name) => `${name.toLowerCase()}: admin`,
  (name) => `${name.toUpperCase()}: admin`,
  (name) => `${name.replaceAll('-', '_')}: admin`,
  (name) => `${name.replace('-', '_')}: admin`,
  (name) => `${name.toUpperCase().replaceAll('-', '_')}: admin`,
  (name) => `${name.replaceAll('-', '.')}: admin`,
  (name) => `${name.replaceAll('-', '~')}: admin`,
  (name) => `${name.replaceAll('-', '--')}: admin`,
  (name) => `${name.replaceAll('-', ' ')}: admin`,
  (name) => `${name} : admin`,
  (name) => `${name}\t: admin`,
  (name) => `${name}\0: admin`,
  (name) => `\xef\xbb\xbf${name}: admin`,
  (name) => `${name.replaceAll('-', '\xe2\x80\x90')}: admin`,
  (name) => ` ${name}: admin`,
  (name) => `X-Folded: a\r\n ${name}: admin`,
  (name) => `${name}: admin\r\n${name}: admin`,
  (name) => `${name}: admin\r\nConnection: ${name}`,
  (name) => `Connection: keep-alive, ${name}`,
  (name) => `X-Bare: a\n${name}: admin`,
  (name) => `X-Bare: a\r${name}: admin`,
  (name) => `HTTP-${name}: admin`,
  (name) => `HTTP_${name.toUpperCase().replaceAll('-', '_')}: admin`,
  (name) => `Proxy: admin\r\n${name}: admin`,
]

t.test('the user of the token, however a client spells another', { skip }, async (t) => {
  const lab = await startLegacy(await startApache(t))
  t.teardown(() => lab.stop())
  const first = await send(lab, makeDraft({ host: HOST, path: '/app/1' }))
  t.equal(first?.status, 200)
  if (first === null) return
  const right = environmentOf(first)
  t.match(right, { HTTP_X_REMOTE_USER: 'user-1', HTTP_X_REMOTE_CLIENT: 'client-1', HTTP_X_VIA: 'gateway', PATH_INFO: '/app/1' })
  t.equal(right.HTTP_X_REMOTE_CERT, undefined, 'there was none')
  t.equal(right.HTTP_AUTHORIZATION, undefined)
  t.equal(right.HTTP_DPOP, undefined)

  const believed: string[] = []
  let [served, refused] = [0, 0]
  for (const name of NAMES)
    for (const spell of SPELLINGS) {
      const line = spell(name)
      const reply = await send(lab, makeDraft({ host: HOST, path: '/app/1' }), line)
      if (reply?.status !== 200) {
        refused++
        continue
      }
      served++
      const heard = environmentOf(reply)
      const isRight = ['HTTP_X_REMOTE_USER', 'HTTP_X_REMOTE_CLIENT', 'HTTP_X_VIA'].every((one) => heard[one] === right[one])
      // Another name may arrive that no program takes for one of these.
      const lies = Object.entries(heard).filter(([one, value]) => value.includes('admin') && !/^HTTP_HTTP_|__/.test(one))
      if (!isRight || lies.length > 0) believed.push(`${JSON.stringify(line)}: ${JSON.stringify(lies)}`)
    }
  t.same(believed, [])
  t.equal(served + refused, NAMES.length * SPELLINGS.length)
  t.ok(served > 20 && refused > 20, `${served} served as if nothing had been said, ${refused} refused`)

  const chunked = makeDraft({ host: HOST, path: '/app/1', method: 'POST' })
  const trailer = 'Transfer-Encoding: chunked\r\nTrailer: X-Remote-User\r\n\r\n1\r\na\r\n0\r\nX-Remote-User: admin'
  const trailed = await send(lab, chunked, trailer)
  t.ok(trailed === null || trailed.status !== 200 || environmentOf(trailed).HTTP_X_REMOTE_USER === 'user-1', 'in a trailer')
})

t.test('nobody on a public route, whatever they say', { skip }, async (t) => {
  const lab = await startLegacy(await startApache(t))
  t.teardown(() => lab.stop())
  for (const line of ['X-Remote-User: admin', 'X_Remote_User: admin', 'x-remote_user: admin']) {
    const draft = { ...makeDraft({ host: HOST, path: '/open/1' }), credentials: (): Draft['headers'] => [] }
    const reply = await send(lab, draft, line)
    if (reply?.status === 200) t.equal(environmentOf(reply).HTTP_X_REMOTE_USER, undefined, line)
    else t.ok(reply === null || reply.status < 500, line)
  }
})

t.test('the certificate that was proven, as the program reads it', { skip }, async (t) => {
  const lab = await startLegacy(await startApache(t))
  t.teardown(() => lab.stop())
  const draft = certificateBound(makeDraft({ host: HOST, path: '/certified/1' }), lab.thumbprint('client'))
  const reply = await lab.send(draft, { certificate: 'client' })
  t.equal(reply.status, 200, reply.text)
  const heard = environmentOf(reply)
  t.match(heard.HTTP_CLIENT_CERT, /^:[A-Za-z0-9+/]+=*:$/, 'RFC 9440 §2.2')
  t.ok(heard.HTTP_X_REMOTE_CERT)
})

t.test('where it leads, what it decides, and how it takes other cases', { skip }, async (t) => {
  const port = await startApache(t)
  const lab = await startLegacy(port)
  t.teardown(() => lab.stop())
  const locationOf = async (path: string) => (await send(lab, makeDraft({ host: HOST, path })))?.header('location')
  t.equal(await locationOf('/app/own'), `https://${HOST}/app/2?a=b`, 'its own origin and base path are the public ones')
  t.equal(await locationOf('/app/other'), 'https://elsewhere.example/x', 'that of another is left alone')
  t.notMatch(String(await locationOf('/app/root')), `127.0.0.1:${port}/cgi`)

  const reply = await send(lab, makeDraft({ host: HOST, path: '/app/1' }))
  t.equal(reply?.header('holdfast-decision'), undefined, 'for the audit log alone')
  await waitFor('the event', () => lab.events().some(({ domain_decision }) => domain_decision === 'permitted by rule 7'))

  t.equal((await send(lab, makeDraft({ host: HOST, path: '/admin/1' })))?.status, 403, 'a scope that the token has not')
  for (const path of ['/ADMIN/1', '/Admin/1', '/aDmIn/1']) {
    const other = await send(lab, makeDraft({ host: HOST, path }))
    t.equal(other?.status, 400, `${path}, which the program takes for the same`)
  }
  t.equal((await send(lab, makeDraft({ host: HOST, path: '/Other/1' })))?.status, 200, 'what no other route would take passes')
})
