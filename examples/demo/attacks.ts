// What a thief sends: requests made by hand, one thing wrong in each. Also the judge of every answer: what came of a request, as
// one word (`granted`, or the reason in the gateway's problem document).

import { createHash, randomUUID } from 'node:crypto'
import { exportJWK, SignJWT } from 'jose'
import type { CryptoKeyPair } from 'oauth4webapi'
import type { Connection } from './oauth-clients.js'

export type ProofContent = {
  readonly keys: CryptoKeyPair
  readonly method: string
  readonly url: string
  readonly token: string
  /** Seconds before now; 0 where left out. */
  readonly age?: number
}

/** A DPoP proof (RFC 9449 §4.2) of whatever it is told. */
export async function makeProof({ keys, method, url, token, age = 0 }: ProofContent): Promise<string> {
  return new SignJWT({
    jti: randomUUID(),
    htm: method,
    htu: url,
    iat: Math.floor(Date.now() / 1000) - age,
    ath: createHash('sha256').update(token).digest('base64url'),
  })
    .setProtectedHeader({ typ: 'dpop+jwt', alg: 'ES256', jwk: await exportJWK(keys.publicKey) })
    .sign(keys.privateKey)
}

export type HandMade = {
  readonly method: string
  readonly url: string
  readonly scheme?: 'Bearer' | 'DPoP'
  readonly token?: string
  readonly proof?: string
  readonly headers?: Record<string, string>
}

/** Sends exactly this, once. */
export function sendByHand(
  connection: Connection,
  { method, url, scheme, token, proof, headers = {} }: HandMade,
): Promise<Response> {
  const credentials: Record<string, string> = {}
  if (scheme && token) credentials.authorization = `${scheme} ${token}`
  if (proof) credentials.dpop = proof
  const hasBody = method !== 'GET' && method !== 'HEAD'
  const type: Record<string, string> = hasBody ? { 'content-type': 'application/json' } : {}
  return connection.fetch(url, { method, headers: { ...type, ...headers, ...credentials }, body: hasBody ? '{}' : null })
}

/** `granted`, the gateway's reason, or the bare status of anything else. */
export async function outcomeOf(response: Response): Promise<string> {
  const text = await response.text()
  if (response.ok) return 'granted'
  if (!response.headers.get('content-type')?.startsWith('application/problem+json')) return `status ${response.status}`
  const problem: unknown = JSON.parse(text)
  const reason = typeof problem === 'object' && problem !== null && 'reason' in problem ? problem.reason : null
  return typeof reason === 'string' ? reason : `status ${response.status}`
}
