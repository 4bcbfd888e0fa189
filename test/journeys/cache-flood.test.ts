// The caches are bounded, so whoever could fill them could push out everyone else. Who can? Nobody without a good token, and nobody more
// than the good tokens that he has (src/caches.ts). Each flood begins with caches that hold what an honest client needs.
import t, { type Test } from 'tap'
import type { Reason } from '../../src/verify/reasons.js'
import { type CacheState, readCaches } from '../support/caches.js'
import { type Draft, issuerKey, makeDraft, printDraft, rebind } from '../support/draft.js'
import { makeKey, signJwt } from '../support/jwt.js'
import { HOST, startLab } from '../support/lab.js'
import type { RawClient } from '../support/raw.js'

// Thousands of requests take their time on a busy machine.
t.setTimeout(300_000)

const lab = await startLab({ store: 'memory' })
t.teardown(() => lab.stop())

const draft = (path = '/read/1'): Draft => makeDraft({ host: HOST, path })
const proofOf = ({ proof }: Draft): NonNullable<Draft['proof']> => {
  if (proof === null) throw new Error('the draft has a proof')
  return proof
}

/** One token, to the letter, for as many requests as a test likes. */
function holding(make: () => Draft): () => Draft {
  const { token } = make()
  const text = signJwt(token.header, token.claims, issuerKey.privateKey)
  return () => Object.assign(make(), { token, spoilToken: () => text })
}
const honest = holding(draft)

async function reasonOf(client: RawClient, request: Draft): Promise<string> {
  client.send(printDraft(request))
  const { status, body } = await client.response()
  return status === 200 ? 'granted' : JSON.parse(body.toString()).reason
}

/** All of them on one connection. Fails at the first that is answered otherwise. */
async function flood(t: Test, count: number, expect: string, make: (i: number) => Draft): Promise<void> {
  const client = await lab.open()
  try {
    for (let i = 0; i < count; i++) {
      const reason = await reasonOf(client, make(i))
      if (reason !== expect) return void t.fail(`request ${i} was ${reason}, not ${expect}`)
    }
  } finally {
    client.close()
  }
}

const grown = (before: CacheState, after: CacheState) => ({
  entries: after.entries - before.entries,
  evictions: after.evictions - before.evictions,
})
const by = (entries: number) => ({ entries, evictions: 0 })

const stranger = makeKey()
const STALE = 500

type Attempt = { readonly expect: Reason; readonly make: (i: number) => Draft }
const attempt = (expect: Reason, change: (request: Draft, i: number) => void, make = () => draft()): Attempt => ({
  expect,
  make: (i) => {
    const request = make()
    change(request, i)
    return request
  },
})

/** Without a good token: another one each time, and another key. */
const OF_STRANGERS: readonly Attempt[] = [
  attempt('credentials_missing', (r) => (r.credentials = ({ dpop }) => [['DPoP', dpop ?? '']])),
  attempt('token_malformed', (r) => (r.spoilToken = (text) => text.slice(0, text.lastIndexOf('.') + 1))),
  attempt('token_algorithm', (r) => (r.token.header.alg = 'none')),
  attempt('token_signature', (r) => (r.token.key = stranger)),
  attempt('token_issuer', (r) => (r.token.claims.iss = 'https://elsewhere.example.com')),
  attempt('token_type', (r) => (r.token.header.typ = 'dpop+jwt')),
  attempt('token_audience', (r) => (r.token.claims.aud = 'https://elsewhere.example.com')),
  attempt('token_claim', (r) => delete r.token.claims.sub),
  attempt('token_expired', (r) => Object.assign(r.token.claims, { iat: r.now - STALE, exp: r.now - 1 })),
  attempt('token_not_yet_valid', (r) => (r.token.claims.nbf = r.now + STALE)),
  attempt('binding_unsupported', (r) => (r.token.claims.cnf = { jwk: stranger.jwk })),
]

