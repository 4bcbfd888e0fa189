// The proxies of docs/decision-api.md, configured as that page says, between real clients, a backend and the decision API. Each is looked for on the
// PATH and in node_modules/.cache/holdfast/, and skipped where it is not.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import { type AddressInfo, connect, isIP } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import t, { type Test } from 'tap'
import { portOf, startDeciding } from '../support/asking.js'
import { type Draft, makeDraft, printDraft } from '../support/draft.js'
import { waitFor } from '../support/fleet.js'
import { exchange, type Reply } from '../support/http.js'
import { sha256 } from '../support/jwt.js'
import { HOST, type Lab } from '../support/lab.js'
import { freePort } from '../support/redis.js'

const PAGE = readFileSync(join(process.cwd(), 'docs/decision-api.md'), 'utf8')
/** The blocks of this language below this heading. */
function blocks(heading: string, language: string): readonly string[] {
  const section = PAGE.split(/^## /m).find((one) => one.startsWith(heading)) ?? ''
  return [...section.matchAll(new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\``, 'gm'))].map(([, block = '']) => block)
}

const CACHE = join(process.cwd(), 'node_modules/.cache/holdfast')
const find = (name: string): string | undefined =>
  [CACHE, ...(process.env.PATH ?? '').split(delimiter), '/usr/sbin'].map((folder) => join(folder, name)).find(existsSync)

/** Where a proxy is, or why its test is skipped. */
const NGINX = find('nginx')
const TRAEFIK = find('traefik')
const CADDY = find('caddy')
const ENVOY = find('envoy')
const unless = (program: string | undefined, name: string) => ({
  skip: program === undefined ? `${name} is not installed` : false,
})

type Call = { readonly method: string; readonly url: string; readonly headers: IncomingHttpHeaders; readonly body: string }
type Setting = {
  readonly lab: Lab
  readonly folder: string
  /** Where the proxy is to listen. */
  readonly port: number
  /** What the backend got. */
  readonly calls: readonly Call[]
  /** Ends the gateway, and leaves the rest. */
  stop(): Promise<void>
  /** A configuration of the page, of this machine. */
  localize(config: string): string
}

const ROUTES = `
  - { path: '/read/:id', methods: [GET, POST], tier: bound_read, upstream: cases, issuers: [https://as.example.com], scopes: [case.read, case.write] }
  - { path: /fresh, methods: [GET], tier: fresh, upstream: cases, issuers: [https://as.example.com] }
  - { path: /digest, methods: [POST], tier: digested, upstream: cases, issuers: [https://as.example.com] }
`
const TIERS = `
  bound_read: { extends: sensitive_read, binding: any, audit: all }
  fresh: { extends: high_value, body_digest: off }
  digested: { extends: sensitive_read, binding: any, body_digest: on }
`

async function start(t: Test): Promise<Setting> {
  const lab = await startDeciding({ routes: ROUTES, tiers: TIERS })
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-deciding-'))
  const calls: Call[] = []
  const backend = createServer((request, response) => {
    let body = ''
    request.setEncoding('latin1').on('data', (chunk) => {
      body += chunk
    })
    request.on('end', () => {
      calls.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers, body })
      response.end('done')
    })
  }).listen(0, '127.0.0.1')
  await once(backend, 'listening')
  let stopped: Promise<void> | null = null
  const stop = (): Promise<void> => {
    stopped ??= lab.stop()
    return stopped
  }
  t.teardown(async () => {
    await stop()
    backend.closeAllConnections()
    backend.close()
    rmSync(folder, { recursive: true, force: true })
  })
  const { files } = lab.certificates
  for (const name of ['server.crt', 'server.key']) writeFileSync(join(folder, name), files[name] ?? '')
  const port = await freePort()
  const localize = (config: string): string =>
    config
      .replaceAll(/\/etc\/(?:nginx|caddy|envoy)\//g, `${folder}/`)
      .replaceAll('9191', String(portOf(lab)))
      .replaceAll('127.0.0.1:8443', `127.0.0.1:${lab.port}`)
      .replaceAll('9000', String((backend.address() as AddressInfo).port))
      .replaceAll('timeout: 1s', 'timeout: 30s')
  return { lab, folder, port, calls, stop, localize }
}

