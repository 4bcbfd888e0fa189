// Does the probe find what is wrong, and nothing where all is right? Run on a server that makes one mistake at a time.
import { X509Certificate } from 'node:crypto'
import t from 'tap'
import { makeCertificates } from '../support/certificates.js'
import { makeKey, sha256 } from '../support/jwt.js'
import { dpopClient, found, makePlace, makeToken, type Place, probeReport } from './place.js'
import { startWeakServer, type Weakness, type WeakServer } from './weak-server.js'

const issuer = makeKey('ES256')
const key = makeKey('ES256')
const PATH = '/v1/payments'

/** What must be found, at least; everything else of the same run is held. */
const EXPECTED: Readonly<Record<Weakness, readonly string[]>> = {
  'accepts replays': [
    'replay-same',
    'replay-mirrored',
    'replay-parallel',
    'replay-resigned',
    'replay-behind-many',
    'replay-query',
  ],
  'remembers 1,000 proofs': ['replay-behind-many'],
  'remembers proofs by their bytes': ['replay-mirrored', 'replay-spare-bits', 'replay-resigned'],
  'spends before it verifies': ['replay-honest-after-broken'],
  'ignores ath': ['binding-ath-other', 'proof-no-ath'],
  'wants no ath': ['proof-no-ath'],
  'compares htu without case': ['target-htu-case'],
  'compares htu decoded': ['target-htu-encoded-slash'],
  'ignores htu': ['target-htu-path', 'target-htu-host', 'target-htu-port'],
  'believes Host': ['target-htu-other-origin'],
  'believes X-Forwarded-Host': ['target-htu-forwarded-host', 'target-foreign-forwarded-host'],
  'compares htm without case': ['target-htm-lower'],
  'ignores typ': ['proof-typ-jwt', 'proof-no-typ', 'proof-typ-suffix'],
  'accepts alg none': ['algorithm-alg-none', 'algorithm-alg-nOnE', 'token-alg-none'],
  'accepts HS256': ['algorithm-hs256-pem'],
  'takes a private jwk': ['algorithm-jwk-d', 'algorithm-jwk-k', 'algorithm-jwk-d-empty'],
  'ignores iat': ['time-old-3600', 'time-ahead-90', 'time-iat-zero'],
  'ignores jkt': ['binding-stolen-token', 'binding-stolen-token-rsa'],
  'verifies nothing': ['algorithm-signature-first-bit', 'algorithm-signature-zero', 'algorithm-claims-changed'],
  'lets bound tokens pass as Bearer': ['downgrade-bearer', 'downgrade-bearer-with-proof'],
  'takes the first of two proofs': ['proof-twice', 'proof-twice-last-wrong'],
  'reads tokens in the query': ['downgrade-query', 'downgrade-query-escaped'],
  'accepts unsigned tokens': ['token-alg-none', 'token-alg-none-rebound', 'token-alg-none-longer'],
  'trusts the jwk of a token': ['token-forged-jwk'],
  'trusts X-Forwarded-User': ['header-identity-1'],
  'trusts certificates in headers': ['certificate-in-client-cert'],
  'ignores certificates': ['certificate-none', 'certificate-other-key', 'certificate-same-key'],
  'passes headers on': [
    'header-identity-plain',
    'header-certificate-underscore',
    'header-addressing-twice',
    'header-token-passed-on',
  ],
  'serves any spelling of the path': ['path-upper'],
  'tells what it got': ['challenge-echo-htu'],
  'crashes without htu': ['proof-no-htu'],
}
const OVER_CERTIFICATES: ReadonlySet<Weakness> = new Set(['trusts certificates in headers', 'ignores certificates'])

t.test('holdfast probe', async (t) => {
  const certificates = await makeCertificates('localhost')
  const {
    'ca.crt': ca = '',
    'server.crt': cert = '',
    'server.key': serverKey = '',
    'client-ca.crt': clientCa = '',
  } = certificates.files
  const place: Place = makePlace()
  place.write('ca.crt', ca)
  const server: WeakServer = await startWeakServer({ tls: { cert, key: serverKey, ca: clientCa }, issuer, path: PATH })
  t.teardown(async () => {
    await server.close()
    place.remove()
  })
  const { origin } = server
  const url = origin + PATH
  const client = dpopClient(place, origin, { key, token: makeToken({ issuer, origin, cnf: { jkt: key.jkt } }) })
  const otherKey = makeKey('ES256')
  const second = dpopClient(place, origin, {
    key: otherKey,
    token: makeToken({ issuer, origin, cnf: { jkt: otherKey.jkt } }),
    name: 'second',
  })
  const { client: own } = certificates.clients
  place.write('own.crt', own.cert)
  place.write('own.key', own.key)
  place.write('own.jwt', makeToken({ issuer, origin, cnf: { 'x5t#S256': sha256(new X509Certificate(own.cert).raw) } }))
  const withCertificate = place.write(
    'mtls.yaml',
    `gateway: ${origin}\ntls: { ca: ca.crt, cert: own.crt, key: own.key }\ndpop: off\ntoken_file: own.jwt\n`,
  )
  const fast = ['--rate', '1000']

  t.test('finds nothing where there is nothing', async (t) => {
    const { code, report } = await probeReport(
      place,
      url,
      '--token-from',
      client,
      '--second',
      second,
      ...fast,
      '--flood',
      '0',
      '--echo',
      '--skip',
      'framing',
    )
    t.same(found(report), [])
    t.equal(code, 0)
    t.ok(report.findings.filter(({ outcome }) => outcome.verdict === 'held').length > 200, 'and it was asked')
    t.same(
      report.findings
        .filter(({ outcome }) => outcome.verdict === 'unclear')
        .map(({ attack, outcome }) => [attack.id, outcome.came]),
      [],
    )
  })

  t.test('finds nothing where there is nothing, with nonces', async (t) => {
    server.wantsNonce = true
    t.teardown(() => {
      server.wantsNonce = false
    })
    const { report } = await probeReport(
      place,
      url,
      '--token-from',
      client,
      ...fast,
      '--only',
      'time,proof,replay',
      '--flood',
      '20',
    )
    t.same(found(report), [])
    t.ok(report.findings.some(({ attack, outcome }) => attack.id === 'time-no-nonce' && outcome.verdict === 'held'))
  })

  t.test('finds nothing where there is nothing, with certificates', async (t) => {
    const { report } = await probeReport(place, url, '--token-from', withCertificate, ...fast, '--skip', 'framing')
    t.same(found(report), [])
    t.ok(report.findings.some(({ attack, outcome }) => attack.id === 'certificate-same-key' && outcome.verdict === 'held'))
  })

  for (const [weakness, ids] of Object.entries(EXPECTED) as [Weakness, readonly string[]][]) {
    t.test(`finds that a server ${weakness}`, async (t) => {
      server.weakness = weakness
      t.teardown(() => {
        server.weakness = null
      })
      const from = OVER_CERTIFICATES.has(weakness) ? withCertificate : client
      const { code, report } = await probeReport(
        place,
        url,
        '--token-from',
        from,
        ...fast,
        '--echo',
        '--only',
        ids.join(','),
        '--fail-on',
        'low',
      )
      t.same(
        found(report),
        ids.toSorted(
          (a, b) =>
            report.findings.findIndex(({ attack }) => attack.id === a) -
            report.findings.findIndex(({ attack }) => attack.id === b),
        ),
      )
      t.equal(code, 1)
      for (const { outcome } of report.findings)
        t.ok(outcome.sent !== '' && outcome.came !== '', 'says what was sent and what came')
    })
  }
})
