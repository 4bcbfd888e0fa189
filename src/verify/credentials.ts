// What did the caller present? One Authorization header with one of our schemes and a token68, or a refusal
// (RFC 6750 §2.1, RFC 9449 §7.1, RFC 9110 §11.4). Form bodies are never read for tokens. Does not check: the token.

import { hasTokenInQuery } from './target.js'
import type { Credentials, InboundRequest, Scheme } from './types.js'
import { type Denial, deny } from './verdict.js'

const CREDENTIALS = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+ +(.*)$/
const TOKEN68 = /^[A-Za-z0-9\-._~+/]+=*$/
const SCHEMES: Readonly<Record<string, Scheme>> = { bearer: 'Bearer', dpop: 'DPoP' }

/** The scheme that an Authorization line names, where it is one of ours. */
export function schemeOf(line: string): Scheme | null {
  const name = line.split(' ', 1)[0]?.toLowerCase() ?? ''
  return Object.hasOwn(SCHEMES, name) ? (SCHEMES[name] ?? null) : null
}

/** Reads the credentials; `maxBytes` bounds what stands behind the scheme. */
export function readCredentials(inbound: InboundRequest, maxBytes: number): Credentials | Denial {
  if (hasTokenInQuery(inbound.target.query)) return deny('credentials_in_query')
  if (inbound.authorization.length > 1) return deny('credentials_repeated')
  const [line] = inbound.authorization
  if (line === undefined) return deny('credentials_missing')
  const match = CREDENTIALS.exec(line)
  if (match === null) return deny('credentials_malformed')
  const scheme = schemeOf(line)
  if (scheme === null) return deny('credentials_missing', 'a scheme that is not served')
  const token = match[1] ?? ''
  // Lengths are bytes: a header line is Latin-1, and what is not ASCII never gets here.
  if (token.length > maxBytes) return deny('credentials_malformed', 'too long')
  return TOKEN68.test(token) ? { scheme, token } : deny('credentials_malformed')
}
