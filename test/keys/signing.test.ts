// Our own keys, judged by jose: another implementation must accept what we sign and what we publish.
import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto'
import { calculateJwkThumbprint, compactVerify, createLocalJWKSet, type JWK } from 'jose'
import t from 'tap'
import { loadSigningKeys } from '../../src/keys/signing.js'

const pem = (format: 'pkcs8' | 'sec1' = 'pkcs8'): string =>
  generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: format, format: 'pem' }).toString()

t.test('signs ES256 with the first key, which jose verifies against what is published', async (t) => {
  const pems = [pem(), pem('sec1')]
  const { current, jwks } = loadSigningKeys(pems)
  const header = Buffer.from(JSON.stringify({ alg: 'ES256', kid: current.kid })).toString('base64url')
  const signed = `${header}.${Buffer.from('{"a":1}').toString('base64url')}`
  const { payload } = await compactVerify(`${signed}.${current.sign(signed)}`, createLocalJWKSet({ keys: [...jwks.keys] }))
  t.equal(Buffer.from(payload).toString(), '{"a":1}')
  t.equal(Buffer.from(current.sign(signed), 'base64url').length, 64, 'r and s, not DER')
  const key = createPublicKey(pems[0] ?? '')
  t.ok(verify('sha256', Buffer.from('x'), { key, dsaEncoding: 'ieee-p1363' }, Buffer.from(current.sign('x'), 'base64url')))
})

t.test('publishes every key once, public members alone, named by RFC 7638 thumbprint', async (t) => {
  const one = pem()
  const { current, jwks } = loadSigningKeys([one, pem(), one])
  t.equal(jwks.keys.length, 2)
  t.equal(jwks.keys[0]?.kid, current.kid)
  for (const jwk of jwks.keys) {
    t.same(Object.keys(jwk).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y'])
    t.match(jwk, { kty: 'EC', crv: 'P-256', use: 'sig', alg: 'ES256' })
    t.equal(jwk.kid, await calculateJwkThumbprint(jwk as JWK))
  }
})

t.test('refuses to start with anything but EC P-256 private keys, and does not show them', async (t) => {
  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const ed = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const open = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ type: 'spki', format: 'pem' }).toString()
  const locked = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    .privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'secret' })
    .toString()
  for (const bad of ['', 'secret', p384, ed, open, locked, pem().slice(0, 100)]) {
    t.throws(() => loadSigningKeys([pem(), bad]), {
      message: /^assertion key 2 is not an EC P-256 private key in PEM: make one with/,
    })
  }
  t.throws(() => loadSigningKeys(['secret']), { message: /^(?!.*secret)/ })
  t.throws(() => loadSigningKeys([]), /set assertion.key/)
})
