// What entries of the caches take, for sizes.test.ts: run with --expose-gc in a process of its own. Reads tokens or proofs from standard
// input, a line each, has the real code verify and keep them, and prints what that took and what the cache makes of it (bytes an entry).
// Arguments: `tokens` and the issuer's key, `answers` (of introspection, whose claims they are), or `proofs`.
import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto'
import { createInterface } from 'node:readline'
import { createCaches, newCacheCounts } from '../../src/caches.js'
import { sha256 } from '../../src/verify/hashes.js'
import { readJsonObject } from '../../src/verify/json.js'
import type { Policy } from '../../src/verify/policy.js'
import { isProofSigned, readProof } from '../../src/verify/proof.js'
import { NOTHING_REVOKED } from '../../src/verify/revocations.js'
import { verifyToken } from '../../src/verify/token.js'
import type { Proof } from '../../src/verify/types.js'
import { Denial } from '../../src/verify/verdict.js'
import { issuer } from '../support/granted.js'

/** Entries that come first, so that code and tables are there. */
const FIRST = 100

const [kind, jwk = '{}'] = process.argv.slice(2)
const caches = createCaches(newCacheCounts(), () => Date.now() / 1000)
const cache = { tokens: caches.tokens, answers: caches.opaque_tokens }[kind ?? ''] ?? caches.proof_keys
const policy = { trustedIssuers: [issuer], token_algorithms: ['ES256'], clock_skew: 10, audience: null } as unknown as Policy

/** As a header field has it: what is kept of it is a part of something longer. */
const received = (line: string): string => `DPoP ${line}`.slice(5)

function readGood(line: string): Proof {
  const proof = readProof([received(line)], { algorithms: ['ES256', 'EdDSA', 'PS256'], maxBytes: 8192, known: undefined })
  if (proof instanceof Denial) throw new Error(proof.reason)
  // A key that has verified takes more than one that was only imported: OpenSSL keeps what it worked out.
  if (!isProofSigned(proof)) throw new Error('the signature is wrong')
  return proof
}

let kept = 0
function keepProof(line: string): void {
  // By a name of its own, for keys of which there are not so many.
  caches.proof_keys.set(String(kept++).padStart(43, '0'), readGood(line).header)
}

const key = kind === 'tokens' ? createPublicKey({ key: JSON.parse(jwk) as JsonWebKey, format: 'jwk' }) : null
async function keepToken(line: string): Promise<void> {
  const ports = {
    ...{
      tokens: caches.tokens,
      proofHeaders: caches.proof_keys,
      revocations: NOTHING_REVOKED,
      keysGeneration: () => 1,
      introspect: () => 'inactive' as const,
      nonceTime: () => null,
    },
    ...{ keysFor: () => (key === null ? [] : [{ key, kid: null }]), limits: { credential_bytes: 8192, proof_bytes: 8192 } },
  }
  const token = await verifyToken(received(line), { policy, now: Date.now() / 1000 }, ports)
  if (token instanceof Denial) throw new Error(`${token.reason} ${token.detail}`)
}

const collect = (): void => (globalThis as { gc?: () => void }).gc?.()

function used(): number {
  for (let i = 0; i < 6; i++) collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/** What the key of a proof takes that V8 knows nothing of: of many, because all that tells of it is resident memory. */
function outside(line: string): number {
  const many = 5000
  const keys: KeyObject[] = []
  const importSome = (count: number): void => {
    for (let i = 0; i < count; i++) {
      keys.push(readGood(line).header.key)
      // Often, so that what is measured are keys and not garbage.
      if (i % 200 === 0) collect()
    }
  }
  const rest = (): number => {
    used()
    const { rss, heapTotal, external } = process.memoryUsage()
    return rss - heapTotal - external
  }
  importSome(500)
  const before = rest()
  importSome(many)
  return (rest() - before) / many
}

function keepAnswer(line: string): void {
  const active = readJsonObject(Buffer.from(line))
  if (active === null) throw new Error('it is no answer')
  caches.opaque_tokens.set(`0.${sha256(line)}`, { active, askedAt: Date.now() / 1000, sentAt: 0 })
}

const lines: string[] = []
for await (const line of createInterface({ input: process.stdin })) lines.push(line)
const keep = { tokens: keepToken, answers: keepAnswer }[kind ?? ''] ?? keepProof
for (const line of lines.slice(0, FIRST)) await keep(line)
const before = { used: used(), ...cache.readings() }
for (const line of lines.slice(FIRST)) await keep(line)
const after = { used: used(), ...cache.readings() }
const entries = after.entries - before.entries
const [took = 0, counted = 0] = [after.used - before.used, after.bytes - before.bytes].map((bytes) => bytes / entries)
const keys = kind !== 'proofs' ? 0 : outside(lines[0] ?? '')
process.stdout.write(`${JSON.stringify({ took: took + keys, counted, entries: after.entries })}\n`)
