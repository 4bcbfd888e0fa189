// The registry of clients, resolved: for each issuer, what its clients' tokens are judged by; and all clients as a list, for the people
// who look after them.

import type { CertificateTrust } from '../verify/certificate-trust.js'
import { declaredOf, type EvidenceClaims, type Quality, type Registration, type Registry } from '../verify/registration.js'
import type { Seconds } from '../verify/scalars.js'
import { TOKEN_ALGORITHMS } from '../verify/signatures.js'
import { readTrust } from './client-certificates.js'
import type { RegisteredClient } from './config.js'
import { readJwksFile } from './files.js'
import type { Loading, Rule } from './loading.js'
import { isServed, overdueOf } from './overdue.js'
import type { ClientInput } from './schema.js'
import { type Located, under } from './source.js'
import { tiersUpTo } from './tiers.js'

/** What clients refer to. */
export type KnownToClients = {
  readonly issuers: ReadonlyMap<string, EvidenceClaims>
  /** Tier by tier, the built-in one that it comes from. */
  readonly origins: ReadonlyMap<string, string>
  /** What each tier demands of how clients get their tokens. */
  readonly profiles: ReadonlyMap<string, readonly Quality[]>
  /** Paths of all routes. */
  readonly paths: ReadonlySet<string>
}

export type Clients = {
  readonly list: readonly RegisteredClient[]
  /** By issuer. */
  readonly registries: ReadonlyMap<string, Registry>
}

type At = Loading & { readonly known: KnownToClients }

export function resolveClients(clients: readonly Located<ClientInput>[], at: At): Clients {
  const registries = new Map([...at.known.issuers.keys()].map((issuer) => [issuer, new Map<string, Registration>()]))
  const list = clients.flatMap((client) => {
    const { value, place } = client
    const report = (setting: string, sentence: string) => at.findings.problem(under(place, ...setting.split('.')), sentence)
    for (const [isBroken, setting, sentence] of rulesOf(value, at.known)) if (isBroken) report(setting, sentence)
    for (const [i, path] of (value.routes ?? []).entries())
      if (!at.known.paths.has(path)) report(`routes.${i}`, 'expected the `path` of a route, as it is written there')
    if (value.jwks_file !== undefined)
      readJwksFile({ value: value.jwks_file, place: under(place, 'jwks_file') }, TOKEN_ALGORITHMS, at)
    const trusted = readTrust(client, at)

    const [only] = at.known.issuers.keys()
    const issuer = value.issuer ?? only ?? ''
    const registry = registries.get(issuer)
    if (registry === undefined) return []
    if (registry.has(value.client_id)) report('client_id', 'this client stands here twice')
    const registered: RegisteredClient = {
      ...value,
      issuer,
      endOfKeys: endOfKeys(value),
      endOfCertificates: trusted?.end ?? value.certificates?.until ?? null,
      tiers: tiersUpTo(value.highest_tier, at.known.origins),
    }
    if (at.isCheck) warnOf({ value: registered, place }, at)
    registry.set(value.client_id, registrationOf(registered, trusted?.trust ?? null))
    return [registered]
  })
  return { list, registries }
}

/** Of what is overdue, and of a tier that the client was given and can't use. */
function warnOf({ value: client, place }: Located<RegisteredClient>, { findings, known }: At): void {
  for (const { setting, sentence } of overdueOf(client, Date.now() / 1000))
    findings.warning(under(place, ...setting.split('.')), sentence)
  const declared = declaredOf(client)
  const evidence = known.issuers.get(client.issuer) ?? {}
  const unmet = (known.profiles.get(client.highest_tier) ?? []).filter(
    (quality) => !declared.has(quality) && evidence[quality] === undefined,
  )
  if (unmet.length > 0 && isServed(client))
    findings.warning(
      under(place, 'highest_tier'),
      `it is refused there: it does not declare ${unmet.join(', ')}, and its issuer does not prove it`,
    )
}

const rulesOf = (value: ClientInput, { issuers, origins }: KnownToClients): readonly Rule[] => [
  [
    value.issuer === undefined && issuers.size > 1,
    'issuer',
    'is required where several issuers are configured: each gives out its own `client_id`s',
  ],
  [
    value.issuer !== undefined && issuers.size > 0 && !issuers.has(value.issuer),
    'issuer',
    'expected the `issuer` of one of `issuers`',
  ],
  [!origins.has(value.highest_tier), 'highest_tier', `expected the name of a tier: ${[...origins.keys()].join(', ')}`],
  [
    value.approval === undefined && (value.status === 'approved' || value.status === 'active'),
    'approval',
    `is required: who approved it, and when; without that it is \`draft\` or \`testing\``,
  ],
  [
    value.rotation.enforced && value.rotation.last === undefined,
    'rotation.last',
    'is required with `enforced: on`: nobody knows when the next rotation is due',
  ],
  [value.jwks_uri !== undefined && value.jwks_file !== undefined, 'jwks_file', '`jwks_uri` is given too: leave one out'],
]

/** When the rotation after the last is due; null: there was none. A date is parsed to the end of its day, so that is when it counts. */
const endOfKeys = ({ rotation }: ClientInput): Seconds | null =>
  rotation.last === undefined ? null : rotation.last + rotation.every

function registrationOf(client: RegisteredClient, certificate: CertificateTrust | null): Registration {
  const limited = (values: readonly string[] | undefined) => (values === undefined ? null : new Set(values))
  return {
    status: client.status,
    end: endOf(client),
    tiers: client.tiers,
    scopes: limited(client.scopes),
    audiences: limited(client.audiences),
    routes: limited(client.routes),
    tenants: limited(client.tenants),
    authMethod: client.token_endpoint_auth_method,
    declared: declaredOf(client),
    certificate,
  }
}

/** The earlier of its last day and of the rotation that it must not miss. */
function endOf({ expires, rotation, endOfKeys }: RegisteredClient): Registration['end'] {
  const due = rotation.enforced && endOfKeys !== null ? endOfKeys : Number.POSITIVE_INFINITY
  const last = expires ?? Number.POSITIVE_INFINITY
  const at = Math.min(due, last)
  return at === Number.POSITIVE_INFINITY ? null : { at, why: last <= due ? 'expired' : 'rotation' }
}
