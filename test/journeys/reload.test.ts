// What a reload changes at once, also for tokens and proof keys that were seen before (contract §2 Reload), and what the caches
// must never say.
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { clientKey, type Draft, issuerKey, makeDraft, printDraft } from '../support/draft.js'
import { makeKey } from '../support/jwt.js'
import { HOST, startLab } from '../support/lab.js'

const draft = (path = '/read/1'): Draft => makeDraft({ host: HOST, path })
const reasonOf = (reply: { body: string }) => JSON.parse(reply.body).reason

t.test('a stricter tier holds for a token that was accepted before, on connections that are open', async (t) => {
  const lab = await startLab({ store: 'memory' })
  t.teardown(() => lab.stop())
  const client = await lab.open()
  t.teardown(() => client.close())
  const { token } = draft()
  const send = async () => {
    const request = draft()
    request.token = token
    client.send(printDraft(request))
    return client.response()
  }
  t.equal((await send()).status, 200)
  await lab.reload((parts) => ({ ...parts, tiers: `${parts.tiers?.replace('audit: all', 'audit: all, token_max_ttl: 60s')}` }))
  const refused = await send()
  t.equal(refused.status, 401)
  t.equal(JSON.parse(refused.body.toString()).reason, 'token_lifetime')
})

t.test('a key that is gone takes its tokens with it', async (t) => {
  const lab = await startLab({ store: 'memory' })
  t.teardown(() => lab.stop())
  const { token } = draft()
  const send = () => {
    const request = draft()
    request.token = token
    return lab.send(request)
  }
  t.equal((await send()).status, 200)
  t.equal((await send()).status, 200)
  lab.write('issuer.jwks', JSON.stringify({ keys: [{ ...makeKey().jwk, kid: 'issuer-1' }] }))
  await lab.reload((parts) => parts)
  t.equal(reasonOf(await send()), 'token_signature')
  lab.write('issuer.jwks', JSON.stringify({ keys: [{ ...issuerKey.jwk, kid: 'issuer-1' }] }))
  await lab.reload((parts) => parts)
  t.equal((await send()).status, 200)
})

t.test('requests under way finish with what they started with', async (t) => {
  let release: () => void = () => undefined
  const lab = await startLab({
    store: 'memory',
    upstream: (_, response) => {
      release = () => void response.end('done')
    },
  })
  t.teardown(() => lab.stop())
  const reply = lab.send(draft())
  await sleep(200)
  await lab.reload((parts) => ({ ...parts, routes: '\n  - { path: /other, methods: [GET], tier: public, upstream: cases }\n' }))
  t.equal((await lab.send(draft())).status, 404)
  release()
  t.equal((await reply).status, 200)
})

t.test('a cached token is judged anew on every route, a cached proof key for every token', async (t) => {
  const lab = await startLab({ store: 'memory' })
  t.teardown(() => lab.stop())
  const { token } = draft()
  const on = (path: string, change: (request: Draft) => void = () => undefined) => {
    const request = draft(path)
    request.token = sameToken(token)
    change(request)
    return lab.send(request)
  }
  t.equal((await on('/read/1')).status, 200)
  t.equal(reasonOf(await on('/mtls')), 'binding_insufficient')
  t.equal(reasonOf(await on('/nonce')), 'nonce_missing')
  const another = await on('/read/1', (request) => {
    request.token.claims.cnf = { jkt: makeKey().jkt }
  })
  t.equal(reasonOf(another), 'proof_key', 'a known proof key, and a token that is bound to another')
  const almost = await on('/read/1', (request) => {
    request.spoilToken = (text) => `${text.slice(0, -6)}AAAAAA`
  })
  t.equal(reasonOf(almost), 'token_signature', 'a token with the same beginning')
  const soon = draft()
  soon.token.claims.exp = soon.now + 2
  t.equal((await lab.send(soon)).status, 200)
  await sleep(2100)
  const late = draft()
  late.token = soon.token
  t.equal(reasonOf(await lab.send(late)), 'token_expired')
  t.equal(clientKey.jkt.length, 43)
})

/** The same token to the letter, with claims that may be changed. */
const sameToken = (token: Draft['token']): Draft['token'] => ({ ...token, claims: { ...token.claims } })
