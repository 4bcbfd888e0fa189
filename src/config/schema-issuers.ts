// The form of an issuer: whose tokens are trusted, and where its keys come from (contract §2).

import { z } from 'zod'
import { TOKEN_ALGORITHMS } from '../verify/signatures.js'
import { fetchUrl, oneOrMore, path, text, time } from './fields.js'

export const issuer = z.strictObject({
  issuer: text.describe('`iss` of its tokens, exactly.'),
  audience: oneOrMore(text).describe('`aud` that tokens for us have; any of a list will do.'),
  jwks_uri: fetchUrl
    .describe('Where its keys are; left out: found by RFC 8414 or OpenID Connect discovery. https, http only to loopback.')
    .optional(),
  jwks_file: path.describe('A JWK set that is read instead of fetched.').optional(),
  algorithms: z
    .array(z.enum(TOKEN_ALGORITHMS))
    .min(1, 'expected at least one')
    .prefault(['PS256', 'ES256', 'EdDSA'])
    .describe('Algorithms it signs with; the tier’s `token_algorithms` must list them as well.'),
  typ: z
    .enum(['at+jwt', 'JWT'])
    .prefault('at+jwt')
    .describe('`JWT` for a legacy issuer: then JWT, at+jwt or no typ, and only iss, aud, exp and iat are required.'),
  claims: z
    .strictObject({
      client_id: text.prefault('client_id').describe('The claim that names the OAuth client.'),
      scope: text.prefault('scope').describe('The claim that holds the scopes, as a string or a list.'),
    })
    .prefault({})
    .describe('Where the issuer calls claims otherwise.'),
  tls: z
    .strictObject({ ca: path.describe('A private CA, PEM.') })
    .describe('For discovery and keys; left out: the system’s CAs.')
    .optional(),
  jwks_refresh: time.prefault('10m').describe('How often the keys are fetched; a key that is gone is dropped then.'),
  jwks_max_stale: time.prefault('24h').describe('How long the last keys serve while the issuer is silent.'),
})
