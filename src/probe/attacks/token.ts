// The access token: forged, changed, unsigned, signed with what is public, wrapped, or of another kind. What an attacker can make
// without the issuer's private key must never pass, whatever else of the request is right.

import { createHmac, createPublicKey, generateKeyPairSync, type KeyObject, randomUUID, webcrypto } from 'node:crypto'
import { CompactEncrypt, calculateJwkThumbprint, type JWK } from 'jose'
import { loadX509 } from '../../cli/x509.js'
import type { Attack } from '../attack.js'
import type { Bench } from '../bench.js'
import { base64url, type Draft, jwt, proofText, type Signer, signerOf } from '../draft.js'
import { refusing, skipped } from '../rules.js'

const refused = refusing('token', 'critical', [])
const CLAIMS = 'RFC 9068 §4'
const NONE = 'RFC 8725 §3.1'
const CONFUSION = 'RFC 8725 §2.1'
const EMBEDDED = 'RFC 8725 §3.10'
const COMPACT = 'RFC 7515 §7.1'

type Json = Record<string, unknown>
type Parts = { readonly header: Json; readonly claims: Json; readonly signature: string; readonly text: readonly string[] }

/** Null: the token is not a JWT, so there is nothing to change that its issuer would not have to know. */
function partsOf(token: string): Parts | null {
  const text = token.split('.')
  const [header = '', claims = '', signature = ''] = text
  try {
    const read = (part: string): Json => JSON.parse(Buffer.from(part, 'base64url').toString('utf8'))
    return text.length === 3 ? { header: read(header), claims: read(claims), signature, text } : null
  } catch {
    return null
  }
}

type Words = readonly [id: string, title: string, spec: string]

/** Replaces the token by what is made of its parts. */
const changed = (
  words: Words,
  change: (parts: Parts, draft: Draft, bench: Bench) => string | null | Promise<string | null>,
  options?: Parameters<typeof refused>[2],
): Attack => {
  const attack = refused(words, () => undefined, options)
  return {
    ...attack,
    run: async (bench) => {
      const draft = await bench.draft()
      const parts = partsOf(draft.token)
      const token = parts && (await change(parts, draft, bench))
      if (token === null)
        return skipped(parts === null ? 'the token is opaque' : 'the issuer has no key of the kind that this needs')
      draft.token = token
      return bench.mustRefuse(draft, options)
    },
  }
}

const keepSignature = (header: Json, claims: Json, signature: string): string =>
  `${base64url(JSON.stringify(header))}.${base64url(JSON.stringify(claims))}.${signature}`

const claims = (change: (claims: Json) => Json) => (parts: Parts) =>
  keepSignature(parts.header, change(parts.claims), parts.signature)
const signature = (change: (bytes: Buffer) => Buffer) => (parts: Parts) =>
  `${parts.text[0]}.${parts.text[1]}.${change(Buffer.from(parts.signature, 'base64url')).toString('base64url')}`

const flip = (at: number) =>
  signature((bytes) => {
    const copy = Buffer.from(bytes)
    const index = at < 0 ? copy.length + at : at
    copy[index] = (copy[index] ?? 0) ^ 1
    return copy
  })

const unsigned = (alg: string) => (parts: Parts) => keepSignature({ ...parts.header, alg }, parts.claims, '')

/** A MAC whose secret is one of the issuer's public keys, in a form that a careless library takes for a secret. */
const macWith = (secretOf: (key: KeyObject, jwk: JWK) => string | Buffer) => (parts: Parts, _draft: Draft, bench: Bench) => {
  const jwk = keyOf(bench, parts)
  if (jwk === null) return null
  const secret = secretOf(createPublicKey({ key: jwk as never, format: 'jwk' }), jwk)
  const sign: Signer = (input) => createHmac('sha256', secret).update(input).digest()
  return jwt(JSON.stringify({ ...parts.header, alg: 'HS256' }), JSON.stringify(parts.claims), sign)
}

const keyOf = ({ settings }: Bench, { header }: Parts): JWK | null =>
  settings.issuerKeys.find(({ kid }) => kid === header.kid) ?? settings.issuerKeys[0] ?? null

/** A whole forgery: the forger's own issuer key, and the token bound to the forger's own proof key. */
const forged = (head: (key: JWK, parts: Parts) => Json) => async (parts: Parts, draft: Draft) => {
  // With the algorithm of the issuer, or it would be refused for that.
  const made = await forgersKey(String(parts.header.alg))
  if (made === null) return null
  const { privateKey, jwk, x5c } = made
  const bound = await boundToForger(draft)
  const header = { ...parts.header, ...head({ ...jwk, x5c }, parts) }
  return jwt(
    JSON.stringify(header),
    JSON.stringify({ ...parts.claims, ...bound }),
    signerOf(privateKey, String(parts.header.alg)),
  )
}

