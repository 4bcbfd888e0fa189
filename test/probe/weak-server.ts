// A resource server that does everything right, until it is told to be careless in one thing: what `holdfast probe` is tested on.
// Written apart from the gateway, as one would write a small API of one's own: jose for JWTs, a Map for what was seen.
import {
  createHmac,
  createPublicKey,
  type JsonWebKey,
  type KeyObject,
  timingSafeEqual,
  verify,
  X509Certificate,
} from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { type KeyPair, sha256, thumbprint } from '../support/jwt.js'

/** Each is one mistake that a public project made. */
export type Weakness =
  | 'accepts replays'
  | 'remembers 1,000 proofs'
  | 'remembers proofs by their bytes'
  | 'spends before it verifies'
  | 'ignores ath'
  | 'wants no ath'
  | 'compares htu without case'
  | 'compares htu decoded'
  | 'ignores htu'
  | 'believes Host'
  | 'believes X-Forwarded-Host'
  | 'compares htm without case'
  | 'ignores typ'
  | 'accepts alg none'
  | 'accepts HS256'
  | 'takes a private jwk'
  | 'ignores iat'
  | 'ignores jkt'
  | 'verifies nothing'
  | 'lets bound tokens pass as Bearer'
  | 'takes the first of two proofs'
  | 'reads tokens in the query'
  | 'accepts unsigned tokens'
  | 'trusts the jwk of a token'
  | 'trusts X-Forwarded-User'
  | 'trusts certificates in headers'
  | 'ignores certificates'
  | 'passes headers on'
  | 'serves any spelling of the path'
  | 'tells what it got'
  | 'crashes without htu'

export type WeakServer = {
  readonly origin: string
  readonly port: number
  weakness: Weakness | null
  /** Asks for nonces, and takes only its newest two. */
  wantsNonce: boolean
  close(): Promise<void>
}

type Json = Record<string, unknown>
type Settings = {
  readonly tls: { readonly cert: string; readonly key: string; readonly ca: string }
  readonly issuer: KeyPair
  readonly path: string
}

const HOST = 'localhost'
const ALGORITHMS = ['ES256', 'EdDSA', 'PS256']
const PRIVATE = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']
const IDENTITY = 'x-forwarded-user'

/** A refusal: status and challenge. */
class Refusal extends Error {
  readonly status: number
  readonly error: string
  readonly told: string
  constructor(status: number, error: string, told = '') {
    super(error)
    this.status = status
    this.error = error
    this.told = told
  }
}
const proofError = (told = ''): Refusal => new Refusal(401, 'invalid_dpop_proof', told)
const tokenError = (): Refusal => new Refusal(401, 'invalid_token')

