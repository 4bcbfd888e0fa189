// What a lab's TLS needs: a server, and clients that are valid, someone else, expired, of a foreign CA, or sign for themselves.
import { generateKeyPairSync } from 'node:crypto'
import { type Credential, hoursFromNow, makeCa, makeCertificate, makeServer } from './certs.js'

export type TestCertificates = {
  /** ca.crt, server.key, server.crt, client-ca.crt, assertion.key. */
  readonly files: Record<string, string>
  readonly clientCa: Credential
  /** Of the client that is untrusted. */
  readonly foreignCa: Credential
  readonly clients: Record<'client' | 'other' | 'expired' | 'untrusted' | 'selfSigned', Credential>
}

export const makeAssertionKey = (): string =>
  generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()

export async function makeCertificates(host: string): Promise<TestCertificates> {
  const [ca, clientCa, foreignCa] = await Promise.all([makeCa('Test CA'), makeCa('Test client CA'), makeCa('Foreign CA')])
  const client = { subject: 'CN=client-1', ekus: ['client'] } as const
  const [server, valid, other, expired, untrusted, selfSigned] = await Promise.all([
    makeServer(ca, [host]),
    makeCertificate({ ...client, ca: clientCa }),
    makeCertificate({ ...client, ca: clientCa, subject: 'CN=client-2' }),
    makeCertificate({ ...client, ca: clientCa, notBefore: hoursFromNow(-3), notAfter: hoursFromNow(-2) }),
    makeCertificate({ ...client, ca: foreignCa }),
    makeCertificate(client),
  ])
  return {
    files: {
      'ca.crt': ca.cert,
      'server.key': server.key,
      'server.crt': server.cert,
      'client-ca.crt': clientCa.cert,
      'assertion.key': makeAssertionKey(),
    },
    clientCa,
    foreignCa,
    clients: { client: valid, other, expired, untrusted, selfSigned },
  }
}
