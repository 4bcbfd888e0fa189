// Where used proofs are remembered (RFC 9449 §11.1): the port that decide.ts sees, whatever is behind it.

import type { RedisSettings } from '../config/config.js'
import type { Seconds } from '../verify/scalars.js'

/** One proof, about to be used. */
export type ProofUse = {
  /** base64url of 16 bytes: SHA-256 over `jkt` and `jti`, so one client cannot spend another's proofs (verify/hashes.ts). */
  readonly key: string
  /**
   * A second use with the same claim is the same request, asked about again by a hop: `first`. Of the form of `key`, and of one proof alone. null or left out: every
   * second use is a replay.
   */
  readonly claim?: string | null
  /** When the proof was made: its nonce's time, else `iat`. What is dated before the store lost its memory is not accepted. */
  readonly datedAt: Seconds
  /** Until when the proof could be accepted again; it is remembered at least as long. */
  readonly until: Seconds
  readonly now: Seconds
  /** What the tier wants while the store is away (`replay_outage`). */
  readonly outage: 'closed' | 'local'
}

/**
 * `first`: recorded, this was the first use. `used`: seen before. `forgotten`: the store lost its memory since the proof was
 * made, so nobody knows. `unavailable`: no answer in time; the record may have been made all the same, so a client must
 * make a new proof.
 */
export type UseAnswer = 'first' | 'used' | 'forgotten' | 'unavailable'

export type ReplayStore = {
  /** Resolves when it can be used, and after a second at the latest: it goes on trying. */
  start(): Promise<void>
  /** Records a use, exactly once for each key while it lives. Never rejects. */
  firstUse(use: ProofUse): Promise<UseAnswer>
  /** What is wrong with the store now, for `/readyz`; null when nothing is. */
  degraded(): string | null
  /** Connects with these credentials from now on; connections that are there stay. Left out: it needs none. */
  renew?(settings: RedisSettings): void
  close(): Promise<void>
}
