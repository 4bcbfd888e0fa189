// What of a configuration ends by itself, and when: certificates, CAs, revocation lists. For /metrics, which warns days ahead. Does
// not speak of issuer keys: those end when nobody can renew them (keys/issuers.ts).

import type { X509Certificate } from 'node:crypto'
import type { Seconds } from '../verify/scalars.js'
import type { Config, Listener } from './config.js'
import { readCrl } from './crl.js'
import { readCertificates } from './files.js'

/** `kind` as in `holdfast_expiry_timestamp_seconds`; `name` as the operator wrote it. */
export type Expiry = { readonly kind: string; readonly name: string; readonly at: Seconds }

/** Everything that has an end. Of a chain or a bundle, the first to end. */
export function expiriesOf({ listeners, admin, upstreams, pdps, issuers, replay, audit, tracing }: Config): readonly Expiry[] {
  const redis = replay.store === 'redis' ? replay.redis.tls : null
  const named: readonly (readonly [kind: string, name: string, pem: string | null | undefined])[] = [
    ...listeners.flatMap((listener) => {
      const name = nameOf(listener)
      const hop = listener.behind?.hop
      return [
        ['listener', name, listener.tls?.cert] as const,
        ['client_ca', name, listener.client_ca] as const,
        ['hop_ca', name, typeof hop === 'object' ? hop.ca : null] as const,
      ]
    }),
    ['admin', `${admin.host}:${admin.port}`, admin.tls?.cert],
    ...upstreams.flatMap(({ name, tls }) => [['upstream', name, tls.cert] as const, ['upstream_ca', name, tls.ca] as const]),
    ...pdps.flatMap(({ name, tls }) => [['pdp', name, tls.cert] as const, ['pdp_ca', name, tls.ca] as const]),
    ...issuers.flatMap(({ issuer, ca, introspection }) => {
      const auth = introspection?.auth
      return [['issuer_ca', issuer, ca] as const, ['introspection', issuer, auth?.by === 'tls' ? auth.cert : null] as const]
    }),
    ['tracing', 'collector', tracing?.tls.cert],
    ['tracing_ca', 'collector', tracing?.tls.ca],
    ['redis', 'replay', redis?.cert],
    ['redis_ca', 'replay', redis?.ca],
    ['redis', 'audit', audit.stream?.redis.tls?.cert],
    ['redis_ca', 'audit', audit.stream?.redis.tls?.ca],
  ]
  return [
    ...named.flatMap(([kind, name, pem]) => {
      const at = pem == null ? null : firstEnd(pem)
      return at === null ? [] : [{ kind, name, at }]
    }),
    ...listeners.flatMap((listener) =>
      listener.crl.flatMap((pem) => {
        const at = readCrl(pem)?.nextUpdate ?? null
        return at === null ? [] : [{ kind: 'crl', name: nameOf(listener), at }]
      }),
    ),
  ]
}

const nameOf = ({ host, port, socket }: Listener): string => socket ?? `${host}:${port}`

const endOf = ({ validTo }: X509Certificate): Seconds => Date.parse(validTo) / 1000

/** null: there is no certificate in it. */
function firstEnd(pem: string): Seconds | null {
  const ends = (readCertificates(pem) ?? []).map(endOf)
  return ends.length === 0 ? null : Math.min(...ends)
}
