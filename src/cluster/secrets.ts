// What all processes of one gateway must have in common, although no one configured it: so that a nonce or a session ticket that one
// worker gave out is good at the next. Never in the environment or on the command line, where others can read it.

import { randomBytes } from 'node:crypto'
import type { Seconds } from '../verify/scalars.js'

export type SharedSecrets = {
  /** For nonces, where routes.yaml names no secret; lives as long as the gateway. */
  readonly nonceSecret: string
  /** What session tickets are encrypted by (edge/tickets.ts); base64. */
  readonly ticketSecret: string
}

/**
 * How long tickets are encrypted by one secret: whoever learns it later can read the sessions of this time, and no others (RFC 9325
 * §4.3: rotated, and frequently). Node tries no older key, so a client whose ticket is older pays for one full handshake.
 */
const ROTATION: Seconds = 3600

const newSecret = (): string => randomBytes(32).toString('base64')

export const makeSecrets = (): SharedSecrets => ({ nonceSecret: newSecret(), ticketSecret: newSecret() })

/** Makes a new ticket secret every hour, and hands it on. Returns what stops it. */
export function rotateTicketSecret(take: (secret: string) => void, rotation: Seconds = ROTATION): () => void {
  const timer = setInterval(() => take(newSecret()), rotation * 1000)
  timer.unref()
  return () => clearInterval(timer)
}
