// What does each tier demand? The five of the risk model as contract §3 has them, changed and added to by routes.yaml. A chain of
// `extends` is resolved here, so that a route sees one complete set of settings.

import { TIER_SETTINGS, type TierSettings } from '../verify/policy.js'
import type { Loading, Rule } from './loading.js'
import type { TierInput } from './schema.js'
import { type Located, under } from './source.js'

const STRONG = ['PS256', 'ES256', 'EdDSA']

/** A tier with a token, in the order of contract §3; what differs stands in the tiers below. */
const JUDGED = {
  token: 'required',
  binding: 'none',
  token_algorithms: STRONG,
  proof_algorithms: STRONG,
  token_max_ttl: '5m',
  introspect: 'off',
  proof_max_age: '60s',
  clock_skew: '10s',
  nonce: 'off',
  step_up: 'off',
  auth_max_age: 'off',
  body_digest: 'off',
  max_body: '1MiB',
  replay_outage: 'closed',
  audit: 'durable',
  rate_limit: 'off',
  client: 'registered',
  client_profile: 'off',
  client_evidence: 'declared',
  report_only_until: 'off',
}

/** The built-in tiers, as one would write them in YAML. Of `public`, most is never read: nothing is judged there. */
export const BUILT_IN_TIERS: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  public: { ...JUDGED, token: 'none', audit: 'denials', rate_limit: { rate: '100/s', by: 'address' } },
  low_user: { ...JUDGED, token_algorithms: [...STRONG, 'RS256'], token_max_ttl: '1h', audit: 'denials', client: 'any' },
  sensitive_read: { ...JUDGED, token_max_ttl: '10m', audit: 'all' },
  sensitive_write: {
    ...JUDGED,
    binding: 'any',
    step_up: 'required',
    auth_max_age: '15m',
    body_digest: 'on',
    client_profile: ['client_auth'],
  },
  high_value: {
    ...JUDGED,
    binding: 'any',
    nonce: 'required',
    body_digest: 'on',
    client_profile: ['client_auth', 'par', 'request_object'],
  },
}

/** Settings that are read on a tier without token; all others would promise something that nothing does. */
export const READ_WITHOUT_TOKEN: readonly string[] = ['token', 'body_digest', 'max_body', 'audit', 'rate_limit']

function parseBuiltIn(settings: Readonly<Record<string, unknown>>): TierSettings {
  const parsed = Object.entries(TIER_SETTINGS).map(([name, { schema }]) => [name, schema.parse(settings[name])])
  return Object.fromEntries(parsed) as TierSettings
}

const BUILT_IN: ReadonlyMap<string, TierSettings> = new Map(
  Object.entries(BUILT_IN_TIERS).map(([name, settings]) => [name, parseBuiltIn(settings)]),
)

/** Without a registry nobody is registered: there is nothing to judge a client by. */
const BUILT_IN_WITHOUT_CLIENTS: typeof BUILT_IN = new Map(
  [...BUILT_IN].map(([name, tier]) => [name, { ...tier, client: 'any', client_profile: null }]),
)

type Entries = ReadonlyMap<string, Located<TierInput> | null>