const CURVES: Readonly<Record<string, string>> = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' }

async function forgersKey(alg: string): Promise<{ privateKey: KeyObject; jwk: JWK; x5c: string[] } | null> {
  const namedCurve = CURVES[alg]
  const pair =
    namedCurve !== undefined
      ? generateKeyPairSync('ec', { namedCurve })
      : /^[PR]S\d{3}$/.test(alg)
        ? generateKeyPairSync('rsa', { modulusLength: 2048 })
        : alg === 'EdDSA' || alg === 'Ed25519'
          ? generateKeyPairSync('ed25519')
          : null
  if (pair === null) return null
  const { privateKey, publicKey } = pair
  const der = publicKey.asymmetricKeyType === 'ed25519' ? null : await selfSigned(pair)
  return { privateKey, jwk: publicKey.export({ format: 'jwk' }) as JWK, x5c: der === null ? [] : [der] }
}

/** A certificate that the forger made for that key, DER in base64. */
async function selfSigned({ privateKey, publicKey }: { privateKey: KeyObject; publicKey: KeyObject }): Promise<string> {
  const { X509CertificateGenerator } = await loadX509()
  const isRsa = publicKey.asymmetricKeyType === 'rsa'
  const curve = String(publicKey.export({ format: 'jwk' }).crv)
  const algorithm = isRsa ? { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' } : { name: 'ECDSA', namedCurve: curve, hash: 'SHA-256' }
  const imported = async (format: 'pkcs8' | 'spki', key: KeyObject, usage: 'sign' | 'verify') =>
    webcrypto.subtle.importKey(format, key.export({ format: 'der', type: format }) as Buffer, algorithm, true, [usage])
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: 'CN=issuer.invalid',
    keys: { privateKey: await imported('pkcs8', privateKey, 'sign'), publicKey: await imported('spki', publicKey, 'verify') },
    signingAlgorithm: algorithm,
  })
  return Buffer.from(certificate.rawData).toString('base64')
}

/** A MAC whose secret is what a careless lookup by `kid` finds. */
const macByKid = (kid: string, secret: string) => async (parts: Parts, draft: Draft) => {
  const bound = await boundToForger(draft)
  const sign: Signer = (input) => createHmac('sha256', secret).update(input).digest()
  return jwt(JSON.stringify({ ...parts.header, alg: 'HS256', kid }), JSON.stringify({ ...parts.claims, ...bound }), sign)
}

/** Gives the draft a proof by a new key, and says what `cnf` fits it. */
async function boundToForger({ proof }: Draft): Promise<Json> {
  if (proof === null) return {}
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const jwk = publicKey.export({ format: 'jwk' }) as JWK
  proof.header.alg = 'ES256'
  proof.header.jwk = jwk
  proof.sign = signerOf(privateKey, 'ES256')
  return { cnf: { jkt: await calculateJwkThumbprint(jwk) } }
}

const longer = (claims: Json): Json => ({ ...claims, exp: Number(claims.exp) + 86_400 })
const without =
  (name: string) =>
  (claims: Json): Json =>
    Object.fromEntries(Object.entries(claims).filter(([one]) => one !== name))

async function encrypted(parts: Parts, _draft: Draft, bench: Bench): Promise<string | null> {
  const jwk = keyOf(bench, parts)
  if (jwk === null || (jwk.kty !== 'RSA' && jwk.kty !== 'EC')) return null
  const inner = unsigned('none')(parts)
  const alg = jwk.kty === 'RSA' ? 'RSA-OAEP-256' : 'ECDH-ES'
  const key = createPublicKey({ key: jwk as never, format: 'jwk' })
  return new CompactEncrypt(Buffer.from(inner))
    .setProtectedHeader({ ...parts.header, alg, enc: 'A256GCM', cty: 'JWT' })
    .encrypt(key)
}

const P256_N = Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex')

/** The client's own key signs as if it were the issuer's. */
function signedByClient(parts: Parts, { proof }: Draft): string | null {
  if (proof === null) return null
  return jwt(
    JSON.stringify({ ...parts.header, alg: proof.header.alg, jwk: proof.header.jwk }),
    JSON.stringify(parts.claims),
    proof.sign,
  )
}

const needsKeys = { needs: ['issuer keys'] } as const
const medium = { severity: 'medium' } as const
const withDpop = { needs: ['dpop'] } as const

