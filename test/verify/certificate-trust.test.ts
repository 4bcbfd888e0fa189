// Is this certificate one that the client registered? Names as RFC 4514 writes them, and alternative names of all kinds, against
// certificates as they are presented.
import { X509Certificate } from 'node:crypto'
import t from 'tap'
import { issue, loadX509, P256 } from '../../src/cli/x509.js'
import { type CertificateTrust, isTrusted } from '../../src/verify/certificate-trust.js'
import { readDistinguishedName, readSubject } from '../../src/verify/distinguished-name.js'
import type { PeerCertificate } from '../../src/verify/types.js'
import { hoursFromNow } from '../support/certs.js'
import { sha256 } from '../support/jwt.js'

const dates = { notBefore: hoursFromNow(-1), notAfter: hoursFromNow(1) }

/** As the edge reads it off a connection. */
function presented(pem: string, judged = true): PeerCertificate {
  const { raw, subject } = new X509Certificate(pem)
  return { x5tS256: sha256(raw), der: raw, invalid: null, notBefore: 0, notAfter: Infinity, judged, subject }
}

/** The library writes names in the order given, and so least specific first. */
const withSubject = async (subject: string) => presented((await issue({ subject, isCa: false, ...dates }, null)).cert)

const trust = (by: CertificateTrust['by'], ...values: readonly string[]): CertificateTrust => ({ by, values: new Set(values) })
const named = (text: string): CertificateTrust => trust('subject_dn', readDistinguishedName(text) ?? 'none')

t.test('a subject is the same, however it is written', async (t) => {
  const certificate = await withSubject('C=DE, O=Bank \\+ Söhne\\, AG, OU=Cards, CN=Payments App')
  const same = [
    'CN=Payments App,OU=Cards,O=Bank \\+ Söhne\\, AG,C=DE',
    'cn=payments  app, ou=CARDS, o=bank \\2b s\\c3\\b6hne\\2C ag, c=de',
    '2.5.4.3=Payments App,2.5.4.11=Cards,OID.2.5.4.10=Bank \\+ SÖHNE\\, AG,countryName=DE'.replace('countryName', '2.5.4.6'),
  ]
  for (const text of same) t.ok(isTrusted(certificate, named(text)), text)
  const others = [
    'C=DE,O=Bank \\+ Söhne\\, AG,OU=Cards,CN=Payments App',
    'CN=Payments App,OU=Cards,O=Bank \\+ Söhne\\, AG',
    'CN=Payments App,OU=Cards,O=Bank \\+ Söhne\\, AG,C=DE,C=DE',
    'CN=Payments App+OU=Cards,O=Bank \\+ Söhne\\, AG,C=DE',
    'CN=PaymentsApp,OU=Cards,O=Bank \\+ Söhne\\, AG,C=DE',
    'O=Payments App,OU=Cards,CN=Bank \\+ Söhne\\, AG,C=DE',
    'CN=Payments App\\,OU=Cards,O=Bank \\+ Söhne\\, AG,C=DE',
  ]
  for (const text of others) {
    t.not(readDistinguishedName(text), null, text)
    t.notOk(isTrusted(certificate, named(text)), text)
  }
})

t.test('a value that looks like more names is one value', async (t) => {
  const certificate = await withSubject('C=DE, CN=a\\,O=Bank')
  t.ok(isTrusted(certificate, named('CN=a\\,O=Bank,C=DE')))
  t.notOk(isTrusted(certificate, named('CN=a,O=Bank,C=DE')))
})

t.test('relative names of several attributes have no order', async (t) => {
  const subject = 'O=Bank\nCN=app + UID=7'
  t.equal(readSubject(subject), readDistinguishedName('UID=7+CN=app,O=Bank'))
  t.equal(readSubject(subject), readDistinguishedName('CN=APP+uid=7,O=Bank'))
  t.not(readSubject(subject), readDistinguishedName('CN=app,UID=7,O=Bank'))
})

t.test('what is no name is none', async (t) => {
  for (const text of [
    '',
    'app',
    'CN=',
    'CN=a,',
    'CN=a;O=b',
    'CN="a"',
    'CN=#0c0161',
    'CN=a\\',
    'CN=a\\zz',
    'CN=\\ff',
    'CN=a\\00b',
    '=a',
  ])
    t.equal(readDistinguishedName(text), null, JSON.stringify(text))
  t.equal(readSubject(''), null)
  t.notOk(isTrusted({ ...(await withSubject('CN=a')), subject: '' }, named('none')))
})

t.test('alternative names', async (t) => {
  const x509 = await loadX509()
  const { keys } = await issue({ subject: 'CN=keys', isCa: false, ...dates }, null)
  const create = async (...names: readonly { type: 'dns' | 'url' | 'ip' | 'email'; value: string }[]) =>
    (
      await x509.X509CertificateGenerator.createSelfSigned({
        name: 'CN=only.the.subject.example',
        keys,
        signingAlgorithm: P256,
        ...dates,
        extensions: names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension([...names])],
      })
    ).toString('pem')
  const pem = await create(
    { type: 'dns', value: 'app.bank.example' },
    { type: 'dns', value: '*.wild.example' },
    { type: 'url', value: 'https://bank.example/app,DNS:evil.example' },
    { type: 'url', value: 'urn:bank:app' },
    { type: 'ip', value: '192.0.2.7' },
    { type: 'ip', value: '2001:db8::7' },
    { type: 'email', value: 'app@bank.example' },
  )
  const certificate = presented(pem)
  const yes: readonly CertificateTrust[] = [
    trust('thumbprint', certificate.x5tS256),
    trust('thumbprint', 'A'.repeat(43), certificate.x5tS256),
    trust('san_dns', 'app.bank.example'),
    trust('san_dns', 'another.example', 'APP.bank.example'),
    trust('san_uri', 'https://bank.example/app,DNS:evil.example'),
    trust('san_uri', 'urn:bank:app'),
    trust('san_ip', '192.0.2.7'),
    trust('san_ip', '2001:db8:0:0::7'),
    trust('san_email', 'app@bank.example'),
  ]
  for (const one of yes) t.ok(isTrusted(certificate, one), `${one.by} ${[...one.values].join(' ')}`)
  const no: readonly CertificateTrust[] = [
    trust('thumbprint', 'A'.repeat(43)),
    trust('san_dns', 'only.the.subject.example'),
    trust('san_dns', 'evil.example'),
    trust('san_dns', 'bank.example'),
    trust('san_dns', 'a.wild.example'),
    trust('san_uri', 'https://bank.example/app'),
    trust('san_uri', 'URN:BANK:APP'),
    trust('san_ip', '192.0.2.70'),
    trust('san_email', 'other@bank.example'),
    trust('san_dns'),
  ]
  for (const one of no) t.notOk(isTrusted(certificate, one), `${one.by} ${[...one.values].join(' ')}`)

  const ownWord = presented(pem, false)
  for (const one of yes)
    t.equal(isTrusted(ownWord, one), one.by === 'thumbprint', `${one.by}: a name that nobody vouches for is none`)
  t.notOk(isTrusted(presented(await create()), trust('san_uri', 'urn:bank:app')), 'without alternative names')
  t.notOk(isTrusted({ ...certificate, der: Buffer.from('no certificate') }, trust('san_uri', 'urn:bank:app')))
})
