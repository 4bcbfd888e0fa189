// The operator's side: liveness, readiness, metrics and the public keys of the assertion (contract §8), and security events that are
// pushed. GET and HEAD of four paths, POST of one, nothing else; no answer repeats anything of its request.

import { Server } from 'node:tls'
import fastify, { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { Readiness } from './health.js'

export type AdminOptions = {
  readonly host: string
  readonly port: number
  readonly tls: Tls | null
  /** The JWK set of the keys that assertions are signed with: public members only. */
  readonly jwks: () => object
  readonly readiness: () => Readiness
  /** Prometheus text format; null: there are no metrics. */
  readonly metrics: (() => Promise<string>) | null
  /** Takes a security event that is pushed (RFC 8935); left out: there is nobody to hear of. */
  readonly events?: (delivery: { readonly authorization: string | undefined; readonly body: string }) => Promise<EventReceipt>
}

type EventReceipt = { readonly status: number; readonly error: object | null }

type Tls = { readonly key: string; readonly cert: string }

export type Admin = {
  readonly address: string
  /** Another key and certificate, of a listener that has one. Throws, and changes nothing, for those that OpenSSL does not take. */
  setTls(tls: Tls | null): void
  close(): Promise<void>
}

/** Probes are small and quick: bytes, milliseconds. */
const LIMITS = {
  bodyLimit: 1024,
  requestTimeout: 5_000,
  connectionTimeout: 30_000,
  keepAliveTimeout: 10_000,
  forceCloseConnections: true,
  // Fastify's own answer to a URL it can't decode repeats the URL.
  frameworkErrors: refuse,
} as const
/** Events are a few hundred bytes; those of several kilobytes have long descriptions (bytes). */
const LARGEST_EVENT = 64 * 1024
const SERVER = { maxHeaderSize: 8 * 1024 } as const
const VERSION = { minVersion: 'TLSv1.2' } as const

/** Listens; rejects with a message for the operator when it can't. */
export async function openAdmin(options: AdminOptions): Promise<Admin> {
  const { host, port, tls } = options
  const app: FastifyInstance =
    tls === null
      ? fastify({ ...LIMITS, http: SERVER })
      : (fastify({ ...LIMITS, https: { ...SERVER, ...tls, ...VERSION } }) as unknown as FastifyInstance)
  addRoutes(app, options)
  try {
    return {
      address: await app.listen({ host, port }),
      setTls: (renewed) => {
        if (app.server instanceof Server && renewed !== null) app.server.setSecureContext({ ...renewed, ...VERSION })
      },
      close: () => app.close(),
    }
  } catch (error) {
    await app.close()
    const code = error instanceof Error && 'code' in error ? error.code : 'unknown error'
    throw new Error(`the admin listener can't listen on ${host}:${port} (${code}): give admin another host or port`)
  }
}

function addRoutes(app: FastifyInstance, { jwks, readiness, metrics, events }: AdminOptions): void {
  app.addHook('onSend', async (_request, reply) => {
    reply.header('x-content-type-options', 'nosniff')
    if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'no-store')
  })
  app.get('/livez', (_request, reply) => reply.type('text/plain; charset=utf-8').send('ok\n'))
  app.get('/readyz', (_request, reply) => {
    const answer = readiness()
    return reply.code(answer.ready ? 200 : 503).send(answer)
  })
  app.get('/.well-known/jwks.json', (_request, reply) =>
    reply.header('cache-control', 'max-age=60').type('application/jwk-set+json').send(JSON.stringify(jwks())),
  )
  if (metrics !== null) {
    app.get('/metrics', async (_request, reply) => reply.type('text/plain; version=0.0.4; charset=utf-8').send(await metrics()))
  }
  if (events !== undefined) {
    // Nothing else is read: Fastify answers 415.
    app.removeAllContentTypeParsers()
    app.addContentTypeParser(
      'application/secevent+jwt',
      { parseAs: 'string' },
      async (_request: FastifyRequest, body: string) => body,
    )
    app.post<{ Body: string | undefined }>('/events', { bodyLimit: LARGEST_EVENT }, async ({ body, headers }, reply) => {
      const { status, error } = await events({ authorization: headers.authorization, body: body ?? '' })
      if (status === 401) reply.header('www-authenticate', 'Bearer')
      if (status === 503) reply.header('retry-after', '1')
      return error === null ? reply.code(status).send() : reply.code(status).send(error)
    })
  }
  app.setNotFoundHandler((request, reply) => {
    const isRead = request.method === 'GET' || request.method === 'HEAD'
    if (!isRead) reply.header('allow', 'GET, HEAD')
    return reply.code(isRead ? 404 : 405).send({ error: isRead ? 'not found' : 'GET and HEAD only' })
  })
  app.setErrorHandler(refuse)
}

function refuse(error: FastifyError, _request: FastifyRequest, reply: FastifyReply): void {
  const { statusCode = 500 } = error
  const isTheirs = statusCode >= 400 && statusCode < 500
  reply.code(isTheirs ? statusCode : 500).send({ error: isTheirs ? 'bad request' : 'the gateway made an error' })
}
