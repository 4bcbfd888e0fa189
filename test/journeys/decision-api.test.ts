// Other proxies ask whether a request may pass (contract §10): each endpoint as its proxies ask it, with the same reasons, audit events and
// metrics as requests that come to us. Those proxies themselves: decision-api-peers.test.ts.
import { mkdtempSync, rmSync } from 'node:fs'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import {
  ask,
  authRequest,
  type Client,
  clientOf,
  extAuthz,
  forwardAuth,
  portOf,
  printQuestion,
  type Question,
  startDeciding,
} from '../support/asking.js'
import { makeCa, makeCertificate } from '../support/certs.js'
import { type Draft, makeDraft } from '../support/draft.js'
import { makePlace, serve, waitFor } from '../support/fleet.js'
import { exchangeOn, type Reply } from '../support/http.js'
import { sha256 } from '../support/jwt.js'
import { HOST, startLab } from '../support/lab.js'
import { openPlain, openRaw } from '../support/raw.js'

const reasonOf = ({ body }: Reply): unknown => JSON.parse(body).reason
const statusAndReason = (reply: Reply): unknown => (reply.status === 200 ? [200] : [reply.status, reasonOf(reply)])
const claimsOf = (reply: Reply): Record<string, unknown> =>
  JSON.parse(Buffer.from(reply.header('holdfast-assertion')?.split('.')[1] ?? '', 'base64url').toString())

const ENDPOINTS: Readonly<Record<string, (client: Client) => Question>> = {
  'auth-request': (client) => authRequest(client),
  'forward-auth': forwardAuth,
  'ext-authz': (client) => extAuthz(client),
}

t.test('what may pass gets the assertion, and nothing is forwarded', async (t) => {
  const lab = await startDeciding()
  t.teardown(() => lab.stop())
  for (const [name, question] of Object.entries(ENDPOINTS)) {
    const reply = await ask(lab, question(clientOf({ path: '/read/7?a=%20b', method: 'POST' })))
    t.equal(reply.status, 200, name)
    t.equal(reply.header('content-length'), '0')
    t.match(claimsOf(reply), {
      aud: 'cases',
      htm: 'POST',
      htu: `https://${HOST}/read/7`,
      target: '/read/7?a=%20b',
      route: '/read/:id',
      sub: 'user-1',
      txn: reply.header('x-request-id'),
      binding: { method: 'dpop' },
    })
    t.match(reply.header('traceparent'), /^00-[0-9a-f]{32}-/)
    t.equal(reply.headers('x-request-id').length, 1)
    const event = await lab.refusal(reply.header('x-request-id') ?? '')
    t.match(event, {
      event_type: 'authorization_decision',
      decision: 'permit',
      route: '/read/:id',
      method: 'POST',
      path: '/read/7',
      host: HOST,
      subject: 'user-1',
      resource_id: '7',
      sender_constraint: 'dpop',
      sender_constraint_verified: true,
      client_address: '192.0.2.1',
      upstream: 'cases',
    })
    t.equal(event?.upstream_status, undefined)
  }
  t.equal(lab.upstreamCalls(), 0)
  const { body } = await lab.admin('/metrics')
  t.match(body, /holdfast_decisions_total\{[^}]*decision="permit"[^}]*\} 3/)
})

