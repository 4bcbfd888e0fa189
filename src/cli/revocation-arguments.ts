// What `revoke`, `unrevoke` and `revocations` share: which configuration, what is meant, who asks. Values that are not given rightly
// are answered with a sentence, before anything is changed.

import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { resolve } from 'node:path'
import { type ParseArgsConfig, parseArgs } from 'node:util'
import type { Config, RedisSettings } from '../config/config.js'
import { loadConfig } from '../config/load.js'
import { formatProblem } from '../config/problems.js'
import { isScoped, readThumbprint, type Target, thumbprintOf } from '../revocations/entry.js'
import { readJws } from '../verify/jws.js'
import { KINDS, type Kind } from '../verify/revocations.js'
import type { Io } from './command.js'

const TARGETS = Object.fromEntries(KINDS.map((kind) => [kind, { type: 'string' }])) as Record<Kind, { type: 'string' }>

export const TARGET_OPTIONS = {
  ...TARGETS,
  config: { type: 'string', default: 'routes.yaml' },
  reason: { type: 'string' },
  by: { type: 'string' },
} as const satisfies ParseArgsConfig['options']

export const TARGET_HELP = `  --token        a token: its \`jti\`, or - to read the token itself from standard input. Never put a token in the command line,
                 where everybody on the machine can read it
  --session      a session of a user, by \`sid\`
  --subject      a user, by \`sub\`
  --client       a client, by \`client_id\`
  --jkt          a DPoP key, by its thumbprint (RFC 7638)
  --certificate  a client certificate: a PEM file, or its SHA-256 thumbprint in base64url (\`x5t#S256\`) or hex
  --authentication  a user, by \`sub\`, who must authenticate anew: whose \`auth_time\` is before --issued-before (left out: now) gets a
                 step-up challenge (RFC 9470), and is not refused for good
  --issuer       alone: all tokens of an issuer. With --token, --session, --subject, --client or --authentication: whose; may be left out where
                 routes.yaml has only one
  --reason       why; it is kept with the entry, and in the audit logs
  --by           who; left out: $USER and the name of this machine
  --config       the configuration (default: routes.yaml), which says where Redis is`

/** Wrong usage: what to say of it. */
export class Misuse extends Error {}

export type Values = Readonly<Partial<Record<Kind | 'config' | 'reason' | 'by', string>>>

/** Parses with the message of Node where it can't. */
export function parseOptions<const T extends NonNullable<ParseArgsConfig['options']>>(args: readonly string[], options: T) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: false }).values
  } catch (error) {
    throw new Misuse(error instanceof Error ? error.message : String(error))
  }
}

/** The configuration, which must be right, and its Redis. */
export function readStore(file: string, io: Io): { readonly config: Config; readonly redis: RedisSettings } {
  const { config, problems } = loadConfig(resolve(io.cwd, file), io.env)
  for (const problem of problems) io.err(formatProblem(problem))
  if (config === null) throw new Error('the configuration has problems')
  if (config.replay.store !== 'redis')
    throw new Error('revocations are kept in Redis, and this configuration has none: say `replay: { store: redis, ... }`')
  return { config, redis: config.replay.redis }
}

/** What the options name. */
export function readTarget(values: Values, config: Config, io: Io): Target {
  const given = KINDS.filter((kind) => values[kind] !== undefined)
  const others = given.filter((kind) => kind !== 'issuer')
  const [kind = given[0]] = others
  if (kind === undefined || others.length > 1) throw new Misuse(`expected one of ${KINDS.map((one) => `--${one}`).join(', ')}`)
  if (others.length === 1 && !isScoped(kind) && values.issuer !== undefined)
    throw new Misuse(`--${kind} is the same for all issuers: leave --issuer out`)
  const issuers = config.issuers.map(({ issuer }) => issuer)
  if (kind === 'token' && values.token === '-') return readToken(io, issuers)
  const value = readValue(kind, values[kind] ?? '', io)
  if (kind === 'issuer') return { kind, scope: '', value: known(value, issuers) }
  if (!isScoped(kind)) return { kind, scope: '', value }
  if (values.issuer !== undefined) return { kind, scope: known(values.issuer, issuers), value }
  const [only, ...more] = issuers
  if (only === undefined || more.length > 0) throw new Misuse(`--${kind} needs --issuer: routes.yaml has several`)
  return { kind, scope: only, value }
}

function readValue(kind: Kind, text: string, io: Io): string {
  if (text === '') throw new Misuse(`--${kind} must not be empty`)
  if (/^eyJ[\w-]*\.[\w-]+\./.test(text))
    throw new Misuse('this is a token: others can read the command line. Give it on standard input, with --token -')
  if (kind !== 'jkt' && kind !== 'certificate') return text
  const thumbprint = readThumbprint(text) ?? (kind === 'certificate' ? thumbprintOf(readText(resolve(io.cwd, text))) : null)
  if (thumbprint === null)
    throw new Misuse(
      kind === 'jkt' ? '--jkt expects a SHA-256 thumbprint' : '--certificate expects a SHA-256 thumbprint or a PEM file',
    )
  return thumbprint
}

function readText(file: string | 0): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

/** Who may revoke need not hold the keys: the token is read, not verified. */
function readToken(io: Io, issuers: readonly string[]): Target {
  const { iss, jti } = readJws((io.stdin ?? (() => readText(0)))().trim())?.payload ?? {}
  if (typeof iss !== 'string') throw new Misuse('standard input has no token (JWT)')
  if (typeof jti !== 'string')
    throw new Misuse('this token has no `jti`: revoke its --subject or --client, with --issued-before now')
  return { kind: 'token', scope: known(iss, issuers), value: jti }
}

/** An entry for an issuer that nobody trusts would revoke nothing, whatever its author thinks. */
function known(issuer: string, issuers: readonly string[]): string {
  if (issuers.includes(issuer)) return issuer
  throw new Misuse(`routes.yaml has no issuer ${JSON.stringify(issuer)}: it has ${issuers.join(', ')}`)
}

const MOST_CHARACTERS = 500

/** Who and why, as kept and written down. */
export function readWhy({ reason = '', by }: Values, io: Io): { readonly by: string; readonly reason: string } {
  if (reason.trim() === '') throw new Misuse('--reason is required: it is what an audit will ask for')
  const who = by ?? `${io.env.USER ?? io.env.LOGNAME ?? 'unknown'}@${hostname()}`
  for (const text of [reason, who])
    if (text.length > MOST_CHARACTERS || /[\p{Cc}\p{Zl}\p{Zp}]/u.test(text))
      throw new Misuse(`--reason and --by are one line of at most ${MOST_CHARACTERS} characters`)
  return { by: who, reason }
}

/** One line for people. */
export const describe = ({ kind, scope, value }: Target): string =>
  `${kind} ${JSON.stringify(value)}${scope === '' ? '' : ` of ${scope}`}`

/** Runs a command, with wrong usage told as such. */
export async function orMisuse(name: string, io: Io, run: () => Promise<number>): Promise<number> {
  try {
    return await run()
  } catch (error) {
    if (!(error instanceof Misuse)) throw error
    io.err(`holdfast ${name}: ${error.message}`)
    io.err(`try: holdfast ${name} --help`)
    return 2
  }
}
