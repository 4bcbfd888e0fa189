// The forms of the settings about our own side of the network: listeners, admin, limits (contract §2).

import { z } from 'zod'
import { orOff } from '../verify/scalars.js'
import { bytes, count, headerName, path, port, range, text, time, timeout } from './fields.js'

const tlsPair = {
  key: path.describe('Private key, PEM without passphrase.'),
  cert: path.describe('Certificate and its chain, PEM.'),
}

const judgedBy = {
  client_ca: path.describe('With `pki`: the CAs that client certificates must chain to, PEM.').optional(),
  crl: z
    .array(path)
    .prefault([])
    .describe('With `pki`: certificate revocation lists, one for each CA of a chain, or none at all.'),
}

const listenerTls = z.strictObject({
  ...tlsPair,
  client_certificates: z
    .union([z.literal(false).transform(() => 'off' as const), z.enum(['off', 'pop_only', 'pki'])])
    .prefault('off')
    .describe(
      '`pop_only`: any client certificate, self-signed too, is good to prove possession with; `pki`: chain, dates, usage and revocation are judged as well; `off`: none is asked for.',
    ),
  ...judgedBy,
})

const hop = z.union([
  z.enum(['loopback', 'socket']),
  z.strictObject({
    ca: path.describe('The CAs of its certificate, PEM.'),
    names: z
      .array(text)
      .min(1, 'expected at least one')
      .describe('Alternative names of its certificate, one of which it must have.'),
  }),
])

const spokenFor = {
  hop: hop.describe('Who it is: whoever connects from this machine, whoever may open the socket, or who has a certificate.'),
  certificate: z
    .enum(['none', 'client_cert', 'xfcc', 'nginx', 'traefik', 'alb', 'haproxy'])
    .prefault('none')
    .describe(
      'How it passes on the certificate of a client: `Client-Cert` (RFC 9440), `X-Forwarded-Client-Cert` (Envoy), `ssl-client-cert` (ingress-nginx), `X-Forwarded-Tls-Client-Cert` (Traefik), `X-Amzn-Mtls-Clientcert` (AWS), `X-SSL-Client-Cert` (HAProxy).',
    ),
  client_certificates: z
    .enum(['pop_only', 'pki'])
    .prefault('pki')
    .describe('What such a certificate is worth, as in `tls`: `pki`: it is judged again, by what stands here.'),
  ...judgedBy,
  address: z
    .enum(['none', 'forwarded_for', 'forwarded'])
    .prefault('none')
    .describe('Where it says who the client is: the last entry of `X-Forwarded-For` or of `Forwarded`.'),
}

const behind = z.strictObject({
  ...spokenFor,
  host: z
    .enum(['same', 'forwarded'])
    .prefault('same')
    .describe('Where it says which origin was asked for: in Host, or in `X-Forwarded-Host`.'),
  removed_prefix: text
    .describe('Leading segments that it takes off the path: in `htu` they are there, in the target they are not.')
    .optional(),
})

export const listener = z.strictObject({
  host: text.prefault('0.0.0.0').describe('Address to listen on.'),
  port: port.prefault(8443).describe('Port to listen on; 0 takes any free one.'),
  socket: path.describe('A unix socket to listen on, in place of `host` and `port`.').optional(),
  tls: orOff(listenerTls).describe(
    'TLS 1.3, and 1.2 with ECDHE and AES-GCM alone; `off` only with `behind`, on loopback or a socket.',
  ),
  proxy_protocol: z
    .strictObject({
      from: z
        .array(range)
        .min(1, 'expected at least one')
        .describe('Their addresses and ranges, such as 10.0.0.0/8. Limits by address count their clients, and not them.'),
    })
    .describe('TCP balancers that say whose connection they bring (PROXY protocol 1 or 2), before TLS; left out: nobody may.')
    .optional(),
  behind: behind.describe('A proxy that ends TLS before us; left out: we are the edge, and no header is believed.').optional(),
  origins: z
    .array(text)
    .min(1, 'expected at least one')
    .describe('Public origins that are served here; left out: all.')
    .optional(),
})

export const decisionApi = z.strictObject({
  host: text.prefault('127.0.0.1').describe('Address to listen on.'),
  port: port.prefault(9191).describe('Its port; 0 takes any free one.'),
  socket: path.describe('A unix socket to listen on, in place of `host` and `port`.').optional(),
  tls: orOff(z.strictObject(tlsPair)).prefault('off').describe('As of a listener; `off` on loopback or a socket only.'),
  ...spokenFor,
})

export const admin = z.strictObject({
  host: text.prefault('127.0.0.1').describe('Address of the admin listener; the operator’s side only.'),
  port: port.prefault(9090).describe('Its port; 0 takes any free one.'),
  tls: z.strictObject(tlsPair).describe('Left out: plain HTTP.').optional(),
})

const namedHeader = headerName.refine((name) => name !== '*', 'expected the name of a header: `*` would be all of them')

export const cors = z.strictObject({
  origins: z
    .array(text)
    .min(1, 'expected at least one')
    .describe('Origins of the pages, such as https://app.example.com; http only on loopback, `*` never.'),
  max_age: time.prefault('10m').describe('How long a browser may remember the answer to a preflight.'),
  headers: z
    .array(namedHeader)
    .prefault([])
    .describe('What pages may send beside `Authorization`, `DPoP`, `Content-Type` and what they always may.'),
  expose: z
    .array(namedHeader)
    .prefault([])
    .describe('What pages may read of answers beside `DPoP-Nonce`, `WWW-Authenticate`, `Retry-After` and `X-Request-Id`.'),
})

const MANY = 1_000_000

export const limits = z.strictObject({
  header_bytes: bytes.prefault('32KiB').describe('All of a request’s header section.'),
  header_count: count(1, 10_000).prefault(100).describe('Header lines.'),
  target_bytes: bytes.prefault('8KiB').describe('The request target.'),
  credential_bytes: bytes.prefault('8KiB').describe('What follows the scheme in Authorization.'),
  proof_bytes: bytes.prefault('8KiB').describe('A DPoP proof.'),
  handshake: timeout.prefault('10s').describe('A TLS handshake.'),
  headers: timeout.prefault('10s').describe('From the first byte of a request to the end of its headers.'),
  idle: timeout.prefault('75s').describe('A connection without a request.'),
  body_idle: timeout
    .prefault('30s')
    .describe('The longest silence within a body, and the longest that a client may take nothing of an answer.'),
  body_total: timeout.prefault('60s').describe('All of a body that is held for its digest.'),
  connections: count(1, MANY).prefault(10_000).describe('Connections at a time, of the whole gateway.'),
  connections_per_address: count(1, MANY).prefault(1000).describe('Connections at a time from one address.'),
  requests: count(1, MANY)
    .prefault(5000)
    .describe('Requests in work at a time, of the whole gateway, open WebSockets not counted; more are refused as overloaded.'),
  digest_buffer: bytes.prefault('64MiB').describe('All bodies together that are held for their digests.'),
  event_loop_delay: timeout.prefault('500ms').describe('How late a worker may be before it refuses new requests as overloaded.'),
})
