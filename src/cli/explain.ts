// `holdfast explain`: which route and tier would judge this request, and each check in order; with a request from a file, what
// each check would answer. Issuer keys are fetched; nothing is recorded as used.

import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import type { Config } from '../config/config.js'
import { loadConfig } from '../config/load.js'
import { type Head, judgeHead, readInbound, readLines, readOrigin } from '../edge/inbound.js'
import { createIntrospector } from '../introspection/introspector.js'
import { createIssuerKeys } from '../keys/issuers.js'
import { createPdps } from '../pdp/ask.js'
import { readNonceTime } from '../verify/nonces.js'
import type { Policy } from '../verify/policy.js'
import { reasonRow } from '../verify/reasons.js'
import { NOTHING_REVOKED } from '../verify/revocations.js'
import type { InboundRequest, Route, RouteMatch } from '../verify/types.js'
import { Denial } from '../verify/verdict.js'
import { STEPS, verify } from '../verify/verify.js'
import type { Command, Io } from './command.js'

const HELP = `holdfast explain [--config FILE] METHOD URL
holdfast explain [--config FILE] --request FILE

Says which route and tier would judge a request, and each check in order with its settings and its specification.
With --request, what each check would answer: issuers are asked for keys and about opaque tokens, policy decision points for
decisions, and nothing is recorded as used.

  METHOD URL        such as: GET https://api.example.com/cases/7
  --request FILE    a request as raw HTTP/1.1 (start line, headers, empty line), Host included; - is standard input
  --config FILE     the configuration (default: routes.yaml)
  --help            this text

Certificates, bodies, replay and rates are not judged: they need a connection or a store.
Exit code: 0 granted (or explained), 1 refused, 2 wrong usage.
`

export const explain: Command = {
  name: 'explain',
  summary: 'which route, tier and checks would judge a request, and what they would answer',
  help: HELP,
  run: async (args, io) => {
    const usage = readUsage(args)
    if (typeof usage === 'string') return wrongUsage(io, usage)
    const { config, problems } = loadConfig(resolve(io.cwd, usage.config), io.env)
    if (config === null) {
      io.err(`holdfast: ${usage.config} has ${problems.length} problem(s); \`holdfast check ${usage.config}\` lists them`)
      return 1
    }
    const head = usage.request === null ? headOfUrl(usage.method, usage.url) : readHead(readRequest(usage.request, io))
    if (typeof head === 'string') return wrongUsage(io, head)
    const found = findRoute(head, config)
    if (found instanceof Denial) return sayDenial(io, found)
    io.out(`${head.method} ${found.inbound.target.base}${found.inbound.target.rawPath}`)
    sayRoute(io, found.match)
    if (usage.request !== null) return judge(io, found, config)
    sayChecks(io, found.match.route)
    return 0
  },
}

type Usage = { readonly config: string } & (
  | { readonly request: string }
  | { readonly request: null; readonly method: string; readonly url: string }
)

function readUsage(args: readonly string[]): Usage | string {
  try {
    const options = { config: { type: 'string', default: 'routes.yaml' }, request: { type: 'string' } } as const
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true })
    const [method, url] = positionals
    if (values.request !== undefined) {
      return positionals.length === 0
        ? { config: values.config, request: values.request }
        : 'METHOD and URL come from the request'
    }
    if (method === undefined || url === undefined || positionals.length > 2) return 'expected METHOD URL, or --request FILE'
    return { config: values.config, request: null, method, url }
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

function wrongUsage(io: Io, message: string): number {
  io.err(`holdfast explain: ${message}`)
  io.err('try: holdfast explain --help')
  return 2
}

const readRequest = (file: string, io: Io): string => readFileSync(file === '-' ? 0 : resolve(io.cwd, file), 'latin1')

