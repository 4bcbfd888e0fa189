// What of the registry is overdue: work for the people who look after it, found before it becomes an outage or an incident. Told by
// `holdfast clients check`, by `holdfast check`, and counted on /metrics.

import { CLIENT_STATUSES, type ClientStatus } from '../verify/registration.js'
import type { Seconds } from '../verify/scalars.js'
import type { RegisteredClient } from './config.js'

export const OVERDUE_KINDS = ['contact', 'rotation', 'certificate', 'certification', 'expiry'] as const
export type OverdueKind = (typeof OVERDUE_KINDS)[number]

export type Overdue = { readonly kind: OverdueKind; readonly setting: string; readonly sentence: string }

export type RegistryReadings = {
  readonly statuses: Readonly<Record<ClientStatus, number>>
  readonly overdue: Readonly<Record<OverdueKind, number>>
}

/** How long before an end there is something to do. */
const AHEAD: Seconds = 30 * 86_400

/** Of tiers that only certified clients should use. */
const HIGH_TIERS = ['sensitive_write', 'high_value']

export const isServed = ({ status }: RegisteredClient): boolean => status === 'active' || status === 'testing'

/** Of a client whose tokens are taken, or would be were it not for a date. */
export function overdueOf(client: RegisteredClient, now: Seconds): readonly Overdue[] {
  if (!isServed(client)) return []
  return [...ofPeople(client), ...ofKeys(client, now), ...ofCertification(client, now), ...ofEnd(client, now)]
}

function ofPeople({ security_contact }: RegisteredClient): readonly Overdue[] {
  if (security_contact !== undefined) return []
  return [{ kind: 'contact', setting: 'security_contact', sentence: 'nobody is named whom to tell of an incident' }]
}

function ofKeys(client: RegisteredClient, now: Seconds): readonly Overdue[] {
  const { token_endpoint_auth_method, endOfKeys, endOfCertificates, rotation } = client
  const found: Overdue[] = []
  if (token_endpoint_auth_method !== 'none' && endOfKeys === null)
    found.push({ kind: 'rotation', setting: 'rotation', sentence: 'its keys were never rotated: say `last` when they are' })
  else if (endOfKeys !== null && now >= endOfKeys) {
    const since = `its keys had to be rotated by ${day(endOfKeys - 1)}`
    found.push({
      kind: 'rotation',
      setting: 'rotation.last',
      sentence: rotation.enforced ? `${since}: its tokens are refused` : since,
    })
  }
  if (endOfCertificates !== null && now >= endOfCertificates - AHEAD) {
    const ends = now >= endOfCertificates ? 'ended' : 'ends'
    const sentence = `its last certificate ${ends} on ${day(endOfCertificates)}: register a new one`
    found.push({ kind: 'certificate', setting: 'certificates', sentence })
  }
  return found
}

function ofCertification({ certification, tiers, status }: RegisteredClient, now: Seconds): readonly Overdue[] {
  if (status !== 'active' || !HIGH_TIERS.some((tier) => tiers.has(tier))) return []
  const { until } = certification
  if (certification.status !== 'certified') {
    const sentence = 'it is not certified, and its `highest_tier` is a high one'
    return [{ kind: 'certification', setting: 'certification', sentence }]
  }
  if (until === undefined || now < until - AHEAD) return []
  const sentence = `its certification ${now >= until ? 'ended' : 'ends'} on ${day(until - 1)}`
  return [{ kind: 'certification', setting: 'certification.until', sentence }]
}

function ofEnd({ expires }: RegisteredClient, now: Seconds): readonly Overdue[] {
  if (expires === undefined || now < expires - AHEAD) return []
  const sentence =
    now >= expires
      ? `it expired on ${day(expires - 1)}: its tokens are refused`
      : `it expires on ${day(expires - 1)}: renew or end it`
  return [{ kind: 'expiry', setting: 'expires', sentence }]
}

/** For /metrics: clients by status, and how many have something of a kind overdue. null: there is no registry. */
export function registryReadings(clients: readonly RegisteredClient[] | null, now: Seconds): RegistryReadings | null {
  if (clients === null) return null
  const statuses = Object.fromEntries(CLIENT_STATUSES.map((status) => [status, 0])) as Record<ClientStatus, number>
  const overdue = Object.fromEntries(OVERDUE_KINDS.map((kind) => [kind, 0])) as Record<OverdueKind, number>
  for (const client of clients) {
    statuses[client.status] += 1
    for (const { kind } of overdueOf(client, now)) overdue[kind] += 1
  }
  return { statuses, overdue }
}

const day = (time: Seconds): string => new Date(time * 1000).toISOString().slice(0, 10)
