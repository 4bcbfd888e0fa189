// A request that was granted, as plain data: a test changes one thing of it.
import type { Policy } from '../../src/verify/policy.js'
import type {
  AccessToken,
  Evidence,
  HeldBody,
  InboundRequest,
  Issuer,
  PeerCertificate,
  Proof,
  Route,
  Upstream,
} from '../../src/verify/types.js'
import { type Grant, grant } from '../../src/verify/verdict.js'
import { makeKey, sha256 } from './jwt.js'

export const NOW = 1_800_000_000
export const ORIGIN = 'https://api.example.com'
export const INTERACTION = '4f0f7a1e-3b1f-4c3e-9d53-3a5f0e9b7c11'
const key = makeKey('ES256')

export const issuer: Issuer = {
  issuer: 'https://as.example.com',
  audience: [ORIGIN],
  algorithms: ['ES256'],
  typ: 'at+jwt',
  claims: { client_id: 'client_id', scope: 'scope' },
  introspection: null,
}

export const makeUpstream = (change: Partial<Upstream> = {}): Upstream => ({
  name: 'cases',
  url: new URL('https://cases.internal:8443'),
  audience: 'cases',
  tls: {},
  timeouts: { connect: 2, headers: 30, body: 30 },
  connections: 64,
  queue: 1024,
  preserve_host: false,
  pass_token: false,
  pass_headers: [],
  client_cert: false,
  set_headers: {},
  case_insensitive: false,
  ...change,
})

export const makeRoute = (change: Partial<Route> = {}): Route => ({
  path: '/cases/:id',
  methods: ['GET'],
  tier: 'sensitive_read',
  upstream: makeUpstream(),
  policy: {} as Policy,
  websocket: false,
  matrix_params: false,
  strip_prefix: null,
  add_prefix: null,
  origins: [ORIGIN],
  action: null,
  resource: null,
  decision: null,
  ...change,
})

export const makeToken = (change: Partial<AccessToken> = {}): AccessToken => ({
  header: { alg: 'ES256', typ: 'at+jwt' },
  claims: { sub: 'user-1', acr: 'urn:example:aal2', auth_time: NOW - 30 },
  issuer,
  clientId: 'client-1',
  subject: 'user-1',
  scope: ['case.read', 'case.write'],
  audience: [ORIGIN],
  jti: 'token-1',
  iat: NOW - 10,
  exp: NOW + 240,
  ath: 'A'.repeat(43),
  confirmation: { jkt: key.jkt, x5tS256: null },
  ...change,
})

export const proof: Proof = {
  header: { segment: 'e30', alg: 'ES256', jkt: key.jkt, key: key.publicKey },
  isKnownHeader: false,
  claims: {
    jti: 'proof-1',
    htm: 'GET',
    htu: `${ORIGIN}/cases/7`,
    iat: NOW,
    ath: 'A'.repeat(43),
    nonce: undefined,
    exp: null,
    nbf: null,
  },
  signed: '',
  signature: new Uint8Array(),
}

export const certificate: PeerCertificate = {
  x5tS256: `${'B'.repeat(42)}A`,
  der: Buffer.from('not a certificate, but bytes'),
  invalid: null,
  notBefore: NOW - 1000,
  notAfter: NOW + 1000,
  judged: true,
  subject: 'CN=client-1',
}

export const makeInbound = (change: Partial<InboundRequest> = {}): InboundRequest => ({
  requestId: 'a7a0c4c2-4c56-4a0b-9d0d-5b8b8b6f8e01',
  receivedAt: NOW,
  method: 'GET',
  target: { origin: ORIGIN, base: ORIGIN, path: '/cases/7', rawPath: '/cases/7', query: null, matrix: false },
  host: 'api.example.com',
  authorization: [],
  dpop: [],
  peer: { address: '192.0.2.7', port: 50000, certificate: null },
  rawHeaders: [],
  interactionId: null,
  ...change,
})

export type Change = {
  readonly inbound?: Partial<InboundRequest>
  readonly evidence?: Partial<Evidence>
  readonly route?: Partial<Route>
  readonly upstream?: Partial<Upstream>
  readonly body?: Uint8Array
}

/** A body as the edge holds it. */
export const held = (bytes: Uint8Array): HeldBody => ({ bytes, digest: bytes.length === 0 ? null : sha256(Buffer.from(bytes)) })

/** Granted by a DPoP-bound token and its proof, unless `change` says otherwise. */
export function makeGrant(change: Change = {}): Grant {
  const evidence: Evidence = {
    inbound: makeInbound(change.inbound),
    captured: {},
    now: NOW,
    token: makeToken(),
    scheme: 'DPoP',
    proof,
    nonceTime: null,
    certificate: null,
    tenant: null,
    reported: [],
    ...change.evidence,
  }
  const route = makeRoute({ upstream: makeUpstream(change.upstream), ...change.route })
  return grant(evidence, route, '5d1c7b0e-93a4-4f0e-b6a1-0f6f2c9d7e32', change.body === undefined ? null : held(change.body))
}