/** Every tier by its name; null for one that is wrong, and that was reported. */
export function resolveTiers(entries: Entries, loading: Loading, hasClients = false): ReadonlyMap<string, TierSettings | null> {
  const builtIn = hasClients ? BUILT_IN : BUILT_IN_WITHOUT_CLIENTS
  const resolved = new Map<string, TierSettings | null>()

  const resolve = (name: string, heirs: readonly string[]): TierSettings | null => {
    const known = resolved.get(name)
    if (known !== undefined) return known
    const entry = entries.get(name)
    if (entry === undefined) return builtIn.get(name) ?? null
    const settings = entry === null ? null : inherit(name, entry, [...heirs, name])
    resolved.set(name, settings)
    return settings
  }

  const inherit = (name: string, { value, place }: Located<TierInput>, heirs: readonly string[]): TierSettings | null => {
    const report = (setting: string, sentence: string) => loading.findings.problem(under(place, setting), sentence)
    const { extends: parent, ...own } = value
    if (BUILT_IN.has(name) && parent !== undefined) {
      report('extends', 'this tier is built in: leave `extends` out, or give the tier another name')
      return null
    }
    const origin = parent ?? name
    if (!BUILT_IN.has(origin) && (parent === undefined || !entries.has(parent))) {
      const names = [...new Set([...BUILT_IN.keys(), ...entries.keys()])].filter((one) => one !== name)
      report('extends', `${parent === undefined ? 'is required: ' : ''}expected the name of a tier: ${names.join(', ')}`)
      return null
    }
    if (heirs.includes(origin) && parent !== undefined) {
      report(
        'extends',
        `a circle: ${[...heirs.slice(heirs.indexOf(origin)), origin].join(' -> ')}; let one of them extend a built-in tier`,
      )
      return null
    }
    const base = parent === undefined ? builtIn.get(name) : resolve(parent, heirs)
    if (base === undefined || base === null) return null
    const settings: TierSettings = { ...base, ...withoutAbsent(own) }
    const broken = [...rulesOf(settings, base, own), ...(hasClients ? [] : clientRules(own))].filter(([isBroken]) => isBroken)
    for (const [, setting, sentence] of broken) report(setting, sentence)
    return broken.length > 0 ? null : settings
  }

  for (const name of [...BUILT_IN.keys(), ...entries.keys()]) resolved.set(name, resolve(name, []))
  return resolved
}

type Own = Omit<TierInput, 'extends'>

const withoutAbsent = (own: Own): Partial<TierSettings> =>
  Object.fromEntries(Object.entries(own).filter(([, value]) => value !== undefined))

/** A demand that nobody could meet is a mistake, and one that nobody judged would be worse. */
const clientRules = ({ client, client_profile, client_evidence }: Own): readonly Rule[] => {
  const sentence = 'clients are judged by `clients`, the registry, and there is none: add it, or leave this out'
  return [
    [client === 'registered', 'client', sentence],
    [Boolean(client_profile), 'client_profile', sentence],
    [client_evidence === 'proven', 'client_evidence', sentence],
  ]
}

/** The built-in tier that each tier comes from; those that are wrong are left out. */
export function originsOf(entries: Entries, tiers: ReadonlyMap<string, TierSettings | null>): ReadonlyMap<string, string> {
  const originOf = (name: string): string => {
    const parent = entries.get(name)?.value.extends
    return parent === undefined ? name : originOf(parent)
  }
  return new Map([...tiers].flatMap(([name, settings]) => (settings === null ? [] : [[name, originOf(name)]])))
}

const ORDER = Object.keys(BUILT_IN_TIERS)

/** The tiers that are not above `highest`. */
export function tiersUpTo(highest: string, origins: ReadonlyMap<string, string>): ReadonlySet<string> {
  const rank = (name: string): number => ORDER.indexOf(origins.get(name) ?? '')
  return new Set([...origins.keys()].filter((name) => rank(name) <= rank(highest)))
}

function rulesOf(settings: TierSettings, base: TierSettings, own: Own): readonly Rule[] {
  const given = (setting: keyof Own) => own[setting] !== undefined
  if (settings.token === 'none') {
    const unread = Object.keys(withoutAbsent(own)).filter((setting) => !READ_WITHOUT_TOKEN.includes(setting))
    const limit = settings.rate_limit
    return [
      ...unread.map(
        (setting): Rule => [true, setting, 'nothing is judged with `token: none`: leave this out, or demand a token'],
      ),
      [
        limit !== null && limit.by !== null && limit.by !== 'address',
        'rate_limit',
        'with `token: none` nobody is known: limit by address',
      ],
    ]
  }
  const isSteppedUp = settings.step_up === 'required'
  return [
    [base.token === 'none', 'token', 'a tier without token has no settings to judge one by: extend low_user or a stronger tier'],
    [
      !isSteppedUp && settings.auth_max_age !== null,
      given('auth_max_age') ? 'auth_max_age' : 'step_up',
      '`auth_max_age` is judged with `step_up: required` only: add that, or say `auth_max_age: off`',
    ],
  ]
}
