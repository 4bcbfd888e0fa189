// What a client is told of a refusal: every reason, in every tier, with details and context as hostile as they come. The private detail
// changes no byte of it; what is told keeps to RFC 9110, 6750, 9449, 9470 and 9457.
import { refusal } from '../../../src/verify/challenge.js'
import { REASONS, type Reason } from '../../../src/verify/reasons.js'
import { normalOrigin } from '../../../src/verify/target.js'
import { deny } from '../../../src/verify/verdict.js'
import { readEntries, readWords } from '../corpus.js'
import { refusalProblem } from '../grammar.js'
import { policyOf } from '../policies.js'
import { bad, fine, type Session, type Target, type Verdict } from '../target.js'

const NAMES = Object.keys(REASONS) as readonly Reason[]
const POLICIES = ['public', 'low_user', 'sensitive_read', 'sensitive_write', 'high_value'].flatMap((tier) =>
  (['none', 'any', 'dpop', 'mtls', 'both'] as const).map((binding) =>
    policyOf(tier, { binding, scopes: ['case.read', 'case:write'], acr_values: ['urn:example:aal2'], auth_max_age: 0.5 }),
  ),
)
const SCHEMES = ['Bearer', 'DPoP', null] as const

/** Three bytes choose reason, policy and scheme; the rest is the detail, and a Host as far as it is one. */
function check(input: Buffer): Verdict {
  const reason = NAMES[(input[0] ?? 0) % NAMES.length] ?? 'gateway_fault'
  const policy = POLICIES[(input[1] ?? 0) % (POLICIES.length + 1)] ?? null
  const scheme = SCHEMES[(input[2] ?? 0) % 3] ?? null
  const text = input.subarray(3).toString('latin1')
  const origin = normalOrigin(`https://${text.slice(0, 60)}`) ?? 'https://api.example.com'
  const id = 'a7a0c4c2-4c56-4a0b-9d0d-5b8b8b6f8e01'
  const context = {
    requestId: id,
    interactionId: id,
    host: origin.slice(8),
    origin,
    policy,
    scheme,
    nonce: policy?.nonce === 'required' ? 'abc' : null,
    cors: [],
  }
  const hints = {
    retryAfter: Math.abs(input.length % 7) / 3,
    ...(reason === 'method_not_allowed' ? { allow: ['GET', 'HEAD'] } : {}),
  }
  const told = refusal(deny(reason, text, hints), context)
  const silent = refusal(deny(reason, undefined, hints), context)
  if (JSON.stringify(told) !== JSON.stringify(silent)) return bad('a private detail is told')
  const problem = refusalProblem(told.status, told.headers, told.body)
  if (problem !== null) return bad(problem)
  return Number(told.headers[3]) === Buffer.byteLength(told.body)
    ? fine(`${reason} ${scheme}`)
    : bad('another length than it says')
}

const open = async (): Promise<Session> => ({
  seeds: readEntries('origin').flatMap((text, i) =>
    NAMES.map((_, j) => Buffer.concat([Buffer.from([j, i * 3 + j, i + j]), text.subarray(8)])),
  ),
  words: readWords('head'),
  check,
})

export const REFUSALS: Target = { name: 'refusals', most: 4096, slowest: 50, together: 1, open }
