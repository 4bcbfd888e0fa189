// Makes signed texts that are wrong in one place or a few: a member that says something else, is there twice or is gone, a signature of
// someone else, a segment in a second spelling. Most are signed anew, so that what is behind the signature is reached.
import { createHmac, sign } from 'node:crypto'
import fc from 'fast-check'
import type { FixedKey } from './keys.js'
import type { Random } from './random.js'

export type Parts = { readonly header: Readonly<Record<string, unknown>>; readonly claims: Readonly<Record<string, unknown>> }

export function signText(header: string, claims: string, key: FixedKey): string {
  const signed = `${Buffer.from(header).toString('base64url')}.${Buffer.from(claims).toString('base64url')}`
  return `${signed}.${signatureOf(signed, key).toString('base64url')}`
}

function signatureOf(signed: string, { alg, privateKey }: FixedKey): Buffer {
  const data = Buffer.from(signed)
  if (alg === 'EdDSA') return sign(null, data, privateKey)
  if (alg === 'ES256') return sign('sha256', data, { key: privateKey, dsaEncoding: 'ieee-p1363' })
  return sign('sha256', data, { key: privateKey, padding: 6, saltLength: 32 })
}

const MEMBERS =
  `typ alg kid jwk crit b64 enc zip jku x5u x5c cty iss aud sub client_id jti iat exp nbf scope cnf ath htm htu nonce acr
  auth_time jkt x5t#S256 kty crv x y n e d k use key_ops __proto__ constructor toString`.split(/\s+/)

/** Values that have made readers of JWTs stumble. */
const ODD: readonly unknown[] = [
  ...[
    null,
    true,
    false,
    0,
    -0,
    1,
    -1,
    1.5,
    1e21,
    5e-324,
    1e308,
    '',
    ' ',
    '0',
    'none',
    'HS256',
    'ES256',
    'EdDSA',
    'Ed25519',
    'PS256',
    'RS256',
  ],
  ...[
    'at+jwt',
    'application/at+jwt',
    'AT+JWT',
    'dpop+jwt',
    'DPOP+JWT',
    'JWT',
    'GET',
    'get',
    'https://api.example.com',
    'https://as.example.com',
  ],
  ...[
    'https://api.example.com/read/1',
    'https://API.example.com:443/read/%31',
    'https://api.example.com/read/../read/1?q#f',
    '\u0000',
    '\ud800',
    'ä',
  ],
  ...[
    [],
    {},
    [[]],
    [null],
    ['crit'],
    ['verify'],
    ['exp'],
    { jkt: '' },
    { jkt: 'A'.repeat(43) },
    { kty: 'oct', k: 'AAAA' },
    'x'.repeat(3000),
  ],
  ...[1_800_000_000, 1_800_000_001, 1_799_999_000, 1_800_000_010, 1_800_000_011, '1800000000', 1_800_000_000_000],
]

const json = fc.oneof(
  fc.jsonValue({ maxDepth: 4 }),
  fc.string({ unit: 'binary' }),
  fc.double(),
  fc.constantFrom(...ODD),
  fc.constantFrom(...ODD),
)

function oddValue(random: Random, old: unknown): unknown {
  if (random.chance(0.2) && typeof old === 'number')
    return old + random.pick([-1e9, -300, -61, -60, -1, -0.001, 0.001, 1, 10, 11, 300, 1e9])
  if (random.chance(0.2)) return [old]
  if (random.chance(0.2) && typeof old === 'object' && old !== null) return spoil(random, old as Parts['claims'])
  return fc.sample(json, { numRuns: 1, seed: random.next() | 0 })[0]
}

function spoil(random: Random, members: Parts['claims']): Record<string, unknown> {
  const spoilt: Record<string, unknown> = { ...members }
  const name = random.chance(0.7) && Object.keys(members).length > 0 ? random.pick(Object.keys(members)) : random.pick(MEMBERS)
  if (random.chance(0.2)) delete spoilt[name]
  else
    Object.defineProperty(spoilt, name, {
      value: oddValue(random, spoilt[name]),
      enumerable: true,
      configurable: true,
      writable: true,
    })
  return spoilt
}

