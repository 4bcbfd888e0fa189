// The certificate that clients of this place present.
import { createHash, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Place } from '../place.js'

/** Its SHA-256 thumbprint, as `cnf` holds it (RFC 8705 §3.1). */
export const thumbprintOf = ({ root }: Place): string => {
  const { raw } = new X509Certificate(readFileSync(join(root, 'client.crt')))
  return createHash('sha256').update(raw).digest('base64url')
}
