// The issuers, resolved: what a token of theirs must be, and where their keys come from.

import type { IssuerSource } from './config.js'
import { isFetchable } from './fields.js'
import { absolute, readCaFile, readJwksFile } from './files.js'
import type { Loading, Rule } from './loading.js'
import type { IssuerInput } from './schema.js'
import { type Located, under } from './source.js'

export function resolveIssuers(issuers: readonly Located<IssuerInput>[], loading: Loading): readonly IssuerSource[] {
  const names = issuers.map(({ value }) => value.issuer)
  return issuers.map(({ value, place }, i) => {
    if (names.indexOf(value.issuer) < i) loading.findings.problem(under(place, 'issuer'), 'this issuer stands here twice')
    for (const [isBroken, setting, sentence] of rulesOf(value))
      if (isBroken) loading.findings.problem(under(place, setting), sentence)
    const { issuer, audience, algorithms, typ, claims, tls, jwks_refresh, jwks_max_stale } = value
    return {
      issuer,
      audience,
      algorithms,
      typ,
      claims,
      keys: keysOf({ value, place }, loading),
      ca: tls === undefined ? null : readCaFile({ value: tls.ca, place: under(place, 'tls', 'ca') }, loading),
      jwks_refresh,
      jwks_max_stale,
    }
  })
}

const rulesOf = ({ issuer, jwks_uri, jwks_file, tls, jwks_refresh, jwks_max_stale }: IssuerInput): readonly Rule[] => [
  [jwks_uri !== undefined && jwks_file !== undefined, 'jwks_file', '`jwks_uri` is given too: leave one out'],
  [
    jwks_uri === undefined && jwks_file === undefined && (!isFetchable(issuer) || issuer.includes('?')),
    'issuer',
    'discovery needs an https URL (http only to loopback): name `jwks_uri` or `jwks_file`',
  ],
  [jwks_file !== undefined && tls !== undefined, 'tls', 'nothing is fetched with `jwks_file`: leave this out'],
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
