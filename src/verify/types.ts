// The nouns of the pure core. Everything here is plain data, read-only, and free of I/O; all times are epoch seconds.

import type { KeyObject } from 'node:crypto'
import type { Policy } from './policy.js'
import type { EvidenceClaims, Registry } from './registration.js'
import type { Revocations } from './revocations.js'
import type { Bytes, Seconds } from './scalars.js'
import type { Denial } from './verdict.js'

/** A JSON object that nothing is known of yet. */
export type JsonObject = { readonly [member: string]: unknown }

/** The canonical request URI. `path` is what routes match and `htu` is compared with; `rawPath` is what was sent. */
export type Target = {
  /** The configured public origin that Host names, in normal form: `https://api.example.com`. */
  readonly origin: string
  /** What a path begins behind: the origin, and the prefix that a hop took away. */
  readonly base: string
  /** RFC 3986 §6.2.2 normal form of the path: unreserved characters decoded, other escapes in upper case. */
  readonly path: string
  /** Path byte for byte as it came. */
  readonly rawPath: string
  /** Query byte for byte as it came, without `?`; null when there is none. */
  readonly query: string | null
  /** The path holds `;` (or its escape): only routes with `matrix_params` take it. */
  readonly matrix: boolean
}

/** The TLS client on the other side of this connection, or the one a trusted hop speaks for. */
export type Peer = {
  readonly address: string
  readonly port: number
  readonly certificate: PeerCertificate | null
}

/** A client certificate that the handshake proved possession of. */
export type PeerCertificate = {
  /** base64url SHA-256 of the DER (RFC 8705 §3.1). */
  readonly x5tS256: string
  readonly der: Uint8Array
  /** Why the listener does not accept it (chain, usage, revocation), or null. Dates are judged apart, on each request. */
  readonly invalid: string | null
  readonly notBefore: Seconds
  readonly notAfter: Seconds
  /** True where the listener demands a valid chain (`pki`); false in `pop_only`, where only the binding counts. */
  readonly judged: boolean
  readonly subject: string
}

/** What arrived, unverified. Made by edge/inbound.ts only, which is the only reader of sockets and headers. */
export type InboundRequest = {
  readonly requestId: string
  readonly receivedAt: Seconds
  readonly method: string
  readonly target: Target
  /** The Host that was named, in lower case, with its port where that is not 443. */
  readonly host: string
  /** Every Authorization line, in order. Repeats must be seen, so this is never a joined string. */
  readonly authorization: readonly string[]
  /** Every DPoP line, in order. */
  readonly dpop: readonly string[]
  readonly peer: Peer
  /** Names and values as they came: [name, value, name, value, ...]. */
  readonly rawHeaders: readonly string[]
  /** `x-fapi-interaction-id` where it is a UUID, else null. */
  readonly interactionId: string | null
}

export type Scheme = 'Bearer' | 'DPoP'

/** What was presented. */
export type Credentials = { readonly scheme: Scheme; readonly token: string }

export type BindingMethod = 'dpop' | 'mtls'

/** The `cnf` claim, parsed (RFC 7800 §3). At least one member is there. */
export type Confirmation = { readonly jkt: string | null; readonly x5tS256: string | null }

/** A verified access token (RFC 9068), or what its issuer said of an opaque one (RFC 7662), which has no header. */
export type AccessToken = {
  readonly header: JsonObject
  readonly claims: JsonObject
  readonly issuer: Issuer
  readonly clientId: string
  readonly subject: string | null
  /** All scope values; `claims.scope` may be a string or a list. */
  readonly scope: readonly string[]
  readonly audience: readonly string[]
  readonly jti: string | null
  readonly iat: Seconds
  readonly exp: Seconds
  /** base64url SHA-256 of the token as presented. */
  readonly ath: string
  /** null: the token is not bound. */
  readonly confirmation: Confirmation | null
}

