// What is asked of a policy decision point (AuthZEN Authorization API 1.0 §6.1, §7.1): who, from the token; what, from the route and its
// path; under which circumstances, from what was proven. Nothing in it comes from a header of the client.

import type { PdpSettings } from '../config/config.js'
import { passedDetails } from '../verify/authorization-details.js'
import { provenBinding } from '../verify/confirmation.js'
import type { Evidence, JsonObject, RouteMatch } from '../verify/types.js'

export type Question = {
  /** JSON. */
  readonly body: string
  /** How many answers there must be; null: one, which is not in a list. */
  readonly count: number | null
}

const PARAMETER = 'path.'

/**
 * null: it can't be asked, because the token names nobody, or a value of the path is no UTF-8, or has a `;`: with `matrix_params` what
 * follows that is no part of the name to its upstream, or is; the decision must not be about another resource than is served.
 */
export function questionOf(evidence: Evidence, match: RouteMatch, types: PdpSettings['subject']): Question | null {
  const { route, captured } = match
  const { token, inbound, tenant } = evidence
  if (token === null || route.decision === null) return null
  const isUser = token.subject !== null && token.subject !== token.clientId
  const id = isUser ? token.subject : token.clientId
  if (id === '') return null

  const resources: JsonObject[] = []
  for (const { type, id } of route.decision.resources) {
    const named = id.startsWith(PARAMETER) ? captured[id.slice(PARAMETER.length)] : id
    if (named === undefined || (id.startsWith(PARAMETER) && named.includes(';'))) return null
    resources.push({ type, id: named })
  }
  const { acr, auth_time } = token.claims
  const asked = {
    subject: { type: isUser ? types.user : types.client, id, properties: { issuer: token.issuer.issuer } },
    action: { name: route.decision.action ?? inbound.method, properties: { method: inbound.method } },
    context: {
      route: route.path,
      tier: route.tier,
      binding: provenBinding(evidence),
      client_id: token.clientId || undefined,
      client_address: inbound.peer.address,
      tenant: tenant ?? undefined,
      scope: token.scope.join(' ') || undefined,
      authorization_details: passedDetails(token, route.policy.authorization_details),
      acr: typeof acr === 'string' ? acr : undefined,
      auth_time: typeof auth_time === 'number' ? auth_time : undefined,
    },
  }
  const [first, ...others] = resources
  if (others.length === 0) return { body: JSON.stringify({ ...asked, resource: first }), count: null }
  const evaluations = resources.map((resource) => ({ resource }))
  const options = { evaluations_semantic: 'execute_all' }
  return { body: JSON.stringify({ ...asked, evaluations, options }), count: resources.length }
}
