// By what tokens and keys are known again: all of their text, and nothing else (src/caches.ts).
import fc from 'fast-check'
import t from 'tap'
import { createCaches, newCacheCounts } from '../../src/caches.js'
import { ownCopy } from '../../src/verify/jws.js'
import type { Policy } from '../../src/verify/policy.js'
import { NOTHING_REVOKED } from '../../src/verify/revocations.js'
import { knownToken, verifyToken } from '../../src/verify/token.js'
import type { IssuerKey, VerifyPorts } from '../../src/verify/types.js'
import { Denial } from '../../src/verify/verdict.js'
import { issuerKey, makeDraft } from '../support/draft.js'
import { issuer } from '../support/granted.js'
import { signJwt } from '../support/jwt.js'

/** All that a header field can hold: Node reads its bytes as Latin-1. */
const headerText = fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)), maxLength: 300 })
/** Texts that begin, end or go on like each other, as a collision would need. */
const alike = fc
  .tuple(headerText, fc.array(headerText, { minLength: 1, maxLength: 8 }))
  .map(([common, rest]) => [...new Set(rest.flatMap((one) => [one, common + one, one + common, `${common}.${one}`]))])

const { token } = makeDraft({ host: 'api.example.com', path: '/read' })
const signed = signJwt(token.header, token.claims, issuerKey.privateKey)
const policy = { trustedIssuers: [issuer], token_algorithms: ['ES256'], clock_skew: 10, audience: null } as unknown as Policy
const judge = { policy, now: Date.now() / 1000 }
const key: IssuerKey = { kid: null, key: issuerKey.publicKey }

function portsOf(changes: Partial<VerifyPorts> = {}): VerifyPorts {
  const caches = createCaches(newCacheCounts(), () => judge.now)
  return {
    keysFor: () => [key],
    revocations: NOTHING_REVOKED,
    keysGeneration: () => 1,
    introspect: () => 'inactive',
    nonceTime: () => null,
    tokens: caches.tokens,
    proofHeaders: caches.proof_keys,
    limits: { credential_bytes: 8192, proof_bytes: 8192 },
    ...changes,
  }
}

t.test('a copy of what came in a header is the same to the letter, so that nothing else is taken for it', async (t) => {
  fc.assert(fc.property(headerText, (text) => ownCopy(text) === text))
  t.pass('for all texts')
})

t.test('no text has the entry of another, however much they are alike', async (t) => {
  const verified = await verifyToken(signed, judge, portsOf())
  if (verified instanceof Denial) throw new Error(verified.reason)
  fc.assert(
    fc.property(alike, ([asked = '', ...others]) => {
      const { tokens } = portsOf()
      for (const [i, text] of others.entries()) tokens.set(ownCopy(text), { token: verified, generation: i })
      return tokens.get(asked) === undefined && others.every((text, i) => tokens.get(text)?.generation === i)
    }),
  )
  t.pass('for all sets of texts')
})

t.test('a token is not known by a key that goes while it is being verified', async (t) => {
  let generation = 1
  const ports = portsOf({
    keysGeneration: () => generation,
    keysFor: async () => {
      generation += 1
      return [key]
    },
  })
  const verified = await verifyToken(signed, judge, ports)
  t.notOk(verified instanceof Denial, 'it was good when it came')
  t.equal(knownToken(signed, judge, ports), null)
  t.notOk((await verifyToken(signed, judge, { ...ports, keysFor: () => [key] })) instanceof Denial)
  t.same(knownToken(signed, judge, ports), verified, 'verified again, it is')
})