/** A DPoP proof, parsed; verified only once it stands in Evidence. */
export type Proof = {
  readonly header: ProofHeader
  /** It came from the cache: a proof with this header was good before. */
  readonly isKnownHeader: boolean
  readonly claims: ProofClaims
  /** The two signed segments and the signature. */
  readonly signed: string
  readonly signature: Uint8Array
}

/** A function of its `segment` alone: what it says of one proof, it says of every proof that begins so. */
export type ProofHeader = {
  /** The header as it came. */
  readonly segment: string
  readonly alg: string
  /** RFC 7638 SHA-256 thumbprint of `jwk`. */
  readonly jkt: string
  readonly key: KeyObject
}

export type ProofClaims = {
  readonly jti: string
  readonly htm: string
  readonly htu: string
  readonly iat: Seconds
  readonly ath: string
  readonly nonce: unknown
  readonly exp: Seconds | null
  readonly nbf: Seconds | null
}

/** Everything verified so far. The checks read it; a Grant carries it. */
export type Evidence = {
  readonly inbound: InboundRequest
  /** What the route's path captured. */
  readonly captured: RouteMatch['captured']
  readonly now: Seconds
  /** null on a route whose tier demands no token. */
  readonly token: AccessToken | null
  readonly scheme: Scheme | null
  /** A proof that was judged; null where the token is not DPoP-bound. */
  readonly proof: Proof | null
  /** When the accepted nonce of the proof was made; null without one. */
  readonly nonceTime: Seconds | null
  /** The certificate, where the token is bound to it and it was proven. */
  readonly certificate: PeerCertificate | null
  /** The value of the tenant claim where the route checks one. */
  readonly tenant: string | null
  /** What would have been refused, were it not for `report_only_until` (contract §5). */
  readonly reported: readonly Denial[]
  /** What a policy decision point said; left out: the route asks none. */
  readonly decision?: Decision
}

/** What is known of a decision that was asked for. */
export type Decision = {
  /** Whom it was asked of. */
  readonly pdp: string
  /** What it is called there; null: there was none. */
  readonly id: string | null
  /** The policy that it came from; null: that was not said. */
  readonly policyVersion: string | null
}

/** What a route asks a policy decision point (AuthZEN Authorization API 1.0). */
export type DecisionRule = {
  readonly pdp: string
  /** The longest that the question takes. */
  readonly timeout: Seconds
  /** null: the method. */
  readonly action: string | null
  /** One at least; with several, all must be permitted. `id`: `path.NAME`, or fixed text. */
  readonly resources: readonly { readonly type: string; readonly id: string }[]
}

/** A request that was refused, with what had been found out by then: for the audit event, never for a decision. */
export type Refused = {
  readonly denial: Denial
  readonly found: Pick<Evidence, 'token' | 'scheme' | 'proof' | 'decision'>
}

/** A token issuer as routes.yaml has it (contract §2). */
export type Issuer = {
  readonly issuer: string
  readonly audience: readonly string[]
  readonly algorithms: readonly string[]
  /** `at+jwt`: strict RFC 9068; `JWT`: a legacy issuer. */
  readonly typ: 'at+jwt' | 'JWT'
  readonly claims: { readonly client_id: string; readonly scope: string }
  /** Set where it can be asked about tokens (RFC 7662): then its tokens may be opaque. */
  readonly introspection: { readonly client_id: string } | null
  /** In which claims it asserts how a client got its token. */
  readonly evidence?: EvidenceClaims
  /** Its clients; left out: there is no registry. */
  readonly registry?: Registry
}

/** A token that an issuer is asked about, for one request. */
export type TokenQuestion = {
  readonly raw: string
  /** base64url SHA-256 of it. */
  readonly hash: string
  /** Is it surely of this issuer: a JWT whose signature is good? What is not may be somebody's invention. */
  readonly isIssued: boolean
  /** When the request came. */
  readonly receivedAt: Seconds
  /** Must the answer be younger than the request? Else it may be as old as the issuer's `cache` allows. */
  readonly isAnew: boolean
}