/** Starts a proxy and waits until it can be connected to. */
async function run(t: Test, [command = '', ...args]: readonly string[], { folder, port }: Setting): Promise<void> {
  const env = { ...process.env, HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder }
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env })
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => {
      said += chunk
    })
  t.teardown(async () => {
    const ended = once(child, 'exit')
    if (child.exitCode === null && child.kill('SIGKILL')) await ended
  })
  const listens = async (): Promise<boolean> => {
    if (child.exitCode !== null) throw new Error(`${command}: ${said}`)
    const probe = connect(port, '127.0.0.1')
    const isThere = await new Promise<boolean>((resolve) => {
      probe.once('connect', () => resolve(true)).once('error', () => resolve(false))
    })
    probe.destroy()
    return isThere
  }
  await waitFor(() => `${command} listens: ${said}`, listens)
}

type Told = {
  readonly path?: string
  readonly method?: string
  readonly nonce?: string
  readonly change?: (draft: Draft) => void
}

/** Nobody there to decide. */
async function walkAlone(t: Test, setting: Setting): Promise<void> {
  await setting.stop()
  const before = setting.calls.length
  for (const path of ['/read/1', '/nothing']) {
    const { status } = await send(setting, { path })
    t.ok([403, 500, 502, 503].includes(status), `nobody decides: ${status}`)
  }
  t.equal(setting.calls.length, before, 'and nothing is forwarded')
}

/** A request of a client's, through the proxy. */
function send({ port }: Setting, { path = '/read/1', change = () => undefined, ...options }: Told = {}): Promise<Reply> {
  const draft = makeDraft({ host: HOST, path, ...options })
  change(draft)
  return exchange(printDraft(draft), { port, servername: HOST })
}

/** What of our answers the proxy passes on, and by which address it calls a client of this machine. */
type Proxy = {
  readonly passesBodies: boolean
  readonly challenges: number
  readonly noncesOfGranted: boolean
  readonly address: string
}
const TRAEFIK_OR_CADDY: Proxy = { passesBodies: true, challenges: 2, noncesOfGranted: false, address: '127.0.0.1' }

/** Targets that two readers may take for two. */
const ODD = [
  '/read/%31',
  '/read/1;x=1',
  '/read//1',
  '//read/1',
  '/read/./1',
  '/read/x/../1',
  '/public/../read/1',
  '/read/%2e%2e/read/1',
  '/read/..%2f1',
  '/read/a%2fb',
  '/read/a%5cb',
  '/read/1%00',
  '/read/1%zz',
  '/read/1?',
  '/read/1?x=%zz&y=//..',
  '/read/1%3fx',
  '/read/%C3%BC',
  '/READ/1',
]

const claimsOf = ({ headers }: Call): Record<string, unknown> =>
  JSON.parse(Buffer.from(String(headers['holdfast-assertion']).split('.')[1] ?? '', 'base64url').toString())

