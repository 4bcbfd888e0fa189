// One request that is granted, as plain data. A test changes one thing of it; token and proof are signed only when it is sent, so
// that a row about `htm` is not secretly a row about signatures (architecture: mutate one thing, expect one reason).
import { randomUUID } from 'node:crypto'
import { type KeyPair, makeKey, sha256, signJwt, thumbprint } from './jwt.js'

export type Jwt = { header: Record<string, unknown>; claims: Record<string, unknown>; key: KeyPair }

/** Stands for the hash of the token as it will be sent. */
export const ATH = Symbol('ath')

export type Draft = {
  now: number
  method: string
  /** Path and query as sent. */
  target: string
  host: string
  scheme: string
  token: Jwt
  /** Changes the signed token as text. */
  spoilToken: (token: string) => string
  proof: Jwt | null
  spoilProof: (proof: string) => string
  /** Header lines besides Host, Authorization and DPoP. */
  headers: [name: string, value: string][]
  /** Replaces every line of Authorization and DPoP, where given the text of both. */
  credentials: (lines: { authorization: string; dpop: string | null }) => [name: string, value: string][]
  body: Buffer | null
}

export const issuerKey = makeKey('ES256')
export const clientKey = makeKey('ES256')

export type DraftOptions = { readonly host: string; readonly path: string; readonly method?: string; readonly nonce?: string }

/** A request with a DPoP-bound token and its proof, good for any tier that takes DPoP. */
export function makeDraft(options: DraftOptions): Draft {
  const now = Math.floor(Date.now() / 1000)
  const method = options.method ?? 'GET'
  return {
    now,
    method,
    target: options.path,
    host: options.host,
    scheme: 'DPoP',
    token: {
      header: { typ: 'at+jwt', alg: 'ES256', kid: 'issuer-1' },
      claims: {
        iss: 'https://as.example.com',
        aud: 'https://api.example.com',
        sub: 'user-1',
        client_id: 'client-1',
        jti: randomUUID(),
        iat: now,
        exp: now + 240,
        scope: 'case.read case.write payments',
        tenant_id: 'tenant-1',
        acr: 'urn:example:aal2',
        auth_time: now - 30,
        cnf: { jkt: clientKey.jkt },
      },
      key: issuerKey,
    },
    spoilToken: (token) => token,
    proof: {
      header: { typ: 'dpop+jwt', alg: 'ES256', jwk: { ...clientKey.jwk } },
      claims: {
        jti: randomUUID(),
        htm: method,
        htu: `https://${options.host}${options.path.split('?')[0]}`,
        iat: now,
        ath: ATH,
        ...(options.nonce === undefined ? {} : { nonce: options.nonce }),
      },
      key: clientKey,
    },
    spoilProof: (proof) => proof,
    headers: [],
    credentials: ({ authorization, dpop }) => [
      ['Authorization', authorization],
      ...(dpop === null ? [] : [['DPoP', dpop] as [string, string]]),
    ],
    body: null,
  }
}

/** Signs the draft and prints it as HTTP/1.1. */
export function printDraft(draft: Draft): Buffer {
  const token = draft.spoilToken(signJwt(draft.token.header, draft.token.claims, draft.token.key.privateKey))
  const proof = draft.proof === null ? null : draft.spoilProof(signProof(draft.proof, token))
  const lines = [
    `${draft.method} ${draft.target} HTTP/1.1`,
    `Host: ${draft.host}`,
    ...draft.credentials({ authorization: `${draft.scheme} ${token}`, dpop: proof }).map(([name, value]) => `${name}: ${value}`),
    ...draft.headers.map(([name, value]) => `${name}: ${value}`),
    ...(draft.body === null ? [] : [`Content-Length: ${draft.body.length}`]),
  ]
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), draft.body ?? Buffer.alloc(0)])
}

/** The same as scripts of a page give it to `fetch`: Authorization and DPoP. */
export function credentialsOf({ scheme, token, proof }: Draft): Record<string, string> {
  const text = signJwt(token.header, token.claims, token.key.privateKey)
  return { authorization: `${scheme} ${text}`, ...(proof && { dpop: signProof(proof, text) }) }
}

export function signProof(proof: Jwt, token: string): string {
  const claims = proof.claims.ath === ATH ? { ...proof.claims, ath: sha256(token) } : proof.claims
  return signJwt(proof.header, claims, proof.key.privateKey)
}

/** Gives the draft another proof key, which the token is bound to. */
export function rebind(draft: Draft, key: KeyPair, alg: string): void {
  draft.token.claims.cnf = { jkt: thumbprint(key.jwk) }
  if (draft.proof === null) return
  draft.proof.key = key
  draft.proof.header.alg = alg
  draft.proof.header.jwk = key.jwk
}
