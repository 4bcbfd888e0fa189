// `holdfast client`: a listener on loopback that passes each request to the gateway with credentials of its own. Joins guard,
// tokens, proofs and @fastify/http-proxy; serves callers of this machine only, and holds their keys so that they need none.

import httpProxy from '@fastify/http-proxy'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { openCredentials } from './credentials.js'
import { provingRequester } from './forward.js'
import { refusal } from './guard.js'
import type { ClientSettings } from './settings.js'
import { TokenError } from './tokens.js'

export type RunningClient = {
  /** `http://127.0.0.1:8080` */
  readonly address: string
  /** Finishes what is in flight, then closes every connection. */
  readonly close: () => Promise<void>
}

export type StartOptions = {
  readonly settings: ClientSettings
  /** One line for the person who runs it: what went wrong, without secrets. */
  readonly report: (line: string) => void
}

/** Starts listening. Rejects with a sentence when a key can't be used or the port is taken. */
export async function startClient({ settings, report }: StartOptions): Promise<RunningClient> {
  const { listen } = settings
  if (listen === null) throw new Error('FILE does not say where to listen: add listen: { port: 8080 }')
  const { prover, tokens, gatewayAgent, close } = openCredentials(settings)
  const requester = provingRequester({ gateway: settings.gateway, dispatcher: gatewayAgent, tokens, prover })

  // Bodies are streamed by http-proxy, so Fastify's own limit is never what decides.
  const app = Fastify({ logger: false, bodyLimit: Number.MAX_SAFE_INTEGER, forceCloseConnections: 'idle' })
  app.addHook(
    'onRequest',
    guardHook(() => portOf(app, listen.port)),
  )
  app.setErrorHandler((error, _request, reply) => answer(reply, 500, sentenceOf(error, report)))
  app.setNotFoundHandler((_request, reply) => answer(reply, 404, 'This method is not passed on.'))
  app.register(httpProxy, {
    upstream: settings.gateway,
    undici: requester,
    disableCache: true,
    retryMethods: [],
    websocket: false,
    internalRewriteLocationHeader: false,
    replyOptions: {
      rewriteHeaders: (headers) => Object.fromEntries(Object.entries(headers).filter(([name]) => !NOT_RETURNED.test(name))),
      onError: (reply, { error }) => {
        const cause = error.cause ?? error
        const status = cause instanceof TokenError ? 503 : 502
        answer(reply as FastifyReply, status, sentenceOf(cause, report))
      },
    },
  })
  const address = await app.listen(listen)
  return {
    address,
    close: async () => {
      await app.close()
      await close()
    },
  }
}

// Of the hop to the gateway; nonces are kept here; and CORS, because no web page may read answers that our token got.
const NOT_RETURNED = /^(connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|dpop-nonce|access-control-.*)$/i

function guardHook(port: () => number) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => {
    const { headers, method, url = '' } = request.raw
    const refused = refusal(
      {
        method: method ?? '',
        url,
        host: headers.host,
        origin: headers.origin,
        fetchSite: [headers['sec-fetch-site']].flat()[0],
        hasBody: headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0,
      },
      port(),
    )
    return refused === null ? undefined : answer(reply, refused.status, refused.sentence)
  }
}

/** The port that was really taken, where 0 asked for any. */
function portOf(app: FastifyInstance, asked: number): number {
  const address = app.server.address()
  return typeof address === 'object' && address !== null ? address.port : asked
}

function sentenceOf(error: unknown, report: (line: string) => void): string {
  if (error instanceof TokenError) {
    report(`No token: ${error.message}`)
    return 'holdfast client could not get a token; its own output says why.'
  }
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
  report(`The request failed: ${error instanceof Error ? error.message : 'unknown'} (${code})`)
  return 'holdfast client could not pass the request on; its own output says why.'
}

/** A refusal of this client, not of the gateway: the type says so. */
const answer = (reply: FastifyReply, status: number, title: string): FastifyReply =>
  reply
    .code(status)
    .header('cache-control', 'no-store')
    .type('application/problem+json')
    .send(JSON.stringify({ type: 'urn:holdfast:client', title, status }))
