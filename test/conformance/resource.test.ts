// DPoP at the resource, its nonces and the one-time use of its proofs, where no other test has looked: RFC 9449 §7 to §9 and §11.
import type { IncomingMessage, ServerResponse } from 'node:http'
import t from 'tap'
import { replayKey } from '../../src/verify/hashes.js'
import { makeNonce } from '../../src/verify/nonces.js'
import { clientKey, type Draft, makeDraft, rebind } from '../support/draft.js'
import { type KeyPair, makeKey, signJwt } from '../support/jwt.js'
import { anonymous, bearer } from '../support/kinds.js'
import { HOST, type LabYaml, startLab } from '../support/lab.js'

const ISSUER = 'issuers: [https://as.example.com]'
/** As the lab has it. */
const NONCE_SECRET = 'n'.repeat(32)
const withMoreRoutes = (parts: LabYaml): LabYaml => ({
  ...parts,
  routes: `${parts.routes}
  - { path: '/pub/*', methods: [GET], tier: bound_read, upstream: cases, ${ISSUER}, strip_prefix: /pub, add_prefix: /int }`,
})

// Before the gateway runs in this process: making an RSA key takes long enough for it to call itself overloaded.
const [rsa, ed, p256, p384] = [makeKey('PS256'), makeKey('EdDSA'), makeKey('ES256'), makeKey('P-384')]

const lab = await startLab({ yaml: withMoreRoutes })
t.teardown(() => lab.stop())

const draft = (path = '/read/1', method = 'GET'): Draft => makeDraft({ host: HOST, path, method })
const change = (make: (draft: Draft) => void, path?: string, method?: string): Draft => {
  const request = draft(path, method)
  make(request)
  return request
}
const claims = (values: Record<string, unknown>, path?: string): Draft =>
  change((r) => Object.assign(r.proof?.claims ?? {}, values), path)
const reasonOf = (reply: { status: number; body: string }) => (reply.status === 200 ? 'granted' : JSON.parse(reply.body).reason)

t.test('denies proof_target: the path behind the gateway, though it is where the request ends up', async (t) => {
  t.equal(reasonOf(await lab.send(draft('/pub/a'))), 'granted')
  t.equal(lab.calls.at(-1)?.url, '/int/a')
  t.equal(reasonOf(await lab.send(claims({ htu: `https://${HOST}/int/a` }, '/pub/a'))), 'proof_target')
})

t.test('denies an absolute target of another origin than Host has', async (t) => {
  const absolute = (target: string, host = HOST) => change((r) => Object.assign(r, { target, host }))
  const calls = lab.upstreamCalls()
  for (const target of [
    'https://evil.example/read/1',
    `http://${HOST}/read/1`,
    `https://${HOST}:8443/read/1`,
    `https://u@${HOST}/read/1`,
  ])
    t.equal(reasonOf(await lab.send(absolute(target))), 'request_malformed', target)
  t.equal(reasonOf(await lab.send(absolute(`https://${HOST}/read/1`, 'other.example'))), 'host_unknown', 'Host is judged first')
  t.equal(reasonOf(await lab.send(absolute('https://evil.example/read/1', 'evil.example'))), 'host_unknown')
  t.equal(lab.upstreamCalls(), calls)
})

t.test('denies credentials_repeated: two methods in either order, told in every challenge', async (t) => {
  for (const order of [1, -1]) {
    const reply = await lab.send(
      change((r) => {
        r.credentials = ({ authorization, dpop }) => [
          ...(
            [
              ['Authorization', authorization],
              ['Authorization', 'Bearer abc'],
            ] as [string, string][]
          ).sort(() => order),
          ['DPoP', dpop ?? ''],
        ]
      }),
    )
    t.equal(reply.status, 400)
    t.equal(reasonOf(reply), 'credentials_repeated')
    const challenges = reply.headers('www-authenticate')
    t.same(
      challenges.map((challenge) => challenge.split(' ')[0]),
      ['DPoP', 'Bearer'],
    )
    for (const challenge of challenges) t.match(challenge, 'error="invalid_request"')
  }
})

