// docs/contract.md is what users and their tools rely on. What it has in tables and examples is read here and compared with the code, so
// that neither changes without the other.
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { decodeJwt } from 'jose'
import t from 'tap'
import { decisionEvent, outcomeEvent } from '../src/audit/event.js'
import { revocationEvent, revocationsLoaded } from '../src/audit/revocation.js'
import { loadConfig } from '../src/config/load.js'
import { BUILT_IN_TIERS } from '../src/config/tiers.js'
import { loadSigningKeys } from '../src/keys/signing.js'
import { signAssertion } from '../src/upstream/assertion.js'
import type { Policy } from '../src/verify/policy.js'
import { REASONS } from '../src/verify/reasons.js'
import type { Registration } from '../src/verify/registration.js'
import { deny } from '../src/verify/verdict.js'
import { writeMaterial } from './config/material.js'
import { certificate, issuer, makeGrant, makeInbound, makeToken, NOW } from './support/granted.js'

const text = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'contract.md'), 'utf8')
const sections = new Map(
  text.split(/^## /m).map((section) => [section.slice(0, section.indexOf('.')), section.slice(section.indexOf('\n'))]),
)
const section = (number: number): string => sections.get(String(number)) ?? ''
/** Cells of each row of the tables of a section, the heads and their lines left out. */
const rows = (number: number): readonly (readonly string[])[] =>
  [...section(number).matchAll(/^\| (.*) \|$/gm)]
    .map(([, row = '']) => row.split(' | '))
    .filter(([first = '']) => first.startsWith('`'))
const namesIn = (part: string): readonly string[] => [...part.matchAll(/`([a-z_]+)`/g)].map(([, name = '']) => name)
const yamlOf = (number: number): string => /```yaml\n([\s\S]*?)```/.exec(section(number))?.[1] ?? ''

t.test('§4: every reason has its row, with its status and its OAuth error', async (t) => {
  const told: Record<string, unknown> = {}
  for (const [names = '', status = '', error = ''] of rows(4)) {
    const [first, ...others] = status.match(/\d{3}/g) ?? []
    for (const [i, name] of namesIn(names).entries()) {
      t.notOk(name in told, `${name} once`)
      const [word = ''] = error.split(' ', 1)
      const isNone = word === '-' && !error.includes('challenge without error')
      told[name] = [Number(others[i - 1] ?? first), isNone ? undefined : word === '-' ? null : word]
    }
  }
  t.strictSame(
    told,
    Object.fromEntries(
      Object.entries(REASONS).map(([name, row]) => [name, [row.status, 'error' in row ? row.error : undefined]]),
    ),
  )
})

t.test('§3: the built-in tiers demand what the table says', async (t) => {
  const print = (value: unknown): string => {
    if (Array.isArray(value)) return value.join(' ')
    if (typeof value === 'object' && value !== null) return Object.values(value).join(' by ')
    return String(value)
  }
  const tiers = Object.keys(BUILT_IN_TIERS)
  const told = rows(3).map(([name = '', ...cells]) => [namesIn(name)[0] ?? '', cells] as const)
  t.same(told.map(([name]) => name).sort(), Object.keys(BUILT_IN_TIERS.low_user ?? {}).sort(), 'every setting has a row')
  for (const [name, cells] of told)
    for (const [i, tier] of tiers.entries()) {
      const cell = cells[i]?.replace('1 MiB', '1MiB')
      if (tier === 'public' && cell === '-') continue
      t.equal(cell, print(BUILT_IN_TIERS[tier]?.[name]), `${name} of ${tier}`)
    }
})

t.test('§6: an assertion has the claims of the table, and no others', async (t) => {
  const pem = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const { current: key } = loadSigningKeys([pem])
  const details = [{ type: 'payment', actions: ['initiate'] }]
  const target = { ...makeInbound().target, query: 'a=b' }
  const grant = makeGrant({
    body: Buffer.from('body'),
    inbound: { target },
    route: { policy: { authorization_details: [{ type: 'payment' }] } as unknown as Policy },
    evidence: {
      token: makeToken({ claims: { sub: 'user-1', acr: 'a', auth_time: NOW, authorization_details: details } }),
      tenant: 'tenant-1',
      reported: [deny('token_unbound')],
      decision: { pdp: 'policies', id: 'd-1', policyVersion: 'p-1' },
    },
  })
  const claims = decodeJwt(signAssertion(grant, { issuer: 'https://g', ttl: 30, key, now: NOW, target: '/', jti: 'a' }))
  t.same(
    Object.keys(claims).sort(),
    rows(6)
      .flatMap(([names = '']) => namesIn(names))
      .sort(),
  )
})

t.test('§7: every member of an event is named, and every one that is named is written', async (t) => {
  const registration = {
    status: 'active',
    declared: new Set(['par']),
    tiers: new Set(),
    authMethod: 'none',
  } as unknown as Registration
  const grant = makeGrant({
    route: { policy: { client_profile: ['par'], audit: 'all', tenant: null } as unknown as Policy },
    evidence: {
      token: makeToken({ issuer: { ...issuer, registry: new Map([['client-1', registration]]) } }),
      certificate,
      decision: { pdp: 'policies', id: 'd-1', policyVersion: 'p-1' },
    },
  })
  const { route, evidence } = grant
  const facts = {
    arrived: evidence.inbound,
    match: { route, captured: {} },
    verdict: grant,
    outcome: { upstreamStatus: 200, bytes: 1, reason: null, domainDecision: null },
    durationMs: 1,
    removed: [],
    policyVersion: 'v1',
    now: NOW,
  }
  const terms = { effect: 'refuse', issued_before: null, until: null, at: 0, by: '', reason: '' } as const
  const written = new Set(
    [
      decisionEvent(facts),
      outcomeEvent(facts),
      revocationEvent({ kind: 'jkt', scope: '', value: '', terms }, NOW),
      revocationsLoaded(1, NOW),
      // What the log puts around each: test/audit/log.test.ts.
      { prev: '', instance: '', worker: 0, seq: 0 },
    ].flatMap(Object.keys),
  )
  const named = new Set([...namesIn(section(7)), ...namesIn(section(12))])
  for (const member of written) t.ok(named.has(member), `${member} is named`)
  const [list = ''] = /^`event_type` \("authorization_decision"\)[\s\S]*?`seq`/m.exec(section(7)) ?? []
  const members = namesIn(list.replace(/\([^)]*\)/g, ''))
  t.ok(members.length > 30, 'the list is found')
  for (const member of members) t.ok(written.has(member), `${member} is written`)
})

t.test('§2 and §10: the examples are whole configurations, and defaults are what is called so', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-contract-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  await writeMaterial(folder)
  const load = (yaml: string) => {
    writeFileSync(join(folder, 'routes.yaml'), yaml)
    const { config, problems } = loadConfig(join(folder, 'routes.yaml'), { NONCE_SECRET: 'n'.repeat(40) })
    t.strictSame(problems, [])
    return config
  }
  const sample = yamlOf(2)
  const config = load(sample)
  for (const [key, default_] of [
    ['limits', /^limits:.*\n(?: +.*\n)+/m],
    ['watch', /^watch:.*\n/m],
    ['drain', /^drain:.*\n/m],
  ] as const) {
    t.match(sample, default_)
    t.strictSame(load(sample.replace(default_, ''))?.[key], config?.[key], `${key}: the defaults`)
  }
  t.match(load(sample.replace(/^listen:.*\n(?: +.*\n)+/m, yamlOf(10)))?.listeners, [
    { behind: { hop: 'socket', certificate: 'client_cert', address: 'forwarded_for', host: 'same', removed_prefix: '/svc2' } },
    { decides: true, port: 9191, behind: { hop: 'loopback' } },
  ])
})
