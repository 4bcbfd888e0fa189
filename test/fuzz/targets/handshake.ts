// Client certificates that no CA of ours would make, offered to the whole gateway: spoilt after they were signed, or odd and signed all the
// same. It stays up, says no 500, and grants nothing for a certificate that is not the one a token is bound to, or not valid.
import { createHash, createPrivateKey, X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import type { Extension, X509CertificateCreateParams } from '@peculiar/x509'
import { type Issued, issue, loadX509, P256, USAGES } from '../../../src/cli/x509.js'
import { createJudge } from '../../../src/edge/chain/chain.js'
import { makeDraft, printDraft } from '../../support/draft.js'
import { certificateBound } from '../../support/kinds.js'
import { HOST, type Lab, startLab } from '../../support/lab.js'
import { spoilDer } from '../der.js'
import { seeded } from '../random.js'
import { answerProblem, readAnswers, talk } from '../talk.js'
import { bad, fine, type Session, type Target, type Verdict } from '../target.js'

const ROUTES =
  "\n  - { path: '/mtls/:id', methods: [GET], tier: certificates, upstream: cases, issuers: [https://as.example.com] }\n"
const HOUR_MS = 3_600_000

type Offer = { readonly der: Buffer; readonly key: string }

const pemOf = (der: Buffer): string =>
  `-----BEGIN CERTIFICATE-----\n${der.toString('base64').replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`

/** Status of a request with a token that is bound to this thumbprint; null: the handshake failed. */
async function ask(lab: Lab, { der, key }: Offer, x5tS256: string): Promise<number | string | null> {
  const secureContext = createSecureContext({ cert: pemOf(der), key })
  const draft = certificateBound(makeDraft({ host: HOST, path: '/mtls/1' }), x5tS256)
  const { text, end } = await talk(printDraft(draft), { port: lab.port, servername: HOST, secureContext })
  if (end === 'open') return 'neither answers nor closes'
  const answers = readAnswers(text)
  if (typeof answers === 'string') return answers
  return answers.map(answerProblem).find((one) => one !== null) ?? answers[0]?.status ?? null
}

/** Two questions: with a token of the honest client, and with one that is bound to the very certificate that is offered. */
async function judgeOffer(lab: Lab, offer: Offer, isSpoilt: boolean): Promise<Verdict> {
  const x5t = createHash('sha256').update(new X509Certificate(offer.der).raw).digest('base64url')
  const stolen = await ask(lab, offer, lab.thumbprint('client'))
  const own = await ask(lab, offer, x5t)
  const problem = [stolen, own].find((one) => typeof one === 'string')
  if (problem !== undefined) return bad(String(problem))
  if (stolen === 200) return bad("another's certificate is taken for the one that the token is bound to")
  if (isSpoilt && own === 200) return bad('a certificate with a broken signature is taken for valid')
  const byHop = judgedByHop(lab, offer)
  if (byHop === null && own === 401) return bad('what the handshake refuses is good where a hop passes it on')
  return fine(`${stolen} ${own} ${byHop}`)
}

/** What is found of it where a hop passes it on (src/edge/chain); null: it is good. */
function judgedByHop(lab: Lab, { der }: Offer): string | null {
  const now = Date.now() / 1000
  const { invalid, life } = createJudge(lab.certificates.clientCa.cert, [])(new X509Certificate(der), [], now)
  return invalid ?? (now >= life.notBefore && now <= life.notAfter ? null : 'dates')
}

const canOffer = ({ der, key }: Offer): boolean => {
  try {
    createSecureContext({ cert: pemOf(der), key })
    return new X509Certificate(der).checkPrivateKey(createPrivateKey(key))
  } catch {
    return false
  }
}

/** The part that is signed: the first element of the certificate, without how long it says it is. */
function signedPart(der: Buffer): string {
  const { raw } = new X509Certificate(der)
  // The signature is the last thing in it, and each has its own: what stands before it is compared.
  const { length } = raw
  return raw.subarray(4, Math.max(4, length - 70)).toString('hex')
}

type Opened = {
  readonly lab: Lab
  readonly ca: Issued
  readonly served: () => Promise<string | null>
  readonly close: () => Promise<void>
}

async function openLab(): Promise<Opened> {
  const lab = await startLab({
    store: 'memory',
    yaml: (yaml) => ({
      ...yaml,
      routes: ROUTES,
      limits: '{ headers: 1s, idle: 1s, handshake: 5s }',
      audit: '{ file: audit.jsonl, refusals_per_second: 1 }',
    }),
    upstream: (request, response) => {
      request.resume()
      response.writeHead(200, { 'Content-Length': 2 }).end('ok')
    },
  })
  const served = async (): Promise<string | null> => {
    if (lab.logs.length > 0) return `the gateway says: ${lab.logs[0]}`
    const draft = certificateBound(makeDraft({ host: HOST, path: '/mtls/1' }), lab.thumbprint('client'))
    const { status } = await lab.send(draft, { certificate: 'client' })
    // Overloaded is what it may be: certificates are made in this process too.
    return status === 200 || status === 503 ? null : `an honest request is answered ${status}`
  }
  return { lab, ca: lab.certificates.clientCa.issued, served, close: () => lab.stop() }
}

/** An input is DER, spoilt; what no TLS client can offer is passed over. */
async function openSpoilt(): Promise<Session> {
  const { lab, ca, served, close } = await openLab()
  const dates = { notBefore: new Date(Date.now() - HOUR_MS), notAfter: new Date(Date.now() + 24 * HOUR_MS) }
  const { cert, key } = await issue(
    { subject: 'CN=client-1', isCa: false, names: ['a.example', '::1'], usages: [USAGES.client], ...dates },
    ca,
  )
  const whole = new X509Certificate(cert).raw
  return {
    seeds: [whole],
    words: ['00', '0500', '3000', '0101ff', '0603550403', '06032a0304', '300c0603551d130101ff04023000'].map((hex) =>
      Buffer.from(hex, 'hex'),
    ),
    make: (random) => spoilDer(random, random.chance(0.3) ? spoilDer(random, whole) : whole),
    check: async (input) => {
      const offer = { der: input, key }
      if (!canOffer(offer)) return fine('cannot be offered')
      return judgeOffer(lab, offer, signedPart(input) !== signedPart(whole))
    },
    settle: served,
    close,
  }
}

/** What an odd certificate is made of, from a few numbers: each input is one. */
async function oddParameters(input: Buffer): Promise<Partial<X509CertificateCreateParams> & { extensions: Extension[] }> {
  const x509 = await loadX509()
  const random = seeded(input.length < 4 ? input.length : input.readUInt32BE(0))
  const many = random.pick([0, 1, 3, 200, 1000])
  const date = () =>
    random
      .pick(['1900-01-01', '1949-12-31', '1950-01-01', '1970-01-01', '2049-12-31', '2050-01-01', '9999-12-31'])
      .concat('T23:59:59Z')
  const names = Array.from({ length: many }, (_, i) => ({
    type: 'dns' as const,
    value: random.pick([`n${i}.example`, 'a\0b.example', '*', '', 'ä'.repeat(3), 'x'.repeat(300)]),
  }))
  const odd = Array.from({ length: random.pick([0, 0, 1, 200]) }, (_, i) => {
    const oid = random.pick(['2.5.29.99', `1.2.3.${i}`, '2.999.4294967295', '1.3.6.1.4.1.99999999.1', '2.5.29.36', '2.5.29.30'])
    return new x509.Extension(oid, random.chance(0.2), Buffer.alloc(random.below(60), random.below(256)))
  })
  return {
    serialNumber: random.pick(['01', '00', 'ff', '80', 'ffffffffffffffffffffffffffffffffffffffff', '7f'.repeat(200), '0001']),
    ...(random.chance(0.4) ? { notBefore: new Date(date()) } : {}),
    ...(random.chance(0.4) ? { notAfter: new Date(date()) } : {}),
    subject: random.pick<X509CertificateCreateParams['issuer'] & object>([
      [],
      [{ CN: ['client-1'] }],
      [{ CN: ['a\0b'] }],
      [{ CN: ['x'.repeat(3000)] }],
      [{ '1.2.3.4.5': ['\u202e\n"'] }],
      Array.from({ length: 300 }, (_, i) => ({ OU: [`${i}`] })),
    ]) as never,
    extensions: [
      ...(random.chance(0.7)
        ? [new x509.ExtendedKeyUsageExtension([random.pick([USAGES.client, USAGES.server, '2.5.29.37.0', '1.2.3'])])]
        : []),
      ...(random.chance(0.2) ? [new x509.BasicConstraintsExtension(random.chance(0.5), undefined, true)] : []),
      ...(random.chance(0.3) ? [new x509.KeyUsagesExtension(random.below(256), true)] : []),
      ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
      ...odd,
    ],
  }
}

async function openOdd(): Promise<Session> {
  const { lab, ca, served, close } = await openLab()
  const x509 = await loadX509()
  const own = await issue({ subject: 'CN=x', isCa: false, notBefore: new Date(), notAfter: new Date() }, null)
  const make = async (input: Buffer): Promise<Offer | null> => {
    const wanted = await oddParameters(input)
    const common = {
      publicKey: own.keys.publicKey,
      signingKey: ca.keys.privateKey,
      signingAlgorithm: { ...P256 },
      issuer: ca.subject,
    }
    const dates = { notBefore: new Date(Date.now() - HOUR_MS), notAfter: new Date(Date.now() + HOUR_MS) }
    try {
      const made = await x509.X509CertificateGenerator.create({
        ...common,
        ...dates,
        ...wanted,
      } as X509CertificateCreateParams & { signingKey: never })
      return { der: Buffer.from(made.rawData), key: own.key }
    } catch {
      return null
    }
  }
  return {
    seeds: Array.from({ length: 16 }, (_, i) => Buffer.from([0, 0, 0, i])),
    words: [],
    make: (random) => {
      const number = Buffer.alloc(4)
      number.writeUInt32BE(random.next())
      return number
    },
    check: async (input) => {
      const offer = await make(input)
      return offer === null || !canOffer(offer) ? fine('cannot be offered') : judgeOffer(lab, offer, false)
    },
    settle: served,
    close,
  }
}

export const SPOILT: Target = { name: 'certificates-spoilt', most: 16 * 1024, slowest: 12_000, together: 12, open: openSpoilt }
export const ODD: Target = { name: 'certificates-odd', most: 4, slowest: 12_000, together: 12, open: openOdd }
