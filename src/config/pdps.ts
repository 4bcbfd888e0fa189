// The policy decision points, resolved, and what a route asks of one.

import type { DecisionRule } from '../verify/types.js'
import type { PdpSettings } from './config.js'
import type { Loading, Rule } from './loading.js'
import type { PdpInput, RouteInput } from './schema.js'
import { type Located, type Place, under } from './source.js'
import { readTls } from './upstreams.js'

/** Every policy decision point by its name; null for one that is wrong, and that was reported. */
export function resolvePdps(
  entries: ReadonlyMap<string, Located<PdpInput> | null>,
  loading: Loading,
): ReadonlyMap<string, PdpSettings | null> {
  return new Map([...entries].map(([name, entry]) => [name, entry === null ? null : resolve(name, entry, loading)]))
}

function resolve(name: string, { value, place }: Located<PdpInput>, loading: Loading): PdpSettings {
  const { url, tls, authorization, step_up, ...rest } = value
  const rules: readonly Rule[] = [
    [url.includes('?'), 'url', 'expected a URL without query'],
    [tls !== undefined && url.startsWith('http:'), 'tls', 'is read with an https `url` only: say https, or leave it out'],
    [
      step_up !== undefined && step_up.acr_values === undefined && step_up.max_age === undefined,
      'step_up',
      'says where a denial asks for a better authentication, with `acr_values`, `max_age`, or both',
    ],
  ]
  for (const [isBroken, setting, sentence] of rules) if (isBroken) loading.findings.problem(under(place, setting), sentence)
  return {
    ...rest,
    name,
    url,
    tls: readTls(tls ?? {}, under(place, 'tls'), loading),
    authorization: authorization ?? null,
    step_up: step_up ?? null,
  }
}

export type KnownPdps = ReadonlyMap<string, PdpSettings | null>

const PARAMETER = 'path.'

/** What a route asks; null: nothing, or it is wrong, and that was reported. `parameters`: names that its path captures. */
export function resolveDecision(
  value: RouteInput,
  { place, pdps, parameters, findings }: Loading & { place: Place; pdps: KnownPdps; parameters: readonly string[] },
): DecisionRule | null {
  const { decision } = value
  if (decision === undefined) return null
  const at = under(place, 'decision')
  const pdp = pdps.get(decision.pdp)
  if (pdp === undefined)
    findings.problem(under(at, 'pdp'), pdps.size === 0 ? 'there are no `pdps`' : `expected one of ${[...pdps.keys()].join(', ')}`)
  if (decision.resource !== undefined && decision.resources !== undefined)
    findings.problem(under(at, 'resources'), '`resource` is given too: leave one out')
  const own = value.resource
  if (decision.resource === undefined && decision.resources === undefined && own !== undefined && own.id === undefined)
    findings.problem(under(place, 'resource'), 'needs an `id` for `decision`: add one, or name `resource` there')
  const resources = decision.resources ?? [
    decision.resource ?? { type: own?.type ?? 'route', id: own === undefined ? value.path : (own.id ?? '') },
  ]
  for (const [i, { id }] of resources.entries()) {
    const isOwn = decision.resource === undefined && decision.resources === undefined
    // The route's own `resource` is judged with the route.
    if (isOwn || !id.startsWith(PARAMETER) || parameters.includes(id.slice(PARAMETER.length))) continue
    const path = decision.resources === undefined ? ['resource', 'id'] : ['resources', i, 'id']
    findings.problem(under(at, ...path), 'expected a parameter of the route’s path')
  }
  return pdp ? { pdp: pdp.name, timeout: pdp.timeout, action: decision.action ?? value.action ?? null, resources } : null
}
