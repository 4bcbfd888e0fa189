// How is the token bound? The `cnf` claim (RFC 7800 §3, RFC 8705 §3.1, RFC 9449 §6.1). What we do not implement is refused, not
// ignored, because a token that is bound in an unknown way would otherwise pass as a bearer token.

import { isThumbprint } from './hashes.js'
import { isJsonObject } from './json.js'
import type { Confirmation, Evidence, JsonObject } from './types.js'
import { type Denial, deny } from './verdict.js'

/** Keycloak writes `"kc-jkt-type": "DPoP"` beside `jkt`. It says what `jkt` is and binds nothing itself; any other value is unknown. */
const KEYCLOAK = 'kc-jkt-type'

/** The binding of a token; null when it has no `cnf` at all. */
export function readConfirmation(cnf: unknown): Confirmation | null | Denial {
  if (cnf === undefined) return null
  if (!isJsonObject(cnf)) return deny('binding_unsupported', 'cnf is not an object')
  const { jkt, 'x5t#S256': x5tS256, [KEYCLOAK]: kind, ...others } = cnf
  if (Object.keys(others).length > 0) return deny('binding_unsupported', 'cnf has a member that is not implemented')
  if (kind !== undefined && (kind !== 'DPoP' || jkt === undefined)) return deny('binding_unsupported', `${KEYCLOAK} is not DPoP`)
  if (jkt === undefined && x5tS256 === undefined) return deny('binding_unsupported', 'cnf is empty')
  if (jkt !== undefined && !isThumbprint(jkt)) return deny('binding_unsupported', 'jkt is not a SHA-256 thumbprint')
  if (x5tS256 !== undefined && !isThumbprint(x5tS256)) return deny('binding_unsupported', 'x5t#S256 is not a SHA-256 thumbprint')
  return { jkt: jkt ?? null, x5tS256: x5tS256 ?? null }
}

/** How the sender was proven, from the proof and the certificate that were judged: not from what the token asks for. */
export function provenBinding({ proof, certificate }: Pick<Evidence, 'proof' | 'certificate'>): JsonObject {
  if (proof !== null && certificate !== null) {
    return { method: 'both', jkt: proof.header.jkt, 'x5t#S256': certificate.x5tS256 }
  }
  if (proof !== null) return { method: 'dpop', jkt: proof.header.jkt }
  if (certificate !== null) return { method: 'mtls', 'x5t#S256': certificate.x5tS256 }
  return { method: 'none' }
}
