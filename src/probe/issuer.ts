// Which public keys does the issuer of our own token sign with? Key confusion needs them: the attack signs with what is public.

import { decodeJwt, type JWK } from 'jose'
import { type Dispatcher, request } from 'undici'
import { isLoopback } from '../client/settings.js'

const TIMEOUT_MS = 5000
const MAX_BYTES = 1024 * 1024

/** RFC 8414 §3, else OpenID Connect Discovery §4; empty when the token is opaque or nothing usable answers. */
export async function issuerKeys(token: string, dispatcher: Dispatcher): Promise<readonly JWK[]> {
  try {
    const issuer = new URL(String(decodeJwt(token).iss))
    const path = issuer.pathname.replace(/\/$/, '')
    const places = [
      `${issuer.origin}/.well-known/oauth-authorization-server${path}`,
      `${issuer.origin}${path}/.well-known/openid-configuration`,
    ]
    for (const place of places) {
      const { jwks_uri: uri } = await fetchJson(place, dispatcher)
      if (typeof uri !== 'string') continue
      const { keys } = await fetchJson(uri, dispatcher)
      if (Array.isArray(keys)) return keys as JWK[]
    }
  } catch {
    // No keys, no key confusion: the attacks that need them are skipped and say so.
  }
  return []
}

async function fetchJson(url: string, dispatcher: Dispatcher): Promise<Record<string, unknown>> {
  const { protocol, hostname } = new URL(url)
  if (protocol !== 'https:' && !(protocol === 'http:' && isLoopback(hostname))) return {}
  const { statusCode, body } = await request(url, { dispatcher, signal: AbortSignal.timeout(TIMEOUT_MS) })
  const bytes = Buffer.from(await body.arrayBuffer())
  if (statusCode !== 200 || bytes.length > MAX_BYTES) return {}
  const value: unknown = JSON.parse(bytes.toString('utf8'))
  return typeof value === 'object' && value !== null ? { ...value } : {}
}
