// Asks a party that requests wait for, over one kept-alive pool of connections: where to and how much are bounded as for issuer keys
// (keys/), redirects are not followed, TLS is always verified, and nobody waits longer than `timeout`. Knows nothing of what is asked.

import { Agent, type Dispatcher, request } from 'undici'
import { guardedLookup, readFetchUrl } from '../keys/addresses.js'
import type { Bytes, Seconds } from '../verify/scalars.js'

/** All that one answer may hold. */
const MOST_BYTES: Bytes = 64 * 1024

/** The party did not answer, or said that it can't: asking again at once would only make others wait. */
export class Silent extends Error {
  /** It said so itself. */
  readonly isSaid: boolean
  constructor(message: string, isSaid = false) {
    super(message)
    this.isSaid = isSaid
  }
}

export type Party = {
  /** PEM. */
  readonly tls: { readonly ca?: string; readonly cert?: string; readonly key?: string }
  /** For all that one question takes. */
  readonly timeout: Seconds
  /** Connections at a time. */
  readonly connections: number
  /** What its refusals mean, for the operator. */
  readonly problems: Readonly<Record<number, string>>
}

export type Message = {
  readonly method: 'GET' | 'POST'
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
}

/** An answer with status 200. */
export type Answer = {
  readonly headers: Dispatcher.ResponseData['headers']
  readonly bytes: Uint8Array
}

/** Sends one message. A sentence: what came is no answer, without anything of it. */
export type Send = (url: string, message: Message) => Promise<Answer | string>

export type Asker = {
  /** Runs one question, whatever messages it takes, within `timeout`. Rejects with `Silent` alone. */
  ask<T>(question: (send: Send, signal: AbortSignal) => Promise<T>): Promise<T>
  close(): Promise<void>
}

export function createAsker({ tls, timeout, connections, problems }: Party): Asker {
  const agentFor = (protocol: string): Agent =>
    new Agent({
      connect: { lookup: guardedLookup(protocol), rejectUnauthorized: true, timeout: timeout * 1000, ...tls },
      connections,
      maxResponseSize: MOST_BYTES,
    })
  const agents = new Map(['https:', 'http:'].map((protocol) => [protocol, agentFor(protocol)]))

  async function send(to: string, { method, headers, body }: Message, signal: AbortSignal): Promise<Answer | string> {
    const url = readFetchUrl(to)
    if (typeof url === 'string') return `the endpoint ${url}`
    const dispatcher = agents.get(url.protocol)
    const answer = await request(url, {
      method,
      ...(dispatcher === undefined ? {} : { dispatcher }),
      signal,
      headers: { ...headers, 'accept-encoding': 'identity' },
      ...(body === undefined ? {} : { body }),
    })
    const { statusCode } = answer
    if (statusCode !== 200) {
      await answer.body.dump().catch(() => undefined)
      if (TRY_LATER.includes(statusCode)) throw new Silent(`answered ${statusCode}`, true)
      return problems[statusCode] ?? `answered ${statusCode}`
    }
    if ((answer.headers['content-encoding'] ?? 'identity') !== 'identity') {
      await answer.body.dump().catch(() => undefined)
      return 'answered compressed, although identity was asked for'
    }
    return { headers: answer.headers, bytes: new Uint8Array(await answer.body.arrayBuffer()) }
  }

  return {
    async ask(question) {
      // Not AbortSignal.timeout: Node may collect it before it fires (keys/fetch.ts).
      const bound = new AbortController()
      const timer = setTimeout(() => bound.abort(), timeout * 1000)
      const sendBounded: Send = (url, message) =>
        send(url, message, bound.signal).catch((error) => {
          if (codeOf(error) === 'UND_ERR_RES_EXCEEDED_MAX_SIZE') return `the answer is larger than ${MOST_BYTES} bytes`
          throw error
        })
      try {
        return await question(sendBounded, bound.signal).catch((error) => {
          // A connection that was kept may be closed at the other end just now. To ask twice does no harm.
          if (!BROKEN.includes(codeOf(error) ?? '')) throw error
          return question(sendBounded, bound.signal)
        })
      } catch (error) {
        if (error instanceof Silent) throw error
        throw new Silent(bound.signal.aborted ? `no answer within ${timeout} s` : describe(error))
      } finally {
        clearTimeout(timer)
      }
    },
    close: async () => void (await Promise.all([...agents.values()].map((agent) => agent.destroy()))),
  }
}

/** The media type of an answer, without parameters, in lower case. */
export const mediaTypeOf = ({ headers }: Answer): string =>
  String(headers['content-type'] ?? '')
    .split(';', 1)[0]
    ?.trim()
    .toLowerCase() ?? ''

const TRY_LATER: readonly number[] = [429, 503]
const BROKEN: readonly string[] = ['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']

const codeOf = (error: unknown): string | null =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null

/** Errors of sockets and TLS hold addresses and names, and nothing of what was sent. */
const describe = (error: unknown): string => {
  if (!(error instanceof Error)) return 'unknown error'
  const code = codeOf(error)
  return code === null || error.message.includes(code) ? error.message : `${error.message} (${code})`
}
