// Asks an issuer about one token. The token stands in the body of the request and nowhere else.

import { createAsker, type Send } from '../asking/post.js'
import type { IntrospectionSettings, IssuerSource } from '../config/config.js'
import { discoverMetadata } from '../keys/fetch.js'
import type { Seconds } from '../verify/scalars.js'
import type { Introspected, KeysFor } from '../verify/types.js'
import { PLAIN, readAnswer, SIGNED } from './answer.js'
import { authentication } from './client-auth.js'

/** How long an endpoint that was discovered is used. */
const DISCOVERED: Seconds = 3600

export type Questioner = { ask(token: string): Promise<Introspected>; close(): Promise<void> }

export type QuestionPorts = { readonly keysFor: KeysFor; readonly clock: () => Seconds }

/** `ask` rejects with `Silent`; whatever else goes wrong is an answer, `unavailable`. */
export function createQuestioner(issuer: IssuerSource, settings: IntrospectionSettings, ports: QuestionPorts): Questioner {
  const { auth, timeout, concurrency } = settings
  const authenticate = authentication(settings, issuer.issuer)
  const asker = createAsker({
    tls: {
      ...(issuer.ca === null ? {} : { ca: issuer.ca }),
      ...(auth.by === 'tls' ? { cert: auth.cert, key: auth.key } : {}),
    },
    timeout,
    connections: concurrency,
    problems: PROBLEMS,
  })
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

  async function question(token: string, send: Send, signal: AbortSignal): Promise<Introspected> {
    const { form, headers } = await authenticate(ports.clock())
    const answer = await send(await endpoint(signal), {
      method: 'POST',
      headers: {
        ...headers,
        'content-type': 'application/x-www-form-urlencoded',
        accept: settings.signed === 'required' ? SIGNED : PLAIN,
      },
      body: new URLSearchParams({ token, token_type_hint: 'access_token', ...form }).toString(),
    })
    if (typeof answer === 'string') return { unavailable: answer }
    return readAnswer(answer, { issuer, keysFor: ports.keysFor, now: ports.clock() })
  }

  return {
    ask: (token) => asker.ask((send, signal) => question(token, send, signal)),
    close: asker.close,
  }
}

const NAME = 'introspection_endpoint'
const PROBLEMS: Readonly<Record<number, string>> = {
  400: 'answered 400: it does not take the question',
  401: 'answered 401: it does not take our client authentication',
  403: 'answered 403: this client may not ask it about tokens',
}
