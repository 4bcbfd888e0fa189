// What a Node backend adds to believe only the gateway: `holdfast(options).fastify` is a plugin, `.express` is middleware.
// A request is refused unless its one assertion was signed for it, and for nothing else (docs/assertion.md).

import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { compactVerify, createRemoteJWKSet } from 'jose'

/** Seconds that the gateway's clock and ours may differ. */
const SKEW = 5

const sha256 = (data) => createHash('sha256').update(data).digest('base64url')

/** Is this the one way to write these bytes? Letters with unused bits would make two texts of one assertion. */
const isCanonical = (segment) => Buffer.from(segment, 'base64url').toString('base64url') === segment

/** Does an assertion meet what a route demands? `both` is bound by DPoP and by a certificate; null: any. */
export const meets = ({ tier, binding }, { tiers = null, bindings = null }) =>
  (tiers === null || tiers.includes(tier)) &&
  (bindings === null || bindings.some((one) => binding?.method === one || binding?.method === 'both'))

/**
 * @param {{ issuer: string, audience: string, jwks_url: string, tiers?: string[] | null, bindings?: ('dpop' | 'mtls')[] | null,
 *   body_digest?: boolean, single_use?: boolean, max_body?: number, header?: string }} options explained in kits/README.md
 */
export function holdfast({ issuer, audience, jwks_url, header = 'Holdfast-Assertion', max_body = 1024 ** 2, ...options }) {
  const { body_digest = false, single_use = false } = options
  const keys = createRemoteJWKSet(new URL(jwks_url), { timeoutDuration: 5000, cooldownDuration: 30_000, cacheMaxAge: 600_000 })
  const refused = () => Object.assign(new Error('Unauthorized'), { statusCode: 401 })
  /** Each `jti` until it is over; they end in nearly the order in which they came. */
  const seen = new Map()

  function isFirst({ jti, exp }, now) {
    for (const [old, end] of seen)
      if (end < now) seen.delete(old)
      else break
    if (typeof jti !== 'string' || seen.has(jti)) return false
    return seen.set(jti, exp + SKEW)
  }

  /** The assertion's claims; throws when the request did not come through the gateway just like this. */
  async function check(request) {
    const [jwt, ...others] = request.headersDistinct[header.toLowerCase()] ?? []
    if (jwt === undefined || others.length > 0 || !jwt.split('.').every(isCanonical)) throw refused()
    const verified = await compactVerify(jwt, keys, { algorithms: ['ES256'] })
    const { typ, kid, crit } = verified.protectedHeader
    if (typ !== 'holdfast+jwt' || typeof kid !== 'string' || crit !== undefined) throw refused()
    const claims = JSON.parse(Buffer.from(verified.payload).toString())
    const { iat, exp } = claims
    const now = Date.now() / 1000
    const isNow = Number.isInteger(iat) && iat <= now + SKEW && Number.isInteger(exp) && now < exp + SKEW
    const target = request.originalUrl ?? request.url
    const query = target.includes('?') ? sha256(target.slice(target.indexOf('?') + 1)) : undefined
    const isOurs = claims.iss === issuer && claims.aud === audience
    const isThis = claims.htm === request.method && claims.target === target && claims.qsh === query
    if (!isNow || !isOurs || !isThis || !meets(claims, options) || (single_use && !isFirst(claims, now))) throw refused()
    return claims
  }

  /** The body, where the assertion covers it or must; null: it is streamed, and was not read. */
  async function held({ bdh }, stream) {
    if (bdh === undefined && !body_digest) return null
    const chunks = []
    let size = 0
    for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
      size += chunk.length
      if (size > max_body) throw refused()
      chunks.push(chunk)
    }
    const body = Buffer.concat(chunks)
    if (bdh !== (size > 0 ? sha256(body) : undefined)) throw refused()
    return body
  }

  async function fastify(app) {
    app.decorateRequest('assertion', null)
    app.addHook('onRequest', async (request) => {
      request.assertion = await check(request.raw).catch(() => Promise.reject(refused()))
    })
    app.addHook('preParsing', async (request, _reply, payload) => {
      const body = await held(request.assertion, payload)
      return body === null ? payload : Readable.from(body, { objectMode: false })
    })
  }

  async function express(request, response, next) {
    try {
      request.assertion = await check(request)
      const body = await held(request.assertion, request)
      // Read, so parsers that follow have nothing to do.
      if (body !== null) Object.assign(request, { body, _body: true })
    } catch {
      return void response.writeHead(401, { 'Content-Type': 'application/json' }).end('{"error":"Unauthorized"}')
    }
    next()
  }

  // Fastify's way to say that the hooks are for the scope that registers it.
  return { check, fastify: Object.assign(fastify, { [Symbol.for('skip-override')]: true }), express }
}
