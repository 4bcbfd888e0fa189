// Is this one DPoP proof, well formed, with a usable public key? RFC 9449 §4.3 (1) to (5) and (7); that it fits this request is
// for the checks, and (6), the signature, comes after them: comparing is cheap, verifying is not.
// Does not check: htm, htu, iat, ath, nonce, the signature, replay.

import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto'
import { isWorthImporting, publicMembers, thumbprint } from './hashes.js'
import { isJsonObject, isText, isTime } from './json.js'
import { ownCopy, readBase64url, readHeader, readSegment, splitJws } from './jws.js'
import { isAllowed, isSigned, keyFits } from './signatures.js'
import type { JsonObject, Proof, ProofClaims, ProofHeader } from './types.js'
import { Denial, deny } from './verdict.js'

export type ProofRules = {
  readonly algorithms: readonly string[]
  readonly maxBytes: number
  /** The header of the last good proof by the key that the token is bound to; undefined: none is known. */
  readonly known: ProofHeader | undefined
}

/** Reads the proof out of the DPoP header lines. A header that was good before is not read again, where it is the same to the letter. */
export function readProof(lines: readonly string[], rules: ProofRules): Proof | Denial {
  const text = onlyProof(lines, rules.maxBytes)
  if (text instanceof Denial) return text
  const segments = splitJws(text)
  if (segments === null) return deny('proof_malformed')
  const known = rules.known?.segment === segments[0] ? rules.known : undefined
  const jose = known === undefined ? readHeader(segments[0]) : null
  const payload = readSegment(segments[1])
  const signature = readBase64url(segments[2])
  if ((known === undefined && jose === null) || payload === null || signature === null) return deny('proof_malformed')
  // What is known was judged when it was new, but for the algorithms, which are the tier's.
  const header = jose === null ? known : readProofHeader(jose, segments[0], rules.algorithms)
  if (header === undefined) return deny('proof_malformed')
  if (header instanceof Denial) return header
  if (!isAllowed(header.alg, rules.algorithms)) return deny('proof_algorithm')
  const claims = readProofClaims(payload)
  if (claims instanceof Denial) return claims
  const signed = text.slice(0, segments[0].length + 1 + segments[1].length)
  return { header, isKnownHeader: known !== undefined, claims, signed, signature }
}

/** RFC 9449 §4.3 (1): "There is not more than one DPoP HTTP request header field." Node joins two lines with a comma. */
function onlyProof(lines: readonly string[], maxBytes: number): string | Denial {
  const [line] = lines
  if (line === undefined) return deny('proof_missing')
  if (lines.length > 1) return deny('proof_repeated')
  // An honest proof has no comma, so nothing is split for it.
  const isList = line.includes(',') && line.split(',').filter((part) => PROOF_LIKE.test(part.trim())).length > 1
  if (isList) return deny('proof_repeated')
  return line.length > maxBytes ? deny('proof_malformed', 'too long') : line
}

const PROOF_LIKE = /^[\w.-]+$/

/** Members of a JWK that no public key has. Their presence is refused, whatever they hold (RFC 9449 §4.2). */
const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv']

function readProofHeader(header: JsonObject, segment: string, algorithms: readonly string[]): ProofHeader | Denial {
  const { typ, alg, jwk } = header
  // Exact, although media types have no case: no client writes it otherwise, and one spelling is one less to audit.
  if (typ !== 'dpop+jwt') return deny('proof_type')
  if (!isAllowed(alg, algorithms)) return deny('proof_algorithm')
  if (!isJsonObject(jwk)) return deny('proof_malformed', 'unusable key')
  if (jwk.kty === 'oct' || PRIVATE_MEMBERS.some((member) => member in jwk)) return deny('proof_private_key')
  const members = publicMembers(jwk)
  const key = members === null || !isForSignatures(jwk, alg) ? null : importKey(members)
  if (members === null || key === null || !keyFits(alg, key)) return deny('proof_malformed', 'unusable key')
  return { segment: ownCopy(segment), alg, jkt: thumbprint(members), key }
}

/** RFC 7517 §4.2 to §4.4: where a key says what it is for, it must be for this. */
function isForSignatures(jwk: JsonObject, alg: string): boolean {
  const { use, key_ops } = jwk
  if (use !== undefined && use !== 'sig') return false
  if (key_ops !== undefined && !(Array.isArray(key_ops) && key_ops.includes('verify'))) return false
  return jwk.alg === undefined || jwk.alg === alg
}

/** Null where another spelling would be the same key, too: with one spelling alone has a key one thumbprint alone (RFC 7638 §7). */
function importKey(members: Readonly<Record<string, string>>): KeyObject | null {
  if (!isWorthImporting(members)) return null
  try {
    const key = createPublicKey({ key: members as JsonWebKey, format: 'jwk' })
    const canonical = key.export({ format: 'jwk' })
    return Object.entries(members).every(([name, value]) => canonical[name] === value) ? key : null
  } catch {
    return null // not on the curve, not base64url, not a key
  }
}

/** RFC 9449 §4.2, with `ath` as at every resource (§7), and `exp` and `nbf` with their JWT meaning where they are there. */
function readProofClaims({ jti, htm, htu, iat, ath, nonce, exp, nbf }: JsonObject): ProofClaims | Denial {
  if (!isText(jti)) return deny('proof_claim', 'jti')
  if (!isText(htm)) return deny('proof_claim', 'htm')
  if (!isText(htu)) return deny('proof_claim', 'htu')
  if (!isTime(iat)) return deny('proof_claim', 'iat')
  if (!isText(ath)) return deny('proof_claim', 'ath')
  if (exp !== undefined && !isTime(exp)) return deny('proof_claim', 'exp')
  if (nbf !== undefined && !isTime(nbf)) return deny('proof_claim', 'nbf')
  return { jti, htm, htu, iat, ath, nonce, exp: exp ?? null, nbf: nbf ?? null }
}

/** RFC 9449 §4.3 (6): is the proof signed by the key in its own header? */
export const isProofSigned = ({ header, signed, signature }: Proof): boolean =>
  isSigned(header.alg, header.key, signed, signature)
