// What of a client's qualities is declared, proven, contradicted or missing; and when a registration ends.
import t from 'tap'
import { registration as check } from '../../src/verify/checks/registration.js'
import { AUTH_METHODS, declaredOf, evidenceOf, QUALITIES, type Registration, standingOf } from '../../src/verify/registration.js'
import { deny } from '../../src/verify/verdict.js'
import { issuer, makeInbound, makeToken } from '../support/granted.js'

const NOBODY = {
  token_endpoint_auth_method: 'none',
  require_pushed_authorization_requests: false,
  require_signed_request_object: false,
  grant_types: [],
} as const

const REGISTRATION: Registration = {
  status: 'active',
  end: { at: 1000, why: 'expired' },
  tiers: new Set(['sensitive_read']),
  scopes: null,
  audiences: null,
  routes: null,
  tenants: null,
  authMethod: 'private_key_jwt',
  declared: new Set(['client_auth', 'par']),
  certificate: null,
}
const evidence = { client_auth: 'how', par: 'pushed' }
const tokenOf = (claims: Readonly<Record<string, unknown>>, registration = REGISTRATION) =>
  makeToken({ claims, issuer: { ...issuer, evidence, registry: new Map([['client-1', registration]]) } })

t.test('what a registration declares', async (t) => {
  const strong = AUTH_METHODS.filter((method) => declaredOf({ ...NOBODY, token_endpoint_auth_method: method }).has('client_auth'))
  t.strictSame(strong, ['private_key_jwt', 'tls_client_auth', 'self_signed_tls_client_auth'])
  t.same([...declaredOf(NOBODY)], [])
  t.same([...declaredOf({ ...NOBODY, require_pushed_authorization_requests: true })], ['par'])
  t.same([...declaredOf({ ...NOBODY, require_signed_request_object: true })], ['request_object'])
  t.same([...declaredOf({ ...NOBODY, grant_types: ['client_credentials'] })], ['par', 'request_object'])
  t.same([...declaredOf({ ...NOBODY, grant_types: ['client_credentials', 'authorization_code'] })], [])
})

t.test('what the issuer asserts counts for more', async (t) => {
  const standings = (claims: Readonly<Record<string, unknown>>, registration = REGISTRATION) =>
    QUALITIES.map((quality) => standingOf(quality, registration, tokenOf(claims)))
  t.same(standings({}), ['declared', 'declared', 'missing'])
  t.same(standings({ how: 'private_key_jwt', pushed: true }), ['proven', 'proven', 'missing'])
  t.same(standings({ how: 'private_key_jwt', pushed: true }, { ...REGISTRATION, declared: new Set() }), [
    'proven',
    'proven',
    'missing',
  ])
  for (const how of ['tls_client_auth', 'client_secret_basic', 'PRIVATE_KEY_JWT', '', null, true, ['private_key_jwt']])
    t.equal(standings({ how })[0], 'contradicted', JSON.stringify(how))
  for (const pushed of [false, 'true', 1, 0, null, [true]])
    t.equal(standings({ pushed })[1], 'contradicted', JSON.stringify(pushed))
  const weak = { ...REGISTRATION, authMethod: 'client_secret_post' } as const
  t.equal(standings({ how: 'client_secret_post' }, weak)[0], 'contradicted', 'the registered method, and a weak one')
})

t.test('a grant rests on what is proven when all of it is', async (t) => {
  t.equal(evidenceOf(tokenOf({ how: 'private_key_jwt', pushed: true }), ['client_auth', 'par']), 'proven')
  t.equal(evidenceOf(tokenOf({ pushed: true }), ['client_auth', 'par']), 'declared')
  t.equal(evidenceOf(tokenOf({ pushed: true }), ['par']), 'proven')
  t.equal(evidenceOf(tokenOf({}), null), null)
  t.equal(evidenceOf(makeToken(), ['par']), null, 'without a registry')
})

t.test('a registration ends with its last second', async (t) => {
  const answer = (now: number, end: Registration['end']) => {
    const token = tokenOf({}, { ...REGISTRATION, end })
    const { confirmation } = token
    const gathered = {
      inbound: makeInbound(),
      path: '/a',
      tier: 'sensitive_read',
      now,
      clockSkew: 10,
      captured: {},
      scheme: 'DPoP',
    } as const
    const found = { token, confirmation, proof: null, nonceTime: null, certificate: null }
    const denial = check.run(
      { ...gathered, ...found },
      { client: 'registered', client_profile: null, client_evidence: 'declared' },
      deny,
    )
    return denial === null ? null : [denial.reason, denial.detail]
  }
  t.equal(answer(999.999, REGISTRATION.end), null)
  t.same(answer(1000, REGISTRATION.end), ['client_inactive', 'expired'])
  t.same(answer(1000, { at: 1000, why: 'rotation' }), ['client_inactive', 'rotation'])
  t.equal(answer(Number.MAX_SAFE_INTEGER, null), null)
})
