// Which TLS sessions may be taken up again, and where? A session ticket is the session itself, sealed with a key that only servers have
// (RFC 5077 §4, RFC 8446 §4.6.1): whoever has that key reads what was sent in its sessions, so keys must not live long, and whoever
// shares it resumes each other's sessions.

import { createHash, hkdfSync } from 'node:crypto'
import type { Listener } from '../config/config.js'

/** 16 bytes that name the key, 16 for its HMAC, 16 for AES (node:tls `ticketKeys`). */
const KEY_BYTES = 48

/**
 * The key of one listener, made from a base64 secret. All that a session was judged by is in it: a ticket is worth nothing to another
 * listener, and nothing to this one after a reload with another key, certificate, CA, revocation list or way to treat certificates;
 * and workers that have the same listener have the same key without a word between them.
 */
export function ticketKeysOf(secret: string, listener: Listener): Buffer {
  const info = createHash('sha256').update(JSON.stringify(listener)).digest()
  return Buffer.from(hkdfSync('sha256', Buffer.from(secret, 'base64'), '', info, KEY_BYTES))
}
