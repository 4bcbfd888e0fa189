// Is this client one of those the route is for?
import { z } from 'zod'
import { defineCheck, setting } from './check.js'

export const client = defineCheck({
  name: 'client',
  spec: 'RFC 9700 §2.3',
  needs: [],
  reasons: ['client_not_allowed'],
  settings: {},
  rules: { clients: setting(z.array(z.string().min(1)).min(1), 'The `client_id`s that the route is for; left out: all.') },
  run: ({ token }, { clients }, deny) =>
    clients === null || clients.includes(token.clientId) ? null : deny('client_not_allowed'),
})
