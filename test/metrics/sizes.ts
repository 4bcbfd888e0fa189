// What entries of the caches take, for sizes.test.ts: run with --expose-gc in a process of its own. Reads tokens or proofs from standard
// input, a line each, has the real code verify and keep them, and prints what that took and what the cache makes of it (bytes an entry).
// Arguments: `tokens` and the issuer's key, or `proofs` and a key of their kind.
import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto'
import { createInterface } from 'node:readline'
import { createCaches } from '../../src/caches.js'
import { newCounts } from '../../src/metrics/caches.js'
import type { Policy } from '../../src/verify/policy.js'
import { readProof } from '../../src/verify/proof.js'
import { verifyToken } from '../../src/verify/token.js'
import type { Issuer } from '../../src/verify/types.js'
import { Denial } from '../../src/verify/verdict.js'

/** Entries that come first, so that code and tables are there. */
const FIRST = 100

const [kind, jwk = '{}'] = process.argv.slice(2)
const caches = createCaches({ tokens: newCounts(), proof_keys: newCounts() })
const issuer: Issuer = {
  issuer: 'https://as.example.com',
  audience: ['https://api.example.com'],
  algorithms: ['ES256'],
  typ: 'at+jwt',
  claims: { client_id: 'client_id', scope: 'scope' },
}
const policy = { trustedIssuers: [issuer], token_algorithms: ['ES256'], clock_skew: 10, audience: null } as unknown as Policy
const publicKey = JSON.parse(jwk) as JsonWebKey
const key = kind === 'tokens' ? createPublicKey({ key: publicKey, format: 'jwk' }) : null

async function keep(line: string): Promise<void> {
  // As a header line has it, so that what is kept is a part of something longer.
  const text = `DPoP ${line}`.slice(5)
  if (key === null) {
    const proof = readProof([text], { algorithms: ['ES256', 'EdDSA'], maxBytes: 8192, headers: caches.proof_keys })
    if (proof instanceof Denial) throw new Error(proof.reason)
    caches.proof_keys.set(proof.headerSegment, proof.header)
    return
  }
  const ports = {
    ...{ tokens: caches.tokens, proofHeaders: caches.proof_keys, keysGeneration: () => 1, nonceTime: () => null },
    ...{ keysFor: async () => [{ key, kid: null, alg: null }], limits: { credential_bytes: 8192, proof_bytes: 8192 } },
  }
  const token = await verifyToken(text, { policy, now: Date.now() / 1000 }, ports)
  if (token instanceof Denial) throw new Error(`${token.reason} ${token.detail}`)
}

function used(): number {
  for (let i = 0; i < 6; i++) (globalThis as { gc?: () => void }).gc?.()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/** What a key takes that V8 knows nothing of: of many, because all that is known of it is resident memory. */
function outside(jwk: JsonWebKey): number {
  const many = 20_000
  const keys: KeyObject[] = []
  const rest = (): number => {
    used()
    const { rss, heapTotal, external } = process.memoryUsage()
    return rss - heapTotal - external
  }
  const importOne = (): void => void keys.push(createPublicKey({ key: jwk, format: 'jwk' }))
  for (let i = 0; i < FIRST; i++) importOne()
  const before = rest()
  for (let i = 0; i < many; i++) importOne()
  return (rest() - before) / many
}

let count = 0
let before = 0
for await (const line of createInterface({ input: process.stdin })) {
  await keep(line)
  if (++count === FIRST) before = used()
}
const took = (used() - before) / (count - FIRST)
const { entries, bytes } = (kind === 'tokens' ? caches.tokens : caches.proof_keys).readings()
process.stdout.write(JSON.stringify({ took: took + (key === null ? outside(publicKey) : 0), counted: bytes / entries, entries }))
