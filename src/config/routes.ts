// The routes, resolved: each with its tier's settings, its upstream, the issuers it trusts and the origins it is served on. What
// could never be granted, or would be judged otherwise than it reads, is a problem here and not a surprise later.

import { ROUTE_RULES, type TierSettings } from '../verify/policy.js'
import { normalOrigin, readTarget } from '../verify/target.js'
import type { Route, Upstream } from '../verify/types.js'
import type { IssuerSource } from './config.js'
import { chooseOrigins } from './listeners.js'
import type { Loading, Rule } from './loading.js'
import { servedMethods } from './matcher.js'
import { type Pattern, readPattern } from './pattern.js'
import { type KnownPdps, resolveDecision } from './pdps.js'
import type { RouteInput, RouteRules } from './schema.js'
import { type Located, positionOf, under } from './source.js'
import { resolveTenant, tenantRules } from './tenant.js'

/** What routes refer to. null: it is there but wrong, and that was reported. */
export type Known = {
  readonly tiers: ReadonlyMap<string, TierSettings | null>
  readonly upstreams: ReadonlyMap<string, Upstream | null>
  readonly pdps: KnownPdps
  readonly issuers: readonly IssuerSource[]
  /** An issuer was wrong: routes are not judged by how many there are. */
  readonly areIssuersKnown: boolean
  readonly publicOrigins: readonly string[]
}

type At = Loading & { readonly known: Known }

/** The routes that are right, in order; `places` of them beside. */
export function resolveRoutes(routes: readonly Located<RouteInput>[], at: At): readonly Located<Route>[] {
  refuseTwice(routes, at)
  return routes.flatMap((route) => {
    const value = resolve(route, at)
    return value === null ? [] : [{ value, place: route.place }]
  })
}

function resolve({ value, place }: Located<RouteInput>, at: At): Route | null {
  const { findings, known } = at
  const report = (setting: string, sentence: string) => findings.problem(under(place, ...setting.split('.')), sentence)
  const pattern = readPattern(value.path)
  if (typeof pattern === 'string') report('path', pattern)
  if (new Set(value.methods).size < value.methods.length) report('methods', 'a method stands here twice')
  const tier = known.tiers.get(value.tier)
  if (tier === undefined) report('tier', `expected the name of a tier: ${[...known.tiers.keys()].join(', ')}`)
  const upstream = known.upstreams.get(value.upstream)
  if (upstream === undefined && known.upstreams.size > 0)
    report('upstream', `expected the name of an upstream: ${[...known.upstreams.keys()].join(', ')}`)
  const issuers = chooseIssuers({ value, place }, at)
  const origins = chooseOrigins(value.origins, known.publicOrigins, { ...at, place: under(place, 'origins') })
  const rules = [
    ...(typeof pattern === 'string' ? [] : pathRules(value, pattern)),
    ...tenantRules(value.tenant ?? null, origins, upstream ?? null),
    ...(tier ? tierRules(value, tier) : []),
    ...(tier && tier.token === 'required' && known.areIssuersKnown
      ? [
          ...issuerRules(value, issuers, known.issuers),
          ...introspectionRules(value, issuers, tier),
          ...evidenceRules(value, issuers, tier),
        ]
      : []),
  ]
  for (const [isBroken, setting, sentence] of rules) if (isBroken) report(setting, sentence)
  const parameters = typeof pattern === 'string' ? [] : pattern.names
  const decision = resolveDecision(value, { ...at, place, pdps: known.pdps, parameters })
  if (typeof pattern === 'string' || !tier || !upstream) return null
  return {
    path: value.path,
    methods: value.methods,
    tier: value.tier,
    upstream,
    policy: {
      ...tier,
      ...routeRules(value),
      tenant: resolveTenant(value.tenant ?? null, origins, upstream),
      report_only_until: value.report_only_until === undefined ? tier.report_only_until : value.report_only_until,
      trustedIssuers: issuers,
      audience: value.audience ?? null,
    },
    websocket: value.websocket,
    matrix_params: value.matrix_params,
    strip_prefix: value.strip_prefix ?? null,
    add_prefix: value.add_prefix ?? null,
    origins,
    action: value.action ?? null,
    resource: value.resource === undefined ? null : { type: value.resource.type, id: value.resource.id ?? null },
    decision,
  }
}

const routeRules = (value: RouteInput): RouteRules =>
  // The names are those of RouteRules: both come from ROUTE_RULES.
  Object.fromEntries(Object.keys(ROUTE_RULES).map((name) => [name, Reflect.get(value, name) ?? null])) as RouteRules

/** The issuers it names; left out, all there are. */
function chooseIssuers({ value, place }: Located<RouteInput>, { findings, known }: At): readonly IssuerSource[] {
  if (value.issuers === undefined) return known.issuers
  return value.issuers.flatMap((name, i) => {
    const issuer = known.issuers.find((one) => one.issuer === name)
    if (issuer !== undefined) return [issuer]
    if (known.areIssuersKnown) findings.problem(under(place, 'issuers', i), 'expected the `issuer` of one of `issuers`')
    return []
  })
}

const PARAMETER = 'path.'

