// The form of a registered client. Keys are called as RFC 7591 calls them, and RFC 8705, 9101 and 9126 after it, so that a registration
// at an authorization server can be put beside it.

import { z } from 'zod'
import { AUTH_METHODS, CLIENT_STATUSES } from '../verify/registration.js'
import { duration, endOfDate, onOff } from '../verify/scalars.js'
import { fetchUrl, oneOrMore, path, text } from './fields.js'

const list = z.array(text).min(1, 'expected at least one')
const limit = (what: string) => list.describe(`${what}; left out: all.`).optional()

/** RFC 6749 §3.1.2: absolute, without fragment. */
const redirectUri = z
  .string()
  .refine(
    (value) => URL.canParse(value) && !value.includes('#'),
    'expected an absolute URI without fragment, such as https://app.example.com/callback',
  )
  .meta({ title: 'URL' })

const thumbprint = z
  .string()
  .regex(/^[A-Za-z0-9_-]{43}$/, 'expected a certificate’s SHA-256 as base64url, as in `x5t#S256`: 43 characters')
  .meta({ title: 'thumbprint' })

const certificates = z
  .strictObject({
    files: z.array(path).min(1, 'expected at least one').describe('Its certificates, PEM.').optional(),
    thumbprints: z.array(thumbprint).min(1, 'expected at least one').describe('Their SHA-256, as in `x5t#S256`.').optional(),
    tls_client_auth_subject_dn: oneOrMore(text)
      .describe('Their subject, as RFC 4514 writes it: `CN=app,O=Bank,C=DE`.')
      .optional(),
    tls_client_auth_san_dns: oneOrMore(text).describe('A DNS name among their alternative names.').optional(),
    tls_client_auth_san_uri: oneOrMore(text).describe('A URI there.').optional(),
    tls_client_auth_san_ip: oneOrMore(text).describe('An IP address there.').optional(),
    tls_client_auth_san_email: oneOrMore(text).describe('An e-mail address there.').optional(),
    until: endOfDate
      .describe('When the last of them ends, where `files` does not say it; `holdfast clients check` warns before.')
      .optional(),
  })
  .describe(
    'Which certificates its tokens may be bound to, told in one of these ways; left out: any. Names count with `client_certificates: pki` only.',
  )

export const client = z.strictObject({
  client_id: text.describe('As its tokens name it.'),
  issuer: text.describe('Whose client it is; required where several issuers are configured.').optional(),
  client_name: text.describe('What people call it.').optional(),
  status: z
    .enum(CLIENT_STATUSES)
    .prefault('draft')
    .describe('From application to end; tokens of `testing` and `active` clients are taken, of no others.'),
  approval: z
    .strictObject({ by: text.describe('Who approved it.'), on: endOfDate.describe('When.') })
    .describe('Required of a client that is `approved` or `active`.')
    .optional(),
  expires: endOfDate.describe('Its last day (UTC).').optional(),
  highest_tier: text
    .prefault('sensitive_read')
    .describe(
      'The highest tier it may use. A tier that extends another counts as the built-in one it comes from, in the order of §3 of the contract.',
    ),
  scopes: limit('Scopes its tokens may have'),
  audiences: limit('Audiences its tokens may have'),
  routes: limit('Routes it may use, by their `path` as written'),
  tenants: limit('Tenants it may act for, on routes with `tenant`'),
  grant_types: z
    .array(text)
    .prefault([])
    .describe(
      'How it gets tokens. With `client_credentials` alone there is no authorization request that could be pushed or signed.',
    ),
  token_endpoint_auth_method: z.enum(AUTH_METHODS).prefault('none').describe('How it authenticates to the issuer.'),
  require_pushed_authorization_requests: onOff
    .prefault(false)
    .describe('Whether the issuer takes pushed requests of it alone (RFC 9126).'),
  require_signed_request_object: onOff
    .prefault(false)
    .describe('Whether the issuer takes signed requests of it alone (RFC 9101).'),
  redirect_uris: z.array(redirectUri).prefault([]).describe('Where users come back to it.'),
  jwks_uri: fetchUrl.describe('Where its keys are; not fetched here.').optional(),
  jwks_file: path.describe('Its keys, as a JWK set.').optional(),
  certificates: certificates.optional(),
  security_contact: text.describe('Whom to tell of an incident.').optional(),
  rotation: z
    .strictObject({
      last: endOfDate.describe('When its keys were changed last.').optional(),
      every: duration.prefault('365d').describe('How often they must be.'),
      enforced: onOff.prefault(false).describe('Whether its tokens are refused when that is overdue.'),
    })
    .prefault({})
    .describe('Of the keys that it authenticates with.'),
  certification: z
    .strictObject({
      status: z.enum(['none', 'applied', 'certified']).prefault('none').describe('How far it is.'),
      profile: text.describe('What it is certified for, such as `FAPI 2.0 Security Profile`.').optional(),
      evidence: text.describe('Where that can be read.').optional(),
      until: endOfDate.describe('Its last day.').optional(),
    })
    .prefault({})
    .describe('What a certifier says of it.'),
  legal_entity: z
    .strictObject({
      name: text.describe('As registered.'),
      id: text.describe('In which register under what, such as an LEI.').optional(),
      country: z
        .string()
        .regex(/^[A-Z]{2}$/, 'expected two capital letters, such as DE')
        .describe('ISO 3166-1, such as `DE`.')
        .optional(),
    })
    .describe('Who answers for it.')
    .optional(),
  software_statement: text.describe('What its ecosystem’s register said of it (RFC 7591 §2.3); kept, not verified.').optional(),
})

export type ClientInput = z.output<typeof client>

/** `clients.yaml`. */
export const clientsFile = z.strictObject({ clients: z.array(client).describe('The registered clients.') })
