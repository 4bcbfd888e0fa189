// The form of routes.yaml as a whole. docs/settings.md and the JSON Schema are printed from it; load.ts judges it part by part, so
// that one wrong setting does not hide another.

import { z } from 'zod'
import { orOff } from '../verify/scalars.js'
import { count, name, path, pause, text, watchInterval } from './fields.js'
import { client } from './schema-clients.js'
import { issuer } from './schema-issuers.js'
import { admin, cors, decisionApi, limits, listener } from './schema-listen.js'
import { pdp } from './schema-pdps.js'
import { route, tier } from './schema-routes.js'
import { assertion, audit, dpop, replay, revocations, tracing } from './schema-state.js'
import { upstream } from './schema-upstreams.js'

/** Parts that are judged as one. */
export const SINGLE = {
  version: z.literal(1).describe('The version of this format: 1.'),
  include: z.array(path).prefault([]).describe('Files whose `routes` are added, such as `routes.d/*.yaml`.'),
  public_origins: z
    .array(text)
    .min(1, 'expected at least one')
    .describe('The https origins clients know us by: `htu`, Host and SNI are compared with these.'),
  cors: cors
    .describe('Pages of other origins that may call us; left out: none, and a preflight is refused as any other method.')
    .optional(),
  decision_api: decisionApi
    .describe('Where other proxies ask whether a request may pass: docs/decision-api.md; left out: nowhere.')
    .optional(),
  admin: admin.prefault({}).describe('Health, metrics and our public keys.'),
  workers: z
    .union([z.literal('auto'), count(1, 256)], 'expected auto or a whole number')
    .prefault('auto')
    .describe('Processes; `auto`: as many as there are cores for us, 1 with `store: memory`.'),
  drain: pause.prefault('30s').describe('How long running requests may take at the end.'),
  drain_delay: pause.prefault('0s').describe('How long requests are still accepted while already unready.'),
  watch: orOff(watchInterval)
    .prefault('2s')
    .describe('How often all files named here are looked at; changed ones are taken as SIGHUP does. `off`: at SIGHUP only.'),
  limits: limits.prefault({}).describe('Of the whole gateway; workers share them out.'),
  replay: replay.prefault({}).describe('How it is known that a proof was used before.'),
  revocations: revocations
    .prefault({})
    .describe('The list of what was revoked: `holdfast revoke --help`. Kept where `replay` is, if that is Redis.'),
  dpop: dpop.prefault({}).describe('Nonces.'),
  audit: audit.prefault({}).describe('The audit log.'),
  tracing: tracing.describe('OpenTelemetry traces; left out: none.').optional(),
  assertion: assertion.describe('What upstreams get in place of the token.'),
} as const

/** Parts that are lists or maps of what is judged one by one. */
export const ELEMENTS = {
  listen: listener,
  issuers: issuer,
  tiers: tier,
  upstreams: upstream,
  pdps: pdp,
  routes: route,
  clients: client,
} as const

export type Single = { readonly [K in keyof typeof SINGLE]: z.output<(typeof SINGLE)[K]> }
export type Listen = z.output<typeof listener>
export type IssuerInput = z.output<typeof issuer>
export type PdpInput = z.output<typeof pdp>
export type UpstreamInput = z.output<typeof upstream>
export type { ClientInput } from './schema-clients.js'
export type { RouteInput, RouteRules, TierInput } from './schema-routes.js'

/** An included file. */
export const includedFile = z.strictObject({ routes: z.array(route).describe('Routes to add.') })

/** The whole file; for printing. */
export const routesFile = z.strictObject({
  version: SINGLE.version,
  include: SINGLE.include,
  listen: z.union([listener, z.array(listener).min(1)]).describe('Where clients connect; one listener or a list.'),
  public_origins: SINGLE.public_origins,
  cors: SINGLE.cors,
  decision_api: SINGLE.decision_api,
  admin: SINGLE.admin,
  workers: SINGLE.workers,
  drain: SINGLE.drain,
  drain_delay: SINGLE.drain_delay,
  watch: SINGLE.watch,
  limits: SINGLE.limits,
  issuers: z.array(issuer).prefault([]).describe('Whose tokens are trusted.'),
  clients: z
    .union([path, z.array(client)])
    .describe(
      'The registry of OAuth clients: a list, or the file that holds one, such as clients.yaml. Left out: every client that an issuer knows. Not a route’s `clients`, which names some of them.',
    )
    .optional(),
  replay: SINGLE.replay,
  revocations: SINGLE.revocations,
  dpop: SINGLE.dpop,
  audit: SINGLE.audit,
  tracing: SINGLE.tracing,
  assertion: SINGLE.assertion,
  tiers: z.record(name, tier).prefault({}).describe('Built-in tiers that are changed, and tiers that are added.'),
  upstreams: z.record(name, upstream).describe('Services behind us.'),
  pdps: z.record(name, pdp).prefault({}).describe('Policy decision points that routes may ask: docs/decision-points.md.'),
  routes: z.array(route).prefault([]).describe('What is served; all else is refused.'),
})
