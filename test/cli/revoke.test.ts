// `holdfast revoke`, `unrevoke` and `revocations` word by word, with a real Redis: what they write, and what they refuse before they
// write anything.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { runCli } from '../../src/cli/main.js'
import { writeMaterial } from '../config/material.js'
import { base64url, sha256 } from '../support/jwt.js'
import { startRedis } from '../support/redis.js'

const ISSUER = 'https://as.example.com'
const OTHER = 'https://other.example.com'
const KEY = sha256('a key')

const yaml = (replay: string, issuers: readonly string[]): string => `version: 1
listen: { tls: { key: certs/server.key, cert: certs/server.crt } }
public_origins: [https://api.example.com]
issuers: [${issuers.map((issuer) => `{ issuer: ${issuer}, audience: https://api.example.com }`).join(', ')}]
replay: ${replay}
assertion: { issuer: https://gateway.example.com, key: certs/assertion.key }
upstreams: { cases: { url: https://cases.internal } }
routes:
  - { path: /a, methods: [GET], tier: public, upstream: cases }
`

type Said = { readonly code: number; readonly out: readonly string[]; readonly err: string }

async function place(t: Test, { replay = '', issuers = [ISSUER] }: { replay?: string; issuers?: readonly string[] } = {}) {
  const cwd = mkdtempSync(join(tmpdir(), 'holdfast-revoke-'))
  await writeMaterial(cwd)
  const redis = await startRedis()
  t.teardown(async () => {
    await redis.stop()
    rmSync(cwd, { recursive: true })
  })
  const store = replay === '' ? `{ store: redis, redis: { url: '${redis.url}' } }` : replay
  writeFileSync(join(cwd, 'routes.yaml'), yaml(store, issuers))
  const run = async (command: string, ...args: readonly string[]): Promise<Said> => {
    const out: string[] = []
    const err: string[] = []
    const io = { out: (line: string) => out.push(line), err: (line: string) => err.push(line), env: { USER: 'carol' }, cwd }
    const code = await runCli([command, ...args], { ...io, stdin: () => stdin }, () => Promise.reject(new Error('not served')))
    return { code, out, err: err.join('\n') }
  }
  let stdin = ''
  const list = async (): Promise<readonly Record<string, unknown>[]> =>
    (await run('revocations')).out.map((line) => JSON.parse(line))
  return { run, list, redis, cwd, give: (text: string) => (stdin = text) }
}

const jwt = (claims: object): string =>
  `${base64url('{"alg":"ES256"}')}.${base64url(JSON.stringify(claims))}.${base64url('signature')}`

t.test('each kind, as its options say', async (t) => {
  const { run, list, give } = await place(t)
  const why = ['--reason', 'case 4711']
  t.match(await run('revoke', '--jkt', KEY, ...why), { code: 0, out: [`revoked: jkt "${KEY}", all tokens, for ever`], err: '' })
  t.match(await run('revoke', '--certificate', 'certs/server.crt', ...why), { code: 0 })
  t.match(await run('revoke', '--certificate', `${'AB:'.repeat(31)}CD`, ...why), { code: 0 })
  t.match(await run('revoke', '--client', 'client-1', '--for', '24h', ...why), { code: 0 })
  t.match(await run('revoke', '--subject', 'a b', '--issuer', ISSUER, '--issued-before', '2027-01-01T00:00:00+01:00', ...why), {
    code: 0,
    out: [`revoked: subject "a b" of ${ISSUER}, tokens issued before 2026-12-31T23:00:00.000Z, for ever`],
  })
  t.match(await run('revoke', '--session', 's1', ...why), { code: 0 })
  t.match(await run('revoke', '--issuer', ISSUER, '--issued-before', 'now', '--by', 'dave', ...why), { code: 0 })
  t.match(await run('revoke', '--token', 'jti-1', ...why), { code: 0 })
  t.match(await run('revoke', '--authentication', 'user-1', ...why), { code: 0 })
  give(`${jwt({ iss: ISSUER, jti: 'jti-2' })}\n`)
  t.match(await run('revoke', '--token', '-', ...why), { code: 0 })

  const entries = await list()
  const of = (kind: string) => entries.filter((entry) => entry.kind === kind)
  t.match(of('jkt'), [{ value: KEY, by: /^carol@/, reason: 'case 4711', at: /^\d{4}-/ }])
  t.same(
    of('certificate').map(({ value }) => String(value).length),
    [43, 43],
  )
  t.ok(of('certificate').some(({ value }) => value === Buffer.from(`${'ab'.repeat(31)}cd`, 'hex').toString('base64url')))
  t.match(of('client'), [{ value: 'client-1', issuer: ISSUER, until: String }])
  t.match(of('subject'), [{ value: 'a b', issuer: ISSUER, issued_before: '2026-12-31T23:00:00.000Z' }])
  t.match(of('authentication'), [{ value: 'user-1', issuer: ISSUER, issued_before: String }], 'since now')
  t.match(of('session'), [{ value: 's1', issuer: ISSUER }])
  t.match(of('issuer'), [{ value: ISSUER, by: 'dave' }])
  t.same(
    of('token')
      .map(({ value }) => value)
      .sort(),
    ['jti-1', 'jti-2'],
  )

  t.match(await run('unrevoke', '--client', 'client-1', ...why), { code: 0 })
  t.same(
    (await list()).filter(({ kind }) => kind === 'client'),
    [],
  )
  t.match(await run('unrevoke', '--client', 'client-2', ...why), { code: 1, err: /is not revoked/ })
})

t.test('what is not clear is refused with a sentence, and nothing is written', async (t) => {
  const { run, list, give, redis } = await place(t, { issuers: [ISSUER, OTHER] })
  const token = jwt({ iss: ISSUER, jti: 'jti-1' })
  const wrong: readonly (readonly [args: readonly string[], err: RegExp])[] = [
    [[], /--reason is required/],
    [
      ['--reason', 'x'],
      /expected one of --token, --session, --subject, --client, --jkt, --certificate, --issuer, --authentication/,
    ],
    [['--jkt', KEY], /--reason is required/],
    [['--jkt', KEY, '--reason', ' '], /--reason is required/],
    [['--jkt', KEY, '--reason', 'two\nlines'], /one line/],
    [['--jkt', KEY, '--reason', 'x', '--by', '\u001b[2J'], /one line/],
    [['--jkt', KEY, '--client', 'a', '--reason', 'x'], /expected one of/],
    [['--jkt', KEY, '--issuer', ISSUER, '--reason', 'x'], /leave --issuer out/],
    [['--jkt', `${'A'.repeat(42)}B`, '--reason', 'x'], /--jkt expects a SHA-256 thumbprint/],
    [['--jkt', 'short', '--reason', 'x'], /--jkt expects a SHA-256 thumbprint/],
    [['--certificate', 'certs/none.crt', '--reason', 'x'], /--certificate expects a SHA-256 thumbprint or a PEM file/],
    [['--certificate', 'certs/server.key', '--reason', 'x'], /--certificate expects/],
    [['--client', '', '--issuer', ISSUER, '--reason', 'x'], /must not be empty/],
    [['--client', 'a', '--reason', 'x'], /--client needs --issuer: routes.yaml has several/],
    [['--client', 'a', '--issuer', 'https://typo.example.com', '--reason', 'x'], /has no issuer "https:\/\/typo/],
    [['--issuer', 'https://typo.example.com', '--reason', 'x'], /has no issuer/],
    [['--token', token, '--issuer', ISSUER, '--reason', 'x'], /others can read the command line/],
    [['--token', '-', '--reason', 'x'], /standard input has no token/],
    [['--jkt', KEY, '--reason', 'x', '--for', '0s'], /--for expects a duration/],
    [['--jkt', KEY, '--reason', 'x', '--for', 'ever'], /--for expects a duration/],
    [['--jkt', KEY, '--reason', 'x', '--issued-before', '2027-01-01'], /a time with its zone/],
    [['--jkt', KEY, '--reason', 'x', '--unknown'], /unknown/],
    [['--jkt', KEY, '--reason', 'x', 'more'], /more/],
  ]
  for (const [args, err] of wrong) {
    const said = await run('revoke', ...args)
    t.equal(said.code, 2, args.join(' '))
    t.match(said.err, err)
    t.notMatch(said.err, 'eyJ', 'no token is repeated')
  }
  give(jwt({ iss: ISSUER }))
  t.match(await run('revoke', '--token', '-', '--reason', 'x'), { code: 2, err: /no `jti`: revoke its --subject or --client/ })
  give(jwt({ iss: 'https://typo.example.com', jti: 'a' }))
  t.match(await run('revoke', '--token', '-', '--reason', 'x'), { code: 2, err: /has no issuer/ })
  t.same(await list(), [])
  t.equal(await redis.call('EXISTS', 'holdfast:{revocations}:list'), 0)
})

t.test('without a Redis, and with one that is away: said so, exit code 1', async (t) => {
  const memory = await place(t, { replay: '{ store: memory }' })
  t.match(await memory.run('revoke', '--jkt', KEY, '--reason', 'x'), { code: 1, err: /this configuration has none/ })
  const { run, redis } = await place(t)
  await redis.kill()
  for (const command of ['revoke', 'unrevoke'])
    t.match(await run(command, '--jkt', KEY, '--reason', 'x'), { code: 1, err: /Redis, where the list is, can't be asked/ })
  t.match(await run('revocations'), { code: 1 })
  t.match(await run('revocations', '--config', 'none.yaml'), { code: 1, err: /none\.yaml/ })
})
