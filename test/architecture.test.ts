// Who may import whom, as data (docs: CONTRIBUTING.md). A failure names the file, the import and the rule.
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import t from 'tap'

const ROOT = join(import.meta.dirname, '..', '..', 'src')

type Rule = { readonly src: readonly string[]; readonly npm: readonly string[] }

/** `src`: folders and files (without .ts) that may be imported besides the own folder; `npm`: packages and node modules. */
const RULES: Readonly<Record<string, Rule>> = {
  verify: { src: [], npm: ['zod', 'node:crypto'] },
  replay: { src: ['verify', 'config/config'], npm: ['ioredis', 'node:crypto', 'node:timers/promises'] },
  revocations: {
    src: ['verify', 'config/config', 'replay/redis-connection', 'replay/redis-errors', 'replay/redis-link'],
    npm: ['node:crypto', 'node:events'],
  },
  events: { src: ['verify', 'config/config', 'revocations', 'keys/addresses'], npm: ['undici', 'node:crypto'] },
  limits: { src: ['verify', 'config/config', 'replay'], npm: ['rate-limiter-flexible', 'ioredis', 'node:crypto'] },
  keys: {
    src: ['verify', 'config/config'],
    npm: ['jose', 'undici', 'node:crypto', 'node:dns', 'node:net', 'node:fs', 'node:timers/promises'],
  },
  asking: { src: ['verify', 'keys/addresses'], npm: ['undici'] },
  introspection: { src: ['verify', 'config/config', 'asking', 'keys/fetch', 'metrics'], npm: ['jose', 'node:crypto'] },
  pdp: { src: ['verify', 'config/config', 'asking', 'keys/addresses', 'metrics'], npm: [] },
  config: {
    src: ['verify'],
    npm: ['yaml', 'zod', 'node:fs', 'node:path', 'node:os', 'node:crypto', 'node:net', 'node:tls', 'node:util'],
  },
  audit: {
    src: ['verify', 'config/config', 'replay/redis-connection', 'replay/redis-errors'],
    npm: ['node:crypto', 'node:fs', 'node:fs/promises', 'node:path', 'node:util', 'node:timers/promises'],
  },
  upstream: {
    src: ['verify', 'keys/signing', 'config/config', 'audit/types', 'times', 'tracing/context'],
    npm: ['undici', 'node:crypto', 'node:http', 'node:stream', 'node:tls', 'node:net'],
  },
  edge: {
    src: ['verify', 'config/config', 'config/der', 'audit/types', 'times'],
    npm: [
      'fastify',
      'lru-cache',
      'node:crypto',
      'node:fs/promises',
      'node:http',
      'node:https',
      'node:tls',
      'node:net',
      'node:stream',
      'node:timers/promises',
    ],
  },
  'decision-api': {
    src: [
      'verify',
      'config/config',
      'edge/enforce',
      'edge/framing',
      'edge/inbound',
      'edge/refuse',
      'edge/server',
      'times',
      'upstream/headers',
    ],
    npm: [
      '@bufbuild/protobuf',
      '@bufbuild/protobuf/wkt',
      '@connectrpc/connect',
      '@connectrpc/connect-node',
      'node:crypto',
      'node:http',
      'node:http2',
      'node:net',
    ],
  },
  admin: { src: [], npm: ['fastify', 'node:tls'] },
  metrics: { src: ['verify', 'times'], npm: ['prom-client', 'lru-cache'] },
  cluster: {
    src: [
      'verify',
      'cli/command',
      'config',
      'keys',
      'metrics',
      'running',
      'gateway',
      'edge/door',
      'edge/fair-queue',
      'edge/listen',
    ],
    npm: ['pino', 'node:cluster', 'node:crypto', 'node:net'],
  },
  client: { src: [], npm: ['fastify', '@fastify/http-proxy', 'jose', 'undici', 'yaml', 'zod', 'node:*'] },
  // A second opinion shares nothing with the verifier but the list of header names.
  probe: { src: ['client', 'cli/x509', 'verify/reserved-headers'], npm: ['jose', 'undici', 'node:*'] },
  cli: {
    src: [
      'config',
      'verify',
      'client',
      'probe',
      'keys/issuers',
      'keys/signing',
      'introspection/introspector',
      'pdp/ask',
      'revocations',
      'edge/inbound',
      'audit/evidence',
      'audit/stream',
    ],
    npm: ['node:fs', 'node:path', 'node:util', 'node:crypto', 'node:net', 'node:os', '@peculiar/x509', 'reflect-metadata'],
  },
  times: { src: [], npm: [] },
  caches: { src: ['metrics/caches', 'introspection/introspector', 'pdp/ask', 'verify'], npm: [] },
  // The SDK behind tracing/otlp.ts is loaded only where it is wanted, so nobody else may import it.
  tracing: {
    src: ['verify', 'times'],
    npm: [
      '@opentelemetry/api',
      '@opentelemetry/exporter-trace-otlp-http',
      '@opentelemetry/resources',
      '@opentelemetry/sdk-trace',
      'node:timers/promises',
    ],
  },
  decide: { src: ['verify', 'replay/store', 'times'], npm: ['node:crypto'] },
  running: {
    src: [
      'verify',
      'replay/store',
      'limits/rate',
      'revocations/follow',
      'keys',
      'introspection',
      'pdp',
      'config',
      'audit',
      'upstream',
      'edge',
      'caches',
      'decide',
      'decision-api',
      'metrics',
      'tracing/context',
      'tracing/traces',
    ],
    npm: ['node:http'],
  },
  listening: { src: ['edge', 'decision-api', 'running'], npm: [] },
  revoking: { src: ['verify', 'config/config', 'audit', 'revocations/follow', 'upstream/streams'], npm: [] },
  gateway: {
    src: [
      'verify',
      'replay',
      'limits',
      'events',
      'keys/ring',
      'config/config',
      'config/overdue',
      'audit',
      'edge',
      'listening',
      'admin',
      'caches',
      'metrics',
      'running',
      'revoking',
      'tracing/traces',
    ],
    npm: ['node:crypto', 'node:net', 'node:os', 'node:timers/promises', 'node:util'],
  },
  serve: { src: ['cli/command', 'cluster', 'config'], npm: ['node:cluster', 'node:path'] },
  main: { src: ['cli/main', 'cli/command', 'cluster/hangups', 'serve'], npm: ['node:readline/promises'] },
}

