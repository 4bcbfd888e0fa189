// The form of an upstream: a service behind us, and what it may see (contract §2, §6).

import { z } from 'zod'
import { onOff, orOff } from '../verify/scalars.js'
import { clientTls, count, headerName, text, timeout, webUrl } from './fields.js'

export const upstream = z.strictObject({
  url: webUrl.describe('Where it is; may have a base path.'),
  audience: text.describe('`aud` of the assertion; left out: the name of the upstream.').optional(),
  tls: clientTls.describe('With an https `url`; the certificate of the upstream is always verified.').optional(),
  timeouts: z
    .strictObject({
      connect: timeout.prefault('2s').describe('To connect.'),
      headers: timeout.prefault('30s').describe('From the request to the head of the answer.'),
      body: orOff(timeout).prefault('30s').describe('The longest silence within a body; `off` for event streams.'),
    })
    .prefault({})
    .describe('How long it may take.'),
  connections: count(1, 65_535).prefault(64).describe('Connections at a time, of each process.'),
  queue: count(1, 1_000_000)
    .prefault(1024)
    .describe('Requests that may wait for one of them, in each process; more are refused as overloaded.'),
  preserve_host: onOff.prefault(false).describe('Whether it gets the public Host instead of its own.'),
  pass_token: onOff.prefault(false).describe('Whether it gets Authorization and DPoP, and its 401 reaches the client.'),
  pass_headers: z
    .array(headerName)
    .prefault([])
    .describe('Cookies, API keys and tracing headers that it gets; docs/removed-headers.md says which may stand here.'),
  client_cert: onOff.prefault(false).describe('Whether it gets RFC 9440 Client-Cert when a certificate was proven.'),
  set_headers: z
    .record(headerName, z.string().meta({ title: 'text' }))
    .prefault({})
    .describe('Headers it trusts: `token.NAME`, `client_id`, `tenant`, `certificate` or fixed text.'),
  case_insensitive: onOff
    .prefault(false)
    .describe(
      'Whether it takes paths without regard to case: a path that another route would take in other case is then refused.',
    ),
})
