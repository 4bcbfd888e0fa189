// Does the token belong to the tenant that the path names? Strings are compared, exactly; anything else is a mismatch.
import { z } from 'zod'
import { defineCheck, setting } from './check.js'

export const tenant = defineCheck({
  name: 'tenant',
  spec: 'RFC 9700 §2.3',
  needs: [],
  reasons: ['tenant_mismatch'],
  settings: {},
  rules: {
    tenant: setting(
      z.strictObject({
        claim: z.string().min(1).describe('The claim of the token that names the tenant.'),
        equals: z
          .string()
          .regex(/^path\.[A-Za-z_]\w*$/, 'expected path.NAME, a parameter of the route’s path')
          .describe('The path parameter it must be equal to: `path.NAME`.'),
      }),
      'Which claim of the token must be equal to which parameter of the path.',
    ),
  },
  run: ({ token, captured }, { tenant }, deny) => {
    if (tenant === null) return null
    const named = captured[tenant.equals.slice('path.'.length)]
    return named !== undefined && token.claims[tenant.claim] === named ? null : deny('tenant_mismatch')
  },
})
