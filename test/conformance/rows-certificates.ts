// What RFC 8705 and RFC 9440 demand of certificate binding, and of telling a backend about it (MTLS, CC).
import { denies, of } from './cite.js'
import type { Row } from './row.js'

const table = of('test/verify/denials.test.ts')
const grants = of('test/journeys/grants.test.ts')
const tokens = of('test/conformance/tokens.test.ts')
const peer = of('test/edge/peer.test.ts')
const sanitised = of('test/upstream/headers.test.ts')
const server = of('test/edge/server.test.ts')
const certificates = of('test/conformance/mtls.test.ts')
const advisories = of('test/regressions/advisories-certificates.test.ts')
const registered = of('test/verify/certificate-trust.test.ts')
const clients = of('test/journeys/clients.test.ts')

const AUTHORIZATION_SERVER =
  'It is a demand on authorization servers; this gateway issues no tokens, and what it has of clients is a list to hold them to.'

export const CERTIFICATE_ROWS: readonly Row[] = [
  {
    id: 'MTLS-01',
    requirement: '`x5t#S256` is the SHA-256 of the DER of the leaf, base64url without padding.',
    spec: 'RFC 8705 §3.1',
    tests: of('test/verify/vectors.test.ts')('RFC 8705 appendix A and RFC 9440 appendix A: certificate thumbprints'),
  },
  {
    id: 'MTLS-02',
    requirement: 'The certificate is the one of this very connection, and must be the one the token is bound to.',
    spec: 'RFC 8705 §3',
    tests: [
      ...grants('grants a certificate-bound token, binding mtls', 'grants a certificate-bound token, binding any'),
      ...certificates('denies certificate_mismatch and certificate_missing: 401, with the error in the Bearer challenge'),
    ],
  },
  {
    id: 'MTLS-03',
    requirement: 'Another certificate: 401 with `invalid_token`, in the challenge of the scheme that was used, `Bearer`.',
    spec: 'RFC 8705 §3',
    tests: [
      ...certificates('denies certificate_mismatch and certificate_missing: 401, with the error in the Bearer challenge'),
      ...table(...denies('certificate_mismatch', 'bound to another certificate')),
    ],
  },
  {
    id: 'MTLS-04',
    requirement: 'A certificate-bound token without a certificate is refused.',
    spec: 'RFC 8705 §3',
    tests: [
      ...certificates('denies certificate_mismatch and certificate_missing: 401, with the error in the Bearer challenge'),
      ...table(...denies('certificate_missing', 'bound to a certificate as well, none presented')),
    ],
  },
  {
    id: 'MTLS-05',
    requirement: 'A renewed certificate for the same key is another certificate.',
    spec: 'RFC 8705 §3.1, §6.3',
    tests: tokens('denies certificate_mismatch: a new certificate for the same key, and the same names for another key'),
  },
  {
    id: 'MTLS-06',
    requirement: 'The same subject with another key, or of another CA, is not the client.',
    spec: 'RFC 8705 §3, §7.4',
    tests: [
      ...tokens('denies certificate_mismatch: a new certificate for the same key, and the same names for another key'),
      ...certificates(
        'denies certificate_invalid: chains that are longer, wider or older than their CAs allow',
        'denies certificate_mismatch: with pop_only anyone’s certificate is a certificate, and none but one is the right one',
      ),
    ],
  },
  {
    id: 'MTLS-07',
    requirement: 'A malformed `x5t#S256` never matches and never fails otherwise than by refusal.',
    spec: 'RFC 8705 §3.1',
    tests: tokens('denies binding_unsupported: an x5t#S256 in another spelling is never a match'),
  },
  {
    id: 'MTLS-08',
    requirement: 'The leaf alone is compared, no other certificate of the chain.',
    spec: 'RFC 8705 §3.1',
    tests: tokens('denies certificate_mismatch: bound to the certificate of the CA'),
  },
  {
    id: 'MTLS-09',
    requirement: '`cnf.x5t#S256` of an introspection answer binds as that of a JWT does.',
    spec: 'RFC 8705 §3.2',
    tests: [
      ...of('test/introspection/opaque.test.ts')('a certificate that an opaque token is bound to is proven'),
      ...of('test/introspection/revocation.test.ts')(
        'grants an opaque token that is bound to a certificate, and refuses it with another',
      ),
    ],
  },
  {
    id: 'MTLS-10',
    requirement:
      'Whether chains are verified is said per listener: `pop_only` takes self-signed certificates and enforces the binding, `pki` judges chain, dates, usage and revocation.',
    spec: 'RFC 8705 §6.2, contract §2',
    tests: [
      ...peer(
        'pop_only: whatever certificate, its possession is what counts',
        'pki: the certificate zoo, without revocation lists',
      ),
      ...grants('grants a certificate-bound token and its selfSigned certificate'),
    ],
  },
  {
    id: 'MTLS-11',
    requirement: 'A certificate adds nothing to a token that is not bound to it.',
    spec: 'RFC 8705 §6.2',
    tests: [
      ...certificates('denies token_unbound: no certificate makes up for a token that is not bound'),
      ...grants('grants a bearer token beside a certificate'),
    ],
  },
  {
    id: 'MTLS-12',
    requirement:
      'With `pki`: expired, not yet valid, of the wrong usage, CA as leaf, revoked, weak or ill-chained (path length, name constraints, usage and dates of the CA) certificates are refused.',
    spec: 'RFC 8705 §7.5',
    tests: [
      ...peer(
        'pki: the certificate zoo, without revocation lists',
        'pki: a key that is too small does not pass',
        'pki: revocation',
      ),
      ...certificates('denies certificate_invalid: chains that are longer, wider or older than their CAs allow'),
    ],
  },
  {
    id: 'MTLS-13',
    requirement: '`tls_client_auth`: one subject value, compared as a distinguished name.',
    spec: 'RFC 8705 §2.1',
    tests: [
      ...registered('a subject is the same, however it is written', 'alternative names'),
      ...clients('a token bound to a certificate is bound to one that its client registered'),
    ],
  },
  {
    id: 'MTLS-14',
    requirement: '`self_signed_tls_client_auth`: certificates as registered.',
    spec: 'RFC 8705 §2.2',
    tests: clients('a self-signed certificate is the client’s that registered it, whatever it calls itself'),
  },
  {
    id: 'MTLS-15',
    requirement: 'A client that authenticates by certificate sends its `client_id`.',
    spec: 'RFC 8705 §2',
    not: AUTHORIZATION_SERVER,
  },
  {
    id: 'MTLS-16',
    requirement: 'The certificate is asked for in the handshake; there is no renegotiation and no post-handshake authentication.',
    spec: 'RFC 8705 §3',
    tests: [
      ...tokens('a client of TLS 1.3 without post-handshake authentication is asked in the handshake, and never again'),
      ...server('renegotiation is not to be had'),
    ],
  },
  {
    id: 'MTLS-17',
    requirement: 'SNI and Host that name different hosts, and an origin of another listener: 421.',
    spec: 'RFC 9110 §7.4, contract §4',
    tests: [
      ...certificates('denies host_unknown: a request that came through the listener or under the name of another'),
      ...tokens('denies host_unknown: a name in SNI that is not the name in Host'),
    ],
  },
  {
    id: 'MTLS-18',
    requirement:
      'A resumed session brings no verdict of another day or listener: `pki` offers none, dates are judged on each request, changes of CA and CRL end connections.',
    spec: 'contract §2',
    tests: [
      ...peer('sessions', 'a session of pop_only is worth nothing once the listener is pki'),
      ...certificates(
        'denies certificate_invalid: a certificate that expires under an open connection',
        'denies certificate_invalid: a session from before the revocation brings nothing back',
      ),
      ...of('test/journeys/reload.test.ts')('a revoked certificate loses its connection, and has no other'),
      ...advisories('CVE-2025-23419: a session of one listener is no certificate on another'),
    ],
  },
  {
    id: 'MTLS-19',
    requirement: 'No early data (0-RTT) is accepted: no session that is handed out allows any.',
    spec: 'RFC 8470, RFC 8446 §4.6.1',
    tests: certificates('no session allows early data (RFC 8446 §4.6.1)'),
  },
  {
    id: 'MTLS-20',
    requirement: 'The handshake accepts any certificate, so its verdict is looked at on each request.',
    spec: 'contract §3',
    tests: [
      ...table(...denies('certificate_invalid', 'a certificate of a foreign CA')),
      ...peer('pki: the certificate zoo, without revocation lists'),
    ],
  },
  {
    id: 'MTLS-21',
    requirement: 'A certificate in a header is public data: it is removed, never believed.',
    spec: 'RFC 8705 §6.5, RFC 9440 §2.4',
    tests: advisories('Kong, Gravitee, PingGateway: a real certificate in a header proves nothing'),
  },
  {
    id: 'MTLS-22',
    requirement: 'The metadata document says `tls_client_certificate_bound_access_tokens` exactly where they can be used.',
    spec: 'RFC 8705 §3.3',
    tests: [
      ...of('test/conformance/metadata.test.ts')(
        'tls_client_certificate_bound_access_tokens: true exactly where they can be used',
      ),
      ...of('test/journeys/metadata.test.ts')('protected resource metadata of the origin that Host names'),
    ],
  },
  {
    id: 'MTLS-23',
    requirement: 'A certificate that does not count is told in HTTP, because a TLS alert does not reach every client.',
    spec: 'RFC 9440 §2.4, contract §4',
    tests: table(...denies('certificate_invalid', 'a certificate of a foreign CA', 'an expired certificate')),
  },
  {
    id: 'CC-01',
    requirement: '`Client-Cert` is one byte sequence: the DER in base64 between colons.',
    spec: 'RFC 9440 §2.1, §2.2',
    tests: [
      ...sanitised('CC-01, CC-08, CC-11: Client-Cert when it is wanted and was proven'),
      ...certificates('tells a backend of the proven certificate alone, once, whatever the client says of it'),
    ],
  },
  {
    id: 'CC-02',
    requirement: 'It is sent once, never as a list, though the client sends one too.',
    spec: 'RFC 9440 §2.2',
    tests: [
      ...certificates('tells a backend of the proven certificate alone, once, whatever the client says of it'),
      ...sanitised('CC-01, CC-08, CC-11: Client-Cert when it is wanted and was proven'),
    ],
  },
  {
    id: 'CC-03',
    requirement: '`Client-Cert-Chain` goes with `Client-Cert` alone.',
    spec: 'RFC 9440 §2.3',
    not: 'The chain is never told: backends get the leaf, and what was proven stands in the assertion.',
  },
  {
    id: 'CC-04',
    requirement: 'On connections with a certificate, the client’s own `Client-Cert` is removed.',
    spec: 'RFC 9440 §2.4, contract §4 (C9)',
    tests: [
      ...certificates('tells a backend of the proven certificate alone, once, whatever the client says of it'),
      ...sanitised('SPF-01 to SPF-04: no reserved name passes, in any spelling, however often'),
    ],
  },
  {
    id: 'CC-05',
    requirement: 'On connections without one as well.',
    spec: 'RFC 9440 §2.4',
    tests: [
      ...certificates('tells a backend of the proven certificate alone, once, whatever the client says of it'),
      ...of('test/journeys/upstream.test.ts')('headers that only we may set do not pass, in any spelling'),
    ],
  },
  {
    id: 'CC-06',
    requirement: 'Neither field passes in an answer.',
    spec: 'RFC 9440 §2.2, §2.3',
    tests: [
      ...certificates('an answer brings no certificate back, and one that varies by certificate is not stored'),
      ...sanitised('HTTP-28, SPF-06: withholds what is not the client’s to see'),
    ],
  },
  {
    id: 'CC-07',
    requirement: 'A `Vary` that names these fields becomes `*`.',
    spec: 'RFC 9440 §2.4',
    tests: [
      ...certificates('an answer brings no certificate back, and one that varies by certificate is not stored'),
      ...sanitised('Location is mapped; a Vary that names the certificate becomes `*`'),
    ],
  },
  {
    id: 'CC-08',
    requirement: 'It is off unless an upstream asks for it.',
    spec: 'RFC 9440 §4',
    tests: [
      ...sanitised('CC-01, CC-08, CC-11: Client-Cert when it is wanted and was proven'),
      ...certificates('tells a backend of the proven certificate alone, once, whatever the client says of it'),
    ],
  },
  {
    id: 'CC-09',
    requirement: 'The link to the upstream is confidential, and no upstream is spoken to whose certificate nobody vouches for.',
    spec: 'RFC 9440 §4, RFC 9700 §4.13',
    tests: of('test/regressions/advisories-own-stack.test.ts')(
      'CVE-2026-107318: an upstream with a certificate that nobody vouches for is not spoken to',
    ),
  },
  {
    id: 'CC-10',
    requirement: 'More header than is allowed is 431 here, before anything is added for the upstream.',
    spec: 'RFC 9440 §3.2',
    tests: table(...denies('headers_too_large', '101 lines')),
  },
  {
    id: 'CC-11',
    requirement: 'Where no certificate was proven, there is no such field, not an old one.',
    spec: 'RFC 9440 §3.3',
    tests: [
      ...sanitised('CC-01, CC-08, CC-11: Client-Cert when it is wanted and was proven'),
      ...certificates('tells a backend of the proven certificate alone, once, whatever the client says of it'),
    ],
  },
]
