// Three readers of one request: src/verify/, jose (with RFC 9449 §4.3 and RFC 9068 §4 written out around it) and oauth4webapi's
// validateJwtAccessToken. Each answers null when it grants, else why not.
import {
  calculateJwkThumbprint,
  createLocalJWKSet,
  EmbeddedJWK,
  type JSONWebKeySet,
  type JWTPayload,
  type JWTVerifyOptions,
  jwtVerify,
} from 'jose'
import { clockSkew, clockTolerance, jwksCache, type JWKS as OAuthJwks, validateJwtAccessToken } from 'oauth4webapi'
import { BUILT_IN_TIERS } from '../../src/config/tiers.js'
import { readKeySet, selectKeys } from '../../src/keys/jwks.js'
import { type Policy, ROUTE_RULES, TIER_SETTINGS } from '../../src/verify/policy.js'
import type { Reason } from '../../src/verify/reasons.js'
import { NOTHING_REVOKED } from '../../src/verify/revocations.js'
import { readTarget } from '../../src/verify/target.js'
import type { InboundRequest, Issuer, ProofHeader, VerifiedToken, VerifyPorts } from '../../src/verify/types.js'
import { verify } from '../../src/verify/verify.js'
import { certificate, makeInbound, makeRoute } from '../support/granted.js'
import { sha256 } from '../support/jwt.js'
import { JWKS } from './keys.js'
import { CERTIFICATE, ISSUER, NOW, ORIGIN, type Wire } from './requests.js'
import { isSameUri } from './rfc3986.js'

/** How old a proof may be, how far ahead clocks may be (seconds): the tier's settings, and the others' options. */
const MAX_AGE = 60
const SKEW = 10
const ALGORITHMS = ['ES256', 'PS256', 'EdDSA', 'Ed25519']

// ---- ours

const issuer: Issuer = {
  issuer: ISSUER,
  audience: [ORIGIN],
  algorithms: ['ES256', 'PS256', 'EdDSA'],
  typ: 'at+jwt',
  claims: { client_id: 'client_id', scope: 'scope' },
  introspection: null,
}

const policy: Policy = (() => {
  // There is no registry.
  const written: Readonly<Record<string, unknown>> = { ...BUILT_IN_TIERS.sensitive_read, client: 'any' }
  const settings = Object.entries(TIER_SETTINGS).map(([name, { schema }]) => [name, schema.parse(written[name])])
  const rules = Object.keys(ROUTE_RULES).map((name) => [name, null])
  // From the two tables that Policy is made of.
  return Object.fromEntries([...settings, ...rules, ['trustedIssuers', [issuer]], ['audience', null]]) as Policy
})()

const keySet = readKeySet(JWKS)
if (typeof keySet === 'string' || keySet.length !== 3) throw new Error(`the key set ${keySet}`)

/** With caches of their own, as a process has them. */
export const makePorts = (): VerifyPorts => ({
  keysFor: (_, header) => selectKeys(keySet, header) ?? [],
  revocations: NOTHING_REVOKED,
  keysGeneration: () => 0,
  introspect: () => 'inactive',
  nonceTime: () => null,
  tokens: new Map<string, VerifiedToken>(),
  proofHeaders: new Map<string, ProofHeader>(),
  limits: { credential_bytes: 8192, proof_bytes: 8192 },
})

const match = { route: makeRoute({ policy }), captured: {} }
const peer: InboundRequest['peer'] = { address: '192.0.2.7', port: 50_000, certificate: { ...certificate, x5tS256: CERTIFICATE } }

export async function ours({ method, target: sent, authorization, dpop }: Wire, ports: VerifyPorts): Promise<Reason | null> {
  const target = readTarget(sent, ORIGIN)
  if (target === null) return 'target_malformed'
  const answer = await verify({ inbound: makeInbound({ method, target, authorization, dpop, peer }), match }, NOW, ports)
  return 'denial' in answer ? answer.denial.reason : null
}

// ---- jose