t.test('a token in a form is not looked for: the body is the upstream’s', async (t) => {
  const form = (make: (r: Draft) => Draft) => {
    const request = make(draft('/profile', 'POST'))
    request.headers = [['Content-Type', 'application/x-www-form-urlencoded']]
    request.body = Buffer.from('access_token=abc')
    return request
  }
  const alone = await lab.send(form(anonymous))
  t.equal(alone.status, 401)
  t.equal(reasonOf(alone), 'credentials_missing')
  t.equal(reasonOf(await lab.send(form((r) => r))), 'granted', 'beside a token in Authorization')
  t.equal(lab.calls.at(-1)?.body.toString(), 'access_token=abc')
})

t.test('the algorithms that the challenge lists are those that are taken', async (t) => {
  const [challenge = ''] = (await lab.send(anonymous(draft()))).headers('www-authenticate')
  const [, list = ''] = /^DPoP algs="([^"]+)"/.exec(challenge) ?? []
  const keys: Readonly<Record<string, KeyPair>> = {
    PS256: rsa,
    RS256: rsa,
    PS384: rsa,
    RS512: rsa,
    EdDSA: ed,
    Ed25519: ed,
    ES256: p256,
    ES256K: p256,
    ES384: p384,
  }
  t.same(list.split(' '), ['PS256', 'ES256', 'EdDSA', 'Ed25519'])
  for (const [alg, key] of Object.entries(keys)) {
    const expected = list.split(' ').includes(alg) ? 'granted' : 'proof_algorithm'
    t.equal(reasonOf(await lab.send(change((r) => rebind(r, key, alg)))), expected, alg)
  }
})

t.test('a challenge is never for a proxy', async (t) => {
  const reply = await lab.send(
    change((r) => {
      r.credentials = ({ authorization }) => [['Proxy-Authorization', authorization]]
    }),
  )
  t.equal(reply.status, 401)
  t.same(reply.headers('proxy-authenticate'), [])
  t.equal(reply.headers('www-authenticate').length, 2)
})

t.test('denies token_unbound: a proof beside an unbound bearer token binds nothing', async (t) => {
  const reply = await lab.send(
    change((r) => {
      const proof = signJwt(r.proof?.header, r.proof?.claims, clientKey.privateKey)
      bearer(r).headers = [['DPoP', proof]]
    }),
  )
  t.equal(reply.status, 401)
  t.equal(reasonOf(reply), 'token_unbound')
})

t.test('denies binding_unsupported: a token that is bound in a way unknown here is no bearer token', async (t) => {
  for (const cnf of [{ kid: 'x' }, { jwk: clientKey.jwk }, {}, null, 'jkt', [], { jkt: 1 }]) {
    const request = change((r) => (bearer(r).token.claims.cnf = cnf), '/profile')
    t.equal(reasonOf(await lab.send(request)), 'binding_unsupported', JSON.stringify(cnf))
  }
})

t.test('a second try at the upstream is not a second use of the proof', async (t) => {
  const seen = new WeakSet<object>()
  let dropped = 0
  const unsteady = await startLab({
    upstream: (request: IncomingMessage, response: ServerResponse) => {
      if (seen.has(request.socket) && dropped++ === 0) return void request.socket.destroy()
      seen.add(request.socket)
      response.end('served')
    },
  })
  t.teardown(() => unsteady.stop())
  t.equal((await unsteady.send(draft())).body, 'served')
  const used = await unsteady.usedProofs()
  t.equal((await unsteady.send(draft())).body, 'served')
  t.equal(dropped, 1, 'the upstream broke the connection it was asked on')
  t.equal(await unsteady.usedProofs(), used + 1)
})

t.test('denies nonce_stale: a nonce of ours that is over a minute old, with a fresh one', async (t) => {
  const old = makeNonce(NONCE_SECRET, Date.now() / 1000 - 62)
  const reply = await lab.send(claims({ nonce: old }, '/nonce'))
  t.equal(reply.status, 401)
  t.equal(reasonOf(reply), 'nonce_stale')
  t.match(reply.header('www-authenticate'), /^DPoP error="use_dpop_nonce"/)
  const [fresh = '', ...more] = reply.headers('dpop-nonce')
  t.same(more, [], 'one nonce')
  t.not(fresh, old)
  t.equal(reasonOf(await lab.send(claims({ nonce: fresh }, '/nonce'))), 'granted')
  t.equal(reasonOf(await lab.send(claims({ nonce: makeNonce(NONCE_SECRET, Date.now() / 1000 - 55) }, '/nonce'))), 'granted')
})

