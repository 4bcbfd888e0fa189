// Keys, certificates and revocation lists for configurations under test: throwaway, made once into a folder of their own.

import { generateKeyPairSync } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hoursFromNow, makeCa, makeCertificate, makeCrl } from '../support/certs.js'

/** Writes `certs/` into a folder. */
export async function writeMaterial(folder: string): Promise<void> {
  const certs = join(folder, 'certs')
  mkdirSync(certs, { recursive: true })
  const put = (name: string, text: string) => writeFileSync(join(certs, name), text)
  const [ca, clientCa, otherCa] = await Promise.all([makeCa('Test CA'), makeCa('Client CA'), makeCa('Other CA')])
  const leaf = (host: string, life = {}) => makeCertificate({ ca, subject: `CN=${host}`, names: [host], ...life })
  const server = await leaf('api.example.com')
  const ended = await leaf('api.example.com', { notBefore: hoursFromNow(-3), notAfter: hoursFromNow(-2) })
  const gateway = await leaf('gateway.example.com')
  put('ca.crt', ca.cert)
  put('client-ca.crt', clientCa.cert)
  put('two-cas.crt', `${clientCa.cert}\n${otherCa.cert}`)
  put('server.key', server.key)
  put('server.crt', server.cert)
  put('gateway.key', gateway.key)
  put('gateway.crt', gateway.cert)
  put('internal-ca.crt', ca.cert)
  put('ended.key', ended.key)
  put('ended.crt', ended.cert)
  put('clients.crl', await makeCrl(clientCa, [], hoursFromNow(24)))
  put('ended.crl', await makeCrl(clientCa, [], hoursFromNow(-1)))
  put('far.crl', await makeCrl(clientCa, [], hoursFromNow(24 * 365 * 40)))
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
