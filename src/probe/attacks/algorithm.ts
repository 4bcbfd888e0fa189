// Algorithms and keys of the proof: only asymmetric ones, only with a public key that fits, only with a signature by that key.

import { createHmac, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto'
import type { Attack, Severity } from '../attack.js'
import { type ProofDraft, type Signer, signerOf } from '../draft.js'
import { draftBoundTo, header, onProof, refusing, skipped } from '../rules.js'

const refused = refusing('algorithm', 'critical', ['dpop'])
const ALLOWED = 'RFC 9449 §4.3 (5)'
const SIGNED = 'RFC 9449 §4.3 (6)'
const PRIVATE = 'RFC 9449 §4.3 (7)'
const FITS = 'RFC 8725 §3.1'

const jwkOf = (proof: ProofDraft): Record<string, unknown> => proof.header.jwk as Record<string, unknown>
const inJwk = (name: string, value: unknown) => onProof((proof) => void Object.assign(jwkOf(proof), { [name]: value }))

const unsigned = (alg: string) =>
  onProof((proof) => {
    proof.header.alg = alg
    proof.sign = () => Buffer.alloc(0)
  })

/** What RFC 8725 §2.1 warns of: a MAC whose secret is something public. */
const macWith = (secretOf: (key: KeyObject, jwk: object) => string | Buffer) =>
  onProof((proof) => {
    const jwk = jwkOf(proof)
    const secret = secretOf(createPublicKey({ key: jwk as never, format: 'jwk' }), jwk)
    proof.header.alg = 'HS256'
    proof.sign = (input) => createHmac('sha256', secret).update(input).digest()
  })

/** A key that must not be taken, with a token that is really bound to it, where the authorization server gives one. */
const boundTo = (
  [id, title, spec]: readonly [string, string, string],
  make: () => { privateKey: KeyObject },
  alg: string,
  severity: Severity = 'high',
): Attack => ({
  ...refused([id, title, spec], () => undefined, { severity }),
  run: async (bench) => {
    const draft = await draftBoundTo(bench, make().privateKey, alg)
    return 'verdict' in draft ? draft : bench.mustRefuse(draft)
  },
})

const ec = (namedCurve: string) => () => generateKeyPairSync('ec', { namedCurve })
const rsa = (modulusLength: number) => () => generateKeyPairSync('rsa', { modulusLength })

const withSignature = (change: (signature: Buffer) => Buffer) =>
  onProof((proof) => {
    const { sign } = proof
    proof.sign = (input) => change(sign(input))
  })

const flipped = (at: (length: number) => number) =>
  withSignature((signature) => {
    const bytes = Buffer.from(signature)
    const index = at(bytes.length)
    bytes[index] = (bytes[index] ?? 0) ^ 1
    return bytes
  })

/** The same r and s as DER, which JOSE does not use (RFC 7518 §3.4). */
const asDer = withSignature((signature) => {
  const integer = (bytes: Buffer): Buffer => {
    const start = bytes.findIndex((byte) => byte !== 0)
    const digits = bytes.subarray(start)
    const value = (digits[0] ?? 0) > 127 ? Buffer.concat([Buffer.from([0]), digits]) : digits
    return Buffer.concat([Buffer.from([2, value.length]), value])
  }
  const half = signature.length / 2
  const both = Buffer.concat([integer(signature.subarray(0, half)), integer(signature.subarray(half))])
  return Buffer.concat([Buffer.from([0x30, both.length]), both])
})

/** Skipped where the client's key is of another kind: the change would mean nothing, or nothing wrong. */
const onlyEc = (attack: Attack): Attack => ({
  ...attack,
  run: (bench) =>
    bench.settings.credentials.key?.alg === 'ES256'
      ? attack.run(bench)
      : Promise.resolve(skipped('the key is not of the kind that this needs')),
})

const randomOctets = (): string => randomBytes(32).toString('base64url')

const NOT_ALGORITHMS = [
  ['number', 1],
  ['true', true],
  ['null', null],
  ['list', ['ES256']],
  ['object', {}],
] as const

const NOT_KEYS = [
  ['text', 'foo'],
  ['list', []],
  ['null', null],
  ['number', 1],
  ['object', {}],
] as const

export const ALGORITHM_ATTACKS: readonly Attack[] = [
  ...['none', 'None', 'NONE', 'nOnE'].map((alg) =>
    refused([`alg-${alg}`, `alg is ${alg}, without signature`, ALLOWED], unsigned(alg)),
  ),
  refused(
    ['alg-none-signed', 'alg is none over a real signature', ALLOWED],
    onProof((proof) => {
      proof.header.alg = 'none'
    }),
  ),
  refused(['hs256-pem', 'HS256 with the public key (PEM) as secret', 'RFC 8725 §2.1'], macWith(pem)),
  refused(
    ['hs256-jwk', 'HS256 with the JWK as secret', 'RFC 8725 §2.1'],
    macWith((_key, jwk) => JSON.stringify(jwk)),
  ),
  refused(['hs256-der', 'HS256 with the public key (DER) as secret', 'RFC 8725 §2.1'], macWith(der)),
  refused(
    ['hs256-empty', 'HS256 with an empty secret', 'RFC 8725 §2.1'],
    macWith(() => ''),
  ),
  refused(['hs256-oct', 'HS256 with an oct key in jwk', PRIVATE], onProof(symmetric)),
  ...NOT_ALGORITHMS.map(([id, alg]) =>
    refused([`alg-${id}`, `alg is ${JSON.stringify(alg)}`, ALLOWED], header('alg', alg), { severity: 'medium' }),
  ),
  refused(['alg-unknown', 'alg is ES999', ALLOWED], header('alg', 'ES999')),
  refused(
    ['alg-lower', 'alg in lower case', FITS],
    onProof((proof) => {
      proof.header.alg = String(proof.header.alg).toLowerCase()
    }),
    {
      severity: 'medium',
    },
  ),
  refused(['alg-of-another-key', 'alg is PS256 over a signature of another kind', FITS], onProof(mismatched)),

  refused(
    ['signature-first-bit', 'the first byte of the signature changed', SIGNED],
    flipped(() => 0),
  ),
  refused(
    ['signature-last-bit', 'the last byte of the signature changed', SIGNED],
    flipped((length) => length - 1),
  ),
  refused(
    ['signature-zero', 'a signature of zeros', SIGNED],
    withSignature((signature) => Buffer.alloc(signature.length)),
  ),
  refused(
    ['signature-short', 'half a signature', SIGNED],
    withSignature((signature) => signature.subarray(0, signature.length / 2)),
  ),
  refused(
    ['signature-long', 'a signature with a byte more', SIGNED],
    withSignature((signature) => Buffer.concat([signature, Buffer.alloc(1)])),
  ),
  onlyEc(refused(['signature-der', 'an ECDSA signature as DER', 'RFC 7518 §3.4'], asDer, { severity: 'low' })),
  refused(['signature-other-key', 'the right jwk, signed by another key', SIGNED], onProof(signedByAnother)),
  refused(['claims-changed', 'claims changed after signing', SIGNED], onProof(changedAfterwards)),

  refused(['jwk-d', 'jwk has a member d, with a made-up value', PRIVATE], inJwk('d', 'AQAB'), { severity: 'medium' }),
  // Private in an RSA or oct key; where the key is of another kind they mean nothing, and a careful server refuses them all the same.
  ...['p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'].map((name) =>
    refused([`jwk-${name}`, `jwk has a member ${name}, with a made-up value`, PRIVATE], inJwk(name, 'AQAB'), { severity: 'low' }),
  ),
  refused(['jwk-d-empty', 'jwk has an empty member d', PRIVATE], inJwk('d', ''), { severity: 'medium' }),
  privateJwk(['jwk-d-real', 'jwk is a private key, and the token is bound to it', PRIVATE]),
  ...(
    [
      ['use', 'enc'],
      ['key_ops', ['sign']],
      ['alg', 'RS256'],
    ] as const
  ).map(([name, value]) =>
    refused([`jwk-${name}`, `jwk says ${name}: ${JSON.stringify(value)}`, 'RFC 7517 §4'], inJwk(name, value), {
      severity: 'low',
    }),
  ),
  ...NOT_KEYS.map(([id, jwk]) =>
    refused([`jwk-${id}`, `jwk is ${JSON.stringify(jwk)}`, 'RFC 9449 §4.2'], header('jwk', jwk), { severity: 'medium' }),
  ),
  onlyEc(refused(['jwk-off-curve', 'jwk is a point that is not on its curve', 'RFC 7518 §6.2.1'], inJwk('y', randomOctets()))),
  refused(['jku', 'jwk of a stranger, jku beside it', SIGNED], onProof(strangerWith('jku'))),
  refused(['kid', 'jwk of a stranger, kid of the right key', SIGNED], onProof(strangerWith('kid'))),

  boundTo(['key-p384', 'a P-384 key with ES256', FITS], ec('P-384'), 'ES256'),
  boundTo(['key-es384', 'a P-384 key with ES384, which FAPI 2.0 does not have', 'FAPI 2.0 §5.4.1'], ec('P-384'), 'ES384', 'low'),
  boundTo(['key-secp256k1', 'a secp256k1 key with ES256K', ALLOWED], ec('secp256k1'), 'ES256K'),
  boundTo(['key-rsa-1024', 'an RSA key of 1,024 bits', 'FAPI 2.0 §5.4.1'], rsa(1024), 'PS256'),
  boundTo(['key-rs256', 'RS256, which FAPI 2.0 does not have', 'FAPI 2.0 §5.4.1'], rsa(2048), 'RS256', 'low'),
  boundTo(['key-ed448', 'an Ed448 key with EdDSA', 'FAPI 2.0 §5.4.1'], () => generateKeyPairSync('ed448'), 'EdDSA', 'low'),
]

function pem(key: KeyObject): string {
  return key.export({ type: 'spki', format: 'pem' }).toString()
}

function der(key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' })
}

function symmetric(proof: ProofDraft): void {
  const secret = randomBytes(32)
  proof.header.alg = 'HS256'
  proof.header.jwk = { kty: 'oct', k: secret.toString('base64url') }
  proof.sign = (input) => createHmac('sha256', secret).update(input).digest()
}

function mismatched(proof: ProofDraft): void {
  proof.header.alg = proof.header.alg === 'PS256' ? 'ES256' : 'PS256'
}

function signedByAnother(proof: ProofDraft): void {
  const alg = String(proof.header.alg)
  proof.sign = anotherSigner(alg)
}

function anotherSigner(alg: string): Signer {
  if (alg === 'EdDSA') return signerOf(generateKeyPairSync('ed25519').privateKey, alg)
  return signerOf(alg === 'PS256' ? rsa(2048)().privateKey : ec('P-256')().privateKey, alg)
}

function changedAfterwards(proof: ProofDraft): void {
  proof.spoil = (signed) => {
    const [head = '', payload = '', signature = ''] = signed.split('.')
    const claims = { ...JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')), jti: randomOctets() }
    return `${head}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.${signature}`
  }
}

/** A key made for this, so that the client's own is not given away. */
function privateJwk(words: readonly [string, string, string]): Attack {
  return {
    ...refused(words, () => undefined, { severity: 'medium' }),
    run: async (bench) => {
      const { privateKey } = ec('P-256')()
      const draft = await draftBoundTo(bench, privateKey, 'ES256')
      if ('verdict' in draft) return draft
      if (draft.proof !== null) draft.proof.header.jwk = privateKey.export({ format: 'jwk' })
      return bench.mustRefuse(draft)
    },
  }
}

/** The header points at the right key in some other way, and the signature is a stranger's. */
function strangerWith(name: 'jku' | 'kid'): (proof: ProofDraft) => void {
  return (proof) => {
    const { privateKey, publicKey } = ec('P-256')()
    const right = jwkOf(proof)
    proof.header.alg = 'ES256'
    proof.header.jwk = publicKey.export({ format: 'jwk' })
    proof.header[name] = name === 'kid' ? String(right.x ?? right.n) : 'https://keys.invalid/jwks'
    proof.sign = signerOf(privateKey, 'ES256')
  }
}
