// The caches are bounded, so whoever could fill them could push out everyone else. Who can? Nobody without a good token, and nobody more
// than the good tokens that he has (src/caches.ts). Each flood begins with caches that hold what an honest client needs.
import t, { type Test } from 'tap'
import { type CacheState, readCaches } from '../support/caches.js'
import { type Draft, issuerKey, makeDraft, printDraft } from '../support/draft.js'
import { signJwt } from '../support/jwt.js'
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
const NOTHING = { entries: 0, evictions: 0 }

t.test('a key has one entry, in however many ways its holder writes the headers of its proofs', async (t) => {
  await flood(t, 1, 'granted', honest)
  const before = await readCaches(lab)
  await flood(t, 1000, 'granted', (i) => {
    const request = honest()
    proofOf(request).header[`member-${i}`] = 'x'.repeat(i)
    return request
  })
  const after = await readCaches(lab)
  t.same(grown(before.proof_keys, after.proof_keys), NOTHING)
  t.same(grown(before.tokens, after.tokens), NOTHING)
  t.ok(after.proof_keys.bytes - before.proof_keys.bytes < 8192, 'and takes no more than its last header')
})
