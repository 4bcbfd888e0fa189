// Requests that every kit grants, signed by the gateway's own code from grants such as its verifier makes.
import { signAssertion } from '../../src/upstream/assertion.js'
import { upstreamTarget } from '../../src/upstream/path.js'
import type { Evidence, InboundRequest, Target } from '../../src/verify/types.js'
import { deny } from '../../src/verify/verdict.js'
import { type Change, makeGrant, makeInbound, makeToken, proof } from '../../test/support/granted.js'
import type { VectorKeys } from './keys.js'
import { type Draft, HEADER, ISSUER, NOW, type VectorOptions } from './vector.js'

type Good = {
  readonly name: string
  readonly method?: string
  /** Public path and query. */
  readonly target?: string
  readonly change?: Change
  readonly evidence?: Partial<Evidence>
  readonly tier?: string
  /** Held, so that `bdh` covers it. */
  readonly body?: string
  /** Streamed: it is sent, and the assertion says nothing of it. */
  readonly streamed?: string
  readonly options?: Partial<VectorOptions>
  readonly key?: 'current' | 'next'
  /** Seconds that the gateway's clock is ahead of the backend's. */
  readonly ahead?: number
  readonly ttl?: number
  readonly header?: string
}

const ORIGIN = 'https://api.example.com'
const JKT = '0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I'
const X5T = 'bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2'
const PAYMENT = '{"amount":"125.00","currency":"EUR","to":"NO9386011117947"}'

const dpop = { ...proof, header: { ...proof.header, jkt: JKT } }
const certificate = { x5tS256: X5T, der: Buffer.alloc(0), invalid: null, notBefore: 0, notAfter: 0, judged: true, subject: '' }
const token = makeToken({
  claims: { sub: 'user-1', acr: 'urn:example:aal2', auth_time: NOW - 60 },
  exp: NOW + 240,
  jti: 'token-1',
})
const ANYBODY: Partial<Evidence> = { token: null, scheme: null, proof: null }
const HIGH: Partial<VectorOptions> = { tiers: ['high_value'], bindings: ['dpop', 'mtls'], body_digest: true }

const GOOD: readonly Good[] = [
  { name: 'a public route', target: '/reference-data', tier: 'public', evidence: ANYBODY },
  { name: 'a bearer token', evidence: { proof: null, scheme: 'Bearer' } },
  { name: 'a token bound by DPoP', options: { tiers: ['sensitive_read', 'high_value'], bindings: ['dpop'] } },
  {
    name: 'a token bound to a certificate',
    evidence: { proof: null, certificate, scheme: 'Bearer' },
    options: { bindings: ['mtls'] },
  },
  { name: 'bound both ways, where one is demanded', evidence: { certificate }, options: { bindings: ['dpop'] } },
  { name: 'a query', target: '/payments?from=2026-01-01&to=2026-02-01' },
  { name: 'escapes and odd characters', target: "/files/a%2Fb%20c%C3%A9;v=1/~x'(1)?q=a+b%20c&q=%C3%A9&next=/a?b=//c&=&" },
  { name: 'a body under its hash', method: 'POST', target: '/pay?x=1', tier: 'high_value', body: PAYMENT, options: HIGH },
  { name: 'a body that was streamed', method: 'PUT', target: '/files/7', streamed: PAYMENT },
  { name: 'no body where one would be hashed', method: 'DELETE', target: '/payments/7', tier: 'high_value', options: HIGH },
  { name: 'HEAD', method: 'HEAD' },
  { name: 'single use, the first time', method: 'POST', target: '/pay', body: PAYMENT, options: { single_use: true } },
  { name: 'the other published key', key: 'next', ttl: 120 },
  { name: 'a gateway whose clock is ahead by a second', ahead: 1 },
  { name: 'an end that passed a second ago', ahead: -31 },
  { name: 'a token that ends before the assertion would', evidence: { token: { ...token, exp: NOW + 3.5 } } },
  { name: 'a demand that is only reported', evidence: { reported: [deny('proof_missing')] } },
  { name: 'the header in lower case', header: HEADER.toLowerCase() },
]

export const goodDrafts = (keys: VectorKeys): Draft[] => GOOD.map((good, i) => draftOf(good, i + 1, keys))

function draftOf(good: Good, position: number, keys: VectorKeys): Draft {
  const { name, method = 'GET', target = '/payments/7', tier = 'sensitive_read', body, options, key = 'current', ttl = 30 } = good
  const id = (prefix: string): string => `${prefix}0000000-0000-4000-8000-${String(position).padStart(12, '0')}`
  const inbound: Partial<InboundRequest> = makeInbound({ requestId: id('a'), method, target: targetOf(target) })
  const grant = makeGrant({
    inbound,
    evidence: { token, proof: dpop, ...good.evidence },
    upstream: { audience: 'payments', url: new URL('http://backend.internal') },
    route: { path: '/*', tier },
    ...(body === undefined ? {} : { body: Buffer.from(body) }),
  })
  const sent = upstreamTarget(grant.route, grant.evidence.inbound.target)
  const now = NOW + (good.ahead ?? 0)
  return {
    name,
    options: { audience: 'payments', tiers: null, bindings: null, body_digest: false, single_use: false, ...options },
    method,
    target: sent,
    assertion: signAssertion(grant, { issuer: ISSUER, ttl, key: keys[key], now, target: sent, jti: id('b') }),
    fields: (assertion) => [[good.header ?? HEADER, assertion]],
    body: Buffer.from(body ?? good.streamed ?? ''),
    repeat: false,
  }
}

function targetOf(target: string): Target {
  const end = target.indexOf('?')
  const rawPath = end < 0 ? target : target.slice(0, end)
  return { origin: ORIGIN, base: ORIGIN, path: rawPath, rawPath, query: end < 0 ? null : target.slice(end + 1), matrix: false }
}