/** What src/verify/ must not hold, and why. */
const BANNED_IN_VERIFY: readonly (readonly [pattern: RegExp, why: string])[] = [
  [/\bDate\.now\b|new Date\(\)/, 'time is an argument, so that every window can be tested at its edge'],
  [/Math\.random|randomBytes|randomUUID/, 'the same request must always get the same answer'],
  [/\bprocess\./, 'settings are arguments'],
  [/\bfetch\(|setTimeout|setInterval/, 'no I/O: what must be waited for is a port'],
]

const sources = readdirSync(ROOT, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => ({ name: name.split(sep).join('/').replace(/\.ts$/, ''), text: readFileSync(join(ROOT, name), 'utf8') }))

const areaOf = (name: string): string => name.split('/')[0] ?? name
const importsOf = (text: string): string[] =>
  [...text.matchAll(/^(?:import|export)\b[^'"\n]*?(?:\n[^'"]*?)?from '([^']+)'|^import '([^']+)'/gm)].map(
    (m) => m[1] ?? m[2] ?? '',
  )

t.test('every import of src is one that its folder may have', async (t) => {
  for (const { name, text } of sources) {
    const area = areaOf(name)
    const rule = RULES[area]
    if (rule === undefined) {
      t.fail(`src/${name}.ts: there is no rule for ${area}; add one to RULES with a line in docs/decisions.md`)
      continue
    }
    for (const specifier of importsOf(text)) {
      if (!specifier.startsWith('.')) {
        const allowed = rule.npm.includes(specifier) || (rule.npm.includes('node:*') && specifier.startsWith('node:'))
        t.ok(allowed, `src/${name}.ts imports ${specifier}: ${area} may import ${rule.npm.join(', ') || 'no package'}`)
        continue
      }
      const target = relative(ROOT, join(ROOT, name, '..', specifier))
        .split(sep)
        .join('/')
        .replace(/\.js$/, '')
      const allowed = areaOf(target) === area || rule.src.some((one) => target === one || target.startsWith(`${one}/`))
      t.ok(allowed, `src/${name}.ts imports src/${target}: ${area} may import ${rule.src.join(', ') || 'nothing of src'}`)
    }
  }
})

t.test('there are no cycles', async (t) => {
  const graph = new Map(
    sources.map(({ name, text }) => [
      name,
      [...text.matchAll(/^import (?!type)[^'"]*?from '(\.[^']+)'/gm)].map((m) =>
        relative(ROOT, join(ROOT, name, '..', m[1] ?? ''))
          .split(sep)
          .join('/')
          .replace(/\.js$/, ''),
      ),
    ]),
  )
  const done = new Set<string>()
  const visit = (name: string, path: readonly string[]): void => {
    if (path.includes(name)) return void t.fail(`cycle: ${[...path.slice(path.indexOf(name)), name].join(' -> ')}`)
    if (done.has(name)) return
    for (const next of graph.get(name) ?? []) visit(next, [...path, name])
    done.add(name)
  }
  for (const name of graph.keys()) visit(name, [])
  t.pass('walked')
})

t.test('verify is pure', async (t) => {
  for (const { name, text } of sources.filter(({ name }) => areaOf(name) === 'verify')) {
    for (const [pattern, why] of BANNED_IN_VERIFY) t.notMatch(text, pattern, `src/${name}.ts: ${why}`)
  }
})

t.test('a Grant is made in one place', async (t) => {
  for (const { name, text } of sources) {
    if (name === 'decide' || name === 'verify/verdict') continue
    t.notMatch(text, /\bgrant\(/, `src/${name}.ts: only decide.ts makes a Grant`)
  }
})

t.test('files are small and have no default exports', async (t) => {
  for (const { name, text } of sources) {
    t.ok(text.split('\n').length <= 400, `src/${name}.ts is over 400 lines: split it`)
    t.notMatch(text, /^export default/m, `src/${name}.ts has a default export`)
  }
})
