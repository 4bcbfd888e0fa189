// Asks an issuer about one token, over one kept-alive pool of connections: where to, how much and how long are bounded as for its keys
// (keys/), redirects are not followed, TLS is always verified. The token stands in the body of the request and nowhere else.

import { Agent, request } from 'undici'
import type { IntrospectionSettings, IssuerSource } from '../config/config.js'
import { guardedLookup, readFetchUrl } from '../keys/addresses.js'
import { discoverMetadata } from '../keys/fetch.js'
import type { Bytes, Seconds } from '../verify/scalars.js'
import type { Introspected, KeysFor } from '../verify/types.js'
import { PLAIN, readAnswer, SIGNED } from './answer.js'
import { authentication } from './client-auth.js'

/** All that one answer may hold. */
const MOST_BYTES: Bytes = 64 * 1024
/** How long an endpoint that was discovered is used. */
const DISCOVERED: Seconds = 3600

/** The issuer did not answer, or said that it can't: asking again at once would only make others wait. */
export class IssuerSilent extends Error {}

export type Questioner = { ask(token: string): Promise<Introspected>; close(): Promise<void> }

export type QuestionPorts = { readonly keysFor: KeysFor; readonly clock: () => Seconds }

/** `ask` rejects with `IssuerSilent`; whatever else goes wrong is an answer, `unavailable`. */
export function createQuestioner(issuer: IssuerSource, settings: IntrospectionSettings, ports: QuestionPorts): Questioner {
  const { auth, timeout, concurrency } = settings
  const authenticate = authentication(settings, issuer.issuer)
  const agentFor = (protocol: string): Agent =>
    new Agent({
      connect: {
        lookup: guardedLookup(protocol),
        rejectUnauthorized: true,
        timeout: timeout * 1000,
        ...(issuer.ca === null ? {} : { ca: issuer.ca }),
        ...(auth.by === 'tls' ? { cert: auth.cert, key: auth.key } : {}),
      },
      connections: concurrency,
      maxResponseSize: MOST_BYTES,
    })
  const agents = new Map(['https:', 'http:'].map((protocol) => [protocol, agentFor(protocol)]))
  let discovered: { readonly endpoint: Promise<string>; readonly until: Seconds } | null = null

  /** Questions that come meanwhile wait for the same metadata. */
  function endpoint(signal: AbortSignal): string | Promise<string> {
    if (settings.endpoint !== null) return settings.endpoint
    if (discovered !== null && ports.clock() < discovered.until) return discovered.endpoint
    const found = discover(signal)
    discovered = { endpoint: found, until: ports.clock() + DISCOVERED }
    found.catch(() => {
      discovered = null
    })
    return found
  }

  async function discover(signal: AbortSignal): Promise<string> {
    const metadata = await discoverMetadata(issuer.issuer, { ca: issuer.ca, signal })
    const aliases = metadata.mtls_endpoint_aliases
    const alias = auth.by === 'tls' && typeof aliases === 'object' && aliases !== null ? Reflect.get(aliases, NAME) : undefined
    const found = alias ?? metadata[NAME]
    if (typeof found !== 'string') throw new Error(`the metadata has no ${NAME}`)
    return found
  }

  async function post(token: string, signal: AbortSignal): Promise<Introspected> {
    const url = readFetchUrl(await endpoint(signal))
    if (typeof url === 'string') return { unavailable: `the introspection endpoint ${url}` }
    const dispatcher = agents.get(url.protocol)
    const { form, headers } = await authenticate(ports.clock())
    const answer = await request(url, {
      method: 'POST',
      ...(dispatcher === undefined ? {} : { dispatcher }),
      signal,
      headers: {
        ...headers,
        'content-type': 'application/x-www-form-urlencoded',
        accept: settings.signed === 'required' ? SIGNED : PLAIN,
        'accept-encoding': 'identity',
      },
      body: new URLSearchParams({ token, token_type_hint: 'access_token', ...form }).toString(),
    })
    const { statusCode, body } = answer
    if (statusCode !== 200) {
      await body.dump().catch(() => undefined)
      if (TRY_LATER.includes(statusCode)) throw new IssuerSilent(`answered ${statusCode}`)
      return { unavailable: PROBLEMS[statusCode] ?? `answered ${statusCode}` }
    }
    if ((answer.headers['content-encoding'] ?? 'identity') !== 'identity') {
      await body.dump().catch(() => undefined)
      return { unavailable: 'answered compressed, although identity was asked for' }
    }
    const bytes = new Uint8Array(await body.arrayBuffer())
    return readAnswer(
      { type: String(answer.headers['content-type'] ?? ''), bytes },
      { issuer, keysFor: ports.keysFor, now: ports.clock() },
    )
  }

  return {
    async ask(token) {
      // Not AbortSignal.timeout: Node may collect it before it fires (keys/fetch.ts).
      const bound = new AbortController()
      const timer = setTimeout(() => bound.abort(), timeout * 1000)
      try {
        return await post(token, bound.signal).catch((error) => {
          // A connection that was kept may be closed at the other end just now. To ask twice does no harm.
          if (!BROKEN.includes(codeOf(error) ?? '')) throw error
          return post(token, bound.signal)
        })
      } catch (error) {
        if (error instanceof IssuerSilent) throw error
        if (bound.signal.aborted) throw new IssuerSilent(`no answer within ${timeout} s`)
        if (codeOf(error) === 'UND_ERR_RES_EXCEEDED_MAX_SIZE')
          return { unavailable: `the answer is larger than ${MOST_BYTES} bytes` }
        throw new IssuerSilent(describe(error))
      } finally {
        clearTimeout(timer)
      }
    },
    close: async () => void (await Promise.all([...agents.values()].map((agent) => agent.destroy()))),
  }
}

const NAME = 'introspection_endpoint'
const TRY_LATER: readonly number[] = [429, 503]
const BROKEN: readonly string[] = ['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']
const PROBLEMS: Readonly<Record<number, string>> = {
  400: 'answered 400: it does not take the question',
  401: 'answered 401: it does not take our client authentication',
  403: 'answered 403: this client may not ask it about tokens',
}

const codeOf = (error: unknown): string | null =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null

/** Errors of sockets and TLS hold addresses and names, and nothing of what was sent. */
const describe = (error: unknown): string => {
  if (!(error instanceof Error)) return 'unknown error'
  const code = codeOf(error)
  return code === null || error.message.includes(code) ? error.message : `${error.message} (${code})`
}
