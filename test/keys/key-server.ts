// A real HTTP or HTTPS server on loopback that answers as a test tells it to, and counts who asks.
import { KeyObject, webcrypto } from 'node:crypto'
import { createServer as createHttp, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createHttps } from 'node:https'
import type { AddressInfo } from 'node:net'
import { loadX509 } from '../../src/cli/x509.js'
import type { IssuerSource } from '../../src/config/config.js'

const x509 = await loadX509()

type Answer = (request: IncomingMessage, response: ServerResponse) => void

export type KeyServer = {
  readonly origin: string
  /** Paths asked for, in order. */
  readonly asked: string[]
  answer: Answer
  close(): Promise<void>
}

export async function startKeyServer(answer: Answer, tls?: { readonly key: string; readonly cert: string }): Promise<KeyServer> {
  const listener: Answer = (request, response) => {
    server.asked.push(request.url ?? '')
    server.answer(request, response)
  }
  const http = tls === undefined ? createHttp(listener) : createHttps(tls, listener)
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const { port } = http.address() as AddressInfo
  const server: KeyServer = {
    origin: `${tls === undefined ? 'http' : 'https'}://localhost:${port}`,
    asked: [],
    answer,
    close: () =>
      new Promise((resolve) => {
        http.close(() => resolve())
        http.closeAllConnections()
      }),
  }
  return server
}

export const json =
  (body: unknown, status = 200): Answer =>
  (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  }

export const source = (issuer: string, keys: IssuerSource['keys'], more: Partial<IssuerSource> = {}): IssuerSource => ({
  issuer,
  audience: ['https://api.example.com'],
  algorithms: ['PS256', 'ES256', 'EdDSA'],
  typ: 'at+jwt',
  claims: { client_id: 'client_id', scope: 'scope' },
  introspection: null,
  keys,
  ca: null,
  jwks_refresh: 600,
  jwks_max_stale: 86400,
  ...more,
})

const SIGNING = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
/** A throwaway CA and a server certificate of it for `host`. */
export async function makeAuthority(host: string): Promise<{ readonly ca: string; readonly key: string; readonly cert: string }> {
  const [caKeys, keys] = await Promise.all([
    webcrypto.subtle.generateKey(SIGNING, true, ['sign', 'verify']),
    webcrypto.subtle.generateKey(SIGNING, true, ['sign', 'verify']),
  ])
  const notBefore = new Date(Date.now() - 60_000)
  const notAfter = new Date(Date.now() + 3_600_000)
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: '01',
    name: 'CN=Test CA',
    notBefore,
    notAfter,
    keys: caKeys,
    signingAlgorithm: SIGNING,
    extensions: [new x509.BasicConstraintsExtension(true, 0, true)],
  })
  const cert = await x509.X509CertificateGenerator.create({
    serialNumber: '02',
    subject: `CN=${host}`,
    issuer: ca.subject,
    notBefore,
    notAfter,
    publicKey: keys.publicKey,
    signingKey: caKeys.privateKey,
    signingAlgorithm: SIGNING,
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: host }])],
  })
  const key = KeyObject.from(keys.privateKey).export({ type: 'pkcs8', format: 'pem' }).toString()
  return { ca: ca.toString('pem'), cert: cert.toString('pem'), key }
}
