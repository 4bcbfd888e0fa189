// `holdfast explain`: command, standard output, standard error, exit code.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { explain } from '../../src/cli/explain.js'
import { makeCertificates } from '../support/certificates.js'
import { type Draft, issuerKey, makeDraft, printDraft } from '../support/draft.js'
import { json, opaqueDraft, startIntrospectionServer } from '../support/introspection.js'
import { anonymous } from '../support/kinds.js'
import { DENY, startPdp } from '../support/pdp.js'

const HOST = 'api.example.com'
const cwd = t.testdir({})
const { files } = await makeCertificates(HOST)
for (const [name, text] of Object.entries(files)) writeFileSync(join(cwd, name), text)
writeFileSync(join(cwd, 'issuer.jwks'), JSON.stringify({ keys: [{ ...issuerKey.jwk, kid: 'issuer-1' }] }))
writeFileSync(
  join(cwd, 'routes.yaml'),
  `version: 1
listen: { tls: { key: server.key, cert: server.crt } }
public_origins: [https://${HOST}]
issuers: [{ issuer: https://as.example.com, audience: https://api.example.com, jwks_file: issuer.jwks }]
assertion: { key: assertion.key }
tiers: { moderate_write: { extends: sensitive_read, binding: any } }
upstreams: { cases: { url: https://cases.internal } }
routes:
  - { path: /public, methods: [GET], tier: public, upstream: cases }
  - { path: '/cases/:id', methods: [GET], tier: moderate_write, upstream: cases, scopes: [case.read] }
  - { path: /pay, methods: [POST], tier: high_value, upstream: cases }
`,
)

async function run(...args: readonly string[]) {
  const out: string[] = []
  const err: string[] = []
  const io = { out: (line: string) => void out.push(line), err: (line: string) => void err.push(line), env: {}, cwd }
  return { code: await explain.run(args, io), out: out.join('\n'), err: err.join('\n') }
}
const draft = (path = '/cases/7'): Draft => makeDraft({ host: HOST, path })
const judged = (request: Draft) => {
  writeFileSync(join(cwd, 'request.http'), printDraft(request))
  return run('--request', 'request.http')
}

t.test('a method and a URL: route, tier and every check with its setting and its section', async (t) => {
  const { code, out, err } = await run('GET', `https://${HOST}/cases/7?a=b`)
  t.equal(code, 0)
  t.equal(err, '')
  t.match(out, /^GET https:\/\/api\.example\.com\/cases\/7$/m)
  t.match(out, /route +GET \/cases\/:id$/m)
  t.match(out, /tier +moderate_write$/m)
  t.match(out, /upstream +cases$/m)
  t.match(out, /binding="any"/)
  t.match(out, /proof_max_age=60/)
  t.match(out, /scopes=\["case\.read"\]/)
  t.match(out, /RFC 9449 §4\.3 \(9\)/)
  const lines = out.split('\n')
  const at = (name: string) => lines.findIndex((line) => line.trim().startsWith(name))
  t.ok(at('proof-method') < at('proof-target') && at('proof-target') < at('proof-age'), 'in the order of judging')
  t.match((await run('HEAD', `https://${HOST}/cases/7`)).out, /route +GET/)
  t.match((await run('GET', `HTTPS://${HOST.toUpperCase()}:443/public`)).out, /nothing is judged/)
})

t.test('behind a hop that takes a prefix off the path, a URL is what clients write', async (t) => {
  const yaml = readFileSync(join(cwd, 'routes.yaml'), 'utf8')
  const behind = 'listen: { socket: edge.sock, tls: off, behind: { hop: socket, address: forwarded_for, removed_prefix: /svc2 } }'
  writeFileSync(join(cwd, 'behind.yaml'), yaml.replace(/^listen: .*$/m, behind))
  const explained = await run('--config', 'behind.yaml', 'GET', `https://${HOST}/svc2/cases/7?a=b`)
  t.equal(explained.code, 0, explained.err)
  t.match(explained.out, /^GET https:\/\/api\.example\.com\/svc2\/cases\/7$/m)
  t.match(explained.out, /route +GET \/cases\/:id$/m)
  const request = draft('/svc2/cases/7')
  writeFileSync(join(cwd, 'behind.http'), printDraft(request))
  t.equal((await run('--config', 'behind.yaml', '--request', 'behind.http')).code, 0, 'and a proof too')
})

t.test('what no route serves', async (t) => {
  for (const [method, url, said] of [
    ['GET', `https://${HOST}/nothing`, /^refused: route_unknown \(404\)/],
    ['DELETE', `https://${HOST}/cases/7`, /^refused: method_not_allowed \(405\).*GET/],
    ['GET', 'https://other.example.com/cases/7', /^refused: host_unknown \(421\)/],
    ['GET', `https://${HOST}/cases/../pay`, /^refused: target_malformed \(400\)/],
  ] as const) {
    const { code, out } = await run(method, url)
    t.equal(code, 1, url)
    t.match(out, said)
  }
})

