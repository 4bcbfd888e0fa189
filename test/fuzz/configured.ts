// What must hold of every configuration that was loaded: the gateway can start on it, and what it tells of itself keeps to the grammars.
import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import type { Config } from '../../src/config/config.js'
import type { Loaded } from '../../src/config/load.js'
import { formatProblem } from '../../src/config/problems.js'
import { publicDocuments } from '../../src/edge/metadata.js'
import { secureContextOf } from '../../src/edge/tls.js'
import { createIssuerKeys } from '../../src/keys/issuers.js'
import { loadSigningKeys } from '../../src/keys/signing.js'
import { createPools } from '../../src/upstream/pools.js'
import { refusal } from '../../src/verify/challenge.js'
import type { Reason } from '../../src/verify/reasons.js'
import { deny } from '../../src/verify/verdict.js'
import { refusalProblem } from './grammar.js'
import { bad, fine, type Verdict } from './target.js'

/** The longest that a timer of Node's can wait (seconds); one that is set for longer fires at once. */
const LONGEST_TIMER = (2 ** 31 - 1) / 1000

/** `linesOf`: how long each line of a file is; undefined: it can't be read. */
export function judgeLoaded(
  { config, problems, warnings }: Loaded,
  linesOf: (file: string) => readonly number[] | undefined,
): Verdict {
  if ((config === null) !== problems.length > 0) return bad('neither a Config nor problems, or both')
  for (const problem of [...problems, ...warnings]) {
    const lines = linesOf(problem.file) ?? [0]
    const length = lines[problem.line - 1]
    if (length === undefined || problem.column < 1 || problem.column > length + 1)
      return bad('a problem lies outside of its file')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
    if (/[\0-\x1f\x7f]/.test(formatProblem(problem))) return bad('a problem is not one line of text')
  }
  if (config === null) return fine(`${problems[0]?.path.replace(/\d+/g, 'N').slice(0, 60)} ${problems[0]?.message.slice(0, 40)}`)
  return judgeConfig(config)
}

function judgeConfig(config: Config): Verdict {
  for (const listener of config.listeners) createSecureContext(secureContextOf(listener))
  if (config.admin.tls !== null) createSecureContext(config.admin.tls)
  const keys = loadSigningKeys(config.assertion.keys)
  createIssuerKeys(config.issuers, { clock: () => 0, log: () => undefined }).close()
  createPools(config.upstreams)
  for (const { tls } of config.upstreams) createSecureContext({ ...tls })
  publicDocuments(config, () => keys.jwks)
  const { handshake, headers, idle, body_idle, body_total } = config.limits
  if (Math.max(handshake, headers, idle, body_idle, body_total, config.drain, config.drain_delay) > LONGEST_TIMER)
    return bad('a time that no timer can wait for')
  for (const { policy, methods } of config.routes) {
    const possible: readonly Reason[] = [
      'nonce_stale',
      'method_not_allowed',
      ...(policy.scopes === null ? [] : (['scope_missing'] as const)),
      ...(policy.step_up === 'required' ? (['authentication_weak', 'authentication_old'] as const) : []),
    ]
    for (const reason of possible) {
      const [origin = ''] = config.publicOrigins
      const hints = reason === 'method_not_allowed' ? { allow: methods } : {}
      const about = {
        requestId: 'r',
        interactionId: 'r',
        host: origin.slice(8),
        origin,
        policy,
        scheme: null,
        nonce: null,
        cors: [],
      }
      const told = refusal(deny(reason, undefined, hints), about)
      const problem = refusalProblem(told.status, told.headers, told.body)
      if (problem !== null) return bad(problem)
    }
  }
  return fine('loaded')
}

/** The length of each line of a file; undefined where it can't be read. */
export function lineLengths(file: string): readonly number[] | undefined {
  try {
    return readFileSync(file, 'utf8')
      .split('\n')
      .map((line) => line.length)
  } catch {
    return undefined
  }
}
