// The forms of tiers and routes. What a check reads is declared by the check (verify/policy.ts); here stand only the keys beside.

import { z } from 'zod'
import { type Policy, ROUTE_RULES, TIER_SETTINGS, type TierSettings } from '../verify/policy.js'
import { endOfDate, onOff, orOff } from '../verify/scalars.js'
import { name, oneOrMore, text } from './fields.js'
import { decision } from './schema-pdps.js'

/** What tiers and routes declare elsewhere, each optional here. */
const optional = (settings: typeof TIER_SETTINGS) =>
  Object.fromEntries(
    Object.entries(settings).map(([key, { schema, description }]) => [key, schema.describe(description).optional()]),
  )

export type TierInput = { readonly [K in keyof TierSettings]?: TierSettings[K] | undefined } & {
  readonly extends?: string | undefined
}

const tierShape = {
  extends: name.describe('The tier whose settings it has where it says nothing else; required unless it is built in.').optional(),
  ...optional(TIER_SETTINGS),
}
// The shape is computed, so its type is said here; both come from TIER_SETTINGS.
export const tier = z.strictObject(tierShape) as unknown as z.ZodType<TierInput>

/** The rules that a check reads. */
export type RouteRules = Omit<Policy, keyof TierSettings | 'trustedIssuers' | 'audience'>

/** TRACE and CONNECT are never served; of WebDAV and the like, what both Node's parser and undici know. */
const METHODS = [
  ...['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'],
  ...['PROPFIND', 'PROPPATCH', 'MKCOL', 'COPY', 'MOVE', 'LOCK', 'UNLOCK', 'ACL', 'BIND', 'UNBIND', 'REBIND'],
  ...['REPORT', 'SEARCH', 'MKACTIVITY', 'MKCALENDAR', 'CHECKOUT', 'MERGE', 'LINK', 'UNLINK', 'PURGE', 'NOTIFY'],
] as const

const method = z
  .enum(METHODS, 'expected a method in capitals, such as GET; TRACE and CONNECT are never served')
  .meta({ title: 'method' })

const prefix = z.string().regex(/^\/./, 'expected a path such as /v2/store').meta({ title: 'path of a URL' })

const ownShape = {
  path: z
    .string()
    .regex(/^\//, 'expected a path such as /cases/:id')
    .describe('Literal segments, `:name` (one segment), a last `/*` (one segment or more). The most specific path wins.')
    .meta({ title: 'path of a URL' }),
  methods: z.array(method).min(1, 'expected at least one').describe('Methods that it serves; GET serves HEAD too.'),
  tier: text.describe('The tier that judges it.'),
  upstream: text.describe('The upstream that it goes to.'),
  issuers: z
    .array(text)
    .min(1, 'expected at least one')
    .describe('The issuers it trusts; required where several are configured and a token is demanded.')
    .optional(),
  audience: oneOrMore(text)
    .describe('Audiences that it accepts, of those its issuers list; required where these list several.')
    .optional(),
  origins: z
    .array(text)
    .min(1, 'expected at least one')
    .describe('Public origins that it is served on; left out: all.')
    .optional(),
  websocket: onOff.prefault(false).describe('Whether an Upgrade to WebSocket is served.'),
  matrix_params: onOff.prefault(false).describe('Whether `;` may stand in the path.'),
  action: text.describe('`action` of its audit events; left out: method and path.').optional(),
  resource: z
    .strictObject({
      type: text.describe('`resource_type` of its audit events.'),
      id: text.describe('`resource_id`: `path.NAME`, or fixed text.').optional(),
    })
    .describe('What its audit events say it is about.')
    .optional(),
  decision: decision
    .describe('What it asks a policy decision point on each request, after all else; left out: nothing.')
    .optional(),
  strip_prefix: prefix.describe('Leading segments, without parameters, that the upstream does not get.').optional(),
  add_prefix: prefix.describe('What the upstream gets in front of the path instead.').optional(),
  report_only_until: orOff(endOfDate)
    .describe('As of a tier, for this route alone: until the end of this date (UTC) a new demand is only reported.')
    .optional(),
}

const own = z.strictObject(ownShape)
export type RouteInput = z.output<typeof own> & { readonly [K in keyof RouteRules]?: RouteRules[K] | undefined }

export const route = z.strictObject({ ...ownShape, ...optional(ROUTE_RULES) }) as unknown as z.ZodType<RouteInput>
