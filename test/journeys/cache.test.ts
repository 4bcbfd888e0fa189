// Tokens and proof headers are cached (performance): each way in which what was found out for one request could be told of another
// that it is not true of (threats §2.1 CVE-2026-35039, §2.3 CVE-2026-33496). The first request of every row fills the cache. What
// changes while a token is known is in cache-changes.test.ts, who could fill the caches in cache-flood.test.ts.
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { clientKey, type Draft, issuerKey, makeDraft, rebind } from '../support/draft.js'
import { base64url, makeKey, sha256, signJwt } from '../support/jwt.js'
import { bearer, certificateBound } from '../support/kinds.js'
import { HOST, type SendOptions, startLab } from '../support/lab.js'

const trusting = (issuer: string, audience: string) =>
  `issuers: [https://${issuer}.example.com], audience: https://${audience}.example.com`

const lab = await startLab({
  store: 'memory',
  yaml: (parts) => ({
    ...parts,
    tiers: `${parts.tiers}
  ed_tokens: { extends: bound_read, token_algorithms: [EdDSA] }
  ed_proofs: { extends: bound_read, proof_algorithms: [EdDSA] }
  short: { extends: bound_read, token_max_ttl: 30s }
  lenient: { extends: bound_read, clock_skew: 10m }
`,
    issuers: `
  - { issuer: https://as.example.com, audience: [https://api.example.com, https://other.example.com], jwks_file: issuer.jwks }
  - { issuer: https://as2.example.com, audience: https://api.example.com, jwks_file: issuer.jwks }`,
    routes: `${parts.routes?.replaceAll('issuers: [https://as.example.com]', trusting('as', 'api'))}
  - { path: /ed-tokens, methods: [GET], tier: ed_tokens, upstream: cases, ${trusting('as', 'api')} }
  - { path: /ed-proofs, methods: [GET], tier: ed_proofs, upstream: cases, ${trusting('as', 'api')} }
  - { path: /short, methods: [GET], tier: short, upstream: cases, ${trusting('as', 'api')} }
  - { path: /lenient, methods: [GET], tier: lenient, upstream: cases, ${trusting('as', 'api')} }
  - { path: /as2, methods: [GET], tier: bound_read, upstream: cases, ${trusting('as2', 'api')} }
  - { path: /other, methods: [GET], tier: bound_read, upstream: cases, ${trusting('as', 'other')} }`,
  }),
})
t.teardown(() => lab.stop())

const draft = (path = '/read/1'): Draft => makeDraft({ host: HOST, path })
const { token } = draft()
const signed = signJwt(token.header, token.claims, issuerKey.privateKey)
/** A new proof for the token that every request has, to the letter. */
const again = (path?: string): Draft => {
  const request = draft(path)
  request.token = { ...token, claims: { ...token.claims }, header: { ...token.header } }
  request.spoilToken = () => signed
  return request
}
/** The same for a token that is changed. */
function holding(change: (request: Draft) => void): (path?: string) => Draft {
  const first = draft()
  change(first)
  const text = signJwt(first.token.header, first.token.claims, issuerKey.privateKey)
  return (path) => {
    const request = draft(path)
    change(request)
    request.spoilToken = () => text
    return request
  }
}
const reasonOf = (reply: { status: number; body: string }) => (reply.status === 200 ? 'granted' : JSON.parse(reply.body).reason)
const is = async (t: Tap, request: Draft, reason: string, why: string) => {
  t.equal(reasonOf(await lab.send(again())), 'granted', 'the token is known')
  t.equal(reasonOf(await lab.send(request)), reason, why)
  t.equal(reasonOf(await lab.send(request)), reason === 'granted' ? 'proof_replayed' : reason, 'and again')
}
type Tap = { equal: typeof t.equal }

const ELSEWHERE: readonly (readonly [what: string, path: string, reason: string])[] = [
  ['binding', '/mtls', 'binding_insufficient'],
  ['nonce', '/nonce', 'nonce_missing'],
  ['longest life of tokens', '/short', 'token_lifetime'],
  ['algorithms', '/ed-tokens', 'token_algorithm'],
  ['issuers', '/as2', 'token_issuer'],
  ['audience', '/other', 'token_audience'],
]
for (const [what, path, reason] of ELSEWHERE) {
  t.test(`a token that was granted on one route is judged by the ${what} of another`, (t) => is(t, again(path), reason, path))
}

t.test(
  'a token that is not valid yet, and was granted where clocks may be far off, is judged by the clock_skew of another route',
  async (t) => {
    for (const claim of ['iat', 'nbf']) {
      const early = holding((request) => (request.token.claims[claim] = request.now + 200))
      t.equal(reasonOf(await lab.send(early('/lenient'))), 'granted', claim)
      t.equal(reasonOf(await lab.send(early('/read/1'))), 'token_not_yet_valid', claim)
      t.equal(reasonOf(await lab.send(early('/lenient'))), 'granted', claim)
    }
  },
)

