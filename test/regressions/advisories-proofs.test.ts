// Proofs of possession that others accepted: a key never compared, a proof used twice, one that outlives its record. Against a real Redis,
// which is killed at the end; certificates have a file of their own.
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { type Draft, makeDraft, printDraft, signProof } from '../support/draft.js'
import { makeKey, sha256, signJwt } from '../support/jwt.js'
import { anonymous, bearer } from '../support/kinds.js'
import { HOST, type LabYaml, startLab } from '../support/lab.js'
import { changed, claims, grants, ISSUER, proofOf, reasonOf, refuses } from './attack.js'

const AGE = 1
const SKEW = 2
const [OLD, NEW] = ['o'.repeat(32), 'w'.repeat(32)]
const withSecrets =
  (secrets: readonly string[]) =>
  (parts: LabYaml): LabYaml => ({ ...parts, dpop: `{ nonce_secret: [${secrets.join(', ')}] }` })
const lab = await startLab({
  yaml: (parts) => ({
    ...withSecrets([OLD])(parts),
    tiers: `${parts.tiers}
  short: { extends: bound_read, proof_max_age: ${AGE}s, clock_skew: ${SKEW}s }
  rated: { extends: bound_read, rate_limit: { rate: 100/m, by: client } }
`,
    routes: `${parts.routes}
  - { path: /short, methods: [GET], tier: short, upstream: cases, ${ISSUER} }
  - { path: /rated, methods: [GET], tier: rated, upstream: cases, ${ISSUER} }
  - { path: /Read/:id, methods: [GET], tier: bound_read, upstream: cases, ${ISSUER} }
`,
  }),
})
t.teardown(() => lab.stop())

const stranger = makeKey()
/** Deep, but for its key, which is no plain data. */
const copyOf = (jwt: Draft['token']): Draft['token'] => ({ ...jwt, header: { ...jwt.header }, claims: { ...jwt.claims } })
const provenBy = (key: typeof stranger) => (draft: Draft) => {
  proofOf(draft).key = key
  proofOf(draft).header.jwk = key.jwk
}

t.test('CVE-2024-49755, giantswarm/mcp-oauth #384: a stolen token is worth nothing with a proof of another key', async (t) => {
  for (const path of ['/profile', '/read/1', '/partner'])
    await refuses(t, lab, changed(provenBy(stranger), path), 'proof_key', `on ${path}`)
  const spelt = (path: string) => changed((draft) => (proofOf(draft).key = stranger), path)
  for (const path of ['/profile', '/read/1'])
    await refuses(t, lab, spelt(path), 'proof_signature', `another key’s signature, ${path}`)
})

t.test('giantswarm/mcp-oauth #383: a bound token is no bearer token, on no tier', async (t) => {
  for (const path of ['/profile', '/read/1', '/partner', '/nonce']) {
    const bare = changed((draft) => {
      draft.scheme = 'Bearer'
      draft.proof = null
    }, path)
    await refuses(t, lab, bare, 'scheme_downgraded', path)
  }
})

t.test('WSO2: the Bearer scheme with a good proof is still the wrong scheme', async (t) => {
  for (const scheme of ['Bearer', 'bearer', 'BEARER'])
    await refuses(
      t,
      lab,
      changed((draft) => (draft.scheme = scheme)),
      'scheme_downgraded',
      scheme,
    )
})

t.test('WSO2: requests across a change of nonces all pass, each with the nonce it was given', async (t) => {
  const send = (nonce: string) => lab.send(makeDraft({ host: HOST, path: '/nonce', nonce }))
  const before = await lab.nonce()
  await sleep(1050)
  const later = await lab.nonce()
  t.not(later, before, 'a nonce of another second is another')
  await lab.reload(withSecrets([NEW, OLD]))
  const current = await lab.nonce()
  const nonces = Array.from({ length: 24 }, (_, i) => [before, later, current][i % 3] ?? '')
  const replies = await Promise.all(nonces.map(send))
  t.same(replies.map(reasonOf), Array(24).fill('granted'), 'in parallel, of one key')
  await lab.reload(withSecrets([NEW]))
  t.equal(reasonOf(await send(before)), 'nonce_stale', 'until the secret is gone')
})

