// Requests that every kit refuses: each is a good one with one thing changed, and the title says which.
import { createHmac } from 'node:crypto'
import type { VectorKeys } from './keys.js'
import { type Draft, encode, HEADER, type Members, NOW, resign, signText } from './vector.js'

/** `from`: the good vector by name; left out, a plain GET. */
type Bad = { readonly wrong: string; readonly from?: string; readonly change: (draft: Draft, keys: VectorKeys) => Partial<Draft> }

const HEAD = { alg: 'ES256', typ: 'holdfast+jwt' }

const PLAIN = 'a token bound by DPoP'
const PAID = 'a body under its hash'
const ASKED = 'a query'
const ONCE = 'single use, the first time'

const claims =
  (change: Members): Bad['change'] =>
  ({ assertion }, keys) => ({ assertion: resign(keys, assertion, { claims: change }) })
const header =
  (change: Members): Bad['change'] =>
  ({ assertion }, keys) => ({ assertion: resign(keys, assertion, { header: change }) })
const text =
  (change: (assertion: string) => string): Bad['change'] =>
  ({ assertion }) => ({ assertion: change(assertion) })
const fields =
  (change: Draft['fields']): Bad['change'] =>
  () => ({ fields: change })
const request =
  (change: Partial<Draft>): Bad['change'] =>
  () =>
    change
/** Another payload, signed as the gateway would. */
const payload =
  (change: string): Bad['change'] =>
  (_, { current }) => ({ assertion: signText(JSON.stringify({ ...HEAD, kid: current.kid }), change, current) })
/** The payload as it is under another header and another signature. */
const signedBy =
  (head: Members, signature: (signed: string, keys: VectorKeys) => string): Bad['change'] =>
  ({ assertion }, keys) => {
    const signed = `${encode(JSON.stringify({ ...HEAD, kid: keys.current.kid, ...head }))}.${assertion.split('.')[1]}`
    return { assertion: `${signed}.${signature(signed, keys)}` }
  }

/** The same bits in another letter: 64 bytes leave the last four bits of a signature's text unused. */
const looseEnd = (assertion: string): string => {
  const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  return assertion.slice(0, -1) + ALPHABET[ALPHABET.indexOf(assertion.slice(-1)) + 1]
}

/** r and s as ASN.1, as most libraries sign outside JOSE. */
const asDer = (assertion: string): string => {
  const end = assertion.lastIndexOf('.') + 1
  const raw = Buffer.from(assertion.slice(end), 'base64url')
  const integers = [raw.subarray(0, 32), raw.subarray(32)].map((bytes) => {
    const padded = (bytes[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), bytes]) : bytes
    return Buffer.concat([Buffer.of(2, padded.length), padded])
  })
  const body = Buffer.concat(integers)
  return assertion.slice(0, end) + Buffer.concat([Buffer.of(0x30, body.length), body]).toString('base64url')
}

