// The form of a policy decision point: who is asked whether a request may be made (AuthZEN Authorization API 1.0), and what of its
// answers is taken.

import { z } from 'zod'
import { onOff, orOff } from '../verify/scalars.js'
import { clientTls, count, fetchUrl, text, time, timeout } from './fields.js'

/** Where in the `context` of an answer something stands: the name of a member, or names with dots between. */
const member = z
  .string()
  .regex(/^context(?:\.[A-Za-z_][\w-]*)+$/, 'expected context.NAME, a member of the answer’s context, or context.NAME.NAME')
  .transform((path) => path.slice('context.'.length))

export const pdp = z.strictObject({
  url: fetchUrl.describe('Its identifier: https, http only to loopback.'),
  discovery: onOff
    .prefault(true)
    .describe(
      'Whether its endpoints are taken from its metadata (`/.well-known/authzen-configuration`). `off`: they are `/access/v1/evaluation` and `/access/v1/evaluations` below `url`.',
    ),
  tls: clientTls.describe('With an https `url`; its certificate is always verified.').optional(),
  authorization: text
    .regex(/^[\x21-\x7e]+(?: [\x21-\x7e]+)*$/, 'expected visible ASCII: a scheme and what belongs to it')
    .describe(
      'What we send as `Authorization`, such as `Bearer` and a token: take that from a mounted secret or the environment. Left out: nothing.',
    )
    .optional(),
  timeout: timeout.prefault('500ms').describe('How long it may take to answer, discovery included; then the request is refused.'),
  concurrency: count(1, 10_000)
    .prefault(64)
    .describe(
      'Questions under way at once, in each process; beyond it requests are refused. One user, or client without one, may take three quarters.',
    ),
  cache: orOff(time)
    .prefault('off')
    .describe(
      'How long an answer serves for the same question, in each process; what was decided otherwise meanwhile is not heeded.',
    ),
  subject: z
    .strictObject({
      user: text.prefault('user').describe('For a token of a user; `id` is then `sub`.'),
      client: text.prefault('client').describe('For a token of a client alone; `id` is then its `client_id`.'),
    })
    .prefault({})
    .describe('`type` of the subject.'),
  decision_id: member
    .prefault('context.decision_id')
    .describe(
      'Where an answer says what the decision is called. Is it not there, the `X-Request-ID` of the answer stands for it.',
    ),
  policy_version: member.prefault('context.policy_version').describe('Where an answer says which policy it comes from.'),
  step_up: z
    .strictObject({
      acr_values: member.describe('Where a denial says which authentication would do: a class, or a list of them.').optional(),
      max_age: member.describe('Where a denial says how old it may be (seconds).').optional(),
    })
    .describe(
      'Then a denial that asks for a better authentication is told to the client as such (RFC 9470). Left out: it is a denial.',
    )
    .optional(),
})

const resource = z.strictObject({
  type: text.describe('`type` of the resource.'),
  id: text.describe('`id` of the resource: `path.NAME`, or fixed text.'),
})

export const decision = z.strictObject({
  pdp: text.describe('Who is asked: a name of `pdps`.'),
  action: text.describe('`name` of the action; left out: the route’s `action`, else the method.').optional(),
  resource: resource
    .describe('What the request is about; left out: the route’s `resource`, else `{ type: route, id: PATH }`.')
    .optional(),
  resources: z
    .array(resource)
    .min(1, 'expected at least one')
    .max(100, 'expected at most 100')
    .describe('In place of `resource`, several, all of which must be permitted: one question for all of them.')
    .optional(),
})
