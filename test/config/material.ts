// Keys, certificates and revocation lists for configurations under test: throwaway, made once into a folder of their own.

import { generateKeyPairSync, KeyObject, webcrypto } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

// @peculiar/x509 wants a Reflect with metadata of decorators before it loads; none of what is used here has any.
Object.assign(Reflect, { getMetadata: () => undefined, getOwnMetadata: () => undefined, defineMetadata: () => {} })
const x509 = await import('@peculiar/x509')

const ALG = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const DAY_MS = 86_400_000
const newKeys = () => webcrypto.subtle.generateKey(ALG, true, ['sign', 'verify'])
const keyPem = (key: webcrypto.CryptoKey): string => KeyObject.from(key).export({ type: 'pkcs8', format: 'pem' }).toString()

/** Days from now. */
type Dates = { readonly from: number; readonly to: number }
const dates = ({ from, to }: Dates) => ({
  notBefore: new Date(Date.now() + from * DAY_MS),
  notAfter: new Date(Date.now() + to * DAY_MS),
})

async function newCa(name: string) {
  const keys = await newKeys()
  const cert = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    ...dates({ from: -1, to: 1 }),
    signingAlgorithm: ALG,
    keys,
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
  })
  const leaf = async (host: string, life: Dates = { from: -1, to: 1 }) => {
    const own = await newKeys()
    const certificate = await x509.X509CertificateGenerator.create({
      subject: `CN=${host}`,
      issuer: cert.subject,
      ...dates(life),
      signingAlgorithm: ALG,
      signingKey: keys.privateKey,
      publicKey: own.publicKey,
      extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: host }])],
    })
    return { key: keyPem(own.privateKey), cert: certificate.toString('pem') }
  }
  const crl = async ({ from, to }: Dates) =>
    (
      await x509.X509CrlGenerator.create({
        issuer: cert.subject,
        thisUpdate: new Date(Date.now() + from * DAY_MS),
        nextUpdate: new Date(Date.now() + to * DAY_MS),
        signingAlgorithm: ALG,
        signingKey: keys.privateKey,
      })
    )
      .toString('pem')
      .replaceAll(' CRL-----', ' X509 CRL-----')
  return { cert: cert.toString('pem'), leaf, crl }
}

/** Writes `certs/` into a folder. */
export async function writeMaterial(folder: string): Promise<void> {
  const certs = join(folder, 'certs')
  mkdirSync(certs, { recursive: true })
  const put = (name: string, text: string) => writeFileSync(join(certs, name), text)
  const ca = await newCa('Test CA')
  const clientCa = await newCa('Client CA')
  const otherCa = await newCa('Other CA')
  const server = await ca.leaf('api.example.com')
  const ended = await ca.leaf('api.example.com', { from: -3, to: -2 })
  put('ca.crt', ca.cert)
  put('client-ca.crt', clientCa.cert)
  put('two-cas.crt', `${clientCa.cert}\n${otherCa.cert}`)
  put('server.key', server.key)
  put('server.crt', server.cert)
  const gateway = await ca.leaf('gateway.example.com')
  put('gateway.key', gateway.key)
  put('gateway.crt', gateway.cert)
  put('internal-ca.crt', ca.cert)
  put('ended.key', ended.key)
  put('ended.crt', ended.cert)
  put('clients.crl', await clientCa.crl({ from: -1, to: 1 }))
  put('ended.crl', await clientCa.crl({ from: -3, to: -2 }))
  put('far.crl', await clientCa.crl({ from: -1, to: 365 * 40 }))
  const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const pkcs8 = { type: 'pkcs8', format: 'pem' } as const
  put('assertion.key', p256.privateKey.export(pkcs8).toString())
  put('ed25519.key', generateKeyPairSync('ed25519').privateKey.export(pkcs8).toString())
  put('jwks.json', JSON.stringify({ keys: [{ ...p256.publicKey.export({ format: 'jwk' }), kid: '1' }] }))
  put('empty.json', JSON.stringify({ keys: [{ kty: 'oct', k: 'AAAA' }] }))
  put('broken.crl', '-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n')
  put('secret', `${'s'.repeat(40)}\n`)
  put('broken.crt', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n')
}
