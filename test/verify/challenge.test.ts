// What a client is told: RFC 6750 §3, RFC 9449 §7.1 and §7.2, RFC 9470 §3, RFC 9728 §5.1, RFC 9457.
import t from 'tap'
import { type RefusalContext, refusal } from '../../src/verify/challenge.js'
import type { Policy } from '../../src/verify/policy.js'
import { REASONS, type Reason, reasonRow } from '../../src/verify/reasons.js'
import { deny } from '../../src/verify/verdict.js'

const policy = (changes: Partial<Policy> = {}): Policy =>
  ({
    binding: 'any',
    proof_algorithms: ['PS256', 'ES256', 'EdDSA'],
    scopes: ['case.read', 'case.write'],
    acr_values: ['urn:example:aal2', 'urn:example:aal3'],
    auth_max_age: 900,
    ...changes,
  }) as Policy

const context = (changes: Partial<RefusalContext> = {}): RefusalContext => ({
  requestId: 'request-1',
  interactionId: 'interaction-1',
  host: 'api.example.com',
  origin: 'https://api.example.com',
  policy: policy(),
  scheme: 'DPoP',
  nonce: null,
  cors: [],
  ...changes,
})

function told(reason: Reason, changes: Partial<RefusalContext> = {}): readonly string[] {
  const { headers } = refusal(deny(reason, 'a private detail'), context(changes))
  return headers.flatMap((name, i) => (i % 2 === 0 && name === 'WWW-Authenticate' ? [headers[i + 1] ?? ''] : []))
}

const ALGS = 'algs="PS256 ES256 EdDSA Ed25519"'
const METADATA = 'resource_metadata="https://api.example.com/.well-known/oauth-protected-resource"'

t.test('no credentials: every scheme the tier takes, and no error', async (t) => {
  t.same(told('credentials_missing', { scheme: null }), [
    `DPoP ${ALGS}, ${METADATA}`,
    `Bearer realm="api.example.com", ${METADATA}`,
  ])
  t.same(told('credentials_missing', { scheme: null, policy: policy({ binding: 'dpop' }) }), [`DPoP ${ALGS}, ${METADATA}`])
  t.same(told('credentials_missing', { scheme: null, policy: policy({ binding: 'both' }) }), [`DPoP ${ALGS}, ${METADATA}`])
  t.same(told('credentials_missing', { scheme: null, policy: policy({ binding: 'mtls' }) }), [
    `Bearer realm="api.example.com", ${METADATA}`,
  ])
})

t.test('the error stands in the challenge of the scheme that was used', async (t) => {
  const [dpop, bearer] = told('token_expired', { scheme: 'Bearer' })
  t.equal(dpop, `DPoP ${ALGS}, ${METADATA}`)
  t.equal(
    bearer,
    `Bearer realm="api.example.com", error="invalid_token", error_description="The access token expired.", ${METADATA}`,
  )
  t.match(
    told('scheme_downgraded', { scheme: 'Bearer', policy: policy({ binding: 'dpop' }) })[0],
    /^Bearer realm="api.example.com", error="invalid_token"/,
  )
})

t.test('a proof’s error stands in the DPoP challenge, even where only certificates are asked for', async (t) => {
  const challenges = told('proof_signature', { policy: policy({ binding: 'mtls' }) })
  t.match(challenges[0], /^DPoP error="invalid_dpop_proof", error_description="[^"]+", algs="/)
  t.equal(challenges.length, 2)
})

t.test('two methods at once: the error in every challenge (RFC 9449 §7.2)', async (t) => {
  for (const reason of ['credentials_repeated', 'credentials_in_query'] as const) {
    for (const challenge of told(reason)) t.match(challenge, /error="invalid_request", error_description="/)
  }
  for (const challenge of told('credentials_malformed', { scheme: null })) t.match(challenge, /error="invalid_request"/)
})

t.test('says what would have been enough', async (t) => {
  t.match(told('scope_missing')[0], /error="insufficient_scope", error_description="[^"]+", scope="case.read case.write"/)
  t.match(
    told('authentication_old')[0],
    /error="insufficient_user_authentication", error_description="[^"]+", acr_values="urn:example:aal2 urn:example:aal3", max_age="900"/,
  )
  t.notMatch(told('token_expired')[0], /acr_values|scope=/, 'nothing of it before the token is good')
})

t.test('a nonce goes out with the refusal that asks for it', async (t) => {
  const { headers } = refusal(deny('nonce_missing'), context({ nonce: 'abc' }))
  t.equal(headers[headers.indexOf('DPoP-Nonce') + 1], 'abc')
  t.match(told('nonce_missing', { nonce: 'abc' })[0], /error="use_dpop_nonce"/)
})

t.test('every reason: the form of RFC 9457, and nothing private', async (t) => {
  for (const reason of Object.keys(REASONS) as Reason[]) {
    const { status, headers, body } = refusal(deny(reason, 'a private detail'), context())
    t.equal(status, reasonRow(reason).status)
    t.same(JSON.parse(body), {
      type: `urn:holdfast:reason:${reason}`,
      title: reasonRow(reason).title,
      status,
      reason,
      request_id: 'request-1',
    })
    t.notMatch(headers.join('\n') + body, /a private detail/)
    t.equal(headers.includes('Retry-After'), status === 503, `${reason}: Retry-After`)
    for (const challenge of told(reason))
      t.match(
        challenge,
        /^(?:DPoP|Bearer) [a-z_]+="[\x20\x21\x23-\x5b\x5d-\x7e]*"(?:, [a-z_]+="[\x20\x21\x23-\x5b\x5d-\x7e]*")*$/,
      )
  }
})

t.test('no route, no challenge', async (t) => {
  t.same(told('route_unknown', { policy: null }), [])
  t.same(told('token_expired', { policy: null }), [])
})

t.test('hints', async (t) => {
  const hints = refusal(deny('method_not_allowed', undefined, { allow: ['GET', 'HEAD'] }), context()).headers
  t.equal(hints[hints.indexOf('Allow') + 1], 'GET, HEAD')
  const limited = refusal(deny('rate_limited', undefined, { retryAfter: 2.2 }), context()).headers
  t.equal(limited[limited.indexOf('Retry-After') + 1], '3')
})