function pathRules(value: RouteInput, { names, segments }: Pattern): readonly Rule[] {
  const { tenant, resource, strip_prefix, add_prefix } = value
  const isUnknown = (source: string | undefined): boolean =>
    source?.startsWith(PARAMETER) === true && !names.includes(source.slice(PARAMETER.length))
  const literal = segments.indexOf(null) < 0 ? segments : segments.slice(0, segments.indexOf(null))
  const parameters = names.length === 0 ? 'it has none' : `it has ${names.map((name) => `path.${name}`).join(', ')}`
  return [
    [!value.matrix_params && /;|%3B/.test(value.path), 'path', 'holds `;`, which is served with `matrix_params: true` only'],
    [value.websocket && !value.methods.includes('GET'), 'websocket', 'a WebSocket begins with GET: add that to `methods`'],
    [isUnknown(tenant?.equals), 'tenant.equals', `expected a parameter of the route’s path: ${parameters}`],
    [isUnknown(resource?.id), 'resource.id', `expected a parameter of the route’s path: ${parameters}`],
    [
      strip_prefix !== undefined && !isPrefix(strip_prefix, literal),
      'strip_prefix',
      'expected whole leading segments of the route’s path, without parameters, such as /files of /files/*',
    ],
    [
      add_prefix !== undefined && readTarget(add_prefix, PLAIN_ORIGIN)?.path !== add_prefix,
      'add_prefix',
      'expected a path in normal form, such as /v2/store',
    ],
  ]
}

const PLAIN_ORIGIN = 'https://localhost'

function isPrefix(prefix: string, literal: readonly (string | null)[]): boolean {
  const parts = prefix.slice(1).split('/')
  return parts.every((part, i) => part !== '' && part === literal[i])
}

function tierRules(value: RouteInput, tier: TierSettings): readonly Rule[] {
  if (tier.token === 'none') {
    const judged = [...Object.keys(ROUTE_RULES), 'issuers', 'audience', 'decision', 'report_only_until']
    return judged
      .filter((name) => Reflect.get(value, name) !== undefined)
      .map((name) => [
        true,
        name,
        `nothing is judged on the tier ${value.tier} (\`token: none\`): leave this out, or take another tier`,
      ])
  }
  const isSteppedUp = tier.step_up === 'required'
  return [
    [
      isSteppedUp && tier.auth_max_age === null && value.acr_values === undefined,
      'acr_values',
      `is required: the tier ${value.tier} has \`step_up: required\` and no \`auth_max_age\``,
    ],
    [
      !isSteppedUp && value.acr_values !== undefined,
      'acr_values',
      `is judged with \`step_up: required\` only: the tier ${value.tier} has it off`,
    ],
  ]
}

/** What nobody asserts is never proven. */
function evidenceRules(value: RouteInput, trusted: readonly IssuerSource[], tier: TierSettings): readonly Rule[] {
  const demanded = tier.client_evidence === 'proven' ? (tier.client_profile ?? []) : []
  const unproven = demanded.filter((quality) => trusted.every(({ evidence }) => evidence?.[quality] === undefined))
  return [
    [
      trusted.length > 0 && unproven.length > 0,
      'tier',
      `the tier ${value.tier} takes what is proven only, and \`evidence\` of its issuers does not name a claim for ${unproven.join(', ')}`,
    ],
  ]
}

function issuerRules(value: RouteInput, trusted: readonly IssuerSource[], all: readonly IssuerSource[]): readonly Rule[] {
  const audiences = [...new Set(trusted.flatMap(({ audience }) => audience))]
  const isNamed = value.issuers !== undefined
  return [
    [all.length === 0, 'tier', `the tier ${value.tier} demands a token, and \`issuers\` names nobody who issues one`],
    [
      all.length > 1 && !isNamed,
      'issuers',
      'is required where several issuers are configured: name those that this route trusts',
    ],
    [
      (isNamed || all.length === 1) && value.clients !== undefined && trusted.length > 1,
      'clients',
      'names clients of one issuer, and this route trusts several: another could give out the same `client_id`',
    ],
    [
      (isNamed || all.length === 1) && audiences.length > 1 && value.audience === undefined,
      'audience',
      `is required where several audiences are configured: ${audiences.join(', ')}`,
    ],
    [
      trusted.length > 0 && (value.audience?.some((audience) => !audiences.includes(audience)) ?? false),
      'audience',
      `expected of the audiences of its issuers: ${audiences.join(', ')}`,
    ],
  ]
}

function introspectionRules(value: RouteInput, trusted: readonly IssuerSource[], { introspect }: TierSettings): readonly Rule[] {
  const isNamed = value.issuers !== undefined
  const asked = trusted.filter(({ introspection }) => introspection !== null)
  return [
    [
      asked.length > 1,
      isNamed ? 'issuers' : 'path',
      'trusts several issuers with `introspection`: an opaque token does not say which of them to ask, so trust one of them',
    ],
    [
      introspect === 'always' && asked.length < trusted.length,
      isNamed ? 'issuers' : 'tier',
      `the tier ${value.tier} has \`introspect: always\`, and an issuer of this route has no \`introspection\``,
    ],
  ]
}

/** One path, method and origin for two routes: which one judges would be chance. */
function refuseTwice(routes: readonly Located<RouteInput>[], { findings, known }: At): void {
  const first = new Map<string, Located<RouteInput>>()
  for (const route of routes) {
    const { value, place } = route
    const pattern = readPattern(value.path)
    if (typeof pattern === 'string') continue
    const origins = value.origins?.map(normalOrigin) ?? known.publicOrigins
    const keys = servedMethods(value.methods).flatMap((method) => origins.map((origin) => `${method} ${origin} ${pattern.shape}`))
    const other = keys.map((key) => first.get(key)).find((one) => one !== undefined)
    for (const key of keys) if (!first.has(key)) first.set(key, route)
    if (other === undefined) continue
    const { line } = positionOf(other.place)
    findings.problem(
      under(place, 'path'),
      `the route at ${other.place.source.file}:${line} has the same path, a method and an origin with it: one path is one route for each method`,
    )
  }
}