export async function startWeakServer({ tls, issuer, path }: Settings): Promise<WeakServer> {
  let origin = ''
  let nonces = ['first-nonce', 'zeroth-nonce']
  const seen = new Set<string>()
  const self: WeakServer = { origin: '', port: 0, weakness: null, wantsNonce: false, close: async () => undefined }
  const is = (weakness: Weakness): boolean => self.weakness === weakness

  const parse = (text: string): Json => {
    const parts = text.split('.')
    if (parts.length !== 3) throw new Error('parts')
    return Object.fromEntries(
      ['header', 'claims'].map((name, i) => {
        const part = parts[i] ?? ''
        const bytes = Buffer.from(part, 'base64url')
        const json = bytes.toString('utf8')
        const value: unknown = JSON.parse(json)
        const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
        const isCanonical = bytes.toString('base64url') === part && Buffer.from(json).equals(bytes)
        // Written again it is as long: no member stands twice, and nothing hides in it.
        if (!isObject || !isCanonical || JSON.stringify(value).length !== json.length) throw new Error('json')
        return [name, value]
      }),
    )
  }

  const verifySignature = (jwt: string, alg: unknown, key: KeyObject): boolean => {
    const [header = '', claims = '', signature = ''] = jwt.split('.')
    const bytes = Buffer.from(signature, 'base64url')
    const data = Buffer.from(`${header}.${claims}`)
    if (is('accepts alg none') && String(alg).toLowerCase() === 'none' && signature === '') return true
    if (is('accepts HS256') && alg === 'HS256') {
      const mac = createHmac('sha256', key.export({ type: 'spki', format: 'pem' }).toString())
        .update(data)
        .digest()
      return mac.length === bytes.length && timingSafeEqual(mac, bytes)
    }
    const isStrict = bytes.toString('base64url') === signature || is('remembers proofs by their bytes')
    if (!ALGORITHMS.includes(String(alg)) || !isStrict) return false
    const details = key.asymmetricKeyDetails ?? {}
    if (alg === 'ES256')
      return details.namedCurve === 'prime256v1' && verify('sha256', data, { key, dsaEncoding: 'ieee-p1363' }, bytes)
    if (alg === 'EdDSA') return key.asymmetricKeyType === 'ed25519' && verify(null, data, key, bytes)
    return (details.modulusLength ?? 0) >= 2048 && verify('sha256', data, { key, padding: 6, saltLength: 32 }, bytes)
  }

  const publicKey = (jwk: unknown): KeyObject => createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' })

  const verifyToken = (token: string): Json => {
    try {
      const { header, claims } = parse(token) as { header: Json; claims: Json }
      const key = is('trusts the jwk of a token') && header.jwk !== undefined ? publicKey(header.jwk) : issuer.publicKey
      const isUnsigned = is('accepts unsigned tokens') && header.alg === 'none'
      if (!isUnsigned && !verifySignature(token, header.alg, key)) throw tokenError()
      if (header.typ !== 'at+jwt' || claims.aud !== origin || Number(claims.exp) <= Date.now() / 1000) throw tokenError()
      return claims
    } catch {
      throw tokenError()
    }
  }

  const normal = (htu: string, target: string): boolean => {
    if (!/^https:\/\/[^/?#@\\\s]+(?:\/[\x21-\x7e]*)?$/i.test(htu) || htu.includes('\\')) return false
    const url = new URL(htu)
    const letters = (path: string): string =>
      path.replace(/%[0-9a-f]{2}/gi, (triplet) => {
        const character = decodeURIComponent(triplet.replace(/%[89a-f]./i, '%41'))
        return is('compares htu decoded') || /[\w.~-]/.test(character) ? character : triplet.toUpperCase()
      })
    const given = url.origin + letters(url.pathname)
    return is('compares htu without case') ? given.toLowerCase() === target.toLowerCase() : given === target
  }

  const originOf = (request: IncomingMessage): string => {
    const forwarded = request.headers['x-forwarded-host']
    if (is('believes X-Forwarded-Host') && forwarded !== undefined) return `https://${forwarded}`
    if (is('believes Host')) return `https://${request.headers.host}`
    return origin
  }

  const checkClaims = (request: IncomingMessage, token: string, claims: Json, method: string): void => {
    const path = (request.url ?? '').split('?')[0] ?? ''
    if (is('crashes without htu') && claims.htu === undefined) throw new TypeError('htu.toLowerCase')
    const { jti, htm, htu, iat, ath } = claims
    if (typeof jti !== 'string' || jti === '' || typeof iat !== 'number' || !Number.isFinite(iat)) throw proofError()
    if (typeof htm !== 'string' || typeof htu !== 'string') throw proofError()
    if (is('compares htm without case') ? htm.toUpperCase() !== method : htm !== method) throw proofError()
    if (!is('ignores htu') && !normal(htu, originOf(request) + path)) throw proofError(htu)
    if (is('wants no ath') ? ath !== undefined && ath !== sha256(token) : !is('ignores ath') && ath !== sha256(token))
      throw proofError()
    const now = Date.now() / 1000
    if (!is('ignores iat') && (iat < now - 60 || iat > now + 10)) throw proofError()
    if (claims.exp !== undefined && Number(claims.exp) <= now) throw proofError()
    if (claims.nbf !== undefined && Number(claims.nbf) > now + 10) throw proofError()
  }

  const checkHeader = (header: Json): void => {
    if (header.typ !== 'dpop+jwt' && !is('ignores typ')) throw proofError()
    const { jwk } = header
    if (typeof jwk !== 'object' || jwk === null || Array.isArray(jwk) || header.crit !== undefined || header.b64 !== undefined)
      throw proofError()
    const members = jwk as Json
    if (!is('takes a private jwk') && PRIVATE.some((name) => name in members)) throw proofError()
    const isForSigning = members.use === undefined || members.use === 'sig'
    if (!isForSigning || members.key_ops !== undefined || (members.alg !== undefined && members.alg !== header.alg))
      throw proofError()
  }

  /** False: it was here before. */
  const spend = (jkt: string, jti: unknown, proof: string): boolean => {
    const key = is('remembers proofs by their bytes') ? proof : sha256(`${jkt} ${String(jti)}`)
    if (seen.has(key) && !is('accepts replays')) return false
    seen.add(key)
    for (const oldest of is('remembers 1,000 proofs') ? seen : []) if (seen.size > 1000) seen.delete(oldest)
    return true
  }

  const verifyProof = (request: IncomingMessage, token: string, jkt: unknown): void => {
    const lines = request.headersDistinct.dpop ?? []
    const proof = lines[0] ?? ''
    if (lines.length !== 1 && !(is('takes the first of two proofs') && lines.length === 2)) throw proofError()
    if (proof.includes(',') || proof === '' || proof.length > 8192) throw proofError()
    let parsed: { header: Json; claims: Json }
    try {
      parsed = parse(proof) as typeof parsed
    } catch {
      throw proofError()
    }
    const { header, claims } = parsed
    checkHeader(header)
    checkClaims(request, token, claims, request.method ?? '')
    if (self.wantsNonce && !nonces.some((nonce) => nonce === claims.nonce)) throw new Refusal(401, 'use_dpop_nonce')
    if (is('spends before it verifies') && !spend(String(jkt), claims.jti, proof)) throw proofError()
    let right = false
    try {
      right = is('verifies nothing') || verifySignature(proof, header.alg, publicKey(header.jwk))
    } catch {
      right = false
    }
    if (!right) throw proofError()
    if (!is('ignores jkt') && thumbprint(header.jwk as JsonWebKey) !== jkt) throw tokenError()
    if (!is('spends before it verifies') && !spend(String(jkt), claims.jti, proof)) throw proofError()
  }

  const verifyCertificate = (request: IncomingMessage, thumb: string): void => {
    if (is('ignores certificates')) return
    const told = request.headers['client-cert']
    const raw =
      is('trusts certificates in headers') && typeof told === 'string'
        ? new X509Certificate(Buffer.from(told.slice(1, -1), 'base64')).raw
        : (request.socket as TLSSocket).getPeerX509Certificate()?.raw
    if (raw === undefined || sha256(raw) !== thumb) throw tokenError()
  }

  const credentialsOf = (request: IncomingMessage): readonly [scheme: string, token: string] => {
    const inQuery = new URL(request.url ?? '', origin).searchParams.get('access_token')
    if (is('reads tokens in the query') && inQuery !== null) return ['dpop', inQuery]
    if (inQuery !== null) throw new Refusal(400, 'invalid_request')
    const lines = request.headersDistinct.authorization ?? []
    if (lines.length === 0) throw new Refusal(401, '')
    if (lines.length > 1) throw new Refusal(400, 'invalid_request')
    const [, scheme = '', token = ''] = /^([\w-]+) +([\w.~+/-]+=*)$/.exec(lines[0] ?? '') ?? []
    if (token === '') throw new Refusal(400, 'invalid_request')
    return [scheme.toLowerCase(), token]
  }

  const judge = (request: IncomingMessage): void => {
    if (request.headers.host !== new URL(origin).host && !is('believes Host')) throw new Refusal(421, '')
    const target = (request.url ?? '').split('?')[0] ?? ''
    const isOurs = is('serves any spelling of the path')
      ? decodeURIComponent(target).toLowerCase().replace(/\/+/g, '/').startsWith(path)
      : target === path
    if (!isOurs && !is('believes X-Forwarded-Host')) throw new Refusal(404, '')
    if (is('serves any spelling of the path') && target !== path) return
    if (is('trusts X-Forwarded-User') && request.headers[IDENTITY] !== undefined) return
    const [scheme, token] = credentialsOf(request)
    if (scheme !== 'dpop' && scheme !== 'bearer') throw new Refusal(401, '')
    const { cnf } = verifyToken(token) as { cnf?: Json }
    const thumb = cnf?.['x5t#S256']
    if (cnf === undefined || (cnf.jkt === undefined && thumb === undefined)) throw tokenError()
    if (cnf.jkt !== undefined) {
      if (scheme === 'bearer' && is('lets bound tokens pass as Bearer')) return
      if (scheme === 'bearer') throw tokenError()
      verifyProof(request, token, cnf.jkt)
    }
    if (thumb !== undefined) {
      if (cnf.jkt === undefined && scheme === 'dpop') throw tokenError()
      verifyCertificate(request, String(thumb))
    }
  }

  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    request.resume()
    const common = { 'Cache-Control': 'no-store', ...(self.wantsNonce ? { 'DPoP-Nonce': nonces[0] } : {}) }
    try {
      judge(request)
      const shown = is('passes headers on') ? request.rawHeaders : ['nothing']
      response.writeHead(200, { ...common, 'Content-Type': 'application/json' }).end(JSON.stringify({ ok: true, shown }))
    } catch (error) {
      if (!(error instanceof Refusal)) return void response.destroy()
      const told =
        is('tells what it got') && error.told !== '' ? error.told.replace(/[^\x20-\x7e]/g, '').replaceAll('"', "'") : ''
      const words = error.error === '' ? '' : `error="${error.error}"${told === '' ? '' : `, error_description="${told}"`}, `
      const challenge =
        error.status === 401 || error.status === 400 ? { 'WWW-Authenticate': `DPoP ${words}algs="${ALGORITHMS.join(' ')}"` } : {}
      response.writeHead(error.status, { ...common, ...challenge }).end()
    }
  }

  const server: Server = createServer({ ...tls, requestCert: true, rejectUnauthorized: false, maxHeaderSize: 80 * 1024 }, answer)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  origin = `https://${HOST}:${port}`
  return Object.assign(self, {
    origin,
    port,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
        nonces = []
      }),
  })
}
