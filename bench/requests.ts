// Requests that are signed before the run, as honest clients and thieves would send them. `now` is the time they are made.
import { randomUUID } from 'node:crypto'
import { type KeyPair, makeKey, sha256, signJwt } from '../test/support/jwt.js'
import type { RequestHeaders } from './load.js'

export const ISSUER = 'https://as.example.com'
export const AUDIENCE = 'https://api.example.com'
export const KID = 'issuer-1'
export const TENANT = 'tenant-1'

/** A client with a DPoP key of its own. */
export type Client = { readonly id: string; readonly key: KeyPair }

export const makeClient = (id: string): Client => ({ id, key: makeKey('ES256') })

const seconds = (): number => Math.floor(Date.now() / 1000)

/** An access token, bound as `confirmation` says; null: a bearer token. */
export function signToken(issuer: KeyPair, clientId: string, confirmation: object | null): string {
  const now = seconds()
  const claims = {
    iss: ISSUER,
    aud: AUDIENCE,
    sub: `user of ${clientId}`,
    client_id: clientId,
    jti: randomUUID(),
    iat: now,
    exp: now + 280,
    scope: 'payments',
    tenant_id: TENANT,
    ...(confirmation === null ? {} : { cnf: confirmation }),
  }
  return signJwt({ typ: 'at+jwt', alg: 'ES256', kid: KID }, claims, issuer.privateKey)
}

export const dpopToken = (issuer: KeyPair, { id, key }: Client): string => signToken(issuer, id, { jkt: key.jkt })

export type ProofTarget = { readonly htm: string; readonly htu: string }

/** A fresh proof by `key` for `token`. */
export function signProof(key: KeyPair, token: string, target: ProofTarget): string {
  const claims = { jti: randomUUID(), ...target, iat: seconds(), ath: sha256(token) }
  return signJwt({ typ: 'dpop+jwt', alg: 'ES256', jwk: key.jwk }, claims, key.privateKey)
}

/** `count` requests of one client with one token. */
export function signRequests(issuer: KeyPair, client: Client, target: ProofTarget, count: number): RequestHeaders[] {
  const token = dpopToken(issuer, client)
  return Array.from({ length: count }, () => dpopHeaders(token, signProof(client.key, token, target)))
}

export const dpopHeaders = (token: string, proof: string): RequestHeaders => ({ Authorization: `DPoP ${token}`, DPoP: proof })

/** Another character in the middle of the signature: well formed, and wrong. */
export function spoilSignature(jws: string): string {
  const at = jws.length - 40
  return `${jws.slice(0, at)}${jws[at] === 'A' ? 'B' : 'A'}${jws.slice(at + 1)}`
}
