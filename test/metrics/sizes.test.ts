// The caches are bounded in bytes: are these the bytes that their entries take? Measured with real tokens and proofs, in processes of
// their own. An understatement would let a client that is honest by all appearance take more memory than the cache may have.
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t from 'tap'
import { issuerKey, makeDraft, signProof } from '../support/draft.js'
import { type KeyPair, makeKey, signJwt } from '../support/jwt.js'

type Sizes = { readonly took: number; readonly counted: number; readonly entries: number }

async function measure(kind: 'tokens' | 'answers' | 'proofs', lines: readonly string[], key: object = {}): Promise<Sizes> {
  const program = join(import.meta.dirname, 'sizes.js')
  const child = spawn(process.execPath, ['--expose-gc', program, kind, JSON.stringify(key)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  child.stdin.end(`${lines.join('\n')}\n`)
  for await (const line of createInterface({ input: child.stdout })) {
    // Not waited for: now and then Node 20 hangs when it ends while garbage is still being collected.
    child.kill('SIGKILL')
    return JSON.parse(line)
  }
  throw new Error('it said nothing')
}

const MANY = 300
// A busy machine takes its time for thousands of keys.
t.setTimeout(300_000)
const draft = () => makeDraft({ host: 'api.example.com', path: '/read' })
const list = <T>(length: number, make: (i: number) => T): T[] => Array.from({ length }, (_, i) => make(i))

const TOKENS: Readonly<Record<string, (i: number) => object>> = {
  'of usual claims': () => ({}),
  'as Keycloak makes them': (i) => ({
    ...{ sid: randomUUID(), azp: `client-${i}`, email: `someone-${i}@example.com`, email_verified: true, name: 'Someone Else' },
    realm_access: { roles: ['offline_access', 'uma_authorization', 'default-roles-realm'] },
    resource_access: {
      account: { roles: ['manage-account', 'view-profile'] },
      cases: { roles: list(20, (k) => `cases.role.${k}`) },
    },
  }),
  'with a long claim': () => ({ text: 'x'.repeat(3000) }),
  'with a long claim of other than Latin letters': () => ({ text: 'ж'.repeat(1000) }),
  'with many claims, called otherwise in each': (i) => Object.fromEntries(list(80, (k) => [`claim-${i}-${k}`, k])),
  'with many small lists': () => ({ lists: list(800, () => []) }),
  'with many small objects': () => ({ objects: list(250, () => ({})) }),
  'with objects whose members are called by numbers': () => ({ objects: list(200, (k) => ({ 34: k })) }),
  'with objects whose members are called otherwise in each': (i) => ({ objects: list(90, (k) => ({ [`claim-${i}-${k}`]: k })) }),
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
    const { took, counted, entries } = await measure('tokens', lines, issuerKey.jwk)
    t.equal(entries, MANY)
    const figures = `${what}: ${took.toFixed(0)} bytes, counted ${counted.toFixed(0)}`
    t.ok(counted >= took, figures)
    t.ok(counted < took * 10, `${figures}: not many times as much either`)
  }
})

t.test('an answer of introspection counts for what it takes', async (t) => {
  for (const [what, more] of Object.entries(TOKENS)) {
    const { token } = draft()
    const lines = list(MANY, (i) => JSON.stringify({ active: true, ...token.claims, jti: `token-${i}`, ...more(i) }))
    const { took, counted, entries } = await measure('answers', lines)
    t.equal(entries, MANY)
    t.ok(counted >= took, `${what}: ${took.toFixed(0)} bytes, counted ${counted.toFixed(0)}`)
  }
})

type More = { readonly header?: object; readonly claims?: object }
const proofOf = (key: KeyPair, alg: string, more: More): string => {
  const { proof } = draft()
  if (proof === null) throw new Error('the draft has a proof')
  const header = { ...proof.header, alg, jwk: key.jwk, ...more.header }
  return signProof({ key, header, claims: { ...proof.claims, ...more.claims } }, 'token')
}
const p256 = makeKey('ES256')
const PROOFS: readonly (readonly [what: string, alg: string, key: KeyPair, more: More])[] = [
  ['P-256', 'ES256', p256, {}],
  ['P-256, with long claims', 'ES256', p256, { claims: { text: 'x'.repeat(4500) } }],
  ['P-256, with a long header', 'ES256', p256, { header: { text: 'x'.repeat(4500) } }],
  ['Ed25519', 'EdDSA', makeKey('EdDSA'), {}],
  ['RSA 2048', 'PS256', makeKey('PS256'), {}],
  ['RSA 4096', 'PS256', makeKey('RSA-4096'), {}],
]
t.test('a proof key counts for what it takes, OpenSSL included', async (t) => {
  for (const [what, alg, key, more] of PROOFS) {
    const line = proofOf(key, alg, more)
    // Often the same: each time it is read anew, and kept by another name.
    const lines = Array.from({ length: MANY }, () => line)
    const { took, counted, entries } = await measure('proofs', lines)
    t.equal(entries, MANY)
    const figures = `${what}: ${took.toFixed(0)} bytes, counted ${counted.toFixed(0)}`
    t.ok(counted >= took, figures)
  }
})
