// What a token may do in detail (RFC 9396): which of its `authorization_details` are what a route asks for. Limits within them, such as an
// amount, are for the upstream and the policy decision point, who get those that fit.

import { z } from 'zod'
import { isJsonObject } from './json.js'
import type { Bytes } from './scalars.js'
import type { AccessToken, JsonObject } from './types.js'

const texts = z.array(z.string().min(1)).min(1, 'expected at least one')

/** A detail that a route demands. */
export const demandedDetail = z.strictObject({
  type: z.string().min(1).describe('`type` of the detail.'),
  actions: texts.describe('`actions` that it must have, all of them.').optional(),
  locations: texts
    .describe(
      'What this place is called in `locations`: the detail must name one of these. Left out: one that names places must name an audience of its issuer here.',
    )
    .optional(),
})

export type DemandedDetail = z.output<typeof demandedDetail>

/** All details of one token, as JSON: those that fit go on in the assertion, which is a header. */
const MOST_BYTES: Bytes = 8192

/** The details of a token (RFC 9396 §2); null: they are malformed, or more than can be passed on. No claim: no details. */
export function readDetails(claim: unknown): readonly JsonObject[] | null {
  if (claim === undefined) return []
  if (!Array.isArray(claim)) return null
  const isDetail = (one: unknown): one is JsonObject => isJsonObject(one) && typeof one.type === 'string'
  return claim.every(isDetail) && Buffer.byteLength(JSON.stringify(claim)) <= MOST_BYTES ? claim : null
}

/** The details of `token` that are what `demanded` asks for; none is enough for it when the list is empty. */
export function fittingDetails(token: AccessToken, demanded: DemandedDetail): readonly JsonObject[] {
  const details = readDetails(token.claims.authorization_details) ?? []
  return details.filter((detail) => {
    if (detail.type !== demanded.type) return false
    const { actions, locations } = detail
    if (demanded.actions?.some((action) => !includes(actions, action))) return false
    if (locations === undefined) return demanded.locations === undefined
    return (demanded.locations ?? token.issuer.audience).some((location) => includes(locations, location))
  })
}

const includes = (list: unknown, text: string): boolean => Array.isArray(list) && list.includes(text)

/** What met the demands of a route, each once: of the token's other details nobody learns anything. undefined: the route demands none. */
export const passedDetails = (
  token: AccessToken,
  demanded: readonly DemandedDetail[] | null | undefined,
): readonly JsonObject[] | undefined =>
  demanded ? [...new Set(demanded.flatMap((one) => fittingDetails(token, one)))] : undefined
