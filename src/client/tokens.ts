// Where does the access token come from? Given, or by client credentials (RFC 6749 §4.4) with private_key_jwt (RFC 7523 §3) or
// a certificate (RFC 8705 §2), bound by a DPoP proof (RFC 9449 §5) or by that certificate, and renewed before it ends.

import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { decodeJwt } from 'jose'
import { type Dispatcher, request } from 'undici'
import type { HeldKey } from './key.js'
import type { Prover } from './proofs.js'
import type { TokenRequest } from './settings.js'

export type Token = { readonly text: string; readonly scheme: 'DPoP' | 'Bearer' }

export type TokenSource = {
  /** A token that lives for the next seconds; rejects with `TokenError`. */
  readonly current: () => Promise<Token>
  /** The gateway would not have it (`invalid_token`): ask for another next time. */
  readonly forget: (token: Token) => void
}

/** No token could be had. The message is a sentence for the person who runs the client, without secrets. */
export class TokenError extends Error {
  override readonly name = 'TokenError'
}

/** A token that somebody else got; a file is read again for each request, so that whoever renews it just writes it. */
export function givenToken(given: { readonly text: string } | { readonly file: string }, scheme: Token['scheme']): TokenSource {
  const read = (): string => {
    if ('text' in given) return given.text
    try {
      return readFileSync(given.file, 'utf8').trim()
    } catch {
      throw new TokenError(`the token file ${given.file} cannot be read`)
    }
  }
  return { current: async () => ({ text: read(), scheme }), forget: () => {} }
}

export type TokenPorts = {
  readonly dispatcher: Dispatcher
  /** Null: tokens are bound to the certificate that `dispatcher` presents. */
  readonly prover: Prover | null
  /** Of private_key_jwt; null: the certificate authenticates. */
  readonly clientKey: HeldKey | null
}

const MAX_ANSWER_BYTES = 1024 * 1024
const TIMEOUT_MS = 10_000

/** Tokens by client credentials: one request at a time, used until 30 s (or a fifth of its life) before its end. */
export function requestedTokens(what: TokenRequest, ports: TokenPorts): TokenSource {
  let held: { token: Token; renewAt: number } | null = null
  let asking: Promise<Token> | null = null
  let endpoint: string | null = null

  const ask = async (): Promise<Token> => {
    endpoint ??= what.endpoint ?? (await discover(what, ports))
    const { token, seconds } = await requestToken(endpoint, what, ports)
    held = { token, renewAt: Date.now() + Math.max(seconds - 30, seconds * 0.8) * 1000 }
    return token
  }
  return {
    current() {
      if (held && Date.now() < held.renewAt) return Promise.resolve(held.token)
      asking ??= ask().finally(() => {
        asking = null
      })
      return asking
    },
    forget(token) {
      if (held?.token === token) held = null
    },
  }
}

/** The token endpoint of an issuer: RFC 8414 §3 first, then OpenID Connect Discovery §4. */
async function discover(what: TokenRequest, ports: TokenPorts): Promise<string> {
  const issuer = new URL(what.issuer ?? '')
  const path = issuer.pathname.replace(/\/$/, '')
  const places = [
    `${issuer.origin}/.well-known/oauth-authorization-server${path}`,
    `${issuer.origin}${path}/.well-known/openid-configuration`,
  ]
  for (const place of places) {
    const { status, body } = await exchange(place, ports.dispatcher, { method: 'GET' })
    if (status !== 200) continue
    if (body.issuer !== what.issuer) throw new TokenError(`${place} speaks for another issuer; write issuer exactly as it does`)
    const usesCertificate = ports.clientKey === null || ports.prover === null
    const found = (usesCertificate && member(body.mtls_endpoint_aliases, 'token_endpoint')) || body.token_endpoint
    if (typeof found === 'string' && URL.canParse(found)) return found
  }
  throw new TokenError(`no metadata with a token_endpoint found at ${what.issuer}; give token_endpoint instead`)
}

