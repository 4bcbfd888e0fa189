// The other end of `holdfast client` in its tests: a TLS server that judges each DPoP proof with jose (RFC 9449 §4.3), gives
// nonces and asks for client certificates; it stands in for a token endpoint too. Throwaway certificates, made at load.

import { createHash } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { calculateJwkThumbprint, EmbeddedJWK, type JWK, type JWTPayload, jwtVerify } from 'jose'
import { issue } from '../../src/cli/x509.js'

type KeyAndCertificate = { readonly cert: string; readonly key: string }

/** A CA of its own, with a way to issue leaf certificates of it. */
export async function newCa(): Promise<{ readonly cert: string; readonly issue: (name: string) => Promise<KeyAndCertificate> }> {
  const validity = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 3_600_000) }
  const ca = await issue({ ...validity, subject: 'CN=Test CA', isCa: true }, null)
  return {
    cert: ca.cert,
    issue: async (name) => {
      const { cert, key } = await issue({ ...validity, subject: `CN=${name}`, isCa: false, names: [name] }, ca)
      return { cert, key }
    },
  }
}

/** A request that reached the gateway, with what jose made of its proof. */
export type Seen = {
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
  /** Claims of a proof that jose verified, or why there are none. */
  readonly proof: JWTPayload | string
  readonly jkt: string | null
  /** SHA-256 of the client certificate, base64url. */
  readonly x5t: string | null
}

export type Answer = { status: number; headers?: Record<string, string | string[]>; body?: string | Buffer }

export type TestGateway = {
  readonly origin: string
  readonly seen: Seen[]
  /** What the next requests are answered, first to last; then 200 again. */
  readonly answers: ((seen: Seen) => Answer)[]
  readonly close: () => Promise<void>
}

/** Starts the TLS server; `answers` is asked for each request in turn. */
export async function startGateway(tls: KeyAndCertificate & { ca: string }): Promise<TestGateway> {
  const seen: Seen[] = []
  const answers: TestGateway['answers'] = []
  let origin = ''
  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = []
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
    const one: Seen = {
      method: request.method ?? '',
      url: request.url ?? '',
      headers: request.headers,
      body: Buffer.concat(chunks),
      ...(await judgeProof(request, origin)),
      x5t: certificateThumbprint(request.socket as TLSSocket),
    }
    seen.push(one)
    const { status, headers = {}, body = '' } = answers.shift()?.(one) ?? { status: 200, body: 'fine' }
    response.writeHead(status, headers).end(body)
  }
  const server: Server = createServer({ ...tls, requestCert: true, rejectUnauthorized: false }, (request, response) => {
    serve(request, response).catch(() => response.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  origin = `https://localhost:${(server.address() as AddressInfo).port}`
  return {
    origin,
    seen,
    answers,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** RFC 9449 §4.3 by jose: signature by the embedded key, typ, alg, and that the claims fit this request. */
async function judgeProof(request: IncomingMessage, origin: string): Promise<Pick<Seen, 'proof' | 'jkt'>> {
  const { dpop, authorization } = request.headers
  if (typeof dpop !== 'string') return { proof: 'none', jkt: null }
  try {
    const { payload, protectedHeader } = await jwtVerify(dpop, EmbeddedJWK, {
      typ: 'dpop+jwt',
      algorithms: ['ES256', 'EdDSA', 'PS256'],
      maxTokenAge: 60,
      requiredClaims: ['jti', 'htm', 'htu', 'iat'],
    })
    const jwk = protectedHeader.jwk as JWK
    if (Object.keys(jwk).some((member) => ['d', 'p', 'q', 'k'].includes(member))) return { proof: 'private key', jkt: null }
    if (payload.htm !== request.method) return { proof: 'htm', jkt: null }
    if (payload.htu !== origin + (request.url ?? '').split('?')[0]) return { proof: 'htu', jkt: null }
    const token = authorization?.replace(/^DPoP /, '')
    const ath = token === undefined ? undefined : createHash('sha256').update(token).digest('base64url')
    if (payload.ath !== ath) return { proof: 'ath', jkt: null }
    return { proof: payload, jkt: await calculateJwkThumbprint(jwk) }
  } catch (error) {
    return { proof: String(error), jkt: null }
  }
}

function certificateThumbprint(socket: TLSSocket): string | null {
  const { raw } = socket.getPeerCertificate()
  return raw ? createHash('sha256').update(raw).digest('base64url') : null
}

export const nonceChallenge = (nonce: string) => (): Answer => ({
  status: 401,
  headers: { 'dpop-nonce': nonce, 'www-authenticate': ['Bearer realm="x"', 'DPoP error="use_dpop_nonce", algs="ES256"'] },
})