const BAD: readonly Bad[] = [
  { wrong: 'there is no assertion', change: fields(() => []) },
  { wrong: 'the assertion is empty', change: text(() => '') },
  {
    wrong: 'the assertion comes twice',
    change: fields((one) => [
      [HEADER, one],
      [HEADER, one],
    ]),
  },
  {
    wrong: 'an empty field stands beside the assertion',
    change: fields((one) => [
      [HEADER, one],
      [HEADER, ''],
    ]),
  },
  { wrong: 'two assertions are joined in one field', change: fields((one) => [[HEADER, `${one}, ${one}`]]) },
  { wrong: 'a comma follows', change: text((one) => `${one},`) },
  { wrong: 'it stands in another header', change: fields((one) => [['Authorization', one]]) },
  { wrong: 'it is called a bearer token', change: text((one) => `Bearer ${one}`) },

  { wrong: 'the signature is missing, dot and all', change: text((one) => one.slice(0, one.lastIndexOf('.'))) },
  { wrong: 'the signature is empty', change: text((one) => one.slice(0, one.lastIndexOf('.') + 1)) },
  { wrong: 'there is a fourth segment', change: text((one) => `${one}.AA`) },
  { wrong: 'the signature is padded', change: text((one) => `${one}==`) },
  { wrong: 'the last letter has bits that belong to no byte', change: text(looseEnd) },
  { wrong: 'a blank stands within', change: text((one) => one.replace('.', '. ')) },
  { wrong: 'the signature is in ASN.1', change: text(asDer) },
  { wrong: 'the signature is all zeros', change: text((one) => `${one.slice(0, one.lastIndexOf('.') + 1)}${'A'.repeat(86)}`) },
  {
    wrong: 'it is a JWS in JSON',
    change: text((one) => {
      const [head, body, signature] = one.split('.')
      return JSON.stringify({ payload: body, protected: head, signature })
    }),
  },

  { wrong: '`alg` is none, unsigned', change: signedBy({ alg: 'none' }, () => '') },
  { wrong: '`alg` is none, over a good signature', change: header({ alg: 'none' }) },
  {
    wrong: '`alg` is HS256, and the public key the secret',
    change: signedBy({ alg: 'HS256' }, (signed, { currentPem }) =>
      createHmac('sha256', currentPem).update(signed).digest('base64url'),
    ),
  },
  { wrong: '`alg` is another than what signed', change: header({ alg: 'ES384' }) },
  { wrong: '`alg` is in lower case', change: header({ alg: 'es256' }) },
  { wrong: '`alg` is missing', change: header({ alg: undefined }) },
  { wrong: '`typ` is missing', change: header({ typ: undefined }) },
  { wrong: '`typ` is that of any JWT', change: header({ typ: 'JWT' }) },
  { wrong: '`typ` is that of an access token', change: header({ typ: 'at+jwt' }) },
  { wrong: '`typ` has a prefix', change: header({ typ: 'application/holdfast+jwt' }) },
  { wrong: '`typ` is in upper case', change: header({ typ: 'HOLDFAST+JWT' }) },
  { wrong: '`kid` is missing', change: header({ kid: undefined }) },
  { wrong: '`kid` is of no published key', change: header({ kid: 'unheard-of' }) },
  {
    wrong: '`kid` is of the other published key',
    change: ({ assertion }, keys) => ({
      assertion: resign(keys, assertion, { header: { kid: keys.next.kid }, key: keys.current }),
    }),
  },
  { wrong: '`kid` is a number', change: header({ kid: 1 }) },
  { wrong: '`crit` names what nobody knows', change: header({ crit: ['holdfast'], holdfast: true }) },
  { wrong: '`b64` is false, and critical', change: header({ crit: ['b64'], b64: false }) },
  { wrong: 'a stranger signed it', change: signedBy({}, (signed, { stranger }) => stranger.sign(signed)) },
  {
    wrong: 'a stranger signed it, and brought the key',
    change: (draft, keys) => signedBy({ jwk: keys.strangerJwk }, (signed) => keys.stranger.sign(signed))(draft, keys),
  },
  {
    wrong: 'a claim was changed after it was signed',
    change: text((one) => {
      const [head, body = '', signature] = one.split('.')
      const changed = Buffer.from(body, 'base64url').toString().replace('"user-1"', '"user-2"')
      return `${head}.${encode(changed)}.${signature}`
    }),
  },
  { wrong: 'the claims are a list', change: payload('[]') },
  { wrong: 'the claims are null', change: payload('null') },
  { wrong: 'the claims are not JSON', change: payload('{') },

  { wrong: '`iss` is another gateway', change: claims({ iss: 'https://gateway.example.org' }) },
  { wrong: '`iss` ends in a slash', change: claims({ iss: 'https://gateway.example.com/' }) },
  { wrong: '`iss` is missing', change: claims({ iss: undefined }) },
  { wrong: '`aud` is another backend', change: claims({ aud: 'cases' }) },
  { wrong: '`aud` is a list', change: claims({ aud: ['payments'] }) },
  { wrong: '`aud` begins like ours', change: claims({ aud: 'payments-test' }) },
  { wrong: '`aud` is missing', change: claims({ aud: undefined }) },
  { wrong: '`exp` has passed', change: claims({ exp: NOW - 10 }) },
  { wrong: '`exp` is missing', change: claims({ exp: undefined }) },
  { wrong: '`exp` is text', change: claims({ exp: String(NOW + 30) }) },
  { wrong: '`iat` is ahead', change: claims({ iat: NOW + 10 }) },
  { wrong: '`iat` is missing', change: claims({ iat: undefined }) },
  { wrong: '`iat` is true', change: claims({ iat: true }) },
  { wrong: '`iat` is text', change: claims({ iat: String(NOW) }) },

  { wrong: 'the method is another', change: request({ method: 'DELETE' }) },
  { wrong: 'GET became HEAD', change: request({ method: 'HEAD' }) },
  { wrong: '`htm` is in lower case', change: claims({ htm: 'get' }) },
  { wrong: '`htm` is missing', change: claims({ htm: undefined }) },
  { wrong: 'the path is another', change: request({ target: '/payments/8' }) },
  { wrong: 'the path ends in a slash', change: request({ target: '/payments/7/' }) },
  { wrong: 'the path is written with an escape', change: request({ target: '/payments/%37' }) },
  { wrong: 'the path is in another case', change: request({ target: '/Payments/7' }) },
  { wrong: 'a query was added', change: request({ target: '/payments/7?all=true' }) },
  { wrong: 'the query is another', from: ASKED, change: request({ target: '/payments?from=2026-01-01&to=2026-03-01' }) },
  { wrong: 'the query was cut off', from: ASKED, change: request({ target: '/payments' }) },
  { wrong: 'the query is in another order', from: ASKED, change: request({ target: '/payments?to=2026-02-01&from=2026-01-01' }) },
  { wrong: '`target` is missing', change: claims({ target: undefined }) },
  { wrong: '`qsh` is of another query', from: ASKED, change: claims({ qsh: 'A'.repeat(43) }) },
  { wrong: '`qsh` is missing where there is a query', from: ASKED, change: claims({ qsh: undefined }) },
  { wrong: '`qsh` is there and no query', change: claims({ qsh: '47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU' }) },

  { wrong: 'the body is another', from: PAID, change: request({ body: Buffer.from('{"amount":"925.00"}') }) },
  { wrong: 'the body is missing', from: PAID, change: request({ body: Buffer.alloc(0) }) },
  {
    wrong: 'a byte follows the body',
    from: PAID,
    change: ({ body }) => ({ body: Buffer.concat([body, Buffer.from(' ')]) }),
  },
  { wrong: '`bdh` is of another body', from: PAID, change: claims({ bdh: 'A'.repeat(43) }) },
  { wrong: '`bdh` is empty', from: PAID, change: claims({ bdh: '' }) },
  { wrong: '`bdh` is missing where it is demanded', from: PAID, change: claims({ bdh: undefined }) },

  { wrong: 'the tier is too low', from: PAID, change: claims({ tier: 'low_user' }) },
  { wrong: '`tier` is missing where one is demanded', from: PAID, change: claims({ tier: undefined }) },
  { wrong: '`tier` is a list', from: PAID, change: claims({ tier: ['high_value'] }) },
  { wrong: 'the token is not bound', from: PAID, change: claims({ binding: { method: 'none' } }) },
  { wrong: 'it is bound in another way', change: claims({ binding: { method: 'mtls', 'x5t#S256': 'A'.repeat(43) } }) },
  { wrong: '`binding` is missing where one is demanded', from: PAID, change: claims({ binding: undefined }) },
  { wrong: '`binding` is text', from: PAID, change: claims({ binding: 'dpop' }) },

  { wrong: 'it comes a second time', from: ONCE, change: request({ repeat: true }) },
  { wrong: '`jti` is missing where it is for single use', from: ONCE, change: claims({ jti: undefined }) },
  { wrong: '`jti` is a number', from: ONCE, change: claims({ jti: 7 }) },
]

/** The bad vectors, each with its name: that of the good one it was, and what is wrong. */
export const badDrafts = (good: readonly Draft[], keys: VectorKeys): { readonly draft: Draft; readonly wrong: string }[] =>
  BAD.map(({ wrong, from = PLAIN, change }) => {
    const found = good.find(({ name }) => name === from)
    if (found === undefined) throw new Error(`no good vector is called ${from}`)
    return { draft: { ...found, ...change(found, keys), name: `${from}, but ${wrong}` }, wrong }
  })
