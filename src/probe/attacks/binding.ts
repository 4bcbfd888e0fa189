// Proof, token and key belong together: a thief has the token and a key of his own, or a captured proof for another token.

import { createHash, generateKeyPairSync, type KeyObject } from 'node:crypto'
import type { Attack } from '../attack.js'
import type { Bench } from '../bench.js'
import { type Draft, sha256, signerOf } from '../draft.js'
import { draftBoundTo, granting, onProof, refusing } from '../rules.js'

const refused = refusing('binding', 'critical', ['dpop'])
const granted = granting('binding', 'low', ['dpop'])
const KEY = 'RFC 9449 §4.3 (12b)'
const HASH = 'RFC 9449 §4.3 (12a)'

type KeyPair = { readonly privateKey: KeyObject; readonly publicKey: KeyObject }
const p256 = (): KeyPair => generateKeyPairSync('ec', { namedCurve: 'P-256' })

/** The thief's own key, and a proof that is right in everything else. */
const thief = (
  alg: string,
  make: () => KeyPair,
  jwk: (key: KeyPair, right: unknown) => object = ({ publicKey }) => publicKey.export({ format: 'jwk' }),
) =>
  onProof((proof) => {
    const key = make()
    proof.header.alg = alg
    proof.header.jwk = jwk(key, proof.header.jwk)
    proof.sign = signerOf(key.privateKey, alg)
  })

/** The thief's key with members of the right one beside it, for servers that hash one and verify with the other. */
const mixed = ({ publicKey }: KeyPair, right: unknown): object => ({
  ...publicKey.export({ format: 'jwk' }),
  kid: (right as { x?: string }).x,
  jwk: right,
})

const ath = (make: (token: string) => unknown) =>
  onProof((proof, draft) => {
    proof.claims.ath = make(draft.token)
  })
const digest = (token: string, encoding: 'hex' | 'base64'): string => createHash('sha256').update(token).digest(encoding)

/** Swaps what the two clients have; each part is right by itself. */
const withSecond = (swap: (own: Draft, second: Draft) => void) => async (draft: Draft, bench: Bench) =>
  swap(draft, await bench.secondDraft())

const second = { needs: ['second client'] } as const

/** The same, where the authorization server gives tokens for another key of this client. */
const honestKey = ([id, title, spec]: readonly [string, string, string], make: () => KeyPair, alg: string): Attack => ({
  ...granted([id, title, spec], () => undefined),
  run: async (bench) => {
    const draft = await draftBoundTo(bench, make().privateKey, alg)
    return 'verdict' in draft ? draft : bench.mustGrant(draft)
  },
})

export const BINDING_ATTACKS: readonly Attack[] = [
  refused(['stolen-token', "a stolen token with the thief's own key and an otherwise right proof", KEY], thief('ES256', p256)),
  refused(
    ['stolen-token-eddsa', 'the same with an Ed25519 key', KEY],
    thief('EdDSA', () => generateKeyPairSync('ed25519')),
  ),
  refused(
    ['stolen-token-rsa', 'the same with an RSA key', KEY],
    thief('PS256', () => generateKeyPairSync('rsa', { modulusLength: 2048 })),
  ),
  refused(['stolen-token-mixed', "the thief's key, with members of the right one beside it", KEY], thief('ES256', p256, mixed)),
  refused(['stolen-token-no-ath', "the thief's key, and no ath", KEY], async (draft, bench) => {
    await thief('ES256', p256)(draft, bench)
    if (draft.proof !== null) delete draft.proof.claims.ath
  }),

  refused(
    ['ath-other', 'ath is the hash of another token', HASH],
    ath((token) => sha256(`${token}x`)),
    { severity: 'high' },
  ),
  refused(
    ['ath-scheme', 'ath is the hash of scheme and token', HASH],
    ath((token) => sha256(`DPoP ${token}`)),
    { severity: 'medium' },
  ),
  refused(
    ['ath-hex', 'ath is hexadecimal', HASH],
    ath((token) => digest(token, 'hex')),
    { severity: 'medium' },
  ),
  refused(
    ['ath-base64', 'ath is padded base64', HASH],
    ath((token) => digest(token, 'base64')),
    { severity: 'medium' },
  ),
  refused(
    ['ath-short', 'ath is cut short', HASH],
    ath((token) => sha256(token).slice(0, 20)),
    { severity: 'medium' },
  ),
  refused(
    ['ath-long', 'ath has something behind it', HASH],
    ath((token) => `${sha256(token)}A`),
    { severity: 'medium' },
  ),
  refused(
    ['ath-token', 'ath is the token itself', HASH],
    ath((token) => token),
    { severity: 'medium' },
  ),
  refused(
    ['ath-true', 'ath is true', HASH],
    ath(() => true),
    { severity: 'medium' },
  ),

  refused(
    ['second-token', "another client's token with this client's key", KEY],
    withSecond((own, other) => {
      own.token = other.token
    }),
    second,
  ),
  refused(
    ['second-proof', "this client's token with another client's proof", KEY],
    withSecond((own, other) => {
      own.proof = other.proof
    }),
    second,
  ),
  refused(
    ['second-proof-ath', "another client's proof with its own token's ath", HASH],
    withSecond((own, other) => {
      own.proof = other.proof
      if (own.proof !== null) own.proof.claims.ath = sha256(other.token)
    }),
    second,
  ),
  refused(
    ['ath-second', "ath is the hash of another client's token", HASH],
    withSecond((own, other) => {
      if (own.proof !== null) own.proof.claims.ath = sha256(other.token)
    }),
    { ...second, severity: 'high' },
  ),
  {
    ...granted(['second-client', 'the second client, with what is its own', KEY], () => undefined, second),
    run: async (bench) => bench.mustGrant(await bench.secondDraft()),
  },
  granted(
    ['jwk-order', 'jwk has its members in other order, and use, kid and alg beside them', 'RFC 7638 §3'],
    onProof((proof) => {
      const members = Object.entries(proof.header.jwk as Record<string, unknown>).reverse()
      proof.header.jwk = { use: 'sig', kid: 'any', alg: proof.header.alg, ...Object.fromEntries(members) }
    }),
  ),
  honestKey(
    ['honest-ed25519', 'a token bound to an Ed25519 key, alg EdDSA', 'FAPI 2.0 §5.4.1'],
    () => generateKeyPairSync('ed25519'),
    'EdDSA',
  ),
  honestKey(
    ['honest-ps256', 'a token bound to an RSA key, alg PS256', 'FAPI 2.0 §5.4.1'],
    () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
    'PS256',
  ),
  honestKey(['honest-es256', 'a token bound to another P-256 key', 'RFC 9449 §4.3 (5)'], p256, 'ES256'),
]