t.test('a request from a file: what each check would answer', async (t) => {
  const request = draft()
  const granted = await judged(request)
  t.equal(granted.code, 0, granted.out)
  t.match(granted.out, /^ +ok +proof-signature /m)
  t.match(granted.out, /^granted/m)
  t.equal((await judged(request)).code, 0, 'nothing is recorded as used')
  t.equal((await judged(anonymous(draft('/public')))).code, 0)

  const wrong = draft()
  if (wrong.proof !== null) wrong.proof.claims.htm = 'POST'
  const refused = await judged(wrong)
  t.equal(refused.code, 1)
  t.match(refused.out, /^ +ok +proof-token /m)
  t.match(refused.out, /^ +proof_method +proof-method /m)
  t.match(refused.out, /^ +- +proof-target /m, 'not asked any more')
  t.match(refused.out, /^refused: proof_method \(401\)/m)
  t.equal((await judged(anonymous(draft()))).code, 1)

  writeFileSync(join(cwd, 'request.http'), printDraft(draft()).toString().replaceAll('\r\n', '\n'))
  t.equal((await run('--request', 'request.http')).code, 0, 'lines as an editor ends them')
  const { out } = await judged(draft())
  t.notMatch(out, /eyJ/, 'no token and no proof is printed')
})

t.test('an opaque token: its issuer is asked, as a gateway would ask', async (t) => {
  const server = await startIntrospectionServer()
  t.teardown(() => server.stop())
  const yaml = readFileSync(join(cwd, 'routes.yaml'), 'utf8')
  const introspection = `introspection: { endpoint: '${server.endpoint}', client_id: a, client_secret: b, timeout: 20s }`
  writeFileSync(join(cwd, 'opaque.yaml'), yaml.replace('jwks_file:', `${introspection}, jwks_file:`))
  const explained = () => {
    writeFileSync(join(cwd, 'opaque.http'), printDraft(opaqueDraft('opaque-7', '/cases/7')))
    return run('--config', 'opaque.yaml', '--request', 'opaque.http')
  }
  const granted = await explained()
  t.equal(granted.code, 0, granted.out)
  t.match(granted.out, /^ +ok +token /m)
  t.notMatch(granted.out, /opaque-7/, 'no token is printed')
  server.answer = () => json({ active: false })
  const refused = await explained()
  t.equal(refused.code, 1)
  t.match(refused.out, /^refused: token_inactive \(401\)/m)
  server.answer = () => json({}, { status: 401 })
  t.match((await explained()).out, /^refused: introspection_unavailable \(503\).* - answered 401/m)
})

t.test('a decision: listed, and asked for only when a request is judged', async (t) => {
  const pdp = await startPdp()
  t.teardown(() => pdp.stop())
  const yaml = readFileSync(join(cwd, 'routes.yaml'), 'utf8')
  const pdps = `pdps: { policies: { url: '${pdp.url}', timeout: 20s } }\n`
  writeFileSync(
    join(cwd, 'decided.yaml'),
    pdps + yaml.replace("path: '/cases/:id',", "path: '/cases/:id', decision: { pdp: policies },"),
  )
  const listed = await run('--config', 'decided.yaml', 'GET', `https://${HOST}/cases/7`)
  t.match(
    listed.out,
    /^ +decision +AuthZEN 1\.0 §6, §7 +pdp="policies" action=null resources=\[\{"type":"route","id":"\/cases\/:id"\}\]$/m,
  )
  t.equal(pdp.asked.length, 0)
  const explained = () => {
    writeFileSync(join(cwd, 'decided.http'), printDraft(draft()))
    return run('--config', 'decided.yaml', '--request', 'decided.http')
  }
  const granted = await explained()
  t.equal(granted.code, 0, granted.out + granted.err)
  t.match(granted.out, /^ +ok +decision /m)
  pdp.answer = () => DENY
  const refused = await explained()
  t.equal(refused.code, 1)
  t.match(refused.out, /^refused: decision_denied \(403\).* - by policies/m)
  t.equal(pdp.asked.length, 2)
  const wrong = draft()
  if (wrong.proof !== null) wrong.proof.claims.htm = 'POST'
  writeFileSync(join(cwd, 'decided.http'), printDraft(wrong))
  t.match((await run('--config', 'decided.yaml', '--request', 'decided.http')).out, /^ +- +decision /m)
  t.equal(pdp.asked.length, 2, 'who is refused anyway is not asked about')
})

t.test('wrong usage', async (t) => {
  writeFileSync(join(cwd, 'garbage.http'), 'hello\n')
  for (const args of [
    [],
    ['GET'],
    ['GET', `http://${HOST}/public`],
    ['GET', `https://${HOST}/public`, 'more'],
    ['GET', `https://${HOST}/public`, '--request', 'request.http'],
    ['--request', 'garbage.http'],
    ['--nonsense'],
  ]) {
    const { code, err } = await run(...args)
    t.equal(code, 2, args.join(' '))
    t.match(err, /^holdfast explain: .+\ntry: holdfast explain --help$/)
  }
  const { code, err } = await run('--config', 'nowhere.yaml', 'GET', `https://${HOST}/public`)
  t.equal(code, 1)
  t.match(err, /holdfast check nowhere\.yaml/)
})