const CHANGED: readonly (readonly [id: string, title: string, change: (claims: Json) => Json])[] = [
  ['exp', 'exp a day later', longer],
  ['scope', 'more scope', (claims) => ({ ...claims, scope: `${String(claims.scope ?? '')} admin` })],
  ['sub', 'another sub', (claims) => ({ ...claims, sub: 'admin' })],
  ['client', 'another client_id', (claims) => ({ ...claims, client_id: 'admin' })],
  ['iss', 'another iss', (claims) => ({ ...claims, iss: 'https://issuer.invalid' })],
  ['no-cnf', 'cnf taken away', without('cnf')],
  ['cnf-empty', 'cnf emptied', (claims) => ({ ...claims, cnf: {} })],
]

const FORGED: readonly (readonly [id: string, title: string, head: (key: JWK, parts: Parts) => Json])[] = [
  ['same-kid', "a forger's key under the issuer's kid", () => ({})],
  ['no-kid', "a forger's key, no kid", () => ({ kid: undefined })],
  ['jwk', "a forger's key, in jwk", ({ x5c: _, ...jwk }) => ({ jwk })],
  [
    'jwk-kid',
    "a forger's key, in jwk with the issuer's kid",
    ({ x5c: _, ...jwk }, { header }) => ({ jwk: { ...jwk, kid: header.kid } }),
  ],
  ['x5c', "a forger's key, in a certificate in x5c", ({ x5c }) => ({ x5c })],
  ['x5c-no-kid', "a forger's key, in a certificate in x5c, no kid", ({ x5c }) => ({ x5c, kid: undefined })],
  [
    'jku-data',
    "a forger's key, jku is a data: URL that holds it",
    ({ x5c: _, ...jwk }, { header }) => ({
      jku: `data:application/json,${encodeURIComponent(JSON.stringify({ keys: [{ ...jwk, kid: header.kid }] }))}`,
    }),
  ],
  ['jku', "a forger's key, jku names where it is", () => ({ jku: 'https://keys.invalid/jwks.json' })],
  ['x5u', "a forger's key, x5u names where it is", () => ({ x5u: 'https://keys.invalid/cert.pem' })],
  ['kid-proto', 'kid is __proto__', () => ({ kid: '__proto__' })],
  ['kid-object', 'kid is an object', () => ({ kid: {} })],
]

