// Is the token bound in the way the tier demands? That a bound token is proven, in every tier, is not this check's: the
// certificate and proof checks run whenever `cnf` names them.
import { z } from 'zod'
import { defineCheck, setting } from './check.js'

const BINDINGS = ['none', 'any', 'dpop', 'mtls', 'both'] as const
export type BindingDemand = (typeof BINDINGS)[number]

export const binding = defineCheck({
  name: 'binding',
  spec: 'FAPI 2.0 §5.3.4 (5)',
  needs: [],
  reasons: ['token_unbound', 'binding_insufficient'],
  settings: {
    binding: setting(
      z.enum(BINDINGS),
      'How the token must be bound: `dpop`, `mtls`, `both`, `any` of the two, or `none` (not demanded; a token that is bound is proven all the same).',
    ),
  },
  rules: {},
  run: ({ confirmation }, { binding }, deny) => {
    if (binding === 'none') return null
    if (confirmation === null) return deny('token_unbound')
    const dpop = confirmation.jkt !== null
    const mtls = confirmation.x5tS256 !== null
    const enough = { any: dpop || mtls, dpop, mtls, both: dpop && mtls }[binding]
    return enough ? null : deny('binding_insufficient', `demanded: ${binding}`)
  },
})
