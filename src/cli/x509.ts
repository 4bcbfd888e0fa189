// How are throwaway certificates made? RFC 5280 profiles that every TLS library takes, signed with keys made on the spot.
// For development and tests only: the gateway itself never issues a certificate. @peculiar/x509 is loaded when it is needed.

import { createPrivateKey, createPublicKey, KeyObject, webcrypto, X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'

type X509 = typeof import('@peculiar/x509')

/** Loads the library, and first what it keeps metadata of its decorators in. */
export async function loadX509(): Promise<X509> {
  await import('reflect-metadata')
  return import('@peculiar/x509')
}

export const P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const

/** WebCrypto's names: key parameters, and the hash that the key signs with. */
export type KeyAlgorithm = webcrypto.EcKeyGenParams & { readonly hash?: string }

export const USAGES = { server: '1.3.6.1.5.5.7.3.1', client: '1.3.6.1.5.5.7.3.2' } as const

export type CertificateProfile = {
  /** RFC 4514 text: `CN=localhost`. */
  readonly subject: string
  readonly isCa: boolean
  /** IP addresses and DNS names. */
  readonly names?: readonly string[]
  /** Extended key usages, as OIDs. */
  readonly usages?: readonly string[]
  readonly notBefore: Date
  readonly notAfter: Date
  /** Of its own key; P-256 when left out. */
  readonly algorithm?: KeyAlgorithm
  /** Its own key pair, of that algorithm; a new one when left out. */
  readonly keys?: webcrypto.CryptoKeyPair
}

/** A certificate with its private key. */
export type Issued = {
  readonly subject: string
  /** PEM. */
  readonly cert: string
  /** PKCS#8 PEM. */
  readonly key: string
  readonly keys: webcrypto.CryptoKeyPair
  readonly algorithm: KeyAlgorithm
}

/** Makes a key and a certificate for it, signed by `issuer`, or by itself when that is null. */
export async function issue(profile: CertificateProfile, issuer: Issued | null): Promise<Issued> {
  const x509 = await loadX509()
  const { subject, isCa, names = [], usages = [], notBefore, notAfter, algorithm = P256 } = profile
  const keys =
    profile.keys ?? ((await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair)
  const signer = issuer ?? { subject, keys, algorithm }
  const flags = x509.KeyUsageFlags
  const certificate = await x509.X509CertificateGenerator.create({
    subject,
    issuer: signer.subject,
    notBefore,
    notAfter,
    publicKey: keys.publicKey,
    signingKey: signer.keys.privateKey,
    signingAlgorithm: { hash: 'SHA-256', ...signer.algorithm },
    extensions: [
      new x509.BasicConstraintsExtension(isCa, undefined, true),
      new x509.KeyUsagesExtension(isCa ? flags.keyCertSign | flags.cRLSign : flags.digitalSignature, true),
      ...(usages.length > 0 ? [new x509.ExtendedKeyUsageExtension([...usages])] : []),
      ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names.map(generalName))] : []),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(signer.keys.publicKey),
    ],
  })
  return { subject, cert: `${certificate.toString('pem')}\n`, key: privatePem(keys.privateKey), keys, algorithm }
}

const generalName = (name: string) => ({ type: isIP(name) === 0 ? ('dns' as const) : ('ip' as const), value: name })

export const privatePem = (key: webcrypto.CryptoKey): string =>
  KeyObject.from(key).export({ type: 'pkcs8', format: 'pem' }).toString()

const CURVES: Readonly<Record<string, KeyAlgorithm>> = {
  prime256v1: P256,
  secp384r1: { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' },
}

/** A self-signed certificate with the subject of another, and its key where `keepsKey`; null: that key is not EC P-256 or P-384. */
export async function imitationOf(
  original: { readonly cert: string; readonly key: string },
  { keepsKey }: { readonly keepsKey: boolean },
): Promise<Issued | null> {
  // Node has no subject where it is empty, whatever its type says.
  const subject: string | undefined = new X509Certificate(original.cert).subject
  const day = 86_400_000
  const profile = {
    subject: subject?.replaceAll('\n', ', ') ?? 'CN=imitation',
    isCa: false,
    usages: [USAGES.client],
    notBefore: new Date(Date.now() - day),
    notAfter: new Date(Date.now() + day),
  }
  if (!keepsKey) return issue(profile, null)
  const privateKey = createPrivateKey(original.key)
  const algorithm = CURVES[privateKey.asymmetricKeyDetails?.namedCurve ?? '']
  if (algorithm === undefined) return null
  const imported = async (key: KeyObject, format: 'pkcs8' | 'spki', usage: 'sign' | 'verify'): Promise<webcrypto.CryptoKey> =>
    webcrypto.subtle.importKey(format, key.export({ type: format as 'pkcs8', format: 'der' }), algorithm, true, [usage])
  const keys = {
    privateKey: await imported(privateKey, 'pkcs8', 'sign'),
    publicKey: await imported(createPublicKey(privateKey), 'spki', 'verify'),
  }
  return issue({ ...profile, algorithm, keys }, null)
}