t.test('a refusal is that of a request that comes to us: status, challenge, body, event', async (t) => {
  const lab = await startDeciding()
  t.teardown(() => lab.stop())
  const changes: readonly (readonly [status: number, reason: string, change: (draft: Draft) => void])[] = [
    [401, 'credentials_missing', (draft) => (draft.credentials = () => [])],
    [401, 'proof_missing', (draft) => (draft.proof = null)],
    [401, 'proof_target', (draft) => (draft.target = '/read/8')],
    [401, 'proof_method', (draft) => (draft.method = 'POST')],
    [401, 'token_expired', (draft) => Object.assign(draft.token.claims, { iat: draft.now - 60, exp: draft.now - 1 })],
    [403, 'scope_missing', (draft) => (draft.token.claims.scope = 'case.read')],
    [404, 'route_unknown', (draft) => (draft.target = '/nothing')],
    [405, 'method_not_allowed', (draft) => (draft.method = 'DELETE')],
    [421, 'host_unknown', (draft) => (draft.host = 'elsewhere.example.com')],
    [400, 'target_malformed', (draft) => (draft.target = '/read/../read/7')],
    [400, 'credentials_in_query', (draft) => (draft.target = '/read/7?access_token=x')],
  ]
  for (const [status, reason, change] of changes) {
    const direct = await lab.send(clientOf({ path: '/read/7' }, change).draft)
    t.strictSame(statusAndReason(direct), [status, reason], `${reason}: ours`)
    for (const [name, question] of Object.entries(ENDPOINTS)) {
      const reply = await ask(lab, question(clientOf({ path: '/read/7' }, change)))
      const narrow = status === 401 ? 401 : 403
      t.strictSame(statusAndReason(reply), [name === 'auth-request' ? narrow : status, reason], `${reason}: ${name}`)
      t.equal(reply.header('holdfast-status'), name === 'auth-request' ? String(status) : undefined)
      t.strictSame(reply.headers('www-authenticate'), direct.headers('www-authenticate'))
      t.equal(reply.header('cache-control'), 'no-store')
      t.equal(reply.header('allow'), direct.header('allow'))
      t.match(await lab.refusal(reply.header('x-request-id') ?? ''), { decision: 'deny', reason, client_address: '192.0.2.1' })
    }
  }
})

t.test('pages of other origins are for the proxy: a preflight is refused, and nothing is said of CORS', async (t) => {
  const lab = await startDeciding({ cors: '{ origins: [https://app.example.com] }' })
  t.teardown(() => lab.stop())
  const asked = (method: string, further: Draft['headers'] = []) =>
    clientOf({ path: '/read/7', method }, (draft) => draft.headers.push(['Origin', 'https://app.example.com'], ...further))
  for (const [name, question] of Object.entries(ENDPOINTS)) {
    const preflight = await ask(lab, question(asked('OPTIONS', [['Access-Control-Request-Method', 'GET']])))
    t.strictSame(statusAndReason(preflight), [name === 'auth-request' ? 403 : 405, 'method_not_allowed'], name)
    const granted = await ask(lab, question(asked('GET')))
    t.equal(granted.status, 200, name)
    t.notMatch(preflight.text + granted.text, /access-control-/i)
  }
})

t.test('each decision spends the proof, whoever asks; a second question is a replay', async (t) => {
  const lab = await startDeciding()
  t.teardown(() => lab.stop())
  const client = clientOf({ path: '/read/7' })
  t.equal((await ask(lab, forwardAuth(client))).status, 200)
  for (const question of Object.values(ENDPOINTS))
    t.strictSame(statusAndReason(await ask(lab, question(client))), [401, 'proof_replayed'])
  const own = lab.sendRaw(
    `GET /read/7 HTTP/1.1\r\nHost: ${HOST}\r\n${client.lines.map((line) => line.join(': ')).join('\r\n')}\r\n\r\n`,
  )
  t.strictSame(statusAndReason(await own), [401, 'proof_replayed'])
})