export const TOKEN_ATTACKS: readonly Attack[] = [
  ...['none', 'None', 'NONE', 'nOnE'].map((alg) =>
    changed([`alg-${alg}`, `alg is ${alg}, without signature`, NONE], unsigned(alg)),
  ),
  changed(['alg-none-longer', 'alg is none, exp a day later', NONE], (parts) =>
    unsigned('none')({ ...parts, claims: longer(parts.claims) }),
  ),
  changed(['alg-none-signed', 'alg is none, the old signature left', NONE], (parts) =>
    keepSignature({ ...parts.header, alg: 'none' }, parts.claims, parts.signature),
  ),
  changed(
    ['alg-none-rebound', "alg is none, cnf is a forger's key, with its proof", NONE],
    async (parts, draft) => unsigned('none')({ ...parts, claims: { ...parts.claims, ...(await boundToForger(draft)) } }),
    withDpop,
  ),
  changed(
    ['hs256-pem', "HS256 with the issuer's public key (PEM) as secret", CONFUSION],
    macWith((key) => key.export({ type: 'spki', format: 'pem' }).toString()),
    needsKeys,
  ),
  changed(
    ['hs256-pem-trimmed', 'the same without its last newline', CONFUSION],
    macWith((key) => key.export({ type: 'spki', format: 'pem' }).toString().trim()),
    needsKeys,
  ),
  changed(
    ['hs256-der', "HS256 with the issuer's public key (DER) as secret", CONFUSION],
    macWith((key) => key.export({ type: 'spki', format: 'der' })),
    needsKeys,
  ),
  changed(
    ['hs256-jwk', "HS256 with the issuer's JWK as secret", CONFUSION],
    macWith((_key, jwk) => JSON.stringify(jwk)),
    needsKeys,
  ),
  changed(
    ['hs256-modulus', "HS256 with n or x of the issuer's key as secret", CONFUSION],
    macWith((_key, jwk) => Buffer.from(jwk.n ?? jwk.x ?? '', 'base64url')),
    needsKeys,
  ),
  changed(
    ['hs256-empty', 'HS256 with an empty secret', CONFUSION],
    macWith(() => ''),
    needsKeys,
  ),

  changed(['signature-first', 'the first byte of the signature changed', CLAIMS], flip(0)),
  changed(['signature-last', 'the last byte of the signature changed', CLAIMS], flip(-1)),
  changed(['signature-empty', 'the signature is empty', CLAIMS], (parts) => `${parts.text[0]}.${parts.text[1]}.`),
  changed(
    ['signature-zero', 'a signature of zeros', 'CVE-2022-21449'],
    signature((bytes) => Buffer.alloc(bytes.length)),
  ),
  changed(
    ['signature-order', 'r and s are the order of P-256', 'CVE-2022-21449'],
    signature(() => Buffer.concat([P256_N, P256_N])),
  ),
  changed(
    ['signature-short', 'half a signature', CLAIMS],
    signature((bytes) => bytes.subarray(0, bytes.length / 2)),
  ),
  ...CHANGED.map(([id, title, change]) =>
    changed([`claims-${id}`, `${title}, the signature left as it was`, CLAIMS], claims(change)),
  ),
  changed(
    ['claims-no-cnf-bearer', 'cnf taken away, and sent as Bearer', CLAIMS],
    (parts, draft) => {
      draft.scheme = 'Bearer'
      draft.proof = null
      return claims(without('cnf'))(parts)
    },
    withDpop,
  ),
  changed(
    ['claims-rebound', "cnf is a forger's key, with its proof", CLAIMS],
    async (parts, draft) => {
      const bound = await boundToForger(draft)
      return claims((old) => ({ ...old, ...bound }))(parts)
    },
    withDpop,
  ),
  ...FORGED.map(([id, title, head]) => changed([`forged-${id}`, title, EMBEDDED], forged(head), { mayBeUnavailable: true })),
  changed(
    ['forged-kid-path', 'kid is a path to nothing, HS256 with an empty secret', EMBEDDED],
    macByKid('../../../../../../dev/null', ''),
  ),
  changed(['forged-kid-sql', 'kid is SQL that gives x, HS256 with the secret x', EMBEDDED], macByKid("' UNION SELECT 'x", 'x')),
  changed(['client-signed', "the client's own key signs as if it were the issuer's", EMBEDDED], signedByClient, withDpop),
  changed(
    ['encrypted-unsigned', "an unsigned token encrypted to the issuer's public key", 'CVE-2026-29000'],
    encrypted,
    needsKeys,
  ),

  changed(
    ['json-form', 'JSON serialization', COMPACT],
    ({ text }) => JSON.stringify({ protected: text[0], payload: text[1], signature: text[2] }),
    medium,
  ),
  changed(['two-parts', 'two parts', COMPACT], ({ text }) => `${text[0]}.${text[1]}`),
  changed(['four-parts', 'a fourth part', COMPACT], ({ text }) => `${text.join('.')}.AA`, medium),
  changed(['padding', 'padding behind the signature', 'RFC 7515 §2'], ({ text }) => `${text.join('.')}==`, medium),
  changed(['upper', 'the whole token in upper case', COMPACT], ({ text }) => text.join('.').toUpperCase()),
  refused(
    ['proof-as-token', 'a proof in place of the token', 'RFC 8725 §3.11'],
    (draft) => {
      if (draft.proof !== null) draft.token = proofText(draft.proof, draft.token)
    },
    withDpop,
  ),
  refused(['random', 'a token that nobody issued', CLAIMS], (draft) => {
    draft.token = randomUUID().replaceAll('-', '')
  }),
  refused(
    ['long', 'a token of 60,000 characters', 'RFC 6585 §5'],
    (draft) => {
      draft.token = 'A'.repeat(60_000)
    },
    {
      severity: 'low',
      mayClose: true,
    },
  ),
  {
    ...refused(['wrong', 'each of the tokens given as wrong', 'RFC 8725 §3.12'], () => undefined),
    run: async (bench) => {
      if (bench.settings.wrongTokens.size === 0) return skipped('no --wrong-token was given')
      let last = skipped('none was sent')
      for (const [name, token] of bench.settings.wrongTokens) {
        // With a proof for it, and as a bearer token: most of them are bound to nothing.
        for (const isBearer of [false, true]) {
          const draft = await bench.draft()
          draft.token = token
          if (isBearer) Object.assign(draft, { scheme: 'Bearer', proof: null })
          const outcome = await bench.mustRefuse(draft)
          last = { ...outcome, came: `${name}${isBearer ? ' as Bearer' : ''}: ${outcome.came}` }
          if (last.verdict !== 'held') return last
        }
      }
      return last
    },
  },
]