async function requestToken(endpoint: string, what: TokenRequest, ports: TokenPorts): Promise<{ token: Token; seconds: number }> {
  let answer = await post(endpoint, what, ports)
  // The one error that a second try can heal: now the nonce is known (RFC 9449 §8).
  if (ports.prover && answer.status === 400 && answer.body.error === 'use_dpop_nonce') answer = await post(endpoint, what, ports)

  const { status, body } = answer
  if (status !== 200 || typeof body.access_token !== 'string') {
    const error = typeof body.error === 'string' && /^[\w-]{1,64}$/.test(body.error) ? ` ${body.error}` : ''
    throw new TokenError(`${endpoint} answered ${status}${error}; check client_id, auth, scope and resource`)
  }
  const scheme = ports.prover ? 'DPoP' : 'Bearer'
  if (String(body.token_type).toLowerCase() !== scheme.toLowerCase()) {
    throw new TokenError(
      `${endpoint} issued a token that is not of type ${scheme}; is this client registered for ${scheme} tokens?`,
    )
  }
  return { token: { text: body.access_token, scheme }, seconds: lifetime(body) }
}

async function post(endpoint: string, what: TokenRequest, { dispatcher, prover, clientKey }: TokenPorts) {
  const form = new URLSearchParams({ grant_type: 'client_credentials', client_id: what.clientId })
  if (what.scope) form.set('scope', what.scope)
  if (what.resource) form.set('resource', what.resource)
  if (what.audience) form.set('audience', what.audience)
  if (clientKey) {
    form.set('client_assertion_type', 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer')
    form.set('client_assertion', await clientAssertion(clientKey, what.clientId, what.issuer ?? endpoint))
  }
  const headers: Record<string, string> = { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' }
  if (prover) headers.dpop = await prover.prove({ method: 'POST', url: endpoint, token: null })

  const answer = await exchange(endpoint, dispatcher, { method: 'POST', headers, body: form.toString() })
  prover?.remember(endpoint, answer.nonce)
  return answer
}

/** RFC 7523 §3, with the issuer as its one audience: an assertion that another server could not use (FAPI 2.0 §5.3.2.1). */
function clientAssertion(key: HeldKey, clientId: string, audience: string): Promise<string> {
  const iat = Math.floor(Date.now() / 1000)
  return key.sign(key.kid === null ? {} : { kid: key.kid }, {
    iss: clientId,
    sub: clientId,
    aud: audience,
    iat,
    exp: iat + 60,
    jti: randomUUID(),
  })
}

/** One bounded request for JSON. Redirects are not followed: an assertion is for one place only. */
async function exchange(
  url: string,
  dispatcher: Dispatcher,
  init: { method: 'GET' | 'POST'; headers?: Record<string, string>; body?: string },
) {
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS)
    const { statusCode, headers, body } = await request(url, { dispatcher, signal, ...init })
    const chunks: Buffer[] = []
    let length = 0
    for await (const chunk of body as AsyncIterable<Buffer>) {
      length += chunk.length
      if (length > MAX_ANSWER_BYTES) throw new TokenError(`${url} answered with more than 1 MiB`)
      chunks.push(chunk)
    }
    return { status: statusCode, nonce: headers['dpop-nonce'], body: objectOf(Buffer.concat(chunks).toString()) }
  } catch (error) {
    if (error instanceof TokenError) throw error
    const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? ` (${error.code})` : ''
    throw new TokenError(`${url} cannot be reached${code}; is it running, and is its CA in issuer_ca?`)
  }
}

/** Seconds that the token lives: `expires_in`, else its own `exp`, else one minute. */
function lifetime(body: Record<string, unknown>): number {
  if (typeof body.expires_in === 'number' && body.expires_in > 0) return body.expires_in
  try {
    const { exp } = decodeJwt(String(body.access_token))
    if (exp !== undefined) return Math.max(0, exp - Date.now() / 1000)
  } catch {
    // An opaque token says nothing of its own life.
  }
  return 60
}

function objectOf(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? { ...value } : {}
  } catch {
    return {}
  }
}

const member = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined
