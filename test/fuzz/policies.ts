// What pure targets are judged by: the built-in tiers as routes.yaml resolves them, and a route whose own rules are empty.
import { BUILT_IN_TIERS } from '../../src/config/tiers.js'
import { type Policy, ROUTE_RULES, TIER_SETTINGS } from '../../src/verify/policy.js'
import type { Issuer } from '../../src/verify/types.js'

export const NOW = 1_800_000_000
export const ORIGIN = 'https://api.example.com'

export const ISSUER: Issuer = {
  issuer: 'https://as.example.com',
  audience: [ORIGIN],
  algorithms: ['ES256', 'EdDSA', 'PS256'],
  typ: 'at+jwt',
  claims: { client_id: 'client_id', scope: 'scope' },
  introspection: null,
}

/** A built-in tier with some of it changed. */
export function policyOf(tier: string, change: Partial<Policy> = {}): Policy {
  const written = BUILT_IN_TIERS[tier] ?? {}
  const settings = Object.entries(TIER_SETTINGS).map(([name, { schema }]) => [name, schema.parse(written[name])])
  const rules = Object.keys(ROUTE_RULES).map((name) => [name, null])
  // From the two tables that Policy is made of.
  const policy = Object.fromEntries([...settings, ...rules, ['trustedIssuers', [ISSUER]], ['audience', null]]) as Policy
  return { ...policy, ...change }
}
