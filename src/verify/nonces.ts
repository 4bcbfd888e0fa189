// DPoP nonces (RFC 9449 §8, §9): made from a secret and the time, so that every replica knows them and none is stored.
// A nonce is base64url(time in seconds, 6 bytes | 16 bytes of HMAC-SHA256 over it): it carries the time it was made.

import { createHmac, timingSafeEqual } from 'node:crypto'
import { readBase64url } from './jws.js'
import type { Seconds } from './scalars.js'

const TIME_BYTES = 6
const MAC_BYTES = 16

function mac(secret: string, time: Uint8Array): Uint8Array {
  // The label keeps this use of the secret apart from any other.
  return createHmac('sha256', secret).update('holdfast dpop nonce').update(time).digest().subarray(0, MAC_BYTES)
}

/** The nonce of this second. */
export function makeNonce(secret: string, now: Seconds): string {
  const time = Buffer.alloc(TIME_BYTES)
  time.writeUIntBE(Math.floor(now), 0, TIME_BYTES)
  return Buffer.concat([time, mac(secret, time)]).toString('base64url')
}

/** When one of `secrets` (current, previous) made this nonce; null when none did. Does not check: its age. */
export function readNonceTime(secrets: readonly string[], nonce: string): Seconds | null {
  if (nonce.length > 64) return null
  const bytes = readBase64url(nonce)
  if (bytes === null || bytes.length !== TIME_BYTES + MAC_BYTES) return null
  const time = bytes.subarray(0, TIME_BYTES)
  const ours = secrets.some((secret) => timingSafeEqual(mac(secret, time), bytes.subarray(TIME_BYTES)))
  return ours ? Buffer.from(time).readUIntBE(0, TIME_BYTES) : null
}
