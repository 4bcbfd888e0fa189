// Has the token every scope the route asks for?
import { z } from 'zod'
import { defineCheck, setting } from './check.js'

export const scope = defineCheck({
  name: 'scope',
  spec: 'RFC 6750 §3.1',
  needs: [],
  reasons: ['scope_missing'],
  settings: {},
  rules: {
    scopes: setting(
      // The characters of RFC 6749 §3.3; they also go into the challenge, inside quotes.
      z
        .array(z.string().regex(/^[\x21\x23-\x5B\x5D-\x7E]+$/, 'expected a scope: visible ASCII without quotes and backslash'))
        .min(1),
      'Scopes that the token must have, all of them.',
    ),
  },
  run: ({ token }, { scopes }, deny) => {
    const missing = scopes?.filter((scope) => !token.scope.includes(scope)) ?? []
    return missing.length === 0 ? null : deny('scope_missing', `missing: ${missing.join(' ')}`)
  },
})
