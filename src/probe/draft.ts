// One request as plain data, right until an attack changes it; token and proof are put together only when it is sent, so that a
// change to `htm` is signed like everything else and cannot be refused for its signature.

import { constants, createHash, type KeyObject, randomUUID, sign as signBytes } from 'node:crypto'

export type Line = readonly [name: string, value: string]

/** Takes the signing input (`header.payload`), gives the bytes of the signature. */
export type Signer = (input: string) => Buffer

export type ProofDraft = {
  header: Record<string, unknown>
  /** As it was drawn; a second try has another, unless an attack put something else there. */
  readonly firstJti: string
  /** An `ath` of `ATH` is the hash of the token as it is sent. */
  claims: Record<string, unknown>
  sign: Signer
  /** Changes the signed proof as text. */
  spoil: (proof: string) => string
}

/** Stands for the hash of the token as it will be sent. */
export const ATH = Symbol('ath')

/** Which certificate the connection presents: the client's own, none, or another with its key, PEM. */
export type Identity = 'own' | 'none' | { readonly cert: string; readonly key: string }

export type Draft = {
  method: string
  /** Path and query, as sent. */
  path: string
  /** Of Host, or `:authority`. */
  host: string
  scheme: string
  token: string
  proof: ProofDraft | null
  /** Replaces the lines of Authorization and DPoP, where given the text of both; null: there is no such line. */
  credentials: (texts: { readonly authorization: string; readonly dpop: string | null }) => readonly Line[]
  /** Further lines, behind the credentials. */
  headers: Line[]
  body: Buffer | null
  identity: Identity
  /** Is a `use_dpop_nonce` answered with the nonce and a second try? Off where the nonce itself is what is wrong. */
  retriesNonce: boolean
}

/** A draft with its token and proof made: what goes over the wire, but for Host and framing. Sent twice, it is a replay. */
export type Printed = {
  readonly method: string
  readonly path: string
  readonly host: string
  readonly lines: readonly Line[]
  readonly body: Buffer | null
  readonly identity: Identity
}

export type RightRequest = {
  readonly method: string
  readonly path: string
  readonly host: string
  readonly origin: string
  readonly body: Buffer | null
  readonly headers: readonly Line[]
  readonly scheme: string
  readonly token: string
  /** Null: the token is not bound to a key. */
  readonly key: { readonly alg: string; readonly publicJwk: object; readonly privateKey: KeyObject } | null
  readonly nonce: string | null
}

/** The request that must pass. */
export function makeDraft(right: RightRequest): Draft {
  const firstJti = randomUUID()
  return {
    method: right.method,
    path: right.path,
    host: right.host,
    scheme: right.scheme,
    token: right.token,
    proof: right.key && {
      firstJti,
      header: { typ: 'dpop+jwt', alg: right.key.alg, jwk: { ...right.key.publicJwk } },
      claims: {
        jti: firstJti,
        htm: right.method,
        htu: right.origin + (right.path.split('?')[0] ?? ''),
        iat: Math.floor(Date.now() / 1000),
        ath: ATH,
        ...(right.nonce === null ? {} : { nonce: right.nonce }),
      },
      sign: signerOf(right.key.privateKey, right.key.alg),
      spoil: (proof) => proof,
    },
    credentials: bothLines,
    headers: [...right.headers],
    body: right.body,
    identity: 'own',
    retriesNonce: true,
  }
}

const bothLines: Draft['credentials'] = ({ authorization, dpop }) => [
  ['Authorization', authorization],
  ...(dpop === null ? [] : [['DPoP', dpop] as const]),
]

export function printDraft(draft: Draft): Printed {
  const { method, path, host, body, identity } = draft
  const dpop = draft.proof && proofText(draft.proof, draft.token)
  const credentials = draft.credentials({ authorization: `${draft.scheme} ${draft.token}`, dpop })
  return { method, path, host, lines: [...credentials, ...draft.headers], body, identity }
}

export function proofText({ header, claims, sign, spoil }: ProofDraft, token: string): string {
  const ath = claims.ath === ATH ? { ath: sha256(token) } : {}
  return spoil(jwt(JSON.stringify(header), JSON.stringify({ ...claims, ...ath }), sign))
}

/** A compact JWS (RFC 7515 §3.1) of two JSON texts, which need not be JSON. */
export function jwt(header: string, payload: string, sign: Signer): string {
  const input = `${base64url(header)}.${base64url(payload)}`
  return `${input}.${base64url(sign(input))}`
}

export const base64url = (data: string | Buffer): string => Buffer.from(data as string).toString('base64url')
export const sha256 = (data: string | Buffer): string => createHash('sha256').update(data).digest('base64url')

/** RFC 7518 §3 and RFC 8037 §3.1: ES*, PS*, RS*, EdDSA. The key need not fit what the algorithm asks for. */
export function signerOf(key: KeyObject, alg: string): Signer {
  const bits = /^(?:ES|PS|RS)(256|384|512)$/.exec(alg)?.[1]
  const hash = bits === undefined ? (key.asymmetricKeyType?.startsWith('ed') ? null : 'sha256') : `sha${bits}`
  const padding = alg.startsWith('PS') ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: Number(bits) / 8 } : {}
  return (input) => signBytes(hash, Buffer.from(input), { key, dsaEncoding: 'ieee-p1363', ...padding })
}
