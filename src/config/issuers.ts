// The issuers, resolved: what a token of theirs must be, and where their keys come from.

import type { Registry } from '../verify/registration.js'
import type { IntrospectionSettings, IssuerSource } from './config.js'
import { isFetchable } from './fields.js'
import { absolute, readCaFile, readClientKey, readJwksFile, readPair } from './files.js'
import type { Loading, Rule } from './loading.js'
import type { IssuerInput } from './schema.js'
import { type Located, under } from './source.js'

/** `registries`: the clients of each; null: there is no registry. */
export function resolveIssuers(
  issuers: readonly Located<IssuerInput>[],
  registries: ReadonlyMap<string, Registry> | null,
  loading: Loading,
): readonly IssuerSource[] {
  const names = issuers.map(({ value }) => value.issuer)
  return issuers.map(({ value, place }, i) => {
    if (names.indexOf(value.issuer) < i) loading.findings.problem(under(place, 'issuer'), 'this issuer stands here twice')
    if (registries === null && Object.values(value.evidence).some((claim) => claim !== undefined))
      loading.findings.problem(
        under(place, 'evidence'),
        'is read for `clients`, the registry, and there is none: add it, or leave this out',
      )
    for (const [isBroken, setting, sentence] of rulesOf(value))
      if (isBroken) loading.findings.problem(under(place, setting), sentence)
    const { issuer, audience, algorithms, typ, claims, evidence, tls, jwks_refresh, jwks_max_stale } = value
    const registry = registries?.get(issuer)
    return {
      issuer,
      audience,
      algorithms,
      typ,
      claims,
      evidence,
      ...(registry === undefined ? {} : { registry }),
      keys: keysOf({ value, place }, loading),
      ca: tls === undefined ? null : readCaFile({ value: tls.ca, place: under(place, 'tls', 'ca') }, loading),
      jwks_refresh,
      jwks_max_stale,
      introspection: introspectionOf({ value, place }, loading),
      ...eventsOf({ value, place }, loading),
    }
  })
}

const isDiscoverable = (issuer: string): boolean => isFetchable(issuer) && !issuer.includes('?')

const rulesOf = ({
  issuer,
  jwks_uri,
  jwks_file,
  tls,
  jwks_refresh,
  jwks_max_stale,
  introspection,
}: IssuerInput): readonly Rule[] => [
  [jwks_uri !== undefined && jwks_file !== undefined, 'jwks_file', '`jwks_uri` is given too: leave one out'],
  [
    jwks_uri === undefined && jwks_file === undefined && !isDiscoverable(issuer),
    'issuer',
    'discovery needs an https URL (http only to loopback): name `jwks_uri` or `jwks_file`',
  ],
  [
    jwks_file !== undefined && introspection === undefined && tls !== undefined,
    'tls',
    'nothing is fetched with `jwks_file`: leave this out',
  ],
  [
    jwks_max_stale < jwks_refresh,
    'jwks_max_stale',
    'must not be shorter than `jwks_refresh`: keys would end between two fetches',
  ],
]

function keysOf({ value, place }: Located<IssuerInput>, loading: Loading): IssuerSource['keys'] {
  const { jwks_uri, jwks_file, algorithms } = value
  if (jwks_file !== undefined) {
    const file = { value: jwks_file, place: under(place, 'jwks_file') }
    return { from: 'file', path: absolute(file), jwks: readJwksFile(file, algorithms, loading) ?? '' }
  }
  return jwks_uri === undefined ? { from: 'discovery' } : { from: 'uri', uri: jwks_uri }
}

function eventsOf({ value: { events }, place }: Located<IssuerInput>, loading: Loading): Pick<IssuerSource, 'events'> {
  if (events === undefined) return {}
  const { token = null, poll = null } = events
  if (token === null && poll === null)
    loading.findings.problem(
      under(place, 'events'),
      'says how events come with `token` (pushed to us), `poll` (asked for), or both',
    )
  return { events: { ...events, token, poll } }
}

function introspectionOf({ value, place }: Located<IssuerInput>, loading: Loading): IntrospectionSettings | null {
  if (value.introspection === undefined) return null
  const { endpoint, client_id, signed, cache, negative_cache, timeout, concurrency } = value.introspection
  const at = under(place, 'introspection')
  if (endpoint === undefined && !isDiscoverable(value.issuer))
    loading.findings.problem(
      under(at, 'endpoint'),
      'is required: discovery needs an issuer that is an https URL (http only to loopback)',
    )
  const auth = clientAuthOf({ value: value.introspection, place: at }, loading)
  if (auth === null) return null
  return { endpoint: endpoint ?? null, client_id, auth, signed, cache, negative_cache, timeout, concurrency }
}

const WAYS = ['private_key_jwt', 'tls', 'client_secret'] as const

/** The one way in which we authenticate; null when there is none that can be used, and that was reported. */
function clientAuthOf(
  { value, place }: Located<NonNullable<IssuerInput['introspection']>>,
  loading: Loading,
): IntrospectionSettings['auth'] | null {
  const [way, second] = WAYS.filter((name) => value[name] !== undefined)
  if (way === undefined) loading.findings.problem(place, `says who asks with one of ${WAYS.join(', ')}: add one`)
  if (second !== undefined) loading.findings.problem(under(place, second), `\`${way}\` is given too: leave one out`)
  if (way === undefined || second !== undefined) return null
  const { private_key_jwt, tls, client_secret } = value
  if (private_key_jwt !== undefined) {
    const key = readClientKey({ value: private_key_jwt.key, place: under(place, way, 'key') }, loading)
    return key === null ? null : { by: 'private_key_jwt', key, kid: private_key_jwt.kid ?? null }
  }
  if (tls !== undefined) {
    const pair = readPair(tls, under(place, way), loading)
    return pair === null ? null : { by: 'tls', ...pair }
  }
  return { by: 'secret', secret: client_secret ?? '' }
}