for (const store of ['memory', 'redis'] as const)
  t.test(`asked again by the same name of the hop it is the same decision (${store})`, async (t) => {
    const lab = await startDeciding({}, store)
    t.teardown(() => lab.stop())
    const client = clientOf({ path: '/read/7' })
    const [first, again] = [await ask(lab, authRequest(client, 'a')), await ask(lab, authRequest(client, 'a'))]
    t.strictSame([first.status, again.status], [200, 200])
    t.not(first.header('x-request-id'), again.header('x-request-id'), 'each has an event of its own')
    t.strictSame(statusAndReason(await ask(lab, authRequest(client, 'b'))), [401, 'proof_replayed'])
    t.strictSame(statusAndReason(await ask(lab, authRequest(client))), [401, 'proof_replayed'])
    t.strictSame(statusAndReason(await ask(lab, forwardAuth(client))), [401, 'proof_replayed'])
    t.equal((await ask(lab, authRequest(client, 'a'))).status, 200)

    const nameless = clientOf({ path: '/read/7' })
    t.equal((await ask(lab, authRequest(nameless))).status, 200)
    t.strictSame(statusAndReason(await ask(lab, authRequest(nameless, 'a'))), [401, 'proof_replayed'], 'no name claims it later')

    const elsewhere = clientOf({ path: '/read/7' })
    t.equal((await ask(lab, authRequest(elsewhere, 'a'))).status, 200, 'a name is of one proof')
    const other = authRequest(elsewhere, 'a')
    other.lines = other.lines.map(([name, value]) => [name, name === 'X-Original-URL' ? `https://${HOST}/read/8` : value])
    t.strictSame(statusAndReason(await ask(lab, other)), [401, 'proof_target'], 'and all else is judged again')
  })

t.test('a question that is repeated, missing, malformed or of http is none', async (t) => {
  const lab = await startDeciding()
  t.teardown(() => lab.stop())
  type Change = (question: Question) => void
  const set =
    (name: string, value: string): Change =>
    (question) => {
      question.lines = question.lines.map((line) => (line[0] === name ? [name, value] : line))
    }
  const drop =
    (name: string): Change =>
    (question) => {
      question.lines = question.lines.filter((line) => line[0] !== name)
    }
  const add =
    (name: string, value: string): Change =>
    (question) => {
      question.lines = [...question.lines, [name, value]]
    }
  const url = `https://${HOST}/read/7`
  const cases: readonly (readonly [endpoint: string, Change, detail?: string])[] = [
    ['auth-request', add('X-Original-URL', url)],
    ['auth-request', add('X-Original-Method', 'GET')],
    ['auth-request', add('x_original_url', url)],
    ['auth-request', drop('X-Original-URL')],
    ['auth-request', drop('X-Original-Method')],
    ['auth-request', set('X-Original-Method', '')],
    ['auth-request', set('X-Original-URL', `http://${HOST}/read/7`)],
    ['auth-request', set('X-Original-URL', `HTTPS://${HOST}/read/7`)],
    ['auth-request', set('X-Original-URL', `https://${HOST}`)],
    ['auth-request', set('X-Original-URL', '/read/7')],
    ['auth-request', set('X-Original-URL', `https://user@${HOST}/read/7`)],
    ['auth-request', (question) => (question.method = 'POST')],
    ['auth-request', add('Transfer-Encoding', 'gzip, chunked')],
    ['forward-auth', set('X-Forwarded-Proto', 'http')],
    ['forward-auth', set('X-Forwarded-Proto', 'https,http')],
    ['forward-auth', add('X-Forwarded-Proto', 'https')],
    ['forward-auth', drop('X-Forwarded-Proto')],
    ['forward-auth', drop('X-Forwarded-Method')],
    ['forward-auth', drop('X-Forwarded-Host')],
    ['forward-auth', drop('X-Forwarded-Uri')],
    ['forward-auth', add('X-Forwarded-Uri', '/public')],
    ['forward-auth', add('X-Forwarded-Host', HOST)],
    ['forward-auth', (question) => (question.method = 'POST')],
    ['ext-authz', set('X-Forwarded-Proto', 'http')],
    ['ext-authz', drop('X-Forwarded-Proto')],
    ['ext-authz', add('Host', HOST)],
  ]
  for (const [endpoint, change] of cases) {
    const question = ENDPOINTS[endpoint]?.(clientOf({ path: '/read/7' }))
    if (question === undefined) throw new Error(endpoint)
    change(question)
    const reply = await ask(lab, question)
    const told = `${endpoint}: ${JSON.stringify(question.lines.slice(3))}`
    t.strictSame(statusAndReason(reply), [endpoint === 'auth-request' ? 403 : 400, 'request_malformed'], told)
  }
  for (const target of ['/', '/auth-request/x', '/auth-requests', '/ext-authz', '/.well-known/holdfast-jwks.json', '/read/7']) {
    const question = { ...authRequest(clientOf({ path: '/read/7' })), target }
    t.strictSame(statusAndReason(await ask(lab, question)), [404, 'route_unknown'], target)
  }
})