const keyOf = createLocalJWKSet(JWKS as JSONWebKeySet)
const at: JWTVerifyOptions = { currentDate: new Date(NOW * 1000), clockTolerance: SKEW, algorithms: ALGORITHMS }
const tokenOptions: JWTVerifyOptions = {
  ...at,
  issuer: ISSUER,
  audience: ORIGIN,
  typ: 'at+jwt',
  requiredClaims: ['exp', 'iat', 'sub', 'jti', 'client_id'],
}
const proofOptions: JWTVerifyOptions = {
  ...at,
  typ: 'dpop+jwt',
  maxTokenAge: MAX_AGE,
  requiredClaims: ['jti', 'htm', 'htu', 'ath'],
}

/** The first demand that is not met. */
const unmet = (demands: Readonly<Record<string, boolean>>): string | null =>
  Object.entries(demands).find(([, isMet]) => !isMet)?.[0] ?? null

export async function joseReads(wire: Wire): Promise<string | null> {
  const [line = '', ...more] = wire.authorization
  const [, scheme, token = ''] = /^(dpop|bearer) +([^\s]+)$/i.exec(line) ?? []
  if (scheme === undefined || more.length > 0) return 'not one Authorization line of ours'
  try {
    const { payload } = await jwtVerify(token, keyOf, tokenOptions)
    const { sub, jti, client_id, cnf } = payload
    const strings = unmet({ 'sub, jti and client_id are strings': [sub, jti, client_id].every((one) => typeof one === 'string') })
    if (strings !== null) return strings
    if (cnf !== undefined && (typeof cnf !== 'object' || cnf === null || Array.isArray(cnf))) return 'cnf is an object'
    const { jkt, 'x5t#S256': x5t } = (cnf ?? {}) as Record<string, unknown>
    if (x5t !== undefined && x5t !== CERTIFICATE) return 'RFC 8705 §3: the certificate'
    if (jkt === undefined) return scheme.toLowerCase() === 'bearer' ? null : 'RFC 9449 §7.1: a bound token'
    return scheme.toLowerCase() === 'dpop' ? await joseReadsProof(wire, token, jkt) : 'RFC 9449 §7.2: the DPoP scheme'
  } catch (error) {
    return `jose: ${error instanceof Error ? error.message : error}`
  }
}

/** RFC 9449 §4.3; jose has (2) to (7) and (11), the comparisons stand here. */
async function joseReadsProof({ method, target, dpop }: Wire, token: string, jkt: unknown): Promise<string | null> {
  const [proof, ...more] = dpop
  if (proof === undefined || more.length > 0) return '(1) one proof'
  const { payload, protectedHeader } = await jwtVerify<JWTPayload>(proof, EmbeddedJWK, proofOptions)
  const { jti, htm, htu, ath } = payload
  return unmet({
    '(3) jti is a string': typeof jti === 'string',
    '(8) htm': htm === method,
    '(9) htu': typeof htu === 'string' && isSameUri(htu, ORIGIN + target),
    '(12a) ath': ath === sha256(token),
    '(12b) jkt': jkt === (await calculateJwkThumbprint(protectedHeader.jwk ?? {})),
  })
}

// ---- oauth4webapi

export async function oauthReads({ method, target, authorization, dpop }: Wire): Promise<string | null> {
  // It reads the clock itself: told how far off that is, and asked again where a second went by meanwhile.
  for (;;) {
    const second = Math.floor(Date.now() / 1000)
    const answer = await oauthReadsAt(second, { method, target, authorization, dpop })
    if (Math.floor(Date.now() / 1000) === second) return answer
  }
}

async function oauthReadsAt(second: number, { method, target, authorization, dpop }: Wire): Promise<string | null> {
  try {
    const headers = new Headers()
    for (const line of authorization) headers.append('authorization', line)
    for (const line of dpop) headers.append('dpop', line)
    const request = new Request(ORIGIN + target, { method, headers })
    await validateJwtAccessToken({ issuer: ISSUER, jwks_uri: `${ISSUER}/jwks` }, request, ORIGIN, {
      signingAlgorithms: ALGORITHMS,
      [clockSkew]: NOW - second,
      [clockTolerance]: SKEW,
      [jwksCache]: { jwks: JWKS as OAuthJwks, uat: second },
    })
    return null
  } catch (error) {
    return `oauth4webapi: ${error instanceof Error ? error.message : error}`
  }
}
