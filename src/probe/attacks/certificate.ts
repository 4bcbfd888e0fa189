// Certificate-bound tokens (RFC 8705): the token is worth nothing without the private key of the certificate it is bound to. The
// certificate itself is public, so a copy in a header proves nothing.

import { generateKeyPairSync, randomUUID, X509Certificate } from 'node:crypto'
import { type Issued, imitationOf } from '../../cli/x509.js'
import type { Attack } from '../attack.js'
import type { Bench } from '../bench.js'
import { ATH, type Draft, type Line, signerOf } from '../draft.js'
import { refusing, skipped } from '../rules.js'

const refused = refusing('certificate', 'critical', ['certificate'])
const BOUND = 'RFC 8705 §3'
const HEADER = 'RFC 9440 §2.4, CWE-290'

type Words = readonly [id: string, title: string, spec: string]

/** With a certificate that anyone can make: it says whatever the client's own says. */
const imitating = (words: Words, keepsKey: boolean): Attack => ({
  ...refused(words, () => undefined),
  run: async (bench) => {
    const own = bench.settings.route.own
    const made: Issued | null = own && (await imitationOf(own, { keepsKey }))
    if (made === null) return skipped('the certificate has a key of a kind that is not imitated')
    const draft = await bench.draft()
    draft.identity = { cert: made.cert, key: made.key }
    return bench.mustRefuse(draft, { mayClose: true })
  },
})

/** Ways in which proxies tell backends of a client certificate; PEM, DER in base64, and its SHA-256 in hexadecimal. */
type Told = { readonly pem: string; readonly der: string; readonly sha256: string; readonly subject: string }
const CONVEYED: readonly (readonly [name: string, lines: (told: Told) => readonly Line[]])[] = [
  ['Client-Cert', ({ der }) => [['Client-Cert', `:${der}:`]]],
  [
    'Client-Cert-Chain',
    ({ der }) => [
      ['Client-Cert', `:${der}:`],
      ['Client-Cert-Chain', `:${der}:`],
    ],
  ],
  [
    'X-Forwarded-Client-Cert',
    ({ sha256, pem, subject }) => [
      ['X-Forwarded-Client-Cert', `Hash=${sha256};Cert="${encodeURIComponent(pem)}";Subject="${subject}"`],
    ],
  ],
  ['X-Forwarded-Tls-Client-Cert', ({ der }) => [['X-Forwarded-Tls-Client-Cert', der]]],
  [
    'ssl-client-cert',
    ({ pem, subject }) => [
      ['ssl-client-cert', encodeURIComponent(pem)],
      ['ssl-client-verify', 'SUCCESS'],
      ['ssl-client-subject-dn', subject],
    ],
  ],
  [
    'SSL_CLIENT_CERT',
    ({ pem }) => [
      ['SSL_CLIENT_CERT', encodeURIComponent(pem)],
      ['SSL_CLIENT_VERIFY', 'SUCCESS'],
    ],
  ],
  ['X-SSL-Cert', ({ pem }) => [['X-SSL-Cert', encodeURIComponent(pem)]]],
  [
    'X-SSL-Client-Cert',
    ({ pem }) => [
      ['X-SSL-Client-Cert', encodeURIComponent(pem)],
      ['X-SSL-Client-Verify', 'SUCCESS'],
    ],
  ],
  ['X-Client-Cert', ({ pem }) => [['X-Client-Cert', encodeURIComponent(pem)]]],
  ['X-Client-Certificate', ({ der }) => [['X-Client-Certificate', der]]],
  [
    'X-Amzn-Mtls-Clientcert',
    ({ pem }) => [
      ['X-Amzn-Mtls-Clientcert', encodeURIComponent(pem)],
      ['X-Amzn-Mtls-Clientcert-Leaf', encodeURIComponent(pem)],
    ],
  ],
  ['X-ARR-ClientCert', ({ der }) => [['X-ARR-ClientCert', der]]],
  ['CloudFront-Viewer-Cert-Pem', ({ pem }) => [['CloudFront-Viewer-Cert-Pem', encodeURIComponent(pem)]]],
  [
    'Cf-Client-Cert-Der-Base64',
    ({ der, sha256 }) => [
      ['Cf-Client-Cert-Der-Base64', der],
      ['Cf-Client-Cert-Sha256', sha256],
      ['Cf-Cert-Verified', 'true'],
    ],
  ],
  ['SSLClientCertb64', ({ der }) => [['SSLClientCertb64', der]]],
  ['WL-Proxy-Client-Cert', ({ der }) => [['WL-Proxy-Client-Cert', der]]],
  ['Tls-Client-Certificate', ({ pem }) => [['tls-client-certificate', encodeURIComponent(pem)]]],
]

