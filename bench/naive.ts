// The straightforward build: what anyone would write in an afternoon from good libraries. jose for token, proof and assertion,
// ioredis for used proofs, @fastify/http-proxy in front of the upstream. Checks what RFC 9449 §4.3 names, strips nothing but the
// credentials, writes no event. Started by peers.ts; here to be compared with, not to be used.
import { createHash, createPrivateKey } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import httpProxy from '@fastify/http-proxy'
import Fastify, { type FastifyRequest } from 'fastify'
import { Redis } from 'ioredis'
import { calculateJwkThumbprint, createLocalJWKSet, EmbeddedJWK, jwtVerify, SignJWT } from 'jose'

const { root, port, upstream, redis, issuer, audience } = JSON.parse(process.argv[2] ?? '{}')
const read = (name: string): string => readFileSync(join(root, name), 'utf8')
const keys = createLocalJWKSet(JSON.parse(read('issuer.jwks')))
const assertionKey = createPrivateKey(read('assertion.key'))
const used = new Redis(redis)

/** Throws for every request that may not pass; else who it is. */
async function authorise(request: FastifyRequest): Promise<string> {
  const [scheme, token = ''] = (request.headers.authorization ?? '').split(' ')
  if (scheme !== 'DPoP') throw new Error('not DPoP')
  const { payload } = await jwtVerify(token, keys, { issuer, audience, typ: 'at+jwt', algorithms: ['ES256'] })
  const proof = await jwtVerify(String(request.headers.dpop), EmbeddedJWK, {
    typ: 'dpop+jwt',
    algorithms: ['ES256'],
    maxTokenAge: '5m',
    requiredClaims: ['jti', 'htm', 'htu', 'ath'],
  })
  const { jwk } = proof.protectedHeader
  if (jwk === undefined) throw new Error('no key')
  const jkt = await calculateJwkThumbprint(jwk)
  const { cnf } = payload as { cnf?: { jkt?: string } }
  if (cnf?.jkt !== jkt) throw new Error('another key')
  const { htm, htu, ath, jti } = proof.payload
  if (htm !== request.method || htu !== `https://${request.host}${request.url}`) throw new Error('another request')
  if (ath !== createHash('sha256').update(token).digest('base64url')) throw new Error('another token')
  if ((await used.set(`naive:${jkt}:${jti}`, '1', 'EX', 300, 'NX')) === null) throw new Error('replayed')
  return new SignJWT({ client_id: payload.client_id, htm, htu })
    .setProtectedHeader({ alg: 'ES256', typ: 'naive+jwt' })
    .setSubject(String(payload.sub))
    .setIssuedAt()
    .setExpirationTime('30s')
    .setJti(request.id)
    .sign(assertionKey)
}

const app = Fastify({ https: { key: read('server.key'), cert: read('server.crt') } })
app.decorateRequest('assertion', '')
app.register(httpProxy, {
  upstream,
  undici: { connections: 64 },
  preHandler: async (request, reply) => {
    try {
      Object.assign(request, { assertion: await authorise(request) })
    } catch {
      return reply.code(401).send()
    }
  },
  replyOptions: {
    rewriteRequestHeaders: (request, { authorization: _, dpop: __, ...headers }) => ({
      ...headers,
      assertion: (request as unknown as { assertion: string }).assertion,
    }),
  },
})
await app.listen({ host: '127.0.0.1', port })
process.once('SIGTERM', () => process.exit(0))