t.test('a token that is nearly the same is another', async (t) => {
  const changed = (change: (text: string) => string) => {
    const request = again()
    request.spoilToken = () => change(signed)
    return request
  }
  const [header = '', payload = '', signature = ''] = signed.split('.')
  const other = signJwt(token.header, { ...token.claims, scope: 'admin' }, makeKey().privateKey).split('.')
  await is(
    t,
    changed((text) => `${text.slice(0, -6)}AAAAAA`),
    'token_signature',
    'the same beginning',
  )
  await is(
    t,
    changed(() => `${header}.${other[1]}.${signature}`),
    'token_signature',
    'the same beginning and end',
  )
  await is(
    t,
    changed(() => `${header}.${payload}.${other[2]}`),
    'token_signature',
    'another signature',
  )
  await is(
    t,
    changed((text) => `${text}=`),
    'token_malformed',
    'padding',
  )
  await is(
    t,
    changed((text) => `${text}.`),
    'token_malformed',
    'a part more',
  )
})

/** The order of P-256. */
const N = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n
t.test('another signature of the same token, worked out from the first, makes another token', async (t) => {
  const [header, payload, signature = ''] = signed.split('.')
  const bytes = Buffer.from(signature, 'base64url')
  const s = BigInt(`0x${bytes.subarray(32).toString('hex')}`)
  bytes.write((N - s).toString(16).padStart(64, '0'), 32, 'hex')
  const twin = `${header}.${payload}.${bytes.toString('base64url')}`
  const request = again()
  request.spoilToken = () => twin
  await is(t, request, 'granted', 'it is as good as the first')
  const proven = again()
  proven.spoilToken = () => twin
  if (proven.proof !== null) proven.proof.claims.ath = sha256(signed)
  await is(t, proven, 'proof_token', 'but a proof for the first is none for it')
})

t.test('a token that is known does not outlive itself', async (t) => {
  const end = Date.now() / 1000 + 6
  const short = holding((request) => (request.token.claims.exp = end))
  t.equal(reasonOf(await lab.send(short())), 'granted')
  t.equal(reasonOf(await lab.send(short())), 'granted', 'it is known')
  let reason = 'granted'
  while (reason === 'granted') {
    const at = Date.now() / 1000
    reason = reasonOf(await lab.send(short()))
    if (reason === 'granted' && at > end) return void t.fail('granted when it had expired')
    await sleep(100)
  }
  t.equal(reason, 'token_expired')
})

t.test('a token that is bound to a certificate, and is known with it, is refused with another and without', async (t) => {
  const bound = holding((request) => certificateBound(request, lab.thumbprint('client')))
  const send = async (options: SendOptions) => reasonOf(await lab.send(bound(), options))
  t.equal(await send({ certificate: 'client' }), 'granted')
  t.equal(await send({ certificate: 'other' }), 'certificate_mismatch')
  t.equal(await send({}), 'certificate_missing')
  t.equal(await send({ certificate: 'client' }), 'granted')
})

t.test('a bound token that is known is still no bearer token', async (t) => {
  const downgraded = again()
  downgraded.scheme = 'Bearer'
  await is(t, downgraded, 'scheme_downgraded', 'with its proof')
  const bare = again('/profile')
  bare.scheme = 'Bearer'
  bare.proof = null
  await is(t, bare, 'scheme_downgraded', 'and without, on a route that takes bearer tokens')
})

t.test('a proof header that is known says nothing of another token, tier or signature', async (t) => {
  const stolen = draft()
  stolen.token.claims.cnf = { jkt: makeKey().jkt }
  await is(t, stolen, 'proof_key', 'a token that is bound to another key')
  await is(t, again('/ed-proofs'), 'proof_algorithm', 'a tier that does not take its algorithm')
  const forged = again()
  if (forged.proof !== null) forged.proof.key = makeKey()
  await is(t, forged, 'proof_signature', 'signed by a stranger')
  const other = again()
  if (other.proof !== null) other.proof.claims.ath = 'x'.repeat(43)
  await is(t, other, 'proof_token', 'for another token')
  const unbound = bearer(draft('/profile'))
  unbound.scheme = 'DPoP'
  unbound.proof = again('/profile').proof
  await is(t, unbound, 'scheme_mismatch', 'a token that is not bound at all')
})

t.test('a proof header that is nearly the same is another', async (t) => {
  const changes: Readonly<Record<string, readonly [reason: string, change: (header: string) => string]>> = {
    'a character more': ['proof_malformed', (header) => `${header}A`],
    'a character less': ['proof_malformed', (header) => header.slice(0, -1)],
    'the same beginning': ['proof_malformed', (header) => `${header.slice(0, -4)}AAAA`],
    'the same in other words': ['proof_signature', (header) => base64url(` ${Buffer.from(header, 'base64url')}`)],
    'the same with another key': ['proof_key', (header) => base64url({ ...read(header), jwk: makeKey().jwk })],
  }
  const read = (header: string) => JSON.parse(Buffer.from(header, 'base64url').toString())
  for (const [why, [reason, change]] of Object.entries(changes)) {
    const request = again()
    request.spoilProof = (text) => {
      const [header = '', ...rest] = text.split('.')
      return [change(header), ...rest].join('.')
    }
    await is(t, request, reason, why)
  }
})

t.test('whoever holds no key can not put a header into the cache', async (t) => {
  const stranger = makeKey()
  const request = draft()
  rebind(request, stranger, 'ES256')
  if (request.proof !== null) request.proof.key = clientKey
  t.equal(reasonOf(await lab.send(request)), 'proof_signature')
  const honest = draft()
  rebind(honest, stranger, 'ES256')
  t.equal(reasonOf(await lab.send(honest)), 'granted', 'and does no harm to who does')
})
