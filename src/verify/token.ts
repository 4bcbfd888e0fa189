// Is this an access token of an issuer that the route trusts, for us, now? RFC 9068 §4, RFC 8725; the order is contract §4's.
// Does not check: how it is bound, how long it lives, what it may do.

import { readDetails } from './authorization-details.js'
import { readConfirmation } from './confirmation.js'
import { sha256 } from './hashes.js'
import { isText, isTime } from './json.js'
import { type Jws, ownCopy, readJws } from './jws.js'
import type { Policy } from './policy.js'
import type { Seconds } from './scalars.js'
import { isAllowed, isSigned } from './signatures.js'
import type { AccessToken, Issuer, JsonObject, VerifyPorts } from './types.js'
import { Denial, deny } from './verdict.js'

/** What a token is judged by: the route's policy, and the time. */
export type TokenJudge = { readonly policy: Policy; readonly now: Seconds }

/**
 * A token whose signature was good before, judged anew by all that depends on route and time; null: it was never seen, or a key
 * of its issuer has gone since. The cache holds signatures that were checked, never decisions.
 */
export function knownToken(raw: string, judge: TokenJudge, ports: VerifyPorts): AccessToken | Denial | null {
  const known = ports.tokens.get(raw)
  if (known === undefined || known.generation !== ports.keysGeneration(known.token.issuer)) return null
  return accepts(known.token, judge) ?? known.token
}

/** Verifies a token that is not known, and keeps what was good. */
export async function verifyToken(raw: string, judge: TokenJudge, ports: VerifyPorts): Promise<AccessToken | Denial> {
  const jws = readJws(raw)
  if (jws === null) return deny('token_malformed')
  const issuer = judge.policy.trustedIssuers.find((trusted) => trusted.issuer === jws.payload.iss)
  if (issuer === undefined) return deny('token_issuer')
  const refusal = acceptsHeader(jws.header, issuer, judge.policy)
  if (refusal !== null) return refusal
  // Read before the keys are: if a key goes while we verify, what it verified is not kept.
  const generation = ports.keysGeneration(issuer)
  const unsigned = await verifyIssuerSignature(jws, issuer, ports)
  if (unsigned !== null) return unsigned
  const token = readClaims(jws, { issuer, names: issuer.claims, isComplete: issuer.typ === 'at+jwt', ath: sha256(raw) })
  if (token instanceof Denial) return token
  const denial = acceptsClaims(token, judge)
  if (denial !== null) return denial
  const confirmation = readConfirmation(jws.payload.cnf)
  if (confirmation instanceof Denial) return confirmation
  const verified: AccessToken = { ...token, confirmation }
  ports.tokens.set(ownCopy(raw), { token: verified, generation })
  return verified
}

/** What depends on route and time, for a token whose signature and form are known to be good. */
function accepts(token: AccessToken, judge: TokenJudge): Denial | null {
  if (!judge.policy.trustedIssuers.includes(token.issuer)) return deny('token_issuer')
  return acceptsHeader(token.header, token.issuer, judge.policy) ?? acceptsClaims(token, judge)
}

const ACCESS_TOKEN = /^(?:application\/)?at\+jwt$/i
const LEGACY = /^(?:application\/)?jwt$/i

function acceptsHeader(header: JsonObject, issuer: Issuer, policy: Policy): Denial | null {
  const { typ, alg } = header
  const isAccessToken = typeof typ === 'string' && ACCESS_TOKEN.test(typ)
  const isLegacy = issuer.typ === 'JWT' && (typ === undefined || (typeof typ === 'string' && LEGACY.test(typ)))
  if (!isAccessToken && !isLegacy) return deny('token_type')
  const allowed = isAllowed(alg, issuer.algorithms) && isAllowed(alg, policy.token_algorithms)
  return allowed ? null : deny('token_algorithm')
}

/** `kid` only chooses among the issuer's own keys; `jwk`, `jku`, `x5u` and `x5c` are never looked at (RFC 8725 §3.10). */
async function verifyIssuerSignature(jws: Jws, issuer: Issuer, ports: VerifyPorts): Promise<Denial | null> {
  const { kid, alg } = jws.header
  if (kid !== undefined && typeof kid !== 'string') return deny('token_signature', 'kid is not a string')
  const keys = await ports.keysFor(issuer, { kid: kid ?? null, alg: String(alg) })
  if (keys === 'unavailable') return deny('keys_unavailable', issuer.issuer)
  const signed = keys.some(({ key }) => isSigned(String(alg), key, jws.signed, jws.signature))
  return signed ? null : deny('token_signature', keys.length === 0 ? 'no key of the issuer fits' : 'the signature is wrong')
}

const isOptional = (value: unknown, is: (value: unknown) => boolean): boolean => value === undefined || is(value)

/** A string or a list of strings, as a list; null for anything else. */
function readList(value: unknown): readonly string[] | null {
  if (typeof value === 'string') return [value]
  return Array.isArray(value) && value.every((item) => typeof item === 'string') ? value : null
}

/** How the claims of a token are read. */
type Reading = {
  readonly issuer: Issuer
  readonly names: Issuer['claims']
  /** Must it have `sub`, `jti` and its client? */
  readonly isComplete: boolean
  readonly ath: string
}

/** RFC 9068 §2.2; of a legacy issuer (`typ: JWT`) and of opaque tokens only aud, exp and iat are demanded. */
export function readClaims(
  { header, payload: claims }: Pick<Jws, 'header' | 'payload'>,
  { issuer, names, isComplete, ath }: Reading,
): AccessToken | Denial {
  const { exp, iat, nbf, sub, jti } = claims
  const clientId = claims[names.client_id]
  const scope = claims[names.scope]
  const audience = readList(claims.aud)
  if (audience === null || audience.length === 0) return deny('token_claim', 'aud')
  if (!isTime(exp)) return deny('token_claim', 'exp')
  if (!isTime(iat)) return deny('token_claim', 'iat')
  if (exp < iat) return deny('token_claim', 'exp before iat')
  if (!isOptional(nbf, isTime)) return deny('token_claim', 'nbf')
  if (!isText(sub) && !(!isComplete && sub === undefined)) return deny('token_claim', 'sub')
  if (!isText(jti) && !(!isComplete && jti === undefined)) return deny('token_claim', 'jti')
  if (!isText(clientId) && !(!isComplete && clientId === undefined)) return deny('token_claim', names.client_id)
  const scopes = scope === undefined ? [] : readList(scope)
  if (scopes === null) return deny('token_claim', names.scope)
  if (readDetails(claims.authorization_details) === null) return deny('token_claim', 'authorization_details')
  return {
    header,
    claims,
    issuer,
    clientId: clientId ?? '',
    subject: sub ?? null,
    scope: scopes.flatMap((value) => value.split(' ')).filter((value) => value !== ''),
    audience,
    jti: jti ?? null,
    iat,
    exp,
    ath,
    confirmation: null,
  }
}

/** `exp` has no leeway; `nbf` and `iat` may be `clock_skew` ahead (contract §3, FAPI 2.0 §5.3.2.1). */
export function acceptsClaims(token: AccessToken, judge: TokenJudge): Denial | null {
  const accepted = judge.policy.audience ?? token.issuer.audience
  if (!token.audience.some((audience) => accepted.includes(audience))) return deny('token_audience')
  if (judge.now >= token.exp) return deny('token_expired')
  const latest = judge.now + judge.policy.clock_skew
  const { nbf } = token.claims
  return token.iat > latest || (isTime(nbf) && nbf > latest) ? deny('token_not_yet_valid') : null
}