/** What every hop must keep. */
async function walk(t: Test, setting: Setting, { passesBodies, challenges, noncesOfGranted, address }: Proxy): Promise<void> {
  const { lab, calls } = setting
  const reasonOf = async (reply: Reply): Promise<unknown> => {
    const event = await lab.refusal(reply.header('x-request-id') ?? '')
    if (passesBodies) t.equal(JSON.parse(reply.body).reason, event?.reason)
    return event?.reason
  }
  const refused = async (told: Told, status: number, reason: string): Promise<Reply> => {
    const before = calls.length
    const reply = await send(setting, told)
    t.strictSame([reply.status, await reasonOf(reply)], [status, reason])
    t.equal(calls.length, before, 'and not forwarded')
    return reply
  }

  t.equal((await send(setting, { path: '/read/1?a=%20b' })).status, 200)
  const call = calls.at(-1)
  t.match(call, { method: 'GET', url: '/read/1?a=%20b' })
  t.match(call && claimsOf(call), {
    htu: `https://${HOST}/read/1`,
    target: '/read/1?a=%20b',
    txn: call?.headers['x-request-id'],
    sub: 'user-1',
  })
  t.match(await lab.refusal(String(call?.headers['x-request-id'])), { decision: 'permit', client_address: address })

  const spoofed = (draft: Draft): void => {
    draft.headers = [
      ['Holdfast-Assertion', 'forged'],
      ['X-Remote-User', 'admin'],
      ['X-Request-Id', 'forged'],
      ['X-Original-URL', `https://${HOST}/nothing`],
      ['X-Original-Method', 'DELETE'],
      ['X-Forwarded-Method', 'DELETE'],
      ['X-Forwarded-Uri', '/nothing'],
      ['X-Forwarded-Host', 'evil.example.com'],
      ['X-Forwarded-Proto', 'http'],
      ['X-Forwarded-For', '6.6.6.6'],
      ['Cookie', 'session=1'],
    ]
  }
  t.equal((await send(setting, { change: spoofed })).status, 200, 'what a client says of itself changes nothing')
  const headers: IncomingHttpHeaders = calls.at(-1)?.headers ?? {}
  t.match(headers['holdfast-assertion'], /^eyJ[^,]*$/)
  const { authorization, dpop, cookie } = headers
  t.strictSame([headers['x-remote-user'], authorization, dpop, cookie], [undefined, undefined, undefined, undefined])
  t.not(headers['x-request-id'], 'forged')
  t.match(await lab.refusal(String(headers['x-request-id'])), { client_address: address })

  t.equal((await send(setting, { method: 'POST', change: (draft) => (draft.body = Buffer.from('text')) })).status, 200)
  t.match(calls.at(-1), { method: 'POST', body: 'text' })

  const bare = await refused({ change: (draft) => (draft.credentials = () => []) }, 401, 'credentials_missing')
  t.equal(bare.headers('www-authenticate').length, challenges)
  t.match(bare.header('www-authenticate'), /^DPoP algs=/)
  await refused({ change: (draft) => (draft.proof = null) }, 401, 'proof_missing')
  await refused({ change: (draft) => (draft.target = '/read/2') }, 401, 'proof_target')
  await refused({ change: (draft) => (draft.token.claims.scope = 'case.read') }, 403, 'scope_missing')
  await refused({ path: '/nothing' }, 404, 'route_unknown')
  const wrong = await refused({ method: 'DELETE' }, 405, 'method_not_allowed')
  t.strictSame([wrong.headers('allow'), wrong.headers('cache-control')], [['GET, POST, HEAD'], ['no-store']])

  for (const path of ODD) {
    const before = calls.length
    const { status } = await send(setting, { path })
    const forwarded = calls.slice(before)
    t.equal(forwarded.length, status === 200 ? 1 : 0, `${path}: ${status}`)
    for (const call of forwarded) t.equal(claimsOf(call).target, call.url, 'the backend gets the path that was judged')
  }
  const nominated = [
    'X-Original-URL',
    'X-Original-Method',
    'X-Forwarded-Uri',
    'X-Forwarded-Method',
    'X-Forwarded-For',
    'X-Forwarded-Proto',
  ]
  for (const name of [...nominated, 'Authorization', 'DPoP', 'Holdfast-Assertion']) {
    const before = calls.length
    const reply = await send(setting, { change: (draft) => (draft.headers = [['Connection', name]]) })
    const forwarded = calls.slice(before)
    t.equal(forwarded.length, reply.status === 200 ? 1 : 0, `Connection: ${name}: ${reply.status}`)
    for (const call of forwarded) t.equal(claimsOf(call).target, '/read/1')
  }

  const draft = makeDraft({ host: HOST, path: '/read/3' })
  const bytes = printDraft(draft)
  const twice = [
    await exchange(bytes, { port: setting.port, servername: HOST }),
    await exchange(bytes, { port: setting.port, servername: HOST }),
  ]
  t.strictSame(
    twice.map(({ status }) => status),
    [200, 401],
    'a request that is sent again is a replay',
  )

  const first = await refused({ path: '/fresh' }, 401, 'nonce_missing')
  t.match(first.header('www-authenticate'), /^DPoP .*error="use_dpop_nonce"/)
  const nonce = first.header('dpop-nonce') ?? ''
  const fresh = await send(setting, { path: '/fresh', nonce })
  t.equal(fresh.status, 200, 'a client finds its way to a nonce')
  t.equal(fresh.headers('dpop-nonce').length, noncesOfGranted ? 1 : 0)
  t.strictSame(fresh.headers('cache-control'), noncesOfGranted ? ['no-store'] : [])
  t.equal(fresh.body, 'done')
}

