// Was the user authenticated strongly and recently enough? Judged by `acr` and `auth_time`, never by `iat`: a refreshed
// token keeps the old `auth_time`. No hierarchy of acr values is assumed (RFC 9470 §2).
import { z } from 'zod'
import { isTime } from '../json.js'
import { duration, orOff } from '../scalars.js'
import { defineCheck, setting } from './check.js'

export const authentication = defineCheck({
  name: 'authentication',
  spec: 'RFC 9470 §3, §6.1',
  needs: [],
  reasons: ['user_required', 'authentication_weak', 'authentication_old'],
  settings: {
    step_up: setting(
      z.union([z.literal(false).transform(() => 'off' as const), z.enum(['off', 'required'])]),
      'Whether a user must have authenticated, with one of the route’s `acr_values` and within `auth_max_age`.',
    ),
    auth_max_age: setting(orOff(duration), 'How long ago the user may have authenticated (`auth_time`).'),
  },
  rules: {
    acr_values: setting(
      z
        .array(
          z.string().regex(/^[\x21\x23-\x5B\x5D-\x7E]+$/, 'expected an acr value: visible ASCII without quotes and backslash'),
        )
        .min(1),
      'Authentication context classes, any of which will do, best first.',
    ),
  },
  run: ({ token: { claims, subject, clientId }, now, clockSkew }, { step_up, auth_max_age, acr_values }, deny) => {
    if (step_up === 'off') return null
    const { acr, auth_time } = claims
    const anonymous = acr === undefined && auth_time === undefined
    if (subject === null || subject === clientId || anonymous) return deny('user_required')
    if (acr_values !== null && !(typeof acr === 'string' && acr_values.includes(acr))) return deny('authentication_weak')
    if (auth_max_age === null) return null
    // Missing or ahead is old: neither says when the user was there.
    if (!isTime(auth_time)) return deny('authentication_old', 'no auth_time')
    if (auth_time > now + clockSkew) return deny('authentication_old', 'auth_time is ahead')
    return now - auth_time <= auth_max_age ? null : deny('authentication_old', `${now - auth_time} s ago`)
  },
})
