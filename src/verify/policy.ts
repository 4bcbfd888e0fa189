// What a request is judged by: the settings of the route's tier and the route's own rules, in one object that is resolved
// at load. A setting belongs to the check that reads it; here stand only those that are read beside the checks.

import { z } from 'zod'
import { type Check, type Parsed, type Rules, type Settings, setting } from './checks/check.js'
import { PROOF_CHECKS, ROUTE_CHECKS, TOKEN_CHECKS } from './checks/index.js'
import { duration, endOfDate, onOff, orOff, rate, size } from './scalars.js'
import { TOKEN_ALGORITHMS, type TokenAlgorithm } from './signatures.js'
import type { Issuer } from './types.js'

const algorithms = z.array(z.enum(TOKEN_ALGORITHMS)).min(1)
const noRsaPkcs1 = algorithms.refine(
  (list) => !list.includes('RS256'),
  'a proof is never signed with RS256: PS256, ES256 or EdDSA',
)

/** Settings of a tier that are read beside the checks: by the token and proof parsers, the edge, the store, the audit log. */
const SETTINGS = {
  token: setting(
    z.enum(['none', 'required']),
    'Whether an access token is demanded. With `none` nothing is judged and credentials are removed unread.',
  ),
  token_algorithms: setting(algorithms, 'Algorithms an access token may be signed with, where its issuer also lists them.'),
  proof_algorithms: setting(noRsaPkcs1, 'Algorithms a DPoP proof may be signed with; the challenge’s `algs`.'),
  introspect: setting(
    z.union([z.literal(false).transform(() => 'off' as const), z.enum(['off', 'always'])]),
    'Whether the issuer is asked about the token anew on every request, a JWT too: then what is revoked there is refused here at once. With `off` it is asked about opaque tokens, and its answer serves for `introspection.cache`.',
  ),
  clock_skew: setting(duration, 'How far ahead of ours the clocks of issuers and clients may be.'),
  body_digest: setting(onOff, 'Whether the body is held and its SHA-256 put into the assertion (`bdh`).'),
  max_body: setting(size, 'The largest body.'),
  replay_outage: setting(
    z.enum(['closed', 'local']),
    'What happens to DPoP requests while the replay store is away: `closed` refuses them, `local` lets each process remember for itself.',
  ),
  audit: setting(
    z.enum(['denials', 'all', 'durable']),
    'Which decisions are written; `durable`: all, each on disk before its request is forwarded, else the request is refused.',
  ),
  rate_limit: setting(
    orOff(
      z.union([
        rate.transform((limit) => ({ rate: limit, by: null })),
        z.strictObject({ rate, by: z.enum(['client', 'subject', 'address']) }),
      ]),
    ),
    'How many requests are forwarded: a rate, or `{ rate, by }` with `by` one of client, subject, address. Left out, `by` is the client where a token is demanded, else the address.',
  ),
  report_only_until: setting(
    orOff(endOfDate),
    'Until the end of this date (UTC) a new demand is only reported: see docs/report-only.md.',
  ),
} as const satisfies Settings

type Owned = (typeof TOKEN_CHECKS)[number] | (typeof PROOF_CHECKS)[number] | (typeof ROUTE_CHECKS)[number]
type Union<T> = (T extends unknown ? (value: T) => void : never) extends (value: infer I) => void ? I : never
type Flat<T> = { readonly [K in keyof T]: T[K] }

export type TierSettings = Flat<
  Parsed<typeof SETTINGS> &
    Union<Owned extends infer C ? (C extends { settings: infer S extends Settings } ? Parsed<S> : never) : never>
>
type RouteRules = Flat<Union<Owned extends infer C ? (C extends { rules: infer S extends Settings } ? Rules<S> : never) : never>>

/** All that a request is judged by. */
export type Policy = TierSettings &
  RouteRules & {
    /** The issuers this route trusts. */
    readonly trustedIssuers: readonly Issuer[]
    /** Audiences it accepts in place of the issuer's own; null: the issuer's. */
    readonly audience: readonly string[] | null
  }

export const CHECKS: readonly Check[] = [
  ...TOKEN_CHECKS,
  ...PROOF_CHECKS,
  ...ROUTE_CHECKS,
] as readonly unknown[] as readonly Check[]

/** Merges what the checks declare; two that claim one name is a mistake of ours, found at start. */
function merge(own: Settings, declared: readonly Settings[]): Settings {
  const all: Record<string, Settings[string]> = { ...own }
  for (const settings of declared) {
    for (const [name, value] of Object.entries(settings)) {
      if (Object.hasOwn(all, name)) throw new Error(`two checks claim the setting ${name}`)
      all[name] = value
    }
  }
  return all
}

/** Every setting a tier has, by its name in routes.yaml. */
export const TIER_SETTINGS: Settings = merge(
  SETTINGS,
  CHECKS.map((check) => check.settings),
)

/** Every rule a route has that a check reads, by its name in routes.yaml. */
export const ROUTE_RULES: Settings = merge(
  {},
  CHECKS.map((check) => check.rules),
)

export type { TokenAlgorithm }
