// How do we say who asks? RFC 7662 §2.1 wants every question authenticated: by a signed assertion (private_key_jwt, RFC 7523 §2.2), by
// our certificate (RFC 8705 §2), or by a secret (RFC 6749 §2.3.1). Secrets and assertions go nowhere but into the request.

import { createPrivateKey, randomUUID } from 'node:crypto'
import { SignJWT } from 'jose'
import type { IntrospectionSettings } from '../config/config.js'

/** What a question carries to authenticate it: members of its form, and header fields. */
export type Credentials = { readonly form: Readonly<Record<string, string>>; readonly headers: Readonly<Record<string, string>> }

/** Called once for each question, because an assertion is good for one. */
export type Authenticate = (now: number) => Promise<Credentials>

const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
/** Seconds. */
const ASSERTION_LIFE = 60

const ALGORITHMS: Readonly<Record<string, string>> = { ec: 'ES256', rsa: 'PS256', ed25519: 'EdDSA' }

/** `issuer` is the audience of assertions: one that another server could not use (FAPI 2.0 §5.3.2.1). */
export function authentication({ client_id, auth }: IntrospectionSettings, issuer: string): Authenticate {
  switch (auth.by) {
    case 'secret': {
      const pair = `${encode(client_id)}:${encode(auth.secret)}`
      const headers = { authorization: `Basic ${Buffer.from(pair).toString('base64')}` }
      return async () => ({ form: {}, headers })
    }
    case 'tls':
      return async () => ({ form: { client_id }, headers: {} })
    case 'private_key_jwt': {
      const key = createPrivateKey(auth.key)
      const header = { alg: ALGORITHMS[key.asymmetricKeyType ?? ''] ?? '', ...(auth.kid === null ? {} : { kid: auth.kid }) }
      return async (now) => {
        const assertion = new SignJWT({ jti: randomUUID() })
          .setProtectedHeader(header)
          .setIssuer(client_id)
          .setSubject(client_id)
          .setAudience(issuer)
          .setIssuedAt(Math.floor(now))
          .setExpirationTime(Math.floor(now) + ASSERTION_LIFE)
        const form = { client_id, client_assertion_type: ASSERTION_TYPE, client_assertion: await assertion.sign(key) }
        return { form, headers: {} }
      }
    }
  }
}

/** RFC 6749 §2.3.1: both halves are form-encoded before they are joined. */
const encode = (text: string): string => new URLSearchParams([['', text]]).toString().slice(1)