function toldOf({ settings }: Bench): Told {
  const certificate = new X509Certificate(settings.route.own?.cert ?? '')
  // Node has none where it is empty, whatever its type says.
  const subject: string | undefined = certificate.subject
  return {
    pem: certificate.toString(),
    der: certificate.raw.toString('base64'),
    sha256: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
    subject: subject?.replaceAll('\n', ',') ?? '',
  }
}

const inHeader = (identity: Draft['identity'], lines: (told: Told) => readonly Line[]) => (draft: Draft, bench: Bench) => {
  draft.identity = identity
  draft.headers.push(...lines(toldOf(bench)))
}

export const CERTIFICATE_ATTACKS: readonly Attack[] = [
  refused(
    ['none', 'no client certificate', BOUND],
    (draft) => {
      draft.identity = 'none'
    },
    { mayClose: true },
  ),
  imitating(['other-key', 'a self-made certificate with the same names and another key', BOUND], false),
  imitating(['same-key', 'a self-made certificate with the same names and the same key', 'RFC 8705 §3.1'], true),
  refused(
    ['second', "the second client's certificate", BOUND],
    async (draft, bench) => {
      draft.identity = (await bench.secondDraft()).identity
    },
    { needs: ['second client'], mayClose: true },
  ),
  refused(
    ['second-token', "the second client's token over this client's certificate", BOUND],
    async (draft, bench) => {
      draft.token = (await bench.secondDraft()).token
    },
    { needs: ['second client'] },
  ),
  refused(
    ['dpop-scheme', 'the token under scheme DPoP, without a proof and without certificate', BOUND],
    (draft) => {
      draft.scheme = 'DPoP'
      draft.proof = null
      draft.identity = 'none'
    },
    { mayClose: true },
  ),
  refused(
    ['dpop-proof', "the token under scheme DPoP, without certificate, with a proof by a thief's key", BOUND],
    (draft) => {
      const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      const alg = 'ES256'
      const { origin, path, method } = { ...draft, origin: `https://${draft.host}` }
      const claims = {
        jti: randomUUID(),
        htm: method,
        htu: origin + (path.split('?')[0] ?? ''),
        iat: Math.floor(Date.now() / 1000),
        ath: ATH,
      }
      const header = { typ: 'dpop+jwt', alg, jwk: publicKey.export({ format: 'jwk' }) }
      draft.scheme = 'DPoP'
      draft.proof = { firstJti: claims.jti, header, claims, sign: signerOf(privateKey, alg), spoil: (text) => text }
      draft.identity = 'none'
    },
    { mayClose: true },
  ),
  ...CONVEYED.map(([name, lines]) =>
    refused([`in-${name.toLowerCase()}`, `no client certificate, the right one in ${name}`, HEADER], inHeader('none', lines), {
      mayClose: true,
    }),
  ),
  // One header at a time: two copies of Client-Cert would be refused for being two.
  ...CONVEYED.map(([name, lines]) =>
    refused(
      [`second-in-${name.toLowerCase()}`, `the second client's certificate, the right one in ${name}`, HEADER],
      async (draft, bench) => inHeader((await bench.secondDraft()).identity, lines)(draft, bench),
      { needs: ['second client'], mayClose: true },
    ),
  ),
]
