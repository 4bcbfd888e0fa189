// JSON and JWS that say everything once, in one spelling.
import fc from 'fast-check'
import t from 'tap'
import { replayKey } from '../../src/verify/hashes.js'
import { readJsonObject } from '../../src/verify/json.js'
import { readBase64url, readJws } from '../../src/verify/jws.js'
import { makeNonce, readNonceTime } from '../../src/verify/nonces.js'

const json = (text: string) => readJsonObject(Buffer.from(text))

t.test('reads objects, and nothing else', async (t) => {
  t.same(json('{"a":1,"b":{"a":2},"c":[{"a":3},{"a":4}]}'), { a: 1, b: { a: 2 }, c: [{ a: 3 }, { a: 4 }] })
  for (const text of ['[]', 'null', '1', '"a"', '', '{', '{"a":1}x', '\ufeff{"a":1}', '{"a":1,}', '{a:1}', '{"a":NaN}'])
    t.equal(json(text), null, text)
  t.equal(readJsonObject(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])), null, 'not UTF-8')
  t.equal(readJsonObject(Buffer.from('{"a":1}', 'utf16le')), null, 'UTF-16')
})

t.test('refuses a member that is named twice', async (t) => {
  for (const text of [
    '{"a":1,"a":1}',
    '{"a":1,"\\u0061":2}',
    '{"x":{"a":1,"b":[{"c":1,"c":2}]}}',
    '{"a":"}","a":1}',
    '{"a":"\\\\","b":"\\"","b":1}',
    '{ "a" : [ 1 , 2 ] , "b" : 1 , "a" : 3 }',
    '{"__proto__":1,"__proto__":2}',
  ]) {
    t.equal(json(text), null, text)
  }
  t.ok(json('{"a":"a","b":"a","c":["a","a"],"d":{"a":"a"}}'), 'equal values are no repeats')
})

t.test('agrees with JSON.parse on whatever JSON.stringify prints', async (t) => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
      t.same(json(JSON.stringify(value)), JSON.parse(JSON.stringify(value)))
    }),
    { numRuns: 300 },
  )
})

t.test('never throws, whatever the bytes', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      readJsonObject(bytes)
      readJws(Buffer.from(bytes).toString('latin1'))
      readNonceTime(['x'.repeat(32)], Buffer.from(bytes).toString('latin1'))
    }),
    { numRuns: 1000 },
  )
  json(`${'{"a":'.repeat(2000)}1${'}'.repeat(2000)}`)
})

t.test('base64url has one spelling', async (t) => {
  t.same(readBase64url('AA'), Buffer.from([0]))
  for (const text of ['', 'A', 'AB', 'AA=', 'AA==', 'A A', '+/', 'AA\n', 'é'])
    t.equal(readBase64url(text), null, JSON.stringify(text))
})

t.test('nonces carry their time and cannot be made by others', async (t) => {
  const [secret, old, foreign] = ['a', 'b', 'c'].map((letter) => letter.repeat(32)) as [string, string, string]
  const nonce = makeNonce(secret, 1_700_000_000.9)
  t.match(nonce, /^[\x21\x23-\x5b\x5d-\x7e]+$/, 'RFC 9449 §8.1')
  t.equal(readNonceTime([secret], nonce), 1_700_000_000)
  t.equal(readNonceTime([foreign, secret], nonce), 1_700_000_000, 'by the previous secret too')
  t.equal(readNonceTime([old, foreign], nonce), null)
  for (let i = 0; i < nonce.length; i++) {
    const changed = nonce.slice(0, i) + (nonce[i] === 'A' ? 'B' : 'A') + nonce.slice(i + 1)
    t.equal(readNonceTime([secret], changed), null, `changed at ${i}`)
  }
})

t.test('one key for one proof, whatever stands in jti', async (t) => {
  const jkt = 'x'.repeat(43)
  const keys = new Set(['a', 'a\n', 'a:', '{a}', '\u0000', 'ä', 'a'.repeat(10_000)].map((jti) => replayKey(jkt, jti)))
  t.equal(keys.size, 7)
  for (const key of keys) t.match(key, /^[\w-]{21}$/)
  t.not(replayKey('x'.repeat(43), 'a'), replayKey('y'.repeat(43), 'a'), 'scoped to the key')
})