/** With the token of an honest client, which is known, and without its key: another key each time, or its own public key in another header. */
const stolen = (expect: Reason, change: (request: Draft, i: number) => void): Attempt => attempt(expect, change, honest)
const withOwnKey = (request: Draft): void => {
  const proof = proofOf(request)
  proof.key = makeKey()
  proof.header.jwk = proof.key.jwk
}
const withTheirs = (request: Draft, i: number): void => {
  const proof = proofOf(request)
  proof.key = stranger
  proof.header.member = i
}
const OF_THIEVES: readonly Attempt[] = [
  stolen('scheme_downgraded', (r) => (r.scheme = 'Bearer')),
  stolen('proof_missing', (r) => (r.proof = null)),
  stolen('proof_repeated', (r) => r.headers.push(['DPoP', 'e30.e30.AA'])),
  stolen('proof_malformed', (r) => (proofOf(r).header.jwk = { kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA' })),
  stolen('proof_type', (r) => (proofOf(r).header.typ = 'jwt')),
  stolen('proof_algorithm', (r) => (proofOf(r).header.alg = 'none')),
  stolen('proof_private_key', (r) => (proofOf(r).header.jwk = { ...makeKey().jwk, d: 'AA' })),
  stolen('proof_claim', (r, i) => {
    withTheirs(r, i)
    delete proofOf(r).claims.jti
  }),
  stolen('proof_key', withOwnKey),
  stolen('proof_token', (r, i) => {
    withTheirs(r, i)
    proofOf(r).claims.ath = 'A'.repeat(43)
  }),
  stolen('proof_method', (r, i) => {
    withTheirs(r, i)
    proofOf(r).claims.htm = 'POST'
  }),
  stolen('proof_target', (r, i) => {
    withTheirs(r, i)
    proofOf(r).claims.htu = `https://${HOST}/elsewhere`
  }),
  stolen('proof_too_old', (r, i) => {
    withTheirs(r, i)
    proofOf(r).claims.iat = r.now - STALE
  }),
  stolen('proof_in_future', (r, i) => {
    withTheirs(r, i)
    proofOf(r).claims.iat = r.now + STALE
  }),
  stolen('proof_signature', withTheirs),
]

const TIMES = 100
t.test('who has no good token changes nothing in the caches, whatever he sends and however often', (t) =>
  changesNothing(t, OF_STRANGERS),
)
t.test('who has a token that is known, and not its key, changes nothing either', (t) => changesNothing(t, OF_THIEVES))

async function changesNothing(t: Test, attempts: readonly Attempt[]): Promise<void> {
  await flood(t, 1, 'granted', honest)
  const before = await readCaches(lab)
  t.ok(before.tokens.entries > 0 && before.proof_keys.entries > 0, 'there is something to push out')
  for (const { expect, make } of attempts) await flood(t, TIMES, expect, make)
  t.same(await readCaches(lab), before)
}

t.test('who stole good tokens adds them, and no key', async (t) => {
  const before = await readCaches(lab)
  await flood(t, TIMES, 'proof_key', () => {
    const request = draft()
    withOwnKey(request)
    return request
  })
  const after = await readCaches(lab)
  t.same(grown(before.tokens, after.tokens), by(TIMES))
  t.same(grown(before.proof_keys, after.proof_keys), by(0))
})

t.test('who was refused for what his token may do has one entry of each', async (t) => {
  const client = makeKey()
  const bad = holding(() => {
    const request = draft()
    rebind(request, client, 'ES256')
    request.token.claims.scope = 'nothing'
    return request
  })
  const before = await readCaches(lab)
  await flood(t, TIMES, 'scope_missing', (i) => {
    const request = bad()
    proofOf(request).header.member = i
    return request
  })
  const after = await readCaches(lab)
  t.same(grown(before.tokens, after.tokens), by(1))
  t.same(grown(before.proof_keys, after.proof_keys), by(1))
})

t.test('a key has one entry, in however many ways its holder writes the headers of its proofs', async (t) => {
  await flood(t, 1, 'granted', honest)
  const before = await readCaches(lab)
  await flood(t, 1000, 'granted', (i) => {
    const request = honest()
    proofOf(request).header[`member-${i}`] = 'x'.repeat(i)
    return request
  })
  const after = await readCaches(lab)
  t.same(grown(before.proof_keys, after.proof_keys), by(0))
  t.same(grown(before.tokens, after.tokens), by(0))
  t.ok(after.proof_keys.bytes - before.proof_keys.bytes < 8192, 'and takes no more than its last header')
})

t.test('who has good tokens and keys by the thousand adds them, and pushes out nobody while there is room', async (t) => {
  await flood(t, 1, 'granted', honest)
  const before = await readCaches(lab)
  await flood(t, 1000, 'granted', () => {
    const request = draft()
    rebind(request, makeKey(), 'ES256')
    return request
  })
  const after = await readCaches(lab)
  t.same(grown(before.tokens, after.tokens), by(1000))
  t.same(grown(before.proof_keys, after.proof_keys), by(1000))
})

t.test(
  'who fills a cache pushes out what is out of use, which costs its owner one verification, and nobody who is in use',
  async (t) => {
    const client = await lab.open()
    t.teardown(() => client.close())
    const [idle, busy] = [holding(draft), holding(draft)]
    /** Whether the token was known. */
    const isHit = async (request: Draft): Promise<boolean> => {
      const misses = async () =>
        Number(/^holdfast_cache_misses_total\{cache="tokens"\} (\d+)$/m.exec((await lab.admin('/metrics')).body)?.[1])
      const before = await misses()
      t.equal(await reasonOf(client, request), 'granted')
      return (await misses()) === before
    }
    for (const make of [idle, busy]) t.notOk(await isHit(make()), 'new')
    for (const make of [idle, busy]) t.ok(await isHit(make()), 'known')

    const before = await readCaches(lab)
    // As docs/operations.md has it.
    const limit = 80 * 1024 ** 2
    // Tokens that take 80 KB each, so that a thousand fill the cache.
    const objects = Array.from({ length: 200 }, () => ({ 34: 0 }))
    for (let round = 0; round < 30; round++) {
      await flood(t, 40, 'granted', () => {
        const request = draft()
        request.token.claims.objects = objects
        return request
      })
      t.equal(await reasonOf(client, busy()), 'granted')
      t.ok((await readCaches(lab)).tokens.bytes <= limit)
    }
    const after = await readCaches(lab)
    t.ok(after.tokens.evictions > before.tokens.evictions, 'it was full')
    t.ok(after.tokens.bytes > limit * 0.99, 'and is')
    t.same(grown(before.proof_keys, after.proof_keys), by(0), 'the other cache has limits of its own')
    t.ok(await isHit(busy()), 'in use, and still there')
    t.notOk(await isHit(idle()), 'out of use: verified again, and granted')
    t.ok(await isHit(idle()), 'and there again')
  },
)