function headOfUrl(method: string, url: string): Head | string {
  const [, host, target] = /^https:\/\/([^/?#]+)([^#]*)$/i.exec(url) ?? []
  if (host === undefined || target === undefined) return `expected an https URL, not ${JSON.stringify(url)}`
  return makeHead(method, target.startsWith('/') ? target : `/${target}`, ['Host', host])
}

/** A request head as a person writes it down: lines may end in LF alone. */
function readHead(text: string): Head | string {
  const [start = '', ...rest] = text.split(/\r?\n/)
  const [, method, target] = /^(\S+) (\S+) HTTP\/1\.[01]$/.exec(start) ?? []
  if (method === undefined || target === undefined) return 'the first line is not `METHOD TARGET HTTP/1.1`'
  const end = rest.indexOf('')
  const rawHeaders: string[] = []
  for (const line of end < 0 ? rest : rest.slice(0, end)) {
    const colon = line.indexOf(':')
    if (colon <= 0) return `this is not a header line: ${JSON.stringify(line.slice(0, 60))}`
    rawHeaders.push(line.slice(0, colon), line.slice(colon + 1).trim())
  }
  return makeHead(method, target, rawHeaders)
}

const makeHead = (method: string, rawTarget: string, rawHeaders: readonly string[]): Head => ({
  requestId: 'explain',
  receivedAt: Date.now() / 1000,
  method,
  httpVersion: '1.1',
  rawTarget,
  rawHeaders,
  peer: { address: '127.0.0.1', port: 0, certificate: null },
  servername: null,
  removedPrefix: '',
})

type Found = { readonly inbound: InboundRequest; readonly match: RouteMatch }

function findRoute(head: Head, config: Config): Found | Denial {
  const lines = readLines(head.rawHeaders)
  const unfit = judgeHead(head, lines, config.limits)
  if (unfit !== null) return unfit
  const origin = readOrigin(head, lines, config.publicOrigins)
  if (origin instanceof Denial) return origin
  const inbound = readInbound(asFromHop(head, origin, config), lines, origin)
  if (inbound instanceof Denial) return inbound
  const match = config.match(origin, inbound.target.path, inbound.method)
  if (match === 'unknown') return new Denial('route_unknown', undefined, {})
  return 'route' in match ? { inbound, match } : new Denial('method_not_allowed', `allowed: ${match.join(', ')}`, {})
}

/** As it comes from a hop that takes leading segments off the path: people write what clients send. */
function asFromHop(head: Head, origin: string, { listeners }: Config): Head {
  const prefixes = listeners.filter(({ origins }) => origins.includes(origin)).map(({ behind }) => behind?.removed_prefix ?? '')
  const removedPrefix = prefixes.find((prefix) => prefix !== '' && head.rawTarget.startsWith(`${prefix}/`)) ?? ''
  return { ...head, removedPrefix, rawTarget: head.rawTarget.slice(removedPrefix.length) }
}

function sayDenial(io: Io, denial: Denial): number {
  const { status, title, spec } = reasonRow(denial.reason)
  io.out(`refused: ${denial.reason} (${status}) ${title} [${spec}]${denial.detail === undefined ? '' : ` - ${denial.detail}`}`)
  return 1
}

function sayRoute(io: Io, { route }: RouteMatch): void {
  io.out(`  route     ${route.methods.join(', ')} ${route.path}`)
  io.out(`  tier      ${route.tier}`)
  io.out(`  upstream  ${route.upstream.name}`)
  io.out('')
}

const settingsOf = (policy: Policy, names: readonly string[]): string =>
  names.map((name) => `${name}=${JSON.stringify((policy as Record<string, unknown>)[name])}`).join(' ')

/** The last check that a route can have, and no tier's. */
const decisionLine = ({ decision }: Route): string | null =>
  decision === null
    ? null
    : `${'decision'.padEnd(16)} ${'AuthZEN 1.0 §6, §7'.padEnd(36)} pdp=${JSON.stringify(decision.pdp)} action=${JSON.stringify(decision.action)} resources=${JSON.stringify(decision.resources)}`

function sayChecks(io: Io, route: Route): void {
  const { policy } = route
  if (policy.token === 'none') {
    io.out('  nothing is judged: credentials are removed, not read (token: none)')
    return
  }
  for (const { name, spec, settings } of STEPS) {
    io.out(`  ${name.padEnd(16)} ${spec.padEnd(36)} ${settingsOf(policy, settings)}`.trimEnd())
  }
  const decision = decisionLine(route)
  if (decision !== null) io.out(`  ${decision}`)
}

/** Runs the checks for real, but for what needs a connection or a store. */
async function judge(io: Io, question: Found, config: Config): Promise<number> {
  const clock = () => Date.now() / 1000
  const issuerKeys = createIssuerKeys(config.issuers, { clock, log: io.err })
  const introspector = createIntrospector(config.issuers, {
    keysFor: issuerKeys.keysFor,
    clock,
    log: io.err,
    caches: { opaque_tokens: new Map(), inactive_tokens: new Map() },
    counts: new Map(),
  })
  const pdps = createPdps(config.pdps, { clock, log: io.err, cache: new Map(), counts: new Map() })
  const answers = new Map<string, Denial | null>()
  const none = { get: () => undefined, set: () => undefined }
  try {
    await issuerKeys.start()
    const verdict = await verify({ ...question, trace: (step, answer) => answers.set(step, answer) }, Date.now() / 1000, {
      keysFor: issuerKeys.keysFor,
      revocations: NOTHING_REVOKED,
      keysGeneration: issuerKeys.generation,
      introspect: introspector.introspect,
      nonceTime: (nonce) => readNonceTime(config.nonceSecrets, nonce),
      tokens: none,
      proofHeaders: none,
      limits: config.limits,
    })
    // The list is in Redis, which is not asked.
    answers.delete('revocations')
    const { route } = question.match
    const { policy } = route
    const isRefused = 'denial' in verdict
    const decided = isRefused || route.decision === null ? null : await pdps.decisionFor(verdict, question.match)
    for (const { name, spec, settings } of policy.token === 'none' ? [] : STEPS) {
      const answer = answers.get(name)
      const said = answer === undefined ? '-' : answer === null ? 'ok' : answer.reason
      io.out(`  ${said.padEnd(20)} ${name.padEnd(16)} ${spec.padEnd(36)} ${settingsOf(policy, settings)}`.trimEnd())
    }
    const decision = decisionLine(route)
    if (decision !== null) io.out(`  ${(decided === null ? '-' : (decided.denial?.reason ?? 'ok')).padEnd(20)} ${decision}`)
    io.out('')
    if ('denial' in verdict) return sayDenial(io, verdict.denial)
    if (decided !== null && decided.denial !== null) return sayDenial(io, decided.denial)
    for (const { reason } of verdict.reported) io.out(`reported only: ${reason}`)
    io.out('granted, if nothing of it is revoked, the proof was not used before and no rate is exceeded')
    return 0
  } finally {
    issuerKeys.close()
    await introspector.close()
    await pdps.close()
  }
}
