// The form of an issuer: whose tokens are trusted, and where its keys come from (contract §2).

import { z } from 'zod'
import { TOKEN_ALGORITHMS } from '../verify/signatures.js'
import { count, fetchUrl, oneOrMore, path, pause, text, time, timeout } from './fields.js'

/** RFC 7662; exactly one of `private_key_jwt`, `tls` and `client_secret` says who asks. */
const introspection = z.strictObject({
  endpoint: fetchUrl
    .describe(
      'Where it is asked; left out: the `introspection_endpoint` of its metadata, with `tls` the one of `mtls_endpoint_aliases`.',
    )
    .optional(),
  client_id: text.describe('What we are called there.'),
  private_key_jwt: z
    .strictObject({
      key: path.describe('PEM of an EC P-256, Ed25519 or RSA private key (ES256, EdDSA, PS256).'),
      kid: text.describe('Its name in the key set that is registered there; left out: none is sent.').optional(),
    })
    .describe('Authenticates by a signed assertion (RFC 7523), the issuer being its audience.')
    .optional(),
  tls: z
    .strictObject({ cert: path.describe('Our client certificate, PEM.'), key: path.describe('Its private key, PEM.') })
    .describe('Authenticates by a certificate (RFC 8705 §2).')
    .optional(),
  client_secret: text.describe('Authenticates by a secret, in HTTP Basic: take it from a file or the environment.').optional(),
  signed: z
    .union([z.literal(false).transform(() => 'off' as const), z.enum(['required', 'off'])])
    .prefault('off')
    .describe('`required`: its answers are signed (RFC 9701), and any other is no answer.'),
  cache: pause
    .prefault('30s')
    .describe(
      'How long its answer about an active token serves, in each process: the longest that a revoked token is still taken. `0s`: every request asks.',
    ),
  negative_cache: pause.prefault('10s').describe('How long its answer about a token that is not active serves.'),
  timeout: timeout.prefault('2s').describe('How long it may take to answer.'),
  concurrency: count(1, 1000)
    .prefault(32)
    .describe(
      'Questions under way at once, in each process; beyond it requests are refused. Tokens that were never active may take half.',
    ),
})

const claimName = z
  .string()
  .regex(/^claim\../, 'expected claim.NAME, a claim of its tokens')
  .transform((text) => text.slice('claim.'.length))

const events = z.strictObject({
  audience: oneOrMore(text).describe('`aud` of its events, one or a list: what its stream calls us.'),
  token: z
    .string()
    .min(32, 'must have 32 characters or more: make one with `openssl rand -hex 32`')
    .describe('What it must send as `Authorization: Bearer` when it pushes events, from a mounted secret or the environment.')
    .meta({ title: 'text' })
    .optional(),
  poll: z
    .strictObject({
      endpoint: fetchUrl.describe('Where events of our stream are asked for. https, http only to loopback.'),
      token: text.describe('What we send there as `Authorization: Bearer`, from a mounted secret or the environment.'),
      interval: timeout.prefault('5s').describe('How often.'),
    })
    .describe('With a transmitter that does not push.')
    .optional(),
  algorithms: z
    .array(z.enum(TOKEN_ALGORITHMS))
    .min(1, 'expected at least one')
    .prefault(['PS256', 'ES256', 'EdDSA'])
    .describe('Algorithms it signs events with, whatever it signs tokens with: CAEP transmitters often have RS256 alone.'),
})

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
  evidence: z
    .strictObject({
      client_auth: claimName.describe('Says how the client authenticated: a `token_endpoint_auth_method`.').optional(),
      par: claimName.describe('Is true where the request was pushed (RFC 9126).').optional(),
      request_object: claimName.describe('Is true where the request was signed (RFC 9101).').optional(),
    })
    .prefault({})
    .describe('Claims, as `claim.NAME`, in which it asserts how a client got its token: with `clients`, for `client_profile`.'),
  tls: z
    .strictObject({ ca: path.describe('A private CA, PEM.') })
    .describe('For discovery, keys and introspection; left out: the system’s CAs.')
    .optional(),
  jwks_refresh: time.prefault('10m').describe('How often the keys are fetched; a key that is gone is dropped then.'),
  jwks_max_stale: time.prefault('24h').describe('How long the last keys serve while the issuer is silent.'),
  events: events
    .describe(
      'What it tells of sessions, credentials and risks (Shared Signals, CAEP), pushed to `POST /events` of the admin listener, or asked for. Left out: nothing is heard of it.',
    )
    .optional(),
  introspection: introspection
    .describe(
      'How it is asked whether a token is active (RFC 7662): then its tokens may be opaque. Left out: it is not, and they are JWTs.',
    )
    .optional(),
})
