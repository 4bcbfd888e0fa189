// How does a client prove that it holds its key? One fresh DPoP proof a request (RFC 9449 §4.2), with the nonce that the
// server last gave (RFC 9449 §8, §9). A nonce belongs to the origin that gave it and is of no use elsewhere.

import { createHash, randomUUID } from 'node:crypto'
import type { HeldKey } from './key.js'

export type Prover = {
  /** A new proof; never to be sent twice, not even when the request is. `url` may have a query; `htu` has none. */
  readonly prove: (request: { method: string; url: string; token: string | null }) => Promise<string>
  /** Keeps the `DPoP-Nonce` of any answer, 2xx too (RFC 9449 §8.2). Anything that isn't a nonce (§8.1) is ignored. */
  readonly remember: (url: string, nonce: unknown) => void
}

// RFC 9449 §8.1: 1*NQCHAR. The bound keeps a server from making every later request too large.
const NONCE = /^[\x21\x23-\x5b\x5d-\x7e]{1,1024}$/

export function proverOf(key: HeldKey): Prover {
  const nonces = new Map<string, string>()
  return {
    prove({ method, url, token }) {
      const target = new URL(url)
      const nonce = nonces.get(target.origin)
      return key.sign(
        { typ: 'dpop+jwt', jwk: key.publicJwk },
        {
          jti: randomUUID(),
          htm: method,
          htu: target.origin + target.pathname,
          iat: Math.floor(Date.now() / 1000),
          ...(token === null ? {} : { ath: createHash('sha256').update(token).digest('base64url') }),
          ...(nonce === undefined ? {} : { nonce }),
        },
      )
    },
    remember(url, nonce) {
      if (typeof nonce === 'string' && NONCE.test(nonce)) nonces.set(new URL(url).origin, nonce)
    },
  }
}
