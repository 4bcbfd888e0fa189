// routes.yaml, and the files that it names, as anyone may have written or broken them: never a throw, never long, every problem at a place
// in its file, no secret told, and whatever is loaded can be started on.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parse, stringify } from 'yaml'
import { checkConfig } from '../../../src/config/load.js'
import { formatProblem } from '../../../src/config/problems.js'
import { writeMaterial } from '../../config/material.js'
import { judgeLoaded, lineLengths } from '../configured.js'
import { readConfigurations, readEntries, readWords } from '../corpus.js'
import { spoilDer } from '../der.js'
import type { Random } from '../random.js'
import { bad, type Session, type Target, type Verdict } from '../target.js'

/** What must never be told, whatever is wrong with the setting that holds it. */
const CANARY = 'zqcanary'
/** As routes.yaml writes it. */
const reference = (name: string): string => `$\{${name}}`
const ENV = { PORT: '8500', NONCE_SECRET: CANARY.repeat(5), STORE: 'redis', TRICK: reference('NONCE_SECRET') }

async function makeFolder(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-fuzz-'))
  await writeMaterial(folder)
  writeFileSync(join(folder, 'certs/secret'), CANARY.repeat(5))
  mkdirSync(join(folder, 'routes.d'))
  writeFileSync(
    join(folder, 'routes.d/aaaaaaaaaaaaaaaaaaaaaaaaaaaa.yaml'),
    'routes:\n  - { path: /x, methods: [GET], tier: low_user, upstream: cases }\n',
  )
  writeFileSync(join(folder, 'routes.d/wrong.yml'), 'routes: [{ path: x }]\n')
  return folder
}

function load(folder: string): Verdict {
  const file = join(folder, 'routes.yaml')
  const loaded = checkConfig(file, ENV)
  // Files to include are told by their names: whoever has written a secret there has it in a file name.
  const others = [...loaded.problems, ...loaded.warnings].filter(({ path }) => !path.startsWith('include.'))
  const told = others.map(formatProblem).join('\n')
  if (told.includes(CANARY)) return bad('a secret is told')
  const read = new Map<string, readonly number[] | undefined>()
  return judgeLoaded(loaded, (name) => {
    if (!read.has(name)) read.set(name, lineLengths(name))
    return read.get(name)
  })
}

const ODD: readonly unknown[] = [
  ...[
    null,
    true,
    false,
    0,
    -1,
    1.5,
    Number.NaN,
    1e21,
    '',
    ' ',
    'a b',
    'a"b',
    'a\\b',
    'ä',
    '\u0000',
    '\n',
    '\ud800',
    '__proto__',
    '*',
    'x'.repeat(5000),
  ],
  ...[
    'off',
    'on',
    '0s',
    '1ms',
    '25d',
    '999999999d',
    '999999999999GiB',
    '1/s',
    '999999999/h',
    '9999-12-31',
    '2027-02-30',
    reference('NONCE_SECRET'),
    reference('X'),
    '$${',
    reference('file:.'),
  ],
  ...[
    '/',
    '/*',
    '/:a',
    '/a/',
    '/%41',
    '/%C3%A9',
    '/a;b',
    'https://h',
    'https://h:1',
    'https://[::1]',
    'http://127.0.0.1:1/b?c',
    'https://h/\u212a',
    'certs',
    'certs/server.crt',
  ],
  ...[
    [],
    {},
    [[]],
    [null],
    { a: 1 },
    ['a', 'a'],
    ['a"b'],
    ['ä'],
    ['a b'],
    ['a\\'],
    [''],
    ['path.id'],
    ['GET', 'TRACE'],
    [1],
    Array.from({ length: 300 }, (_, i) => `s${i}`),
  ],
]

/** Puts an odd value somewhere into a tree, or a name where it does not belong. */
function spoil(random: Random, value: unknown, names: readonly string[]): unknown {
  if (typeof value !== 'object' || value === null || random.chance(0.15)) return random.pick(ODD)
  if (Array.isArray(value)) {
    const at = random.below(value.length + 1)
    if (random.chance(0.2)) return [...value.slice(0, at), ...value.slice(Math.max(0, at - 1))]
    return value.map((one, i) => (i === Math.min(at, value.length - 1) ? spoil(random, one, names) : one))
  }
  const entries = Object.entries(value)
  if (entries.length === 0 || random.chance(0.2)) return { ...value, [random.pick(names)]: random.pick(ODD) }
  const at = random.below(entries.length)
  if (random.chance(0.1)) return Object.fromEntries(entries.filter((_, i) => i !== at))
  return Object.fromEntries(entries.map(([name, one], i) => [name, i === at ? spoil(random, one, names) : one]))
}

