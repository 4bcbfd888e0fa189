// Which tenant is a request for? By a parameter of its path, by the origin it came to, or by a header that we set ourselves: the last two
// become one table of origins here, so that no header of a client is ever asked.

import { normalOrigin } from '../verify/target.js'
import type { Upstream } from '../verify/types.js'
import type { Rule } from './loading.js'
import type { RouteRules } from './schema.js'

type Tenant = NonNullable<RouteRules['tenant']>

const HEADER = 'header.'

export function tenantRules(tenant: Tenant | null, origins: readonly string[], upstream: Upstream | null): readonly Rule[] {
  if (tenant === null) return []
  const { equals, hosts } = tenant
  const named = byOrigin(hosts ?? {})
  return [
    [
      equals === 'host' && origins.some((origin) => !Object.hasOwn(named, origin)),
      'tenant.hosts',
      `expected the tenant of each origin that the route is served on: ${origins.join(', ')}`,
    ],
    [equals !== 'host' && hosts !== undefined, 'tenant.hosts', 'is read with `equals: host` only: leave one of them out'],
    [
      equals.startsWith(HEADER) && upstream !== null && fixedText(equals.slice(HEADER.length), upstream) === null,
      'tenant.equals',
      'expected a header to which `set_headers` of the route’s upstream gives a fixed text',
    ],
  ]
}

/** The rule as the check reads it: with `hosts` in normal form, or made of what the header always says. */
export function resolveTenant(tenant: Tenant | null, origins: readonly string[], upstream: Upstream): Tenant | null {
  if (tenant === null) return null
  if (tenant.equals === 'host') return { ...tenant, hosts: byOrigin(tenant.hosts ?? {}) }
  if (!tenant.equals.startsWith(HEADER)) return tenant
  const text = fixedText(tenant.equals.slice(HEADER.length), upstream)
  return { ...tenant, hosts: text === null ? {} : Object.fromEntries(origins.map((origin) => [origin, text])) }
}

const byOrigin = (hosts: Readonly<Record<string, string>>): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(hosts).map(([origin, tenant]) => [normalOrigin(origin), tenant]))

/** Sources of `set_headers` that take their text from the request (upstream/headers.ts). */
const FROM_REQUEST = /^(?:client_id|tenant|certificate|token\..*)$/

/** What the upstream's header says to every request; null where there is no such header, or it depends on the token. */
function fixedText(name: string, { set_headers }: Upstream): string | null {
  const [, text] = Object.entries(set_headers).find(([header]) => header.toLowerCase() === name.toLowerCase()) ?? []
  return text === undefined || text === '' || FROM_REQUEST.test(text) ? null : text
}
