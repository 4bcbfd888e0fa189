// Was the token sent with the scheme that its binding asks for? A bound token is never taken as a bearer token.
import { defineCheck } from './check.js'

export const scheme = defineCheck({
  name: 'scheme',
  spec: 'RFC 9449 §7.1, §7.2',
  needs: [],
  reasons: ['scheme_downgraded', 'scheme_mismatch'],
  settings: {},
  rules: {},
  run: ({ scheme, confirmation }, _settings, deny) => {
    const dpopBound = confirmation !== null && confirmation.jkt !== null
    if (dpopBound && scheme === 'Bearer') return deny('scheme_downgraded')
    if (!dpopBound && scheme === 'DPoP') return deny('scheme_mismatch')
    return null
  },
})
