// An introspection endpoint on loopback that answers as a test tells it to, wrong things included, and remembers what it was asked; and a
// lab whose issuer has it.
import { randomUUID } from 'node:crypto'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { clientKey, type Draft, issuerKey, makeDraft } from './draft.js'
import { signJwt } from './jwt.js'
import { HOST, type Lab, type LabOptions, startLab } from './lab.js'

export const ISSUER = 'https://as.example.com'
export const AUDIENCE = 'https://api.example.com'
export const CLIENT = 'holdfast'

export type Question = { readonly form: URLSearchParams; readonly headers: IncomingHttpHeaders; readonly path: string }
export type Answer = { readonly status?: number; readonly headers?: Record<string, string>; readonly body: string | Buffer }

export type IntrospectionServer = {
  readonly endpoint: string
  readonly asked: Question[]
  /** 'silence': the connection is held and nothing is said. */
  answer: (question: Question) => Answer | 'silence' | 'reset' | Promise<Answer>
  stop(): Promise<void>
}

export const json = (body: unknown, more: Omit<Answer, 'body'> = {}): Answer => ({
  ...more,
  headers: { 'content-type': 'application/json', ...more.headers },
  body: typeof body === 'string' ? body : JSON.stringify(body),
})

/** What an issuer says of a token that may do all that the lab's routes ask for. */
export function activeClaims(change: Record<string, unknown> = {}): Record<string, unknown> {
  const now = Math.floor(Date.now() / 1000)
  return {
    active: true,
    iss: ISSUER,
    aud: AUDIENCE,
    sub: 'user-1',
    client_id: 'client-1',
    iat: now,
    exp: now + 240,
    scope: 'case.read case.write payments',
    token_type: 'DPoP',
    cnf: { jkt: clientKey.jkt },
    ...change,
  }
}

/** The same, as RFC 9701 has it signed. */
export function signedAnswer(
  claims: unknown,
  change: { header?: object; payload?: object; media?: string; key?: typeof issuerKey } = {},
) {
  const header = { typ: 'token-introspection+jwt', alg: 'ES256', kid: 'issuer-1', ...change.header }
  const iat = Math.floor(Date.now() / 1000)
  const payload = { iss: ISSUER, aud: CLIENT, iat, token_introspection: claims, ...change.payload }
  return json(signJwt(header, payload, (change.key ?? issuerKey).privateKey), {
    headers: { 'content-type': change.media ?? 'application/token-introspection+jwt' },
  })
}

export async function startIntrospectionServer(): Promise<IntrospectionServer> {
  const http = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', async () => {
      const form = new URLSearchParams(Buffer.concat(chunks).toString())
      const question = { form, headers: request.headers, path: request.url ?? '' }
      server.asked.push(question)
      const answer = await server.answer(question)
      if (answer === 'silence') return
      if (answer === 'reset') return void request.socket.resetAndDestroy()
      response.writeHead(answer.status ?? 200, answer.headers).end(answer.body)
    })
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const server: IntrospectionServer = {
    endpoint: `http://localhost:${(http.address() as AddressInfo).port}/introspect`,
    asked: [],
    answer: () => json(activeClaims()),
    stop: () =>
      new Promise((resolve) => {
        http.close(() => resolve())
        http.closeAllConnections()
      }),
  }
  return server
}

/** A lab whose issuer is asked at `server`; `settings` are those of `introspection`, in YAML's flow style. */
export function startOpaqueLab(server: IntrospectionServer, settings = '', options: LabOptions = {}): Promise<Lab> {
  return startLab({
    store: 'memory',
    ...options,
    yaml: (parts) => introspected(options.yaml?.(parts) ?? parts, server, settings),
  })
}

/** The first issuer, with introspection. Its time-out is long, because most tests are not about a slow issuer. */
export function introspected(
  parts: Record<string, string>,
  { endpoint }: { endpoint: string },
  settings = '',
): Record<string, string> {
  const wide = settings.includes('timeout') ? settings : `timeout: 20s, ${settings}`
  const auth = /client_secret|private_key_jwt|tls/.test(settings) ? '' : 'client_secret: s3cret, '
  const introspection = `introspection: { endpoint: '${endpoint}', client_id: ${CLIENT}, ${auth}${wide} }`
  return { ...parts, issuers: parts.issuers?.replace('algorithms: [PS256', `${introspection}, algorithms: [PS256`) ?? '' }
}

/** A request with an opaque token, in place of the JWT, and a proof for it. */
export function opaqueDraft(token: string = randomUUID(), path = '/read/1'): Draft {
  const draft = makeDraft({ host: HOST, path })
  draft.spoilToken = () => token
  return draft
}