t.test('a refusal for want of a nonce does not burn the jti', async (t) => {
  const first = draft('/nonce')
  const reply = await lab.send(first)
  t.equal(reasonOf(reply), 'nonce_missing')
  const again = claims({ jti: first.proof?.claims.jti, nonce: reply.header('dpop-nonce') }, '/nonce')
  t.equal(reasonOf(await lab.send(again)), 'granted')
})

t.test('one DPoP-Nonce, ours, whatever the upstream says; good at another gateway with the same secret', async (t) => {
  const other = await startLab({
    store: 'memory',
    upstream: (_, response) => response.writeHead(200, { 'DPoP-Nonce': 'theirs' }).end(),
  })
  t.teardown(() => other.stop())
  const reply = await other.send(claims({ nonce: await lab.nonce() }, '/nonce'))
  t.equal(reply.status, 200, 'a nonce that the first gateway made')
  const nonces = reply.headers('dpop-nonce')
  t.equal(nonces.length, 1)
  t.not(nonces[0], 'theirs')
  t.equal(reasonOf(await lab.send(claims({ nonce: nonces[0] }, '/nonce'))), 'granted', 'and the other way')
})

t.test('a thousand nonces are of the characters that RFC 9449 §8.1 allows', async (t) => {
  for (let i = 0; i < 1000; i++) {
    const nonce = makeNonce(NONCE_SECRET, 1_700_000_000 + i * 7919)
    if (!/^[\x21\x23-\x5b\x5d-\x7e]+$/.test(nonce)) t.fail(nonce)
  }
  t.match(await lab.nonce(), /^[\x21\x23-\x5b\x5d-\x7e]+$/)
})

t.test('denies proof_replayed: the same jti with another spelling of htu', async (t) => {
  const jti = `spelt-${Date.now()}`
  t.equal(reasonOf(await lab.send(claims({ jti }))), 'granted')
  for (const htu of [
    `https://${HOST}:443/read/1`,
    `HTTPS://${HOST.toUpperCase()}/read/1`,
    `https://${HOST}/%72ead/1`,
    `https://${HOST}/read/1?q`,
  ])
    t.equal(reasonOf(await lab.send(claims({ jti, htu }))), 'proof_replayed', htu)
  t.equal(reasonOf(await lab.send(claims({ jti }, '/read/2'))), 'proof_replayed', 'and for another target (docs/decisions.md)')
})

t.test('denies proof_replayed: with another body', async (t) => {
  const request = draft('/read/1', 'POST')
  request.body = Buffer.from('{"amount":1}')
  t.equal(reasonOf(await lab.send(request)), 'granted')
  const calls = lab.upstreamCalls()
  request.body = Buffer.from('{"amount":1000}')
  t.equal(reasonOf(await lab.send(request)), 'proof_replayed')
  t.equal(lab.upstreamCalls(), calls)
})

t.test('a proof dated ahead is remembered for as long as it would be taken', async (t) => {
  const iat = Math.floor(Date.now() / 1000) + 9
  const request = claims({ iat })
  t.equal(reasonOf(await lab.send(request)), 'granted')
  const key = `holdfast:${replayKey(clientKey.jkt, String(request.proof?.claims.jti))}`
  const ttl = Number(await lab.redis?.call('PTTL', key))
  const window = (iat + 60) * 1000 - Date.now()
  t.ok(ttl >= window, `${ttl} ms for a window of ${window} ms`)
  t.ok(ttl < window + 30_000, 'and not much longer')
})

t.test('a jti may be any text, and no text reaches the names of records', async (t) => {
  const keys = async (): Promise<string[]> => [(await lab.redis?.call('KEYS', '*')) ?? []].flat().map(String)
  const before = new Set(await keys())
  for (const text of ['a\nSET x 1', 'a:b', '{tag}', '\u0000', 'ключ', '\ud800', '*', ' ']) {
    const jti = `${text}${Date.now()}`
    t.equal(reasonOf(await lab.send(claims({ jti }))), 'granted', JSON.stringify(text))
    t.equal(reasonOf(await lab.send(claims({ jti }))), 'proof_replayed', JSON.stringify(text))
  }
  const added = (await keys()).filter((key) => !before.has(key))
  t.ok(added.length >= 8)
  for (const key of added) t.match(key, /^holdfast:[\w-]{21}$/)
})