t.test('what a client says in the names of others is neither believed nor passed on', async (t) => {
  const lab = await startDeciding({
    upstreams: `{ cases: { url: 'http://127.0.0.1:1', audience: cases, set_headers: { X-Remote-User: token.sub, X-Kind: fixed } } }`,
  })
  t.teardown(() => lab.stop())
  const spoofed = (draft: Draft): void => {
    draft.headers = [
      ['X-Remote-User', 'admin'],
      ['Holdfast-Assertion', 'forged'],
      ['Client-Cert', ':AAAA:'],
      ['Forwarded', 'for=6.6.6.6'],
      ['X-Request-Id', '1'],
    ]
  }
  for (const question of Object.values(ENDPOINTS)) {
    const reply = await ask(lab, question(clientOf({ path: '/read/7' }, spoofed)))
    t.equal(reply.status, 200)
    t.strictSame([reply.headers('x-remote-user'), reply.headers('x-kind')], [['user-1'], ['fixed']])
    t.equal(reply.headers('holdfast-assertion').length, 1)
    t.strictSame(reply.headers('client-cert'), [])
    t.match(await lab.refusal(reply.header('x-request-id') ?? ''), {
      removed: ['x-remote-user', 'holdfast-assertion', 'client-cert', 'forwarded', 'x-request-id', 'x-forwarded-for'],
      client_address: '192.0.2.1',
      sender_constraint: 'dpop',
    })
  }
})

t.test('a nonce is asked for and told, to whoever may pass too', async (t) => {
  const lab = await startDeciding({
    routes: '[{ path: /nonce, methods: [GET], tier: fresh, upstream: cases, issuers: [https://as.example.com] }]',
    tiers: '{ fresh: { extends: high_value, body_digest: off } }',
  })
  t.teardown(() => lab.stop())
  for (const [name, question] of Object.entries(ENDPOINTS)) {
    const refused = await ask(lab, question(clientOf({ path: '/nonce' })))
    t.strictSame(statusAndReason(refused), [401, 'nonce_missing'], name)
    t.match(refused.headers('www-authenticate')[0], /^DPoP error="use_dpop_nonce"/)
    const nonce = refused.header('dpop-nonce') ?? ''
    const granted = await ask(lab, question(clientOf({ path: '/nonce', nonce })))
    t.equal(granted.status, 200)
    t.match(granted.header('dpop-nonce'), /.+/)
    t.equal(granted.header('cache-control'), 'no-store')
  }
})

t.test('nginx passes on one challenge: that of DPoP is the first, also for who came with Bearer', async (t) => {
  const lab = await startDeciding({
    routes: '[{ path: /bound, methods: [GET], tier: bound, upstream: cases, issuers: [https://as.example.com] }]',
    tiers: '{ bound: { extends: sensitive_read, binding: dpop } }',
  })
  t.teardown(() => lab.stop())
  const bearer = clientOf({ path: '/bound' }, (draft) => {
    draft.scheme = 'Bearer'
    delete draft.token.claims.cnf
  })
  const schemes = (reply: Reply) => reply.headers('www-authenticate').map((value) => value.split(' ', 1)[0])
  t.strictSame(schemes(await ask(lab, forwardAuth(bearer))), ['Bearer', 'DPoP'])
  t.strictSame(schemes(await ask(lab, authRequest(bearer))), ['DPoP', 'Bearer'])
})