t.test('liboauth2: of 50 copies at once one passes', async (t) => {
  const bytes = printDraft(changed())
  const clients = await Promise.all(Array.from({ length: 50 }, () => lab.open()))
  const before = lab.upstreamCalls()
  for (const client of clients) client.send(bytes)
  const answers = await Promise.all(clients.map((client) => client.response()))
  for (const client of clients) client.close()
  const reasons = answers.map(({ status, body }) => reasonOf({ status, body: body.toString() }))
  t.equal(reasons.filter((reason) => reason === 'granted').length, 1)
  t.equal(reasons.filter((reason) => reason === 'proof_replayed').length, 49)
  t.equal(lab.upstreamCalls(), before + 1)
})

t.test('liboauth2: a private key in a proof is refused', async (t) => {
  const jwk = stranger.privateKey.export({ format: 'jwk' })
  const leaking = changed((draft) => {
    draft.token.claims.cnf = { jkt: stranger.jkt }
    provenBy(stranger)(draft)
    proofOf(draft).header.jwk = jwk
  })
  await refuses(t, lab, leaking, 'proof_private_key')
})

/** The proofs that Redis knows. */
async function records(): Promise<string[]> {
  const keys = (await lab.redis?.call('KEYS', '*')) as string[]
  return keys.filter((key) => !/:(?:rate|epoch|probe)/.test(key))
}

t.test('liboauth2: what is refused does not spend a proof', async (t) => {
  const honest = changed()
  const used = await records()
  const spoilt: [reason: string, change: (draft: Draft) => void][] = [
    ['proof_signature', (draft) => (proofOf(draft).key = stranger)],
    ['proof_method', (draft) => (draft.method = 'POST')],
    ['proof_target', (draft) => (draft.target = '/read/2')],
    ['scope_missing', (draft) => (draft.token.claims.scope = 'case.read')],
  ]
  for (const [reason, change] of spoilt) {
    const draft: Draft = { ...honest, token: copyOf(honest.token), proof: copyOf(proofOf(honest)) }
    change(draft)
    await refuses(t, lab, draft, reason)
  }
  t.same((await records()).sort(), used.sort(), 'nothing was recorded')
  await grants(t, lab, honest, 'the same jti is good in an honest proof')
})

t.test('keycloak #43505: a future-dated proof is remembered until the end of its window', async (t) => {
  // Where a second begins, so that a whole `iat` is as far ahead as it may be.
  await sleep(1000 - (Date.now() % 1000))
  const iat = Math.floor(Date.now() / 1000) + SKEW
  const bytes = printDraft(claims({ iat, htu: `https://${HOST}/short` }, '/short'))
  const before = await records()
  t.equal(reasonOf(await lab.sendRaw(bytes)), 'granted', 'dated ahead by all of the skew')
  // This process remembers what it accepted; others know by the record alone.
  const [record = ''] = (await records()).filter((key) => !before.includes(key))
  const lives = Number(await lab.redis?.call('PTTL', record))
  t.ok(lives >= (iat + AGE) * 1000 - Date.now(), `its record lives for ${lives} ms`)
  await sleep((iat + AGE - 1) * 1000 - Date.now())
  const old = claims({ iat, htu: `https://${HOST}/short` }, '/short')
  t.equal(reasonOf(await lab.send(old)), 'granted', `a new proof of that time is still young ${SKEW} s later`)
  t.equal(reasonOf(await lab.sendRaw(bytes)), 'proof_replayed', 'and the used one is still known')
  await sleep((iat + AGE) * 1000 + 100 - Date.now())
  t.equal(reasonOf(await lab.sendRaw(bytes)), 'proof_too_old', 'until it is too old')
})

t.test('CVE-2026-4282, CVE-2026-4325: a proof, a nonce, a token and a rate have no record in common', async (t) => {
  const nonce = await lab.nonce()
  const keys = (await lab.redis?.call('KEYS', '*')) as string[]
  const names = ['epoch', 'probe', 'rate:100/m', 'rate', '', nonce, stranger.jkt]
  // What is in Redis already, and what looks like it.
  for (const jti of [...new Set([...keys, ...names])].filter((name) => name !== '').slice(0, 40)) {
    const draft = changed((draft) => {
      draft.token.claims.jti = jti
      draft.token.claims.client_id = jti
      proofOf(draft).claims.jti = jti
      draft.token.claims.cnf = { jkt: stranger.jkt }
      provenBy(stranger)(draft)
    }, '/rated')
    await grants(t, lab, draft, `jti, client and token are called ${jti}`)
    t.equal(reasonOf(await lab.send(draft)), 'proof_replayed', 'and it is used once')
  }
  const once = makeDraft({ host: HOST, path: '/nonce', nonce })
  proofOf(once).claims.jti = nonce
  await grants(t, lab, once, 'a nonce may be a jti')
  await grants(t, lab, makeDraft({ host: HOST, path: '/nonce', nonce }), 'and is still a nonce')
  const [jti, other] = ['same', makeKey()]
  for (const key of [stranger, other]) {
    const draft = changed((draft) => {
      draft.token.claims.cnf = { jkt: key.jkt }
      provenBy(key)(draft)
      proofOf(draft).claims.jti = jti
    })
    await grants(t, lab, draft, 'one client cannot spend another’s jti')
  }
})

