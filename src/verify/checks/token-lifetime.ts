// Does the token live longer than the tier allows? A stolen token should be worth little.
import { duration, orOff } from '../scalars.js'
import { defineCheck, setting } from './check.js'

export const tokenLifetime = defineCheck({
  name: 'token-lifetime',
  spec: 'RFC 9449 §11.2',
  needs: [],
  reasons: ['token_lifetime'],
  settings: { token_max_ttl: setting(orOff(duration), 'The longest `exp - iat` of an access token.') },
  rules: {},
  run: ({ token }, { token_max_ttl }, deny) =>
    token_max_ttl === null || token.exp - token.iat <= token_max_ttl
      ? null
      : deny('token_lifetime', `${token.exp - token.iat} s`),
})