t.test('denies body_unavailable: a tier with a digest is not decided without the body, and no proof is spent', async (t) => {
  const lab = await startDeciding({}, 'redis')
  t.teardown(() => lab.stop())
  const path = '/tenants/tenant-1/decision'
  const whole = (change: (draft: Draft) => void = () => undefined) =>
    clientOf({ path, method: 'POST' }, (draft) => {
      draft.body = Buffer.from('{"decision":"grant"}')
      change(draft)
    })
  const used = await lab.usedProofs()
  for (const [name, question] of Object.entries(ENDPOINTS)) {
    const reply = await ask(lab, question(whole()))
    t.strictSame(statusAndReason(reply), [403, 'body_unavailable'], name)
  }
  t.strictSame(statusAndReason(await ask(lab, extAuthz(whole(), 'true'))), [403, 'body_unavailable'], 'a part is not the body')
  const marked = extAuthz(whole(), 'false')
  Object.assign(marked, {
    body: Buffer.alloc(0),
    lines: marked.lines.map(([name, value]) => [name, name === 'Content-Length' ? '0' : value]),
  })
  t.strictSame(statusAndReason(await ask(lab, marked)), [403, 'body_unavailable'], 'a mark without a body may be a client’s')
  const twice = extAuthz(whole(), 'false')
  twice.lines.push(['X-Envoy-Auth-Partial-Body', 'true'])
  t.strictSame(statusAndReason(await ask(lab, twice)), [403, 'body_unavailable'], 'two marks are none')
  for (const [name, question] of [
    ['auth-request', authRequest(whole())],
    ['forward-auth', forwardAuth(whole())],
  ] as const) {
    const body = Buffer.from('{"decision":"grant"}')
    question.lines.push(['X-Envoy-Auth-Partial-Body', 'false'], ['Content-Length', String(body.length)])
    Object.assign(question, { body })
    t.strictSame(statusAndReason(await ask(lab, question)), [403, 'body_unavailable'], `${name}: the mark may be a client’s`)
  }
  t.equal(await lab.usedProofs(), used)
  const unproven = whole((draft) => (draft.proof = null))
  t.strictSame(statusAndReason(await ask(lab, forwardAuth(unproven))), [401, 'proof_missing'], 'comes last')

  const client = whole()
  const reply = await ask(lab, extAuthz(client, 'false'))
  t.equal(reply.status, 200)
  t.equal(claimsOf(reply).bdh, sha256(client.body))
  const lines = () => lab.events().filter((event) => event.request_id === reply.header('x-request-id'))
  await waitFor('two lines', () => lines().length === 2)
  t.match(lines(), [
    { event_type: 'authorization_decision', decision: 'permit' },
    { event_type: 'request_outcome', upstream_status: undefined },
  ])
})

t.test('connections stay, questions are answered in order, and the edge beside it is as it was', async (t) => {
  const lab = await startDeciding()
  t.teardown(() => lab.stop())
  const client = await openPlain({ port: portOf(lab), host: '127.0.0.1' })
  t.teardown(() => client.close())
  const questions = [clientOf({ path: '/read/1' }), clientOf({ path: '/nothing' }), clientOf({ path: '/read/3' })]
  client.send(Buffer.concat(questions.map((one) => printQuestion(forwardAuth(one)))))
  t.strictSame(
    [(await client.response()).status, (await client.response()).status, (await client.response()).status],
    [200, 404, 200],
  )
  t.equal((await lab.send(makeDraft({ host: HOST, path: '/read/1' }))).status, 200)
  const outside = await lab.send(makeDraft({ host: HOST, path: '/forward-auth' }))
  t.equal(outside.status, 404, 'the endpoints are on their own listener alone')
})

t.test('workers: whichever is asked again by the same name, it is the same decision', async (t) => {
  const place = await makePlace(t)
  const gateway = await serve(t, place, {
    workers: 2,
    more: 'decision_api: { socket: decide.sock, hop: socket, address: forwarded_for }\n',
  })
  const path = `${place.folder}/decide.sock`
  const put = async (question: Question) => exchangeOn(await openPlain({ path }), printQuestion(question))
  const client = clientOf({ path: '/pay' })
  const served = new Set<number>()
  const again = async (): Promise<boolean> => {
    const reply = await put(authRequest(client, 'a'))
    t.equal(reply.status, 200)
    served.add(await gateway.workerOf(reply.header('x-request-id')))
    return served.size === 2
  }
  await waitFor('both workers', again)
  for (let i = 0; i < 4; i++) {
    const reply = await put(authRequest(client, 'b'))
    t.strictSame(statusAndReason(reply), [401, 'proof_replayed'])
  }
  gateway.child.kill('SIGTERM')
  t.equal(await gateway.ended, 0)
})

