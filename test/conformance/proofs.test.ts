// DPoP proofs in forms that the negative table does not have: each is refused for its own reason, is not recorded as used and does not
// reach the upstream; and odd ones that must pass (RFC 9449 §4.2, §4.3; RFC 7515 §4; RFC 7517 §4).
import { generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { type Reason, reasonRow } from '../../src/verify/reasons.js'
import { clientKey, type Draft, makeDraft } from '../support/draft.js'
import { makeKey, sha256, signJwt } from '../support/jwt.js'
import { HOST, startLab } from '../support/lab.js'

// Before the gateway runs in this process: making RSA keys takes long enough for it to call itself overloaded.
const rsa3 = generateKeyPairSync('rsa', { modulusLength: 2048, publicExponent: 3 })
const rsaJwk = makeKey('PS256').jwk
const p384 = makeKey('P-384')
const x25519 = generateKeyPairSync('x25519').publicKey.export({ format: 'jwk' })
const wide = Buffer.concat([Buffer.from([0x80]), randomBytes(2047)]).toString('base64url')

const lab = await startLab()
t.teardown(() => lab.stop())

const draft = (path = '/read/1', method = 'GET'): Draft => makeDraft({ host: HOST, path, method })
const change = (make: (draft: Draft) => void, request = draft()): Draft => {
  make(request)
  return request
}
const claims = (values: Record<string, unknown>): Draft => change((r) => Object.assign(r.proof?.claims ?? {}, values))
const header = (values: Record<string, unknown>): Draft => change((r) => Object.assign(r.proof?.header ?? {}, values))
const jwk = (values: unknown): Draft => header({ jwk: values })
const reasonOf = (reply: { status: number; body: string }) => (reply.status === 200 ? 'granted' : JSON.parse(reply.body).reason)

type Text = (text: string) => string
const asIs: Text = (text) => text

/** Signs the proof again after its header or payload was changed as JSON text. */
function respelt({
  head = asIs,
  payload = asIs,
  key = clientKey.privateKey,
}: {
  head?: Text
  payload?: Text
  key?: KeyObject | Buffer
}) {
  return change((r) => {
    r.spoilProof = (proof) => {
      const [first = '', second = ''] = proof.split('.').map((part) => Buffer.from(part, 'base64url').toString())
      return signJwt(head(first), payload(second), key)
    }
  })
}
const ath = (make: (right: string, token: string) => string): Draft => {
  let token = ''
  const request = respelt({
    payload: (text) => {
      const { ath: right, ...rest } = JSON.parse(text)
      return JSON.stringify({ ...rest, ath: make(right, token) })
    },
  })
  request.spoilToken = (text) => {
    token = text
    return text
  }
  return request
}
const spelt = (spoil: Text): Draft => change((r) => (r.spoilProof = spoil))

const DENIED: Readonly<Record<string, readonly [reason: Reason, make: () => Draft]>> = {
  'five parts, a JWE': ['proof_malformed', () => spelt((proof) => `${proof}.a.b`)],
  'a character outside base64url': ['proof_malformed', () => spelt((proof) => proof.replace(/.$/, '+'))],
  'a padded header': ['proof_malformed', () => spelt((proof) => proof.replace('.', '=.'))],
  'the payload is a list': ['proof_malformed', () => respelt({ payload: () => '[]' })],
  'the payload is null': ['proof_malformed', () => respelt({ payload: () => 'null' })],
  'the payload is a string': ['proof_malformed', () => respelt({ payload: (text) => JSON.stringify(text) })],
  'alg twice': ['proof_malformed', () => respelt({ head: (text) => text.replace('{', '{"alg":"none",') })],
  'jwk twice': ['proof_malformed', () => respelt({ head: (text) => text.replace('{', '{"jwk":{"kty":"oct","k":"AA"},') })],
  'a member twice within jwk': ['proof_malformed', () => respelt({ head: (text) => text.replace('"kty"', '"kty":"RSA","kty"') })],
  'crit that names exp': ['proof_malformed', () => header({ crit: ['exp'], exp: 1 })],
  'jwk is a string': ['proof_malformed', () => jwk('foo')],
  'jwk is of the type __proto__': ['proof_malformed', () => jwk({ ...clientKey.jwk, kty: '__proto__' })],
  'jwk is of the type constructor': ['proof_malformed', () => jwk({ ...clientKey.jwk, kty: 'constructor' })],
  'an X25519 key for EdDSA': ['proof_malformed', () => header({ alg: 'EdDSA', jwk: x25519 })],
  'an RSA key with exponent 3': [
    'proof_malformed',
    () => header({ alg: 'PS256', jwk: rsa3.publicKey.export({ format: 'jwk' }) }),
  ],
  'an RSA key with exponent 1': ['proof_malformed', () => header({ alg: 'PS256', jwk: { ...rsaJwk, e: 'AQ' } })],
  'an RSA key of 16384 bits': ['proof_malformed', () => header({ alg: 'PS256', jwk: { kty: 'RSA', n: wide, e: 'AQAB' } })],
  'none with an empty signature': [
    'proof_malformed',
    () => change((r) => (r.spoilProof = (proof) => proof.replace(/[^.]+$/, '')), header({ alg: 'none' })),
  ],
  nOnE: ['proof_algorithm', () => header({ alg: 'nOnE' })],
  'alg is a number': ['proof_algorithm', () => header({ alg: 1 })],
  'HS256 keyed with the public key': [
    'proof_algorithm',
    () => respelt({ head: (text) => text.replace('"ES256"', '"HS256"'), key: Buffer.from(JSON.stringify(clientKey.jwk)) }),
  ],
  ES384: ['proof_algorithm', () => header({ alg: 'ES384', jwk: p384.jwk })],
  'a symmetric member in an RSA key': ['proof_private_key', () => header({ alg: 'PS256', jwk: { ...rsaJwk, k: 'AA' } })],
  'typ at+jwt': ['proof_type', () => header({ typ: 'at+jwt' })],
  'typ application/dpop+jwt': ['proof_type', () => header({ typ: 'application/dpop+jwt' })],
  'iat is 1e400': ['proof_claim', () => respelt({ payload: (text) => text.replace(/"iat":\d+/, '"iat":1e400') })],
  'htu is a list': ['proof_claim', () => claims({ htu: [`https://${HOST}/read/1`] })],
  'htm is only inherited': [
    'proof_claim',
    () => respelt({ payload: (text) => text.replace('"htm":"GET"', '"__proto__":{"htm":"GET"}') }),
  ],
  'ath with padding': ['proof_token', () => ath((right) => `${right}=`)],
  'ath in base64': ['proof_token', () => ath((right) => Buffer.from(right, 'base64url').toString('base64'))],
  'ath in hex': ['proof_token', () => ath((right) => Buffer.from(right, 'base64url').toString('hex'))],
  'ath cut short': ['proof_token', () => ath((right) => right.slice(0, 22))],
  'ath of scheme and token': ['proof_token', () => ath((_, token) => sha256(`DPoP ${token}`))],
  'htu of the path in X-Original-URL': [
    'proof_target',
    () => change((r) => r.headers.push(['X-Original-URL', '/read/2']), claims({ htu: `https://${HOST}/read/2` })),
  ],
  'htu of the host in X-Forwarded-Host': [
    'proof_target',
    () =>
      change(
        (r) => r.headers.push(['X-Forwarded-Host', 'evil.example'], ['Forwarded', 'host=evil.example;proto=https']),
        claims({ htu: 'https://evil.example/read/1' }),
      ),
  ],
  'htm of X-HTTP-Method-Override': [
    'proof_method',
    () => change((r) => r.headers.push(['X-HTTP-Method-Override', 'DELETE']), claims({ htm: 'DELETE' })),
  ],
  'iat of tomorrow': ['proof_in_future', () => change((r) => Object.assign(r.proof?.claims ?? {}, { iat: r.now + 86_400 }))],
  'iat of an hour ago': ['proof_too_old', () => change((r) => Object.assign(r.proof?.claims ?? {}, { iat: r.now - 3600 }))],
}

t.test('the unchanged request is granted', async (t) => {
  t.equal(reasonOf(await lab.send(draft())), 'granted')
  t.equal(reasonOf(await lab.send(respelt({}))), 'granted', 'and one that was signed again')
})

for (const [why, [reason, make]] of Object.entries(DENIED)) {
  t.test(`denies ${reason}: ${why}`, async (t) => {
    const before = { used: await lab.usedProofs(), calls: lab.upstreamCalls() }
    const reply = await lab.send(make())
    t.equal(reasonOf(reply), reason)
    t.equal(reply.status, 401)
    t.match(reply.header('www-authenticate'), `DPoP error="${reasonRow(reason).error}"`, 'in the DPoP challenge')
    t.equal(reply.header('cache-control'), 'no-store')
    t.same({ used: await lab.usedProofs(), calls: lab.upstreamCalls() }, before, 'nothing recorded, upstream not called')
  })
}

const GRANTED: Readonly<Record<string, () => Draft>> = {
  'members of jwk in another order, with kid, use and x5c': () =>
    respelt({
      head: (text) => {
        const {
          jwk: { kty, crv, x, y },
          ...rest
        } = JSON.parse(text)
        return JSON.stringify({ jwk: { y, x5c: ['AA=='], x, kid: 'k', use: 'sig', kty, key_ops: ['verify'], crv }, ...rest })
      },
    }),
  'names that JavaScript objects inherit': () =>
    respelt({
      head: (text) => text.replace('{', '{"__proto__":{"alg":"none"},"constructor":{"prototype":{}},'),
      payload: (text) => text.replace('{', '{"__proto__":{"htm":"POST"},"constructor":1,"toString":null,'),
    }),
  'a method override that nobody follows': () => change((r) => r.headers.push(['X-HTTP-Method-Override', 'DELETE'])),
}

for (const [why, make] of Object.entries(GRANTED)) {
  t.test(`grants ${why}`, async (t) => {
    t.equal(reasonOf(await lab.send(make())), 'granted')
    t.equal(lab.calls.at(-1)?.method, 'GET')
    t.notOk('x-http-method-override' in (lab.calls.at(-1)?.headers ?? {}))
  })
}

t.test('denies proof_signature: a key that the proof points to, which nobody fetches', async (t) => {
  const stranger = makeKey()
  let fetched = 0
  const canary = createServer((_, response) => {
    fetched++
    response.end(JSON.stringify({ keys: [{ ...stranger.jwk, kid: 'theirs' }] }))
  }).listen(0, '127.0.0.1')
  await once(canary, 'listening')
  t.teardown(() => canary.close())
  const url = `http://127.0.0.1:${(canary.address() as AddressInfo).port}/keys`
  const request = header({ kid: 'theirs', jku: url, x5u: url, x5c: [stranger.publicKey.export({ type: 'spki', format: 'pem' })] })
  if (request.proof !== null) request.proof.key = stranger
  t.equal(reasonOf(await lab.send(request)), 'proof_signature')
  t.equal(fetched, 0)
})

t.test('denies headers_too_large: a proof of 60 KiB costs no cryptography', async (t) => {
  const reply = await lab.send(spelt((proof) => proof + 'A'.repeat(60 * 1024)))
  t.equal(reply.status, 431)
  t.equal(reasonOf(reply), 'headers_too_large')
})

t.test('a refused proof does not burn its jti, whatever was wrong', async (t) => {
  const faults: Readonly<Record<string, (wrong: Draft) => void>> = {
    proof_signature: (r) => (r.spoilProof = (proof) => proof.replace(/.{8}$/, 'AAAAAAAA')),
    proof_target: (r) => Object.assign(r.proof?.claims ?? {}, { htu: `https://${HOST}/read/2` }),
    token_expired: (r) => Object.assign(r.token.claims, { iat: r.now - 100, exp: r.now - 1 }),
    scope_missing: (r) => Object.assign(r.token.claims, { scope: 'case.read' }),
  }
  for (const [reason, spoil] of Object.entries(faults)) {
    const right = draft()
    const wrong = change((r) => Object.assign(r.proof?.claims ?? {}, { jti: right.proof?.claims.jti }))
    spoil(wrong)
    t.equal(reasonOf(await lab.send(wrong)), reason)
    t.equal(reasonOf(await lab.send(right)), 'granted', `after ${reason}`)
  }
})

t.test('nothing of a proof or token comes back, in no header and no body', async (t) => {
  const evil = '"\r\nX-Evil: 1\r\n\r\n<script>'
  for (const values of [
    { jti: evil, ath: sha256('another') },
    { htu: `https://${HOST}/${evil}` },
    { htm: evil },
    { nonce: evil, iat: 1 },
  ]) {
    let token = ''
    const request = claims(values)
    request.spoilToken = (text) => {
      token = text
      return text
    }
    const reply = await lab.send(request)
    t.equal(reply.status, 401)
    t.notMatch(reply.text, /X-Evil|<script>|eyJ/i)
    t.notOk(reply.text.includes(token))
    const [challenge = ''] = reply.headers('www-authenticate')
    const { title } = reasonRow(reasonOf(reply))
    t.match(challenge, `error_description="${title}"`, 'the fixed sentence of the reason')
  }
})
