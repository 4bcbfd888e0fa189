// Is this token active, as its issuer sees it now (RFC 7662)? An opaque token is judged by what its issuer says of it, as a JWT is by what
// it says itself: the same claims, the same binding, the same order (contract §4). On tiers with `introspect: always` its issuer is asked
// about a JWT as well.
// Does not check: who answers, and that the answer is fresh. That is the port's (introspection/).

import { readConfirmation } from './confirmation.js'
import { sha256 } from './hashes.js'
import { isTime } from './json.js'
import { splitJws } from './jws.js'
import type { Policy } from './policy.js'
import type { Seconds } from './scalars.js'
import { acceptsClaims, readClaims, type TokenJudge } from './token.js'
import type { AccessToken, Introspected, Issuer, JsonObject, VerifyPorts } from './types.js'
import { Denial, deny } from './verdict.js'

type Maybe<T> = T | Promise<T>

/** The issuer that is asked about this token, of which the route trusts at most one (config/routes.ts); null: it is a JWT, or there is none. */
export function opaqueIssuer(raw: string, { trustedIssuers }: Policy): Issuer | null {
  for (const issuer of trustedIssuers) {
    if (issuer.introspection !== null) return splitJws(raw) === null ? issuer : null
  }
  return null
}

type Asking = TokenJudge & { readonly raw: string; readonly issuer: Issuer; readonly receivedAt: Seconds }

/** Asks about an opaque token, and judges what is answered. */
export function verifyOpaque({ raw, issuer, receivedAt, ...judge }: Asking, ports: VerifyPorts): Maybe<AccessToken | Denial> {
  const hash = sha256(raw)
  const isAnew = judge.policy.introspect === 'always'
  const answer = ports.introspect(issuer, { raw, hash, isIssued: false, receivedAt, isAnew })
  const read = (said: Introspected): AccessToken | Denial => {
    const claims = activeClaims(said)
    return claims instanceof Denial ? claims : readOpaque(claims, { issuer, hash, judge })
  }
  return answer instanceof Promise ? answer.then(read) : read(answer)
}

type Confirming = { readonly raw: string; readonly token: AccessToken; readonly now: Seconds; readonly receivedAt: Seconds }

/** Asks about a JWT that is good in itself; null: it is active. What it may do is judged by its own claims alone. */
export function confirmActive({ raw, token, now, receivedAt }: Confirming, ports: VerifyPorts): Maybe<Denial | null> {
  const answer = ports.introspect(token.issuer, { raw, hash: token.ath, isIssued: true, receivedAt, isAnew: true })
  const read = (said: Introspected): Denial | null => {
    const claims = activeClaims(said)
    if (claims instanceof Denial) return claims
    // The issuer may have shortened its life since.
    return contradiction(claims, token) ?? (isTime(claims.exp) && now >= claims.exp ? deny('token_expired') : null)
  }
  return answer instanceof Promise ? answer.then(read) : read(answer)
}

function activeClaims(said: Introspected): JsonObject | Denial {
  if (said === 'inactive') return deny('token_inactive')
  return 'active' in said ? said.active : deny('introspection_unavailable', said.unavailable)
}

/** RFC 7662 §2.2: whatever a JWT's claims are called at this issuer, these are their names. */
const NAMES = { client_id: 'client_id', scope: 'scope' }
const NO_HEADER: JsonObject = {}

type About = { readonly issuer: Issuer; readonly hash: string; readonly judge: TokenJudge }

function readOpaque(claims: JsonObject, { issuer, hash, judge }: About): AccessToken | Denial {
  if (claims.iss !== undefined && claims.iss !== issuer.issuer) return deny('token_issuer')
  if (!isAccessToken(claims)) return deny('token_type')
  const token = readClaims({ header: NO_HEADER, payload: claims }, { issuer, names: NAMES, isComplete: false, ath: hash })
  if (token instanceof Denial) return token
  const denial = acceptsClaims(token, judge)
  if (denial !== null) return denial
  const confirmation = readConfirmation(claims.cnf)
  if (confirmation instanceof Denial) return confirmation
  // RFC 9449 §6.2: it is DPoP-bound, and nobody says to which key. The other way round `cnf` alone decides, and it binds.
  if (isDpop(claims) && (confirmation === null || confirmation.jkt === null))
    return deny('binding_unsupported', 'token_type is DPoP, and cnf has no jkt')
  return { ...token, confirmation }
}

const ACCESS_TOKEN = /^(?:bearer|dpop)$/i
/** What Keycloak calls them: an answer about a refresh token or an ID token is `active` as well. */
const KIND = /^(?:bearer|dpop|(?:application\/)?(?:at\+)?jwt)$/i

const isAccessToken = ({ token_type, typ }: JsonObject): boolean =>
  (token_type === undefined || (typeof token_type === 'string' && ACCESS_TOKEN.test(token_type))) &&
  (typ === undefined || (typeof typ === 'string' && KIND.test(typ)))

const isDpop = ({ token_type }: JsonObject): boolean => typeof token_type === 'string' && token_type.toLowerCase() === 'dpop'

/** An answer that speaks of another token says nothing about this one. */
function contradiction(claims: JsonObject, token: AccessToken): Denial | null {
  if (!isAccessToken(claims)) return deny('token_type')
  const { iss, jti, cnf } = claims
  const confirmation = cnf === undefined ? token.confirmation : readConfirmation(cnf)
  const isOther =
    (iss !== undefined && iss !== token.issuer.issuer) ||
    (jti !== undefined && token.jti !== null && jti !== token.jti) ||
    confirmation instanceof Denial ||
    confirmation?.jkt !== token.confirmation?.jkt ||
    confirmation?.x5tS256 !== token.confirmation?.x5tS256
  return isOther ? deny('introspection_unavailable', 'the answer is about another token') : null
}
