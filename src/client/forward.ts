// How does one request reach the gateway? With the token, a fresh proof of exactly what is sent, and once more when the gateway
// asks for its nonce (RFC 9449 §9). Never by itself otherwise: whether to repeat anything else is the caller's decision.

import { PassThrough, Readable } from 'node:stream'
import type { Dispatcher } from 'undici'
import { asksFor } from './challenge.js'
import type { Prover } from './proofs.js'
import type { Token, TokenSource } from './tokens.js'

/** The part of an undici dispatcher that @fastify/http-proxy sends with. */
export type Requester = { readonly request: Dispatcher['request'] }

export type ForwardPorts = {
  readonly gateway: string
  readonly dispatcher: Dispatcher
  readonly tokens: TokenSource
  readonly prover: Prover | null
}

/** Bodies up to this are held, so that they can be sent again with a nonce; larger ones stream and are sent once. */
export const RETRY_BODY_BYTES = 1024 * 1024

// Ours to set, of the hop to the caller (RFC 9110 §7.6.1), or what undici refuses to send.
const NOT_PASSED = new Set(
  'authorization dpop proxy-authorization connection keep-alive proxy-connection te trailer transfer-encoding upgrade expect'.split(
    ' ',
  ),
)

/**
 * A requester that adds credentials at the last moment: after http-proxy has settled path and headers, so the proof is of what
 * goes out, and no `Connection` header of the caller can take the credentials off again (CVE-2026-33805).
 */
export function provingRequester(ports: ForwardPorts): Requester {
  const send = async (options: Dispatcher.RequestOptions): Promise<Dispatcher.ResponseData> => {
    const { body, again } = await hold(options.body)
    const headers = passedHeaders(options.headers)
    if (Buffer.isBuffer(body)) headers['content-length'] = String(body.length)

    const attempt = async (): Promise<Dispatcher.ResponseData> => {
      const token = await ports.tokens.current()
      const credentials = await credentialsFor(ports, options, token)
      const answer = await ports.dispatcher.request({
        ...options,
        origin: ports.gateway,
        headers: { ...headers, ...credentials },
        body,
      })
      // reply-from destroys the body of a caller that went away; without a listener that error would end the process.
      answer.body.on('error', () => {})
      ports.prover?.remember(ports.gateway, answer.headers['dpop-nonce'])
      if (answer.statusCode === 401 && asksFor('invalid_token', answer.headers['www-authenticate'])) ports.tokens.forget(token)
      return answer
    }

    const first = await attempt()
    const wantsNonce = first.statusCode === 401 && asksFor('use_dpop_nonce', first.headers['www-authenticate'])
    if (!ports.prover || !again || !wantsNonce) return first
    await first.body.dump()
    return attempt()
  }

  // http-proxy calls with a callback, undici's types allow a promise too.
  const request = (
    options: Dispatcher.RequestOptions,
    callback?: (error: Error | null, data?: Dispatcher.ResponseData) => void,
  ) => {
    const answer = send(options)
    if (!callback) return answer
    answer.then(
      (data) => callback(null, data),
      (error: Error) => callback(error),
    )
    return undefined
  }
  return { request: request as Dispatcher['request'] }
}

async function credentialsFor({ gateway, prover }: ForwardPorts, options: Dispatcher.RequestOptions, token: Token) {
  const authorization = `${token.scheme} ${token.text}`
  if (!prover) return { authorization }
  const dpop = await prover.prove({ method: options.method, url: gateway + options.path, token: token.text })
  return { authorization, dpop }
}

function passedHeaders(headers: Dispatcher.RequestOptions['headers']): Record<string, string | string[]> {
  const passed: Record<string, string | string[]> = {}
  for (const [name, value] of Object.entries(headers ?? {})) {
    if (value !== undefined && !NOT_PASSED.has(name.toLowerCase())) passed[name] = value
  }
  return passed
}

/** Reads a body up to the limit. A longer one goes on as a stream, what was read of it first, and can't be sent again. */
async function hold(body: unknown): Promise<{ body: Buffer | Readable | null; again: boolean }> {
  if (!(body instanceof Readable)) return { body: null, again: true }

  const chunks: Buffer[] = []
  let length = 0
  const iterator = body.iterator({ destroyOnReturn: false })
  for await (const chunk of iterator as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    length += chunk.length
    if (length <= RETRY_BODY_BYTES) continue
    const rest = new PassThrough()
    rest.write(Buffer.concat(chunks))
    body.on('error', (error) => rest.destroy(error))
    return { body: body.pipe(rest), again: false }
  }
  return { body: Buffer.concat(chunks), again: true }
}
