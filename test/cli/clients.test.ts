// `holdfast clients`: command, standard output, standard error, exit code; and what `holdfast check` says of the same registry.

import { copyFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { check } from '../../src/cli/check.js'
import { clients } from '../../src/cli/clients.js'
import { writeMaterial } from '../config/material.js'

const cwd = t.testdir({})
await writeMaterial(cwd)

async function run(command: typeof clients, ...args: readonly string[]) {
  const out: string[] = []
  const err: string[] = []
  const io = { out: (line: string) => void out.push(line), err: (line: string) => void err.push(line), env: {}, cwd }
  return { code: await command.run(args, io), out, err }
}

const day = (fromNow: number): string => new Date(Date.now() + fromNow * 86_400_000).toISOString().slice(0, 10)
const [yesterday, tomorrow, inAYear] = [day(-1), day(1), day(365)]

const ROUTES = `version: 1
listen: { tls: { key: certs/server.key, cert: certs/server.crt, client_certificates: pki, client_ca: certs/client-ca.crt } }
public_origins: [https://api.example.com]
issuers: [{ issuer: https://as.example.com, audience: x, evidence: { par: claim.pushed } }]
replay: { store: redis, redis: { url: redis://redis:6379 } }
assertion: { key: certs/assertion.key }
upstreams: { cases: { url: https://cases.internal } }
routes:
  - { path: /a, methods: [GET], tier: sensitive_read, upstream: cases }
`
const GOOD = `clients:
  - client_id: partner-1
    status: active
    approval: { by: jane.doe, on: 2026-01-31 }
    highest_tier: high_value
    scopes: [a, b]
    token_endpoint_auth_method: private_key_jwt
    require_signed_request_object: on
    security_contact: security@partner.example
    rotation: { last: ${yesterday}, every: 90d }
    certification: { status: certified, until: ${inAYear} }
    expires: ${inAYear}
  - client_id: not-yet
`

writeFileSync(join(cwd, 'routes.yaml'), `${ROUTES}clients: clients.yaml\n`)
writeFileSync(join(cwd, 'clients.yaml'), GOOD)

t.test('who is in the registry', async (t) => {
  t.strictSame(await run(clients, 'list'), {
    code: 0,
    err: [],
    out: [
      'client_id  status  highest tier    authenticates by  expires     overdue  issuer',
      `partner-1  active  high_value      private_key_jwt   ${inAYear}  0        https://as.example.com`,
      'not-yet    draft   sensitive_read  none                          0        https://as.example.com',
    ],
  })
})

t.test('what is said of one, and how well that is known', async (t) => {
  const { code, out, err } = await run(clients, 'show', 'partner-1', '--config', './routes.yaml')
  t.equal(code, 0)
  t.strictSame(err, [])
  for (const line of [
    'status: active',
    'approval: { by: jane.doe, on: 2026-01-31 }',
    'scopes: [a, b]',
    `rotation: { last: ${yesterday}, every: 7776000s, enforced: off }`,
    `expires: ${inAYear}`,
    'client_auth: declared; its issuer can prove nothing of it',
    'par: not declared; proven where the token’s pushed says so',
    'request_object: declared; its issuer can prove nothing of it',
  ])
    t.ok(out.includes(line), line)
  t.strictSame(await run(clients, 'show', 'nobody'), {
    code: 1,
    out: [],
    err: ['holdfast clients: there is no client of this `client_id`; `holdfast clients list` names all'],
  })
})

t.test('nothing is overdue', async (t) => {
  t.strictSame(await run(clients, 'check'), { code: 0, err: [], out: ['2 clients, nothing overdue'] })
})

t.test('what is overdue has its line, and is exit code 1', async (t) => {
  copyFileSync(join(cwd, 'certs/ended.crt'), join(cwd, 'ended.crt'))
  writeFileSync(
    join(cwd, 'clients.yaml'),
    `clients:
  - { client_id: a, status: testing, token_endpoint_auth_method: private_key_jwt }
  - { client_id: b, status: testing, security_contact: b, rotation: { last: ${yesterday}, every: 0s, enforced: on }, expires: ${yesterday} }
  - { client_id: c, status: testing, security_contact: c, certificates: { files: [ended.crt] }, expires: ${tomorrow} }
  - { client_id: d, status: testing, security_contact: d, certificates: { files: [ended.crt, certs/server.crt] } }
  - { client_id: e, status: testing, security_contact: e, certificates: { tls_client_auth_san_dns: e.example, until: ${inAYear} } }
  - { client_id: f, status: active, approval: { by: f, on: 2026-01-31 }, security_contact: f, highest_tier: sensitive_write }
  - client_id: g
    status: active
    approval: { by: g, on: 2026-01-31 }
    security_contact: g
    highest_tier: high_value
    certification: { status: certified, until: ${tomorrow} }
  - { client_id: h, status: suspended, expires: ${yesterday} }
`,
  )
  const { code, out, err } = await run(clients, 'check')
  t.equal(code, 1)
  t.strictSame(err, [])
  const expected = [
    'clients.yaml:2:5 clients.0.security_contact: nobody is named whom to tell of an incident',
    'clients.yaml:2:5 clients.0.rotation: its keys were never rotated: say `last` when they are',
    /^clients\.yaml:3:77 clients\.1\.rotation\.last: its keys had to be rotated by \S+: its tokens are refused$/,
    new RegExp(`^clients\\.yaml:3:\\d+ clients\\.1\\.expires: it expired on ${yesterday}: its tokens are refused$`),
    /^clients\.yaml:4:73 clients\.2\.certificates: its last certificate ended on \S+: register a new one$/,
    new RegExp(`^clients\\.yaml:4:\\d+ clients\\.2\\.expires: it expires on ${tomorrow}: renew or end it$`),
    /^clients\.yaml:5:73 clients\.3\.certificates: its last certificate ends on \S+: register a new one$/,
    'clients.yaml:7:5 clients.5.certification: it is not certified, and its `highest_tier` is a high one',
    'clients.yaml:7:109 clients.5.highest_tier: it is refused there: it does not declare client_auth, and its issuer does not prove it',
    'clients.yaml:12:19 clients.6.highest_tier: it is refused there: it does not declare client_auth, request_object, and its issuer does not prove it',
    new RegExp(`^clients\\.yaml:13:48 clients\\.6\\.certification\\.until: its certification ends on ${tomorrow}$`),
    '8 clients, 11 overdue',
  ]
  t.equal(out.length, expected.length, out.join('\n'))
  t.match(out, expected)
  const checked = await run(check)
  t.equal(checked.code, 0, 'they are warnings')
  t.strictSame(
    checked.err,
    out.slice(0, -1).map((line) => line.replace(/ clients/, ' warning clients')),
    'told by `holdfast check` too',
  )
})

t.test('what is wrong in the file comes first', async (t) => {
  writeFileSync(join(cwd, 'clients.yaml'), 'clients:\n  - { client_id: a, stauts: active }\n')
  const { code, out, err } = await run(clients, 'check')
  t.equal(code, 1)
  t.strictSame(out, [])
  t.strictSame(err, ['clients.yaml:2:21 clients.0.stauts: unknown setting; docs/settings.md lists all there are'])
})

t.test('without a registry', async (t) => {
  writeFileSync(join(cwd, 'without.yaml'), ROUTES.replace(', evidence: { par: claim.pushed }', ''))
  t.strictSame(await run(clients, 'check', '--config', 'without.yaml'), {
    code: 1,
    out: [],
    err: ['holdfast clients: without.yaml has no `clients`: without a registry every client of its issuers is served'],
  })
})
