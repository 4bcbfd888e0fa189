// What does this answer say of the token? Strict: `active` is true or false and nothing else (RFC 7662 §2.2), JSON says everything once,
// and where a signed answer is demanded it is signed by this issuer, for us, just now (RFC 9701 §5). What is not such an answer says
// nothing about the token: it is the issuer's trouble, told to the operator, without anything of the answer in it.

import { type Answer, mediaTypeOf } from '../asking/post.js'
import type { IssuerSource } from '../config/config.js'
import { isJsonObject, isTime, readJsonObject } from '../verify/json.js'
import { readJws } from '../verify/jws.js'
import type { Seconds } from '../verify/scalars.js'
import { isAllowed, isSigned } from '../verify/signatures.js'
import type { Introspected, JsonObject, KeysFor } from '../verify/types.js'

export type AnswerJudge = { readonly issuer: IssuerSource; readonly keysFor: KeysFor; readonly now: Seconds }

/** What the signed answer is called, in `Accept`, as its media type and as its `typ` (RFC 9701 §4, §5). */
export const SIGNED = 'application/token-introspection+jwt'
export const PLAIN = 'application/json'

/** How old a signed answer may be, and how far ahead the issuer's clock. */
const OLDEST: Seconds = 30

const unavailable = (why: string): Introspected => ({ unavailable: why })

/** Reads an answer with status 200. */
export async function readAnswer(answer: Answer, judge: AnswerJudge): Promise<Introspected> {
  const isSignedDemanded = judge.issuer.introspection?.signed === 'required'
  const expected = isSignedDemanded ? SIGNED : PLAIN
  if (mediaTypeOf(answer) !== expected) return unavailable(`the answer is not ${expected}`)
  const claims = isSignedDemanded
    ? await readSigned(answer.bytes, judge)
    : (readJsonObject(answer.bytes) ?? 'the answer is not one JSON object')
  if (typeof claims === 'string') return unavailable(claims)
  if (claims.active === true) return { active: claims }
  return claims.active === false ? 'inactive' : unavailable('the answer does not say whether the token is active')
}

const TYP = /^(?:application\/)?token-introspection\+jwt$/i

/** The answer in a signed one; a sentence when it is none that can be used. */
async function readSigned(bytes: Uint8Array, { issuer, keysFor, now }: AnswerJudge): Promise<JsonObject | string> {
  const jws = readJws(Buffer.from(bytes).toString('latin1'))
  if (jws === null) return 'the answer is no signed JWT'
  const { typ, alg, kid } = jws.header
  if (typeof typ !== 'string' || !TYP.test(typ)) return 'the answer has another typ'
  if (!isAllowed(alg, issuer.algorithms)) return 'the answer is signed with an algorithm that is not listed for this issuer'
  if (kid !== undefined && typeof kid !== 'string') return 'the answer has a kid that is not a string'
  const { iss, aud, iat, nbf, exp, token_introspection: claims } = jws.payload
  if (iss !== issuer.issuer) return 'the answer is of another issuer'
  const audience: readonly unknown[] = Array.isArray(aud) ? aud : [aud]
  if (!audience.some((one) => isOurs(one, issuer))) return 'the answer is for another audience'
  const isOfNow = isTime(iat) && Math.abs(now - iat) <= OLDEST
  // RFC 9701 §5 wants neither of them, and RFC 7519 §4.1 wants them heeded.
  const isValid = (nbf === undefined || (isTime(nbf) && nbf <= now + OLDEST)) && (exp === undefined || (isTime(exp) && now < exp))
  if (!isOfNow || !isValid) return 'the answer is not from now'
  if (!isJsonObject(claims)) return 'the answer has no token_introspection'
  const keys = await keysFor(issuer, { kid: kid ?? null, alg })
  if (keys === 'unavailable') return 'the keys that verify the answer are unavailable'
  return keys.some(({ key }) => isSigned(alg, key, jws.signed, jws.signature)) ? claims : 'the answer is not signed by the issuer'
}

/** We are known there as a client, and to its tokens by our audience; RFC 9701 does not say which of the two an answer names. */
const isOurs = (name: unknown, { introspection, audience }: IssuerSource): boolean =>
  typeof name === 'string' && (name === introspection?.client_id || audience.includes(name))
