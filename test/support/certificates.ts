// What a lab's TLS needs, made for one run: a server, and clients that are valid, someone else, expired, or of a foreign CA.
import { createHash, generateKeyPairSync, webcrypto, X509Certificate } from 'node:crypto'

// @peculiar/x509 wants a Reflect with metadata of decorators before it loads; none of what is used here has any.
Object.assign(Reflect, { getMetadata: () => undefined, getOwnMetadata: () => undefined, defineMetadata: () => {} })
const x509 = await import('@peculiar/x509')

export type ClientCertificate = { readonly cert: string; readonly key: string; readonly x5tS256: string }

export type TestCertificates = {
  /** ca.crt, server.key, server.crt, client-ca.crt, assertion.key. */
  readonly files: Record<string, string>
  readonly clients: Record<'client' | 'other' | 'expired' | 'untrusted', ClientCertificate>
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
const DAY = 86_400_000

const makeKeys = () => webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])
const pemOf = async (key: webcrypto.CryptoKey): Promise<string> => {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key)).toString('base64')
  return `-----BEGIN PRIVATE KEY-----\n${der.replace(/.{64}/g, '$&\n')}\n-----END PRIVATE KEY-----\n`
}

async function makeAuthority(name: string) {
  const keys = await makeKeys()
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    keys,
    signingAlgorithm: ALGORITHM,
    notBefore: new Date(Date.now() - DAY),
    notAfter: new Date(Date.now() + DAY),
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
  })
  const issue = async (subject: string, options: { names?: readonly string[]; usage: 'server' | 'client'; notAfter?: Date }) => {
    const own = await makeKeys()
    const usage = options.usage === 'server' ? '1.3.6.1.5.5.7.3.1' : '1.3.6.1.5.5.7.3.2'
    const leaf = await x509.X509CertificateGenerator.create({
      subject: `CN=${subject}`,
      issuer: certificate.subject,
      publicKey: own.publicKey,
      signingKey: keys.privateKey,
      signingAlgorithm: ALGORITHM,
      notBefore: new Date(Date.now() - 2 * DAY),
      notAfter: options.notAfter ?? new Date(Date.now() + DAY),
      extensions: [
        new x509.BasicConstraintsExtension(false),
        new x509.ExtendedKeyUsageExtension([usage]),
        new x509.SubjectAlternativeNameExtension((options.names ?? [subject]).map((value) => ({ type: 'dns', value }))),
      ],
    })
    return { cert: leaf.toString('pem'), key: await pemOf(own.privateKey) }
  }
  return { ca: certificate.toString('pem'), issue }
}

export async function makeCertificates(host: string): Promise<TestCertificates> {
  const [ca, clientCa, foreignCa] = await Promise.all(['Test CA', 'Test client CA', 'Foreign CA'].map(makeAuthority))
  if (ca === undefined || clientCa === undefined || foreignCa === undefined) throw new Error('no CA')
  const server = await ca.issue(host, { names: [host, 'localhost'], usage: 'server' })
  const client = async (authority: typeof ca, subject: string, notAfter?: Date): Promise<ClientCertificate> => {
    const issued = await authority.issue(subject, { usage: 'client', ...(notAfter === undefined ? {} : { notAfter }) })
    return { ...issued, x5tS256: createHash('sha256').update(new X509Certificate(issued.cert).raw).digest('base64url') }
  }
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return {
    files: {
      'ca.crt': ca.ca,
      'server.key': server.key,
      'server.crt': server.cert,
      'client-ca.crt': clientCa.ca,
      'assertion.key': privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    },
    clients: {
      client: await client(clientCa, 'client-1'),
      other: await client(clientCa, 'client-2'),
      expired: await client(clientCa, 'client-3', new Date(Date.now() - DAY)),
      untrusted: await client(foreignCa, 'client-1'),
    },
  }
}