t.test('nginx', unless(NGINX, 'nginx'), async (t) => {
  const setting = await start(t)
  const { folder, port, localize, calls } = setting
  const [block = ''] = blocks('nginx', 'nginx')
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder}/${name};`)
  // try_files goes to another location when access was judged, and there it is judged again.
  const redirected = `
  location /read/twice { auth_request /_holdfast; try_files /none @behind; }
  location @behind { auth_request /_holdfast; proxy_pass http://127.0.0.1:9000; }
}`
  const server = block.replace('listen 443 ssl', `listen 127.0.0.1:${port} ssl`).replace(/\}\s*$/, redirected)
  mkdirSync(join(folder, 'logs'))
  writeFileSync(
    join(folder, 'nginx.conf'),
    `daemon off; master_process off; pid ${folder}/nginx.pid; error_log ${folder}/error.log;\nevents {}\nhttp { access_log off; ${paths.join(' ')}\n${localize(server)} }`,
  )
  await run(t, [NGINX ?? '', '-p', folder, '-c', join(folder, 'nginx.conf')], setting)
  await walk(t, setting, { passesBodies: false, challenges: 1, noncesOfGranted: true, address: '127.0.0.1' })
  const before = calls.length
  t.equal((await send(setting, { path: '/read/twice' })).status, 200, 'asked twice about one request, it is one decision')
  t.equal(calls.length, before + 1)
  const events = () => setting.lab.events().filter(({ path, decision }) => path === '/read/twice' && decision === 'permit')
  await waitFor('two events', () => events().length === 2)
  t.equal(new Set(events().map(({ proof_id }) => proof_id)).size, 1)
  t.equal((await send(setting, { path: '/digest', method: 'POST' })).status, 403)
  const metadata = await send(setting, { path: '/.well-known/oauth-protected-resource' })
  t.strictSame([metadata.status, JSON.parse(metadata.body).resource], [200, `https://${HOST}`], 'where challenges lead')
  await walkAlone(t, setting)
})

t.test('Traefik', unless(TRAEFIK, 'Traefik'), async (t) => {
  const setting = await start(t)
  const { folder, port, localize } = setting
  const [block = ''] = blocks('Traefik', 'yaml')
  const tls = `tls: { certificates: [{ certFile: ${folder}/server.crt, keyFile: ${folder}/server.key }] }\n`
  writeFileSync(join(folder, 'routes.yaml'), localize(block) + tls)
  const options = [`--entrypoints.websecure.address=127.0.0.1:${port}`, `--providers.file.filename=${folder}/routes.yaml`]
  await run(t, [TRAEFIK ?? '', ...options, '--global.checknewversion=false', '--global.sendanonymoususage=false'], setting)
  // It listens before it has read its routes.
  const isServed = async (): Promise<boolean> =>
    send(setting).then(
      ({ status }) => status === 200,
      () => false,
    )
  await waitFor('its routes', isServed)
  await walk(t, setting, TRAEFIK_OR_CADDY)
  await walkAlone(t, setting)
})

t.test('Caddy', unless(CADDY, 'Caddy'), async (t) => {
  const setting = await start(t)
  const { folder, port, localize } = setting
  const [block = ''] = blocks('Caddy', 'caddyfile')
  const file = `{\n\tadmin off\n\tauto_https disable_redirects\n}\n${localize(block).replace(HOST, `${HOST}:${port}`)}`
  writeFileSync(join(folder, 'Caddyfile'), file)
  await run(t, [CADDY ?? '', 'run', '--adapter', 'caddyfile', '--config', join(folder, 'Caddyfile')], setting)
  await walk(t, setting, TRAEFIK_OR_CADDY)
  await walkAlone(t, setting)
})

async function runEnvoy(t: Test, change: (config: string) => string): Promise<Setting> {
  const setting = await start(t)
  const { folder, port, localize } = setting
  const [block = ''] = blocks('Envoy', 'yaml')
  const config = localize(change(block)).replace('address: 0.0.0.0, port_value: 443', `address: 127.0.0.1, port_value: ${port}`)
  writeFileSync(join(folder, 'envoy.yaml'), config)
  await run(t, [ENVOY ?? '', '-c', join(folder, 'envoy.yaml'), '--concurrency', '1', '--use-dynamic-base-id'], setting)
  return setting
}

/** Envoy has an address of its machine's in the place of a client's on loopback. */
async function addressOf(setting: Setting): Promise<string> {
  await send(setting)
  const address = String(setting.calls.at(-1)?.headers['x-forwarded-for'])
  return isIP(address) === 0 ? 'no address' : address
}