t.test('denies hop_untrusted: whoever is not the hop is asked nothing', async (t) => {
  const outside = Object.values(networkInterfaces())
    .flatMap((all) => all ?? [])
    .find(({ internal, family }) => !internal && family === 'IPv4')
  if (outside === undefined) return t.comment('this machine has no address but loopback')
  const lab = await startDeciding({
    decision_api: '{ host: 0.0.0.0, tls: { key: server.key, cert: server.crt }, hop: loopback, address: forwarded_for }',
  })
  t.teardown(() => lab.stop())
  for (const [name, question] of Object.entries(ENDPOINTS)) {
    const client = await openRaw(portOf(lab), { host: outside.address, servername: HOST })
    const reply = await exchangeOn(client, printQuestion(question(clientOf({ path: '/read/7' }))))
    t.strictSame(statusAndReason(reply), [403, 'hop_untrusted'], name)
    t.match(await lab.refusal(reply.header('x-request-id') ?? ''), {
      detail: 'not from loopback',
      client_address: outside.address,
    })
  }
})

t.test('a certificate is believed in the one header that the hop was named for, and told of as proven', async (t) => {
  const ca = await makeCa('Client CA')
  const [client, other] = await Promise.all([
    makeCertificate({ ca, ekus: ['client'] }),
    makeCertificate({ ca, ekus: ['client'] }),
  ])
  const place = mkdtempSync(join(tmpdir(), 'holdfast-decides-'))
  t.teardown(() => rmSync(place, { recursive: true, force: true }))
  const path = join(place, 'decide.sock')
  const lab = await startLab({
    store: 'memory',
    files: { 'clients.crt': ca.cert },
    yaml: (defaults) => ({
      ...defaults,
      decision_api: `{ socket: ${path}, hop: socket, address: forwarded_for, certificate: client_cert, client_ca: clients.crt }`,
      upstreams: defaults.upstreams?.replace('audience: cases', 'audience: cases, client_cert: true') ?? '',
    }),
  })
  t.teardown(() => lab.stop())
  const header = ({ cert }: { cert: string }): string => `:${cert.replace(/-----[^-]*-----|\s/g, '')}:`
  const put = async (question: (client: Client) => Question, headers: Draft['headers']) => {
    const asked = clientOf({ path: '/mtls' }, (draft) => {
      Object.assign(draft, { scheme: 'Bearer', proof: null, headers })
      draft.token.claims.cnf = { 'x5t#S256': client.x5tS256 }
    })
    return exchangeOn(await openPlain({ path }), printQuestion(question(asked)))
  }
  for (const [name, question] of Object.entries(ENDPOINTS)) {
    const granted = await put(question, [['Client-Cert', header(client)]])
    t.equal(granted.status, 200, name)
    t.strictSame(granted.headers('client-cert'), [header(client)])
    t.match(claimsOf(granted), { binding: { method: 'mtls', 'x5t#S256': client.x5tS256 } })
    t.strictSame(statusAndReason(await put(question, [['Client-Cert', header(other)]])), [401, 'certificate_mismatch'])
    t.strictSame(statusAndReason(await put(question, [])), [401, 'certificate_missing'])
    const forwarded: Draft['headers'] = [['X-Forwarded-Client-Cert', `Cert="${encodeURIComponent(client.cert)}"`]]
    t.strictSame(statusAndReason(await put(question, forwarded)), [401, 'certificate_missing'], 'by no other header')
    const twice: Draft['headers'] = [header(other), header(client)].map((value) => ['Client-Cert', value])
    t.strictSame(statusAndReason(await put(question, twice)), [401, 'certificate_invalid'])
  }
})