/**
 * What the issuer says of a token: all it says of an active one, `inactive`, or why it can't be known (for the operator). A promise only
 * where it is asked.
 */
export type Introspect = (issuer: Issuer, question: TokenQuestion) => Introspected | Promise<Introspected>

export type Introspected = { readonly active: JsonObject } | 'inactive' | { readonly unavailable: string }

/** A key of an issuer that fits, ready for node:crypto. */
export type IssuerKey = { readonly kid: string | null; readonly key: KeyObject }

/**
 * The keys of `issuer` that fit a token header, best first; an empty list: there is none (`token_signature`);
 * 'unavailable': it can't be known now (`keys_unavailable`). A promise only where a fetch is needed.
 */
export type KeysFor = (
  issuer: Issuer,
  header: { readonly kid: string | null; readonly alg: string },
) => readonly IssuerKey[] | 'unavailable' | Promise<readonly IssuerKey[] | 'unavailable'>

/** A bounded cache. Filled only after full success, so that no one without a valid token can fill it. */
export type Cache<V> = { get(key: string): V | undefined; set(key: string, value: V): unknown }

/** What the pure core is given from outside. */
export type VerifyPorts = {
  readonly keysFor: KeysFor
  /** Changes whenever a key of this issuer is gone: what was verified by it is then verified again. */
  readonly keysGeneration: (issuer: Issuer) => number
  readonly introspect: Introspect
  /** When a nonce of ours was made, or null when it is not one of ours. */
  readonly nonceTime: (nonce: string) => Seconds | null
  readonly tokens: Cache<VerifiedToken>
  /** By `jkt`, so that a key has one entry, in however many ways its holder writes its headers. */
  readonly proofHeaders: Cache<ProofHeader>
  readonly limits: { readonly credential_bytes: Bytes; readonly proof_bytes: Bytes }
  readonly revocations: Revocations
}

/** A token whose signature was good, with what it must be looked up by again. */
export type VerifiedToken = { readonly token: AccessToken; readonly generation: number }

/** A service behind us. */
export type Upstream = {
  readonly name: string
  readonly url: URL
  /** `aud` of the assertion. */
  readonly audience: string
  readonly tls: { readonly ca?: string; readonly cert?: string; readonly key?: string }
  readonly timeouts: { readonly connect: Seconds; readonly headers: Seconds; readonly body: Seconds | null }
  readonly connections: number
  readonly queue: number
  readonly preserve_host: boolean
  readonly pass_token: boolean
  /** Lower case. */
  readonly pass_headers: readonly string[]
  readonly client_cert: boolean
  readonly set_headers: Readonly<Record<string, string>>
  readonly case_insensitive: boolean
}

/** A route, resolved at load: match + tier + upstream. At request time there is nothing left to validate. */
export type Route = {
  /** As written in routes.yaml. */
  readonly path: string
  readonly methods: readonly string[]
  readonly tier: string
  readonly upstream: Upstream
  /** The tier's settings and the route's own rules, in one frozen object. */
  readonly policy: Policy
  readonly websocket: boolean
  readonly matrix_params: boolean
  readonly strip_prefix: string | null
  readonly add_prefix: string | null
  /** Public origins it is served on, in normal form. */
  readonly origins: readonly string[]
  readonly action: string | null
  readonly resource: { readonly type: string; readonly id: string | null } | null
  /** null: no policy decision point is asked. */
  readonly decision: DecisionRule | null
}

/** A route and the values its path captured, percent-decoded once; a value that is not UTF-8 is absent. */
export type RouteMatch = { readonly route: Route; readonly captured: Readonly<Record<string, string>> }

/** A whole body; hashed as it came, because a large one would hold up everyone else if that were done in one piece. */
export type HeldBody = {
  readonly bytes: Uint8Array
  /** base64url SHA-256; null: there are no bytes. */
  readonly digest: string | null
}