/** The JSON text, sometimes in a way that one reader takes and another does not. */
function print(random: Random, members: Parts['claims']): string {
  const text = JSON.stringify(members)
  if (random.chance(0.8)) return text
  const name = random.pick([...Object.keys(members), 'alg'])
  const again = `${JSON.stringify(name)}:${JSON.stringify(oddValue(random, members[name]) ?? null)}`
  return random.pick([
    () => text.replace(/\}$/, `,${again}}`),
    () => text.replace(/^\{/, `{${again},`),
    () => text.replace(/"([a-z])/g, (_, letter: string) => `"\\u00${letter.charCodeAt(0).toString(16)}`),
    () => text.replace(/([:,{])/g, '$1 \n\t'),
    () => `\ufeff${text}`,
    () => `${text}\u0000`,
    () => text.replace(/\}$/, ',}'),
    () => `[${text}]`,
    () => text.replace(/(\d{6,})/g, '$1.0e0'),
    () => text.replace(/(\d{6,})/g, '1e999'),
    () => text.replace(/\}$/, `,"x":${'['.repeat(500)}${']'.repeat(500)}}`),
  ])()
}

/** The same bytes, spelt otherwise, or nearly the same. */
const SPELLINGS: readonly ((text: string) => string)[] = [
  (text) => `${text}=`,
  (text) => text.replaceAll('-', '+').replaceAll('_', '/'),
  (text) => `${text} `,
  (text) => `${text}\n`,
  (text) => `${text.slice(0, -1)}${String.fromCharCode(text.charCodeAt(text.length - 1) + 1)}`,
  (text) => `${text}A`,
  (text) => text.slice(0, -1),
  () => '',
  (text) => Buffer.from(text, 'base64url').toString('base64'),
  (text) => Buffer.from(`${text}`).toString('base64url'),
]

/** ECDSA has two signatures for each: `(r, n - s)` is as good as `(r, s)`. */
const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n
export function twinOf(signature: string): string {
  const bytes = Buffer.from(signature, 'base64url')
  if (bytes.length !== 64) return signature
  const s = ORDER - BigInt(`0x${bytes.subarray(32).toString('hex')}`)
  return s <= 0n
    ? signature
    : Buffer.concat([bytes.subarray(0, 32), Buffer.from(s.toString(16).padStart(64, '0'), 'hex')]).toString('base64url')
}

export type Signing = { readonly good: Parts; readonly key: FixedKey; readonly foreign: readonly FixedKey[] }

export function makeJws(random: Random, { good, key, foreign }: Signing): Buffer {
  let { header, claims } = good
  for (let i = random.below(3); i > 0; i--) {
    if (random.chance(0.4)) header = spoil(random, header)
    else claims = spoil(random, claims)
  }
  const [head, body] = [print(random, header), print(random, claims)]
  const segments = signText(head, body, random.chance(0.85) ? key : random.pick(foreign)).split('.')
  if (random.chance(0.1)) segments[2] = twinOf(segments[2] ?? '')
  if (random.chance(0.05)) segments[2] = hmacWith(key, `${segments[0]}.${segments[1]}`)
  if (random.chance(0.25)) {
    const at = random.below(3)
    segments[at] = random.pick(SPELLINGS)(segments[at] ?? '')
  }
  if (random.chance(0.05)) segments.splice(random.below(4), random.below(2), random.pick(segments))
  return Buffer.from(segments.join('.'), 'latin1')
}

/** RFC 8725 §2.1: the public key as if it were a secret. */
const hmacWith = (key: FixedKey, signed: string): string =>
  createHmac('sha256', key.publicKey.export({ type: 'spki', format: 'pem' }))
    .update(signed)
    .digest('base64url')