/** Of a body that Envoy showed, in the assertion; of one that it did not show whole, a refusal. */
async function walkBodies(t: Test, setting: Setting): Promise<void> {
  const { calls } = setting
  const digest = (body: Buffer) => send(setting, { path: '/digest', method: 'POST', change: (draft) => (draft.body = body) })
  t.equal((await digest(Buffer.from('{"a":"ü"}'))).status, 200)
  const call = calls.at(-1)
  t.equal(call && claimsOf(call).bdh, sha256(Buffer.from('{"a":"ü"}')))
  t.equal(Buffer.from(calls.at(-1)?.body ?? '', 'latin1').toString(), '{"a":"ü"}')
  const large = await digest(Buffer.alloc(1024 * 1024 + 1))
  t.strictSame([large.status, JSON.parse(large.body).reason], [403, 'body_unavailable'])
}

t.test('Envoy by gRPC', unless(ENVOY, 'Envoy'), async (t) => {
  const setting = await runEnvoy(t, (config) => config)
  await walk(t, setting, { ...TRAEFIK_OR_CADDY, noncesOfGranted: true, address: await addressOf(setting) })
  await walkBodies(t, setting)
  const marked = (draft: Draft): void => {
    draft.body = Buffer.alloc(1024 * 1024 + 1)
    draft.headers = [['X-Envoy-Auth-Partial-Body', 'false']]
  }
  t.equal(
    (await send(setting, { path: '/digest', method: 'POST', change: marked })).status,
    403,
    'a mark of the client’s is none',
  )
  const spoofed = (draft: Draft): void => {
    draft.headers = [
      ['X-Real-IP', '6.6.6.6'],
      ['X_Remote_User', 'admin'],
      ['X-Custom', 'stays'],
    ]
  }
  t.equal((await send(setting, { change: spoofed })).status, 200)
  const headers: IncomingHttpHeaders = setting.calls.at(-1)?.headers ?? {}
  t.strictSame([headers['x-real-ip'], headers.x_remote_user, headers['x-custom']], [undefined, undefined, 'stays'])
  t.equal(headers['x-forwarded-proto'], 'https')
  t.equal(isIP(String(headers['x-forwarded-for'])), 4, 'and what Envoy says of its client stays')
  await walkAlone(t, setting)
})

t.test('Envoy by HTTP', unless(ENVOY, 'Envoy'), async (t) => {
  const [, service = ''] = blocks('Envoy', 'yaml')
  const indented = service
    .trimEnd()
    .split('\n')
    .join(`\n${' '.repeat(22)}`)
  const setting = await runEnvoy(t, (config) =>
    config
      .replace(/grpc_service: .*/, indented)
      .replace(/^ *typed_extension_protocol_options:\n(?: {8,}.*\n)+/m, '')
      .replace('routes: [{ match: { prefix: / },', '$& request_headers_to_remove: [authorization, dpop, cookie, x-remote-user],'),
  )
  await walk(t, setting, { ...TRAEFIK_OR_CADDY, noncesOfGranted: true, address: await addressOf(setting) })
  await walkBodies(t, setting)
  await walkAlone(t, setting)
})

t.test('Envoy without bodies: a mark of the client’s is none', unless(ENVOY, 'Envoy'), async (t) => {
  const setting = await runEnvoy(t, (config) => config.replace(/^ *with_request_body: .*\n/m, ''))
  const marked = (draft: Draft): void => {
    draft.body = Buffer.from('unseen')
    draft.headers = [['X-Envoy-Auth-Partial-Body', 'false']]
  }
  const reply = await send(setting, { path: '/digest', method: 'POST', change: marked })
  t.strictSame([reply.status, JSON.parse(reply.body).reason], [403, 'body_unavailable'])
  t.equal(
    (await send(setting, { path: '/digest', method: 'POST', change: (draft) => (draft.body = Buffer.alloc(0)) })).status,
    200,
  )
  for (const line of ['', 'Connection: Transfer-Encoding\r\n', 'Connection: Content-Length, TE\r\nTE: trailers\r\n']) {
    const text = printDraft(makeDraft({ host: HOST, path: '/digest', method: 'POST' })).toString('latin1')
    const chunked = `\r\n${line}Transfer-Encoding: chunked\r\n\r\n6\r\nunseen\r\n0\r\n\r\n`
    const { status } = await exchange(text.replace('\r\n\r\n', chunked), { port: setting.port, servername: HOST })
    t.ok(status >= 400, `chunks are a body: ${line}${status}`)
  }
  t.equal((await send(setting, { path: '/read/1', method: 'POST', change: marked })).status, 200)
})
