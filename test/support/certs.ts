// Certificates of every kind, good and bad, made for one run: CAs, what they issue, and revocation lists. All are PEM.

import { createHash, createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { type Issued, issue, type KeyAlgorithm, loadX509, P256, USAGES } from '../../src/cli/x509.js'

/** A certificate with its private key; `issued` is what a CA signs with. */
export type Credential = {
  /** PEM; after it, PEMs of `chain` where one was given. */
  readonly cert: string
  /** PKCS#8 PEM. */
  readonly key: string
  readonly privateKey: KeyObject
  /** RFC 8705 §3.1, of the leaf. */
  readonly x5tS256: string
  /** Hexadecimal, as a revocation list names it. */
  readonly serialNumber: string
  readonly issued: Issued
}

const RSA = { name: 'RSASSA-PKCS1-v1_5', publicExponent: new Uint8Array([1, 0, 1]), hash: 'SHA-256' }

/** What keys are of, and what they sign with. */
const KEY_TYPES = {
  'P-256': P256,
  'P-384': { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' },
  'P-256 with SHA-1': { ...P256, hash: 'SHA-1' },
  Ed25519: { name: 'Ed25519', namedCurve: 'Ed25519' },
  'RSA 2048': { ...RSA, modulusLength: 2048 },
  'RSA 1024': { ...RSA, modulusLength: 1024 },
} as unknown as Record<string, KeyAlgorithm>

export type KeyType = 'P-256' | 'P-384' | 'P-256 with SHA-1' | 'Ed25519' | 'RSA 2048' | 'RSA 1024'

export type Wanted = {
  /** Left out: it signs itself. */
  readonly ca?: Credential
  /** `CN=client` when left out. */
  readonly subject?: string
  readonly names?: readonly string[]
  readonly ekus?: readonly (keyof typeof USAGES)[]
  readonly notBefore?: Date
  readonly notAfter?: Date
  readonly isCa?: boolean
  readonly keyType?: KeyType
  /** CA certificates to send along. */
  readonly chain?: readonly Credential[]
}

const HOUR_MS = 3_600_000
export const hoursFromNow = (hours: number): Date => new Date(Date.now() + hours * HOUR_MS)

/** Valid from an hour ago to an hour ahead, P-256, unless told otherwise. */
export async function makeCertificate(wanted: Wanted = {}): Promise<Credential> {
  const { ca, subject = 'CN=client', names = [], ekus = [], isCa = false, keyType = 'P-256', chain = [] } = wanted
  const { notBefore = hoursFromNow(-1), notAfter = hoursFromNow(1) } = wanted
  const algorithm = KEY_TYPES[keyType] ?? P256
  const usages = ekus.map((name) => USAGES[name])
  const issued = await issue({ subject, isCa, names, usages, notBefore, notAfter, algorithm }, ca?.issued ?? null)
  const { raw, serialNumber } = new X509Certificate(issued.cert)
  return {
    cert: [issued, ...chain].map(({ cert }) => cert).join(''),
    key: issued.key,
    privateKey: createPrivateKey(issued.key),
    x5tS256: createHash('sha256').update(raw).digest('base64url'),
    serialNumber,
    issued,
  }
}

export type Odd = Pick<Wanted, 'ca' | 'subject' | 'isCa'> & {
  readonly pathLength?: number
  /** Bits of KeyUsage, as the library counts them. */
  readonly keyUsage?: number
  /** Whole extensions: object identifier, whether critical, DER in hexadecimal. */
  readonly extensions?: readonly (readonly [oid: string, isCritical: boolean, der: string])[]
  /** Its own, in place of new ones. */
  readonly keys?: Issued['keys']
}

/** A certificate that no command of ours makes. */
export async function makeOddCertificate({ ca, subject = 'CN=odd', isCa = false, ...odd }: Odd): Promise<Credential> {
  const x509 = await loadX509()
  const { pathLength, extensions = [] } = odd
  const plain = await makeCertificate({ subject, isCa, ...(ca === undefined ? {} : { ca }) })
  const keys = odd.keys ?? plain.issued.keys
  const flags = x509.KeyUsageFlags
  const usage = odd.keyUsage ?? (isCa ? flags.keyCertSign | flags.cRLSign : flags.digitalSignature)
  const made = await x509.X509CertificateGenerator.create({
    subject,
    issuer: ca?.issued.subject ?? subject,
    notBefore: hoursFromNow(-1),
    notAfter: hoursFromNow(1),
    publicKey: keys.publicKey,
    signingKey: (ca?.issued.keys ?? keys).privateKey,
    signingAlgorithm: { ...P256 },
    extensions: [
      new x509.BasicConstraintsExtension(isCa, pathLength, true),
      new x509.KeyUsagesExtension(usage, true),
      ...extensions.map(([oid, isCritical, der]) => new x509.Extension(oid, isCritical, Buffer.from(der, 'hex'))),
    ],
  })
  const cert = `${made.toString('pem')}\n`
  const { raw, serialNumber } = new X509Certificate(cert)
  const x5tS256 = createHash('sha256').update(raw).digest('base64url')
  return { ...plain, cert, x5tS256, serialNumber, issued: { ...plain.issued, cert, keys } }
}

/** A CA that signs itself, or one under another. */
export const makeCa = (name: string, wanted: Pick<Wanted, 'ca' | 'keyType' | 'notAfter'> = {}): Promise<Credential> =>
  makeCertificate({ ...wanted, subject: `CN=${name}`, isCa: true })

/** A server certificate for localhost, 127.0.0.1 and more. */
export const makeServer = (ca: Credential, names: readonly string[] = []): Promise<Credential> =>
  makeCertificate({ ca, subject: 'CN=localhost', names: ['localhost', '127.0.0.1', ...names], ekus: ['server'] })

/** PEM of the list of those that `ca` has revoked. */
export async function makeCrl(
  ca: Credential,
  revoked: readonly Credential[] = [],
  nextUpdate = hoursFromNow(1),
  extensions: NonNullable<Odd['extensions']> = [],
): Promise<string> {
  const x509 = await loadX509()
  const list = await x509.X509CrlGenerator.create({
    issuer: ca.issued.subject,
    thisUpdate: hoursFromNow(-2),
    nextUpdate,
    entries: revoked.map(({ serialNumber }) => ({ serialNumber, revocationDate: hoursFromNow(-1) })),
    signingAlgorithm: { ...P256 },
    signingKey: ca.issued.keys.privateKey,
    extensions: extensions.map(([oid, isCritical, der]) => new x509.Extension(oid, isCritical, Buffer.from(der, 'hex'))),
  })
  // OpenSSL knows it by this label, the library by a shorter one.
  const base64 = Buffer.from(list.rawData).toString('base64')
  return `-----BEGIN X509 CRL-----\n${base64.match(/.{1,64}/g)?.join('\n')}\n-----END X509 CRL-----\n`
}
