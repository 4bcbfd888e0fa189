// Does the token belong to the tenant that the request is for, and may its client act for that one? Strings are compared, exactly;
// anything else is a mismatch.
import { z } from 'zod'
import { defineCheck, setting } from './check.js'

export const tenant = defineCheck({
  name: 'tenant',
  spec: 'RFC 9700 §2.3',
  needs: [],
  reasons: ['tenant_mismatch', 'tenant_not_registered'],
  settings: {},
  rules: {
    tenant: setting(
      z.strictObject({
        claim: z.string().min(1).describe('The claim of the token that names the tenant.'),
        equals: z
          .string()
          .regex(
            /^(?:path\.[A-Za-z_]\w*|header\.[A-Za-z0-9!#$%&'*+.^_`|~-]+|host)$/,
            'expected path.NAME (a parameter of the route’s path), host, or header.NAME (one that its upstream sets)',
          )
          .describe(
            'What it must be equal to: `path.NAME`, a parameter of the path; `host`, the tenant of the origin in `hosts`; `header.NAME`, the fixed text that `set_headers` of the upstream gives this header.',
          ),
        hosts: z
          .record(z.string(), z.string().min(1))
          .describe('With `equals: host`: the tenant of each origin that the route is served on.')
          .optional(),
      }),
      'Which claim of the token must be equal to the tenant that the request is for.',
    ),
  },
  run: ({ token, captured, inbound }, { tenant }, deny) => {
    if (tenant === null) return null
    const { claim, equals, hosts } = tenant
    // What a header says is put into `hosts` at load: no header of the client is ever asked.
    const named = equals.startsWith('path.') ? captured[equals.slice('path.'.length)] : hosts?.[inbound.target.origin]
    if (named === undefined || token.claims[claim] !== named) return deny('tenant_mismatch')
    const tenants = token.issuer.registry?.get(token.clientId)?.tenants ?? null
    return tenants === null || tenants.has(named) ? null : deny('tenant_not_registered')
  },
})
