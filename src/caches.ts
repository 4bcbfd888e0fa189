// What is kept of tokens and proof keys between requests, and how much of it? Signatures that were checked and keys that were imported,
// never decisions: verify/ says when an entry may be used, and fills it only after full success.
//
// Whoever proves nothing changes nothing here. Whoever can prove thousands of own keys or tokens pushes out what was used longest ago, and
// that costs its owner one verification; what is in use stays, because it takes 10,000 granted requests between two of its own to be pushed
// out. Therefore there are no shares by client (docs/decisions.md).

import { type CacheCounts, type CountedCache, createCache } from './metrics/caches.js'
import type { Bytes } from './verify/scalars.js'
import type { ProofHeader, VerifiedToken } from './verify/types.js'

export type Caches = { readonly tokens: CountedCache<VerifiedToken>; readonly proof_keys: CountedCache<ProofHeader> }

const MOST_ENTRIES = 10_000
/** Enough for as many tokens and keys of usual size. */
const MOST_BYTES: Bytes = 48 * 1024 ** 2

export const createCaches = (counts: Readonly<Record<keyof Caches, CacheCounts>>): Caches => ({
  tokens: createCache({ entries: MOST_ENTRIES, bytes: MOST_BYTES, size: sizeOfToken }, counts.tokens),
  proof_keys: createCache({ entries: MOST_ENTRIES, bytes: MOST_BYTES, size: sizeOfKey }, counts.proof_keys),
})

/** An entry's own objects: measured, as all figures here are, by test/metrics/sizes.test.ts. */
const ENTRY: Bytes = 700
/** A member of an object, beside its name and its value: V8 gives objects of unusual shape a table or a class of their own. */
const MEMBER: Bytes = 100
/** A string's head, a number, a place in a list. */
const PIECE: Bytes = 32
const COLLECTION: Bytes = 64

const sizeOfToken = ({ token }: VerifiedToken, raw: string): Bytes =>
  ENTRY + raw.length + sizeOf(token.header) + sizeOf(token.claims) + token.scope.length * PIECE

/** What OpenSSL takes for a key that node's own memory statistics do not show: 2.8 KB for P-256, less for Ed25519 and RSA. */
const IMPORTED_KEY: Bytes = 3200

const sizeOfKey = (_: ProofHeader, segment: string): Bytes => ENTRY + segment.length + IMPORTED_KEY

/** What parsed JSON takes on the heap, rather too much than too little. Without recursion: JSON can be as deep as it is long. */
function sizeOf(json: unknown): Bytes {
  let size = 0
  const rest = [json]
  while (rest.length > 0) {
    const value = rest.pop()
    size += PIECE
    if (typeof value === 'string') size += value.length * 2
    if (typeof value !== 'object' || value === null) continue
    size += COLLECTION
    for (const [name, member] of Object.entries(value)) {
      if (!Array.isArray(value)) size += MEMBER + name.length * 2
      rest.push(member)
    }
  }
  return size
}
