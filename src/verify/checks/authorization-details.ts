// Has the token every detail that the route asks for? A type that the route does not name permits nothing (RFC 9396 §2).
import { z } from 'zod'
import { demandedDetail, fittingDetails } from '../authorization-details.js'
import { defineCheck, setting } from './check.js'

export const authorizationDetails = defineCheck({
  name: 'details',
  spec: 'RFC 9396 §9',
  needs: [],
  reasons: ['authorization_details_missing'],
  settings: {},
  rules: {
    authorization_details: setting(
      z.array(demandedDetail).min(1),
      'Details (RFC 9396) that the token must have, one for each of these; those that fit are passed on in the assertion.',
    ),
  },
  run: ({ token }, { authorization_details: demanded }, deny) => {
    const missing = demanded?.find((one) => fittingDetails(token, one).length === 0)
    return missing === undefined ? null : deny('authorization_details_missing', `type: ${missing.type}`)
  },
})
