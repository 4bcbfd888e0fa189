// What is kept of tokens and proof keys between requests, and how much of it? Signatures that were checked and keys that were imported,
// never decisions: verify/ says when an entry may be used.
//
// Why nobody can make them lie:
// - A token is known by all of its text, compared to the letter, not by a hash or pieces put together: no other text has its entry. What
//   is kept of it follows from that text and its issuer's settings; audience, algorithm, type, times and all that a route demands are
//   judged on every request. It counts for as long as no key of its issuer has gone (`keysGeneration`).
// - A key is known by the thumbprint that the token is bound to and by all of the proof's header, to the letter; what is kept follows from
//   that header alone. The rest of the proof, its signature included, is verified every time.
// - An answer of an issuer about a token is known by that issuer and the token's SHA-256, so that the token itself is not kept; how long it
//   serves is the introspector's, and what it allows is judged on every request like a JWT's claims.
// - An answer of a policy decision point is known by the SHA-256 of all that was asked; kept only where `pdps` says for how long.
// - All belong to one configuration: a reload begins with empty ones.
//
// Why nobody can fill them: a token is kept when its issuer's signature and all it claims are good, a key when a proof by it was good for
// such a token. So it takes a good token to make an entry, and none makes more than one of each (an ES256 token two, for a second signature
// can be worked out from the first). In whatever way a client writes the headers of its proofs, its key has one entry. Whoever was given
// thousands of good tokens pushes out what was used longest ago. That costs its owner's next request a verification and an import, less
// than the request that caused it cost us; what is in use stays, unless as many new tokens as the cache holds come between two of its
// requests. Therefore there are no shares by client (docs/decisions.md).

import type { HeldAnswer } from './introspection/introspector.js'
import { type CacheCounts, type CountedCache, createCache, newCounts } from './metrics/caches.js'
import type { HeldAnswer as HeldDecision } from './pdp/ask.js'
import type { Bytes, Seconds } from './verify/scalars.js'
import type { ProofHeader, VerifiedToken } from './verify/types.js'

export type Caches = {
  readonly tokens: CountedCache<VerifiedToken>
  readonly proof_keys: CountedCache<ProofHeader>
  readonly opaque_tokens: CountedCache<HeldAnswer>
  readonly inactive_tokens: CountedCache<HeldAnswer>
  readonly decisions: CountedCache<HeldDecision>
}

export type CacheName = keyof Caches

const MOST_ENTRIES = 10_000
/** Of each cache; enough for as many P-256 keys, and tokens of usual size. */
const MOST_BYTES: Bytes = 80 * 1024 ** 2

/** Zeroes, for each cache. */
export const newCacheCounts = (): Readonly<Record<CacheName, CacheCounts>> => ({
  tokens: newCounts(),
  proof_keys: newCounts(),
  opaque_tokens: newCounts(),
  inactive_tokens: newCounts(),
  decisions: newCounts(),
})

export function createCaches(counts: Readonly<Record<CacheName, CacheCounts>>, clock: () => Seconds): Caches {
  const bounds = { entries: MOST_ENTRIES, bytes: MOST_BYTES }
  // An expired token stays until its place is needed, because nothing is gained by looking for it.
  const isOver = ({ token }: VerifiedToken): boolean => token.exp <= clock()
  return {
    tokens: createCache({ ...bounds, size: sizeOfToken, isOver }, counts.tokens),
    proof_keys: createCache({ ...bounds, size: sizeOfKey }, counts.proof_keys),
    opaque_tokens: createCache({ ...bounds, size: sizeOfAnswer }, counts.opaque_tokens),
    inactive_tokens: createCache({ ...bounds, size: sizeOfAnswer }, counts.inactive_tokens),
    decisions: createCache({ ...bounds, size: sizeOfDecision }, counts.decisions),
  }
}

/** An entry's own objects: measured, as all figures here are, by test/metrics/sizes.test.ts. */
const ENTRY: Bytes = 700
/** A member of an object, beside its name and its value: V8 gives objects of unusual shape a table or a class of their own. */
const MEMBER: Bytes = 100
/** A string's head, a number, a place in a list. */
const PIECE: Bytes = 32
const LIST: Bytes = 64
/** With the room that V8 keeps beside a member that is called by a number. */
const OBJECT: Bytes = 240

const sizeOfToken = ({ token }: VerifiedToken, raw: string): Bytes =>
  ENTRY + raw.length + sizeOf(token.header) + sizeOf(token.claims) + token.scope.length * PIECE

const sizeOfAnswer = ({ active }: HeldAnswer, key: string): Bytes => ENTRY + key.length + (active === null ? 0 : sizeOf(active))

/** Texts in it are bounded where it is read. */
const sizeOfDecision = ({ answer }: HeldDecision, key: string): Bytes => ENTRY + key.length + sizeOf(answer)

/**
 * What OpenSSL takes for a key that has verified, where node's own statistics do not look: 4.6 KB for P-256 and RSA 4096 on Node 20, up to
 * 6.7 KB with the holes it leaves behind when garbage is collected seldom; 1 to 2.4 KB for Ed25519. Less on Node 26.
 */
const IMPORTED_KEY: Bytes = 7000
const IMPORTED_ED25519: Bytes = 2500

const sizeOfKey = ({ segment, key }: ProofHeader): Bytes =>
  ENTRY + segment.length + (key.asymmetricKeyType === 'ed25519' ? IMPORTED_ED25519 : IMPORTED_KEY)

/** What parsed JSON takes on the heap, rather too much than too little. Without recursion: JSON can be as deep as it is long. */
function sizeOf(json: unknown): Bytes {
  let size = 0
  const rest = [json]
  while (rest.length > 0) {
    const value = rest.pop()
    size += PIECE
    if (typeof value === 'string') size += value.length * 2
    if (typeof value !== 'object' || value === null) continue
    const isList = Array.isArray(value)
    size += isList ? LIST : OBJECT
    for (const [name, member] of Object.entries(value)) {
      if (!isList) size += MEMBER + name.length * 2
      rest.push(member)
    }
  }
  return size
}
