// Tokens and proof headers are cached (performance): each way in which what was found out for one request could be told of another
// that it is not true of (threats §2.1 CVE-2026-35039, §2.3 CVE-2026-33496). The first request of every row fills the cache.
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { clientKey, type Draft, issuerKey, makeDraft, rebind } from '../support/draft.js'
import { makeKey, signJwt } from '../support/jwt.js'
import { bearer } from '../support/kinds.js'
import { HOST, startLab } from '../support/lab.js'

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
`,
    issuers: `
  - { issuer: https://as.example.com, audience: [https://api.example.com, https://other.example.com], jwks_file: issuer.jwks }
  - { issuer: https://as2.example.com, audience: https://api.example.com, jwks_file: issuer.jwks }`,
    routes: `${parts.routes?.replaceAll('issuers: [https://as.example.com]', trusting('as', 'api'))}
  - { path: /ed-tokens, methods: [GET], tier: ed_tokens, upstream: cases, ${trusting('as', 'api')} }
  - { path: /ed-proofs, methods: [GET], tier: ed_proofs, upstream: cases, ${trusting('as', 'api')} }
  - { path: /short, methods: [GET], tier: short, upstream: cases, ${trusting('as', 'api')} }
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
const reasonOf = (reply: { status: number; body: string }) => (reply.status === 200 ? 'granted' : JSON.parse(reply.body).reason)
const is = async (t: Tap, request: Draft, reason: string, why: string) => {
  t.equal(reasonOf(await lab.send(again())), 'granted', 'the token is known')
  t.equal(reasonOf(await lab.send(request)), reason, why)
  t.equal(reasonOf(await lab.send(request)), reason === 'granted' ? 'proof_replayed' : reason, 'and again')
}
type Tap = { equal: typeof t.equal }

t.test('a token that was granted on one route is judged anew on another', async (t) => {
  await is(t, again('/mtls'), 'binding_insufficient', 'the binding')
  await is(t, again('/nonce'), 'nonce_missing', 'the nonce')
  await is(t, again('/short'), 'token_lifetime', 'the life of tokens')
  await is(t, again('/ed-tokens'), 'token_algorithm', 'its algorithm')
  await is(t, again('/as2'), 'token_issuer', 'its issuer')
  await is(t, again('/other'), 'token_audience', 'its audience')
})

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

t.test('a token that is known does not outlive itself', async (t) => {
  const short = draft()
  short.token.claims.exp = Date.now() / 1000 + 0.4
  const text = signJwt(short.token.header, short.token.claims, issuerKey.privateKey)
  const send = () => {
    const request = draft()
    request.spoilToken = () => text
    return lab.send(request)
  }
  t.equal(reasonOf(await send()), 'granted')
  await sleep(450)
  t.equal(reasonOf(await send()), 'token_expired')
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

t.test('a key that is gone, or is another under the same kid, takes its tokens along', async (t) => {
  const own = await startLab({ store: 'memory' })
  t.teardown(() => own.stop())
  const jwks = (...keys: readonly object[]) => own.write('issuer.jwks', JSON.stringify({ keys }))
  const { jwk } = issuerKey
  const send = async () => reasonOf(await own.send(again()))
  t.equal(await send(), 'granted')
  t.equal(await send(), 'granted', 'it is known')
  jwks({ ...makeKey().jwk, kid: 'issuer-1' })
  await own.reload((parts) => parts)
  t.equal(await send(), 'token_signature', 'the same kid, another key')
  jwks({ ...jwk, kid: 'issuer-1' })
  await own.reload((parts) => parts)
  t.equal(await send(), 'granted')
  jwks({ ...makeKey().jwk, kid: 'other' })
  await own.reload((parts) => parts)
  t.not(await send(), 'granted', 'gone')
})

t.test('a policy that changed judges tokens that are known', async (t) => {
  const own = await startLab({ store: 'memory' })
  t.teardown(() => own.stop())
  const send = async () => reasonOf(await own.send(again()))
  t.equal(await send(), 'granted')
  const changes: readonly (readonly [reason: string, from: string, to: string])[] = [
    ['token_audience', 'audience: https://api.example.com', 'audience: https://api2.example.com'],
    ['token_algorithm', 'binding: any, audit: all', 'binding: any, audit: all, token_algorithms: [EdDSA]'],
    ['token_lifetime', 'binding: any, audit: all', 'binding: any, audit: all, token_max_ttl: 30s'],
    ['client_not_allowed', "path: '/read/:id',", "path: '/read/:id', clients: [someone-else],"],
    ['scope_missing', 'scopes: [case.read, case.write]', 'scopes: [case.read, admin]'],
    ['proof_algorithm', 'binding: any, audit: all', 'binding: any, audit: all, proof_algorithms: [EdDSA]'],
  ]
  for (const [reason, from, to] of changes) {
    await own.reload((parts) => Object.fromEntries(Object.entries(parts).map(([key, text]) => [key, text.replace(from, to)])))
    t.equal(await send(), reason)
    await own.reload((parts) => parts)
    t.equal(await send(), 'granted')
  }
})