t.test('Duende PR 1291: a proof for one token is none for another of the same key', async (t) => {
  const mine = changed()
  const text = signJwt(mine.token.header, mine.token.claims, mine.token.key.privateKey)
  await refuses(t, lab, claims({ ath: sha256(text) }), 'proof_token')
  await refuses(t, lab, claims({ ath: undefined }), 'proof_claim')
  await refuses(t, lab, claims({ ath: sha256('') }), 'proof_token')
  const reused = changed()
  const proof = signProof(proofOf(mine), text)
  reused.spoilProof = () => proof
  await refuses(t, lab, reused, 'proof_token', 'the very proof of the other token')
})

t.test('Duende htu, liboauth2: case counts in the path of htu, and not in its scheme and host', async (t) => {
  for (const path of ['/Read/1', '/READ/1', '/reaD/1'])
    await refuses(t, lab, claims({ htu: `https://${HOST}${path}` }), 'proof_target', path)
  const below = claims({ htu: `https://${HOST}/read/1` }, '/Read/1')
  await refuses(t, lab, below, 'proof_target', 'even where both are routes')
  for (const origin of [`HTTPS://${HOST}`, `https://${HOST.toUpperCase()}`, 'hTtPs://Api.Example.Com'])
    await grants(t, lab, claims({ htu: `${origin}/read/1` }), origin)
})

t.test('Kong opaque token: no word of introspection binds or frees a token', async (t) => {
  for (const text of ['2YotnFZFEjr1zCsicMWpAA', 'a.b', 'eyJhbGciOiJFUzI1NiJ9.e30'])
    for (const scheme of ['DPoP', 'Bearer']) {
      const opaque = changed((draft) => {
        draft.spoilToken = () => text
        draft.scheme = scheme
        if (scheme === 'Bearer') draft.proof = null
      }, '/profile')
      await refuses(t, lab, opaque, 'token_malformed', `${scheme} ${text}`)
    }
  const { jkt } = stranger
  for (const cnf of [
    { cnf: { jkt } },
    { jkt: { jkt } },
    { jkt: [jkt] },
    [{ jkt }],
    { token: { cnf: { jkt } } },
    JSON.stringify({ jkt }),
  ]) {
    const nested = changed((draft) => (draft.token.claims.cnf = cnf))
    await refuses(t, lab, nested, 'binding_unsupported', JSON.stringify(cnf))
    const bare = bearer(changed(undefined, '/profile'))
    bare.token.claims.cnf = cnf
    await refuses(t, lab, bare, 'binding_unsupported', 'and it does not pass for an unbound one')
  }
})

t.test('Kong session auth: a cookie is no credential', async (t) => {
  await grants(t, lab, changed(), 'a session begins')
  for (const name of ['session', 'access_token', 'Authorization', '__Host-session']) {
    const draft = changed()
    const token = signJwt(draft.token.header, draft.token.claims, draft.token.key.privateKey)
    draft.credentials = ({ dpop }) => [
      ['Cookie', `${name}=${token}`],
      ['DPoP', dpop ?? ''],
    ]
    await refuses(t, lab, draft, 'credentials_missing', name)
  }
  const reply = await lab.send(changed())
  t.same(reply.headers('set-cookie'), [], 'and none is ever given')
})

t.test('liboauth2: without its Redis no proof passes, and what needs none goes on', async (t) => {
  await lab.redis?.kill()
  for (const path of ['/read/1', '/profile', '/partner'])
    await refuses(t, lab, changed(undefined, path), 'replay_unavailable', path)
  t.equal(reasonOf(await lab.send(anonymous(changed(undefined, '/public')))), 'granted')
})
