// Is this an answer that HTTP allows and a refusal as contract §4 has it? Written from the grammars, not from the code that prints it.
import { REASONS } from '../../src/verify/reasons.js'

const TOKEN = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+"
/** RFC 9110 §5.5, without obs-text: nothing of ours has any. */
const VALUE = /^(?:[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)?$/
/** RFC 9110 §11.6.1: one challenge a line, each parameter `name="value"`. */
const CHALLENGE = new RegExp(`^(Bearer|DPoP) (${TOKEN}="[^"\\\\]*"(?:, ${TOKEN}="[^"\\\\]*")*)$`)
/** RFC 6750 §3: error, error_description; scope. */
const DESCRIPTION = /^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*$/
const NONCE = /^[\x21\x23-\x5b\x5d-\x7e]+$/
const NARROW: Readonly<Record<string, RegExp>> = {
  error: DESCRIPTION,
  error_description: DESCRIPTION,
  scope: SCOPE,
  acr_values: SCOPE,
  algs: SCOPE,
  max_age: /^\d+$/,
}
const ONCE = [
  'content-type',
  'content-length',
  'cache-control',
  'x-request-id',
  'x-fapi-interaction-id',
  'retry-after',
  'dpop-nonce',
]

/** What is wrong with the headers ([name, value, ...]) of a refusal and its body; null: nothing. `''`: the body of a HEAD. */
export function refusalProblem(status: number, headers: readonly string[], body: string): string | null {
  const broken = headersProblem(headers)
  if (broken !== null) return broken
  const valuesOf = (name: string) => headers.filter((_, i) => i % 2 === 1 && headers[i - 1]?.toLowerCase() === name)
  if (valuesOf('content-type')[0] !== 'application/problem+json') return 'a refusal is not application/problem+json'
  if (valuesOf('cache-control')[0] !== 'no-store') return 'a refusal may be kept'
  const unfit = valuesOf('www-authenticate')
    .map(challengeProblem)
    .find((problem) => problem !== null)
  if (unfit !== undefined) return unfit
  if (valuesOf('dpop-nonce').some((nonce) => !NONCE.test(nonce))) return 'a nonce breaks its grammar'
  return body === '' ? null : bodyProblem(status, body)
}

export function headersProblem(headers: readonly string[]): string | null {
  const names = headers.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase())
  if (!names.every((name) => new RegExp(`^${TOKEN}$`).test(name))) return 'the name of a header is no token'
  if (!headers.every((value, i) => i % 2 === 0 || VALUE.test(value))) return 'the value of a header breaks its grammar'
  const twice = ONCE.find((name) => names.filter((other) => other === name).length > 1)
  return twice === undefined ? null : `${twice} stands there twice`
}

function challengeProblem(challenge: string): string | null {
  const [, , parameters] = CHALLENGE.exec(challenge) ?? []
  if (parameters === undefined) return 'a challenge breaks its grammar'
  const pairs = [...parameters.matchAll(new RegExp(`(${TOKEN})="([^"]*)"`, 'g'))].map(
    ([, name = '', value = '']) => [name, value] as const,
  )
  if (new Set(pairs.map(([name]) => name)).size !== pairs.length) return 'a challenge says something twice'
  const wrong = pairs.find(([name, value]) => NARROW[name]?.test(value) === false)
  return wrong === undefined ? null : `${wrong[0]} of a challenge breaks its grammar`
}

/** RFC 9457, with the five members of contract §4 and no other. */
function bodyProblem(status: number, body: string): string | null {
  const problem = JSON.parse(body) as Record<string, unknown>
  const { reason } = problem
  if (typeof reason !== 'string' || !Object.hasOwn(REASONS, reason)) return 'a refusal has no reason of ours'
  if (Object.keys(problem).join() !== 'type,title,status,reason,request_id') return 'a refusal says more or less than five things'
  return problem.status === status && problem.type === `urn:holdfast:reason:${reason}` ? null : 'a refusal contradicts itself'
}