const parsed = (text: Buffer): unknown => {
  try {
    return parse(text.toString(), { logLevel: 'silent' })
  } catch {
    return null
  }
}

const namesIn = (value: unknown): readonly string[] =>
  typeof value !== 'object' || value === null
    ? []
    : Object.entries(value).flatMap(([name, one]) => [...(Array.isArray(value) ? [] : [name]), ...namesIn(one)])

async function openYaml(): Promise<Session> {
  const folder = await makeFolder()
  const own = readEntries('yaml')
  // Of ours only the first is a whole configuration; others are trees that hold themselves.
  const seeds = [...readConfigurations(), ...own]
  const trees = [...readConfigurations(), ...own.slice(0, 1)].map(parsed).filter((tree) => tree !== null)
  const names = [...new Set(trees.flatMap(namesIn))]
  return {
    seeds,
    words: [...readWords('yaml'), ...names.map((name) => Buffer.from(name))],
    make: (random) => {
      let tree: unknown = random.pick(trees)
      for (let i = 1 + random.below(3); i > 0; i--) tree = spoil(random, tree, names)
      return Buffer.from(
        stringify(tree, { collectionStyle: random.pick(['any', 'flow', 'block']), aliasDuplicateObjects: random.chance(0.5) }),
      )
    },
    check: (input) => {
      writeFileSync(join(folder, 'routes.yaml'), input)
      return load(folder)
    },
    close: async () => rmSync(folder, { recursive: true }),
  }
}

const FILES = [
  'server.crt',
  'server.key',
  'client-ca.crt',
  'clients.crl',
  'assertion.key',
  'jwks.json',
  'ca.crt',
  'secret',
] as const
const YAML = `version: 1
listen: { tls: { key: certs/server.key, cert: certs/server.crt, client_certificates: pki, client_ca: certs/client-ca.crt, crl: [certs/clients.crl] } }
public_origins: [https://api.example.com]
issuers: [{ issuer: https://as.example.com, audience: https://api.example.com, jwks_file: certs/jwks.json, tls: { ca: certs/ca.crt } }]
dpop: { nonce_secret: "\${file:certs/secret}" }
assertion: { key: certs/assertion.key }
upstreams: { cases: { url: https://cases.internal, tls: { ca: certs/ca.crt } } }
routes:
  - { path: /a, methods: [GET], tier: sensitive_read, upstream: cases }
`

/** The first byte says which file is replaced; the rest is what is in it. */
async function openMaterial(): Promise<Session> {
  const folder = await makeFolder()
  writeFileSync(join(folder, 'routes.yaml'), YAML)
  const path = (name: string): string => join(folder, 'certs', name)
  const whole = new Map(FILES.map((name) => [name, readFileSync(path(name))]))
  const seeds = FILES.map((name, i) => Buffer.concat([Buffer.from([i]), whole.get(name) ?? Buffer.alloc(0)]))
  // What is no such file at all, for each of them.
  const more = readdirSync(join(folder, 'certs')).map((name) => Buffer.concat([Buffer.from([2]), readFileSync(path(name))]))
  return {
    seeds: [...seeds, ...more],
    words: readWords('pem'),
    make: (random) => {
      const seed = random.pick(seeds.slice(0, 5))
      return Buffer.concat([seed.subarray(0, 1), Buffer.from(spoilPem(random, seed.subarray(1).toString()))])
    },
    check: (input) => {
      const name = FILES[(input[0] ?? 0) % FILES.length] ?? 'secret'
      try {
        writeFileSync(path(name), input.subarray(1))
        const verdict = load(folder)
        return { ...verdict, outcome: `${name}: ${verdict.outcome}` }
      } finally {
        writeFileSync(path(name), whole.get(name) ?? '')
      }
    },
    close: async () => rmSync(folder, { recursive: true }),
  }
}

/** A PEM text whose DER is spoilt, in its structure or in its bytes. */
function spoilPem(random: Random, pem: string): string {
  return pem.replace(/(-----BEGIN [^-]*-----)([^-]*)(-----END [^-]*-----)/, (_, begin: string, base64: string, end: string) => {
    const der = spoilDer(random, Buffer.from(base64, 'base64'))
    return `${begin}\n${der.toString('base64').replace(/.{64}/g, '$&\n')}\n${end}`
  })
}

export const CONFIGURATION: Target = { name: 'yaml', most: 16 * 1024, slowest: 4000, together: 1, open: openYaml }
export const MATERIAL: Target = { name: 'material', most: 48 * 1024, slowest: 4000, together: 1, open: openMaterial }
