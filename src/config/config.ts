// The loaded routes.yaml: frozen, every name resolved, all paths absolute and all files read. What the gateway runs on.

import type { Bytes, Seconds } from '../verify/scalars.js'
import type { Issuer, Route, RouteMatch, Upstream } from '../verify/types.js'
import type { ClientInput } from './schema-clients.js'

export type TlsFiles = { readonly key: string; readonly cert: string }

/** The proxy that ends TLS before us, and what it is believed (contract §10). */
export type Behind = {
  /** A certificate of one of these CAs (PEM) that has one of these alternative names: DNS names, and URIs where they have a scheme. */
  readonly hop: 'loopback' | 'socket' | { readonly ca: string; readonly names: readonly string[] }
  readonly certificate: 'none' | 'client_cert' | 'xfcc' | 'nginx' | 'traefik' | 'alb' | 'haproxy'
  readonly address: 'none' | 'forwarded_for' | 'forwarded'
  readonly host: 'same' | 'forwarded'
  /** Canonical, without final slash; empty: none. */
  readonly removed_prefix: string
}

export type Listener = {
  readonly host: string
  readonly port: number
  /** A unix socket in place of host and port: its absolute path. */
  readonly socket: string | null
  /** PEM text, not paths: a file that cannot be read is a problem of the configuration, with its line. null: without TLS. */
  readonly tls: TlsFiles | null
  /** null: we are the edge. */
  readonly behind: Behind | null
  /** Balancers that bring connections of others, and say whose: addresses, and ranges as `10.0.0.0/8`. null: nobody does. */
  readonly proxy_protocol: { readonly from: readonly string[] } | null
  /** Whether other proxies' requests may pass is asked here; nothing is forwarded (`decision_api`). */
  readonly decides: boolean
  /** Of clients, whoever ends their TLS. */
  readonly client_certificates: 'off' | 'pop_only' | 'pki'
  /** PEM of the CAs that client certificates must chain to (`pki`). */
  readonly client_ca: string | null
  /** PEM, one CRL each (Node loads only the first of a bundle). */
  readonly crl: readonly string[]
  /** Public origins served here, in normal form. */
  readonly origins: readonly string[]
}

export type Limits = {
  readonly header_bytes: Bytes
  readonly header_count: number
  readonly target_bytes: Bytes
  readonly credential_bytes: Bytes
  readonly proof_bytes: Bytes
  readonly handshake: Seconds
  readonly headers: Seconds
  readonly idle: Seconds
  readonly body_idle: Seconds
  readonly body_total: Seconds
  readonly connections: number
  readonly connections_per_address: number
  readonly requests: number
  readonly digest_buffer: Bytes
  readonly event_loop_delay: Seconds
}

/** How security events of an issuer come to us. */
export type EventSettings = {
  readonly audience: readonly string[]
  /** What it is known by when it pushes them (RFC 8935); null: it does not. */
  readonly token: string | null
  /** Where they are asked for (RFC 8936), and what we are known by there; null: nowhere. */
  readonly poll: { readonly endpoint: string; readonly token: string; readonly interval: Seconds } | null
  readonly algorithms: readonly string[]
}

/** An issuer with where its keys come from; what the pure core sees of it is `Issuer`. */
export type IssuerSource = Issuer & {
  /** `discovery`: RFC 8414, then OpenID Connect. `file`: the text of a JWK set. */
  readonly keys:
    | { readonly from: 'discovery' }
    | { readonly from: 'uri'; readonly uri: string }
    | { readonly from: 'file'; readonly path: string; readonly jwks: string }
  /** PEM of a private CA for discovery, keys and introspection; null: the system's. */
  readonly ca: string | null
  readonly jwks_refresh: Seconds
  readonly jwks_max_stale: Seconds
  /** Left out: nothing is heard of it. */
  readonly events?: EventSettings
  readonly introspection: IntrospectionSettings | null
}

/** How an issuer is asked about tokens (RFC 7662). */
export type IntrospectionSettings = {
  /** null: found by discovery. */
  readonly endpoint: string | null
  readonly client_id: string
  /** PEM text, not paths. `kid` null: none is sent. */
  readonly auth:
    | { readonly by: 'private_key_jwt'; readonly key: string; readonly kid: string | null }
    | ({ readonly by: 'tls' } & TlsFiles)
    | { readonly by: 'secret'; readonly secret: string }
  readonly signed: 'required' | 'off'
  /** The revocation delay. */
  readonly cache: Seconds
  readonly negative_cache: Seconds
  readonly timeout: Seconds
  /** Questions under way at once, of each process. */
  readonly concurrency: number
}

