// The caches are bounded in bytes: are these the bytes that their entries take? Measured with real tokens and proofs, in processes of
// their own. An understatement would let a client that is honest by all appearance take more memory than the cache may have.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { issuerKey, makeDraft, signProof } from '../support/draft.js'
import { type KeyPair, makeKey, signJwt } from '../support/jwt.js'

type Sizes = { readonly took: number; readonly counted: number; readonly entries: number }

async function measure(kind: 'tokens' | 'proofs', key: object, lines: readonly string[]): Promise<Sizes> {
  const program = join(import.meta.dirname, 'sizes.js')
  const child = spawn(process.execPath, ['--expose-gc', program, kind, JSON.stringify(key)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const said = text(child.stdout)
  const exit = once(child, 'exit')
  child.stdin.end(`${lines.join('\n')}\n`)
  await exit
  return JSON.parse(await said)
}

const MANY = 500
const draft = () => makeDraft({ host: 'api.example.com', path: '/read' })
const list = <T>(length: number, make: (i: number) => T): T[] => Array.from({ length }, (_, i) => make(i))

const TOKENS: Readonly<Record<string, (i: number) => object>> = {
  'of usual claims': () => ({}),
  'with a long claim': () => ({ text: 'x'.repeat(3000) }),
  'with a long claim of other than Latin letters': () => ({ text: 'ж'.repeat(1000) }),
  'with many claims, called otherwise in each': (i) => Object.fromEntries(list(80, (k) => [`claim-${i}-${k}`, k])),
  'with many small lists': () => ({ lists: list(800, () => []) }),
  'with many small objects': () => ({ objects: list(800, () => ({})) }),
  'with a deep claim': () => ({ deep: JSON.parse('['.repeat(800) + ']'.repeat(800)) }),
  'with numbers': () => ({ numbers: list(800, (k) => k + 0.5) }),
  'with scopes of one letter': () => ({ scope: list(900, (k) => String(k % 10)).join(' ') }),
}
t.test('a token counts for what it takes', async (t) => {
  for (const [what, more] of Object.entries(TOKENS)) {
    const { token } = draft()
    const lines = list(MANY, (i) =>
      signJwt(token.header, { ...token.claims, jti: `token-${i}`, ...more(i) }, issuerKey.privateKey),
    )
    const { took, counted, entries } = await measure('tokens', issuerKey.jwk, lines)
    t.equal(entries, MANY)
    const figures = `${what}: ${took.toFixed(0)} bytes, counted ${counted.toFixed(0)}`
    t.ok(counted >= took, figures)
    t.ok(counted < took * 10, `${figures}: not many times as much either`)
  }
})

const proofOf = (key: KeyPair, alg: string, more: object): string => {
  const { proof } = draft()
  if (proof === null) throw new Error('the draft has a proof')
  return signProof({ key, header: { ...proof.header, alg, jwk: key.jwk }, claims: { ...proof.claims, ...more } }, 'token')
}
t.test('a proof key counts for what it takes, OpenSSL included', async (t) => {
  for (const alg of ['ES256', 'EdDSA'] as const) {
    for (const [what, more] of Object.entries({ 'of usual claims': {}, 'with long claims': { text: 'x'.repeat(4500) } })) {
      const lines = list(MANY, () => proofOf(makeKey(alg), alg, more))
      const { took, counted, entries } = await measure('proofs', makeKey(alg).jwk, lines)
      t.equal(entries, MANY)
      const figures = `${alg} ${what}: ${took.toFixed(0)} bytes, counted ${counted.toFixed(0)}`
      t.ok(counted >= took, figures)
    }
  }
})