/** Who is asked whether a request may be made (AuthZEN Authorization API 1.0). */
export type PdpSettings = {
  readonly name: string
  /** Its identifier, as written. */
  readonly url: string
  readonly discovery: boolean
  readonly tls: Upstream['tls']
  /** null: none is sent. */
  readonly authorization: string | null
  readonly timeout: Seconds
  /** Questions under way at once, of each process. */
  readonly concurrency: number
  /** null: nothing is kept. */
  readonly cache: Seconds | null
  /** `type` of the subject. */
  readonly subject: { readonly user: string; readonly client: string }
  /** Of these three, members of the `context` of an answer; with dots between the names where they are nested. */
  readonly decision_id: string
  readonly policy_version: string
  readonly step_up: { readonly acr_values?: string | undefined; readonly max_age?: string | undefined } | null
}

/** A client as the registry has it, for those who look after it; what requests are judged by is `Registration`. */
export type RegisteredClient = Omit<ClientInput, 'issuer'> & {
  readonly issuer: string
  /** When its keys must be rotated next; null: they never were. */
  readonly endOfKeys: Seconds | null
  /** When the last of its certificates ends; null: it is not known. */
  readonly endOfCertificates: Seconds | null
  /** Names of the tiers up to its highest. */
  readonly tiers: ReadonlySet<string>
}

export type RedisSettings = {
  readonly url: string | null
  readonly sentinels: readonly string[]
  readonly primary: string | null
  readonly cluster: readonly string[]
  readonly timeout: Seconds
  readonly username: string | null
  readonly password: string | null
  readonly key_prefix: string
  readonly tls: { readonly ca: string | null; readonly cert: string | null; readonly key: string | null } | null
  /** Replicas that must have each record. */
  readonly wait: number
}

export type Config = {
  /** Absolute path of routes.yaml. */
  readonly file: string
  /** Hash of the loaded routes.yaml, its includes and its clients. */
  readonly policyVersion: string
  readonly listeners: readonly Listener[]
  /** In normal form (lower case, no default port, no slash). */
  readonly publicOrigins: readonly string[]
  /** Pages of other origins that may ask, and what they may send and read; null: none. Origins are in normal form. */
  readonly cors: {
    readonly origins: readonly string[]
    readonly max_age: Seconds
    readonly headers: readonly string[]
    readonly expose: readonly string[]
  } | null
  readonly admin: { readonly host: string; readonly port: number; readonly tls: TlsFiles | null }
  /** Processes; already resolved from `auto`. */
  readonly workers: number
  readonly drain: Seconds
  readonly drain_delay: Seconds
  /** How often the files of this configuration are looked at for changes; null: never. */
  readonly watch: Seconds | null
  readonly limits: Limits
  readonly issuers: readonly IssuerSource[]
  /** null: there is no registry. */
  readonly clients: readonly RegisteredClient[] | null
  readonly replay: { readonly store: 'memory' } | { readonly store: 'redis'; readonly redis: RedisSettings }
  readonly revocations: { readonly max_stale: Seconds }
  /** [current, previous]; empty: made at start. */
  readonly nonceSecrets: readonly string[]
  readonly audit: {
    readonly file: string | null
    /** Redis streams in place of a file; null: there are none. */
    readonly stream: { readonly redis: RedisSettings; readonly events: number } | null
    readonly refusals_per_second: number
    /** While lines are written, how often what was written is signed. */
    readonly checkpoints: Seconds
    readonly rotate: { readonly size: Bytes; readonly keep: number } | null
  }
  /** Where traces go, and of which share of requests there are any; null: nowhere. */
  readonly tracing: { readonly otlp: string; readonly sample: number; readonly tls: Upstream['tls'] } | null
  readonly assertion: {
    readonly issuer: string
    /** PEM, the first signs, all are published. */
    readonly keys: readonly string[]
    readonly ttl: Seconds
    readonly header: string
  }
  readonly upstreams: readonly Upstream[]
  readonly pdps: readonly PdpSettings[]
  readonly routes: readonly Route[]
  /**
   * The route of a canonical path on an origin: the most specific path wins whatever its methods, then the method decides.
   * `'unknown'`: no path fits; a list: the methods that the path allows (405).
   */
  readonly match: (origin: string, path: string, method: string) => RouteMatch | 'unknown' | readonly string[]
  /** Would another route take this path in other case? (`case_insensitive` upstreams, contract §6.) */
  readonly matchesInOtherCase: (origin: string, path: string, route: Route) => boolean
  /** Would another route take this path without its `;` parameters, as servlet containers read it? */
  readonly matchesWithoutMatrix: (origin: string, path: string, route: Route) => boolean
}
