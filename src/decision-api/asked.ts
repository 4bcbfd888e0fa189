// Which request does another proxy ask about? Its words for method, host and target, in the dialect of each endpoint (contract §10).
// They are believed because the hop is: whether it is who it must be was judged before. Whatever is repeated, missing or in another
// form is no question at all.

import { normalName } from '../verify/reserved-headers.js'

/** A request as the hop tells of it. */
export type Asked = {
  readonly method: string
  /** Path and query, byte for byte as the client sent them. */
  readonly rawTarget: string
  /** The client's header lines as the hop passed them on, after a Host of one line. Flat. */
  readonly rawHeaders: readonly string[]
  /** What the hop calls this request; null: nothing, or by a name that a client could choose. */
  readonly id: string | null
}

/** The endpoints that are asked by HTTP. */
export type Endpoint = 'auth_request' | 'forward_auth' | 'ext_authz'

/** The head of a question by HTTP. */
export type HttpQuestion = { readonly method: string; readonly url: string; readonly rawHeaders: readonly string[] }

const EXT_AUTHZ = '/ext-authz'

/** Which endpoint a target is; null: none. */
export function endpointOf(url: string): Endpoint | null {
  if (url.startsWith(`${EXT_AUTHZ}/`)) return 'ext_authz'
  const [path] = url.split('?', 1)
  if (path === '/auth-request') return 'auth_request'
  return path === '/forward-auth' ? 'forward_auth' : null
}

/** What is asked, or what is wrong with the question, for the operator. */
export const readAsked = (endpoint: Endpoint, question: HttpQuestion): Asked | string => READERS[endpoint](question)

const READERS: Readonly<Record<Endpoint, (question: HttpQuestion) => Asked | string>> = {
  auth_request: readAuthRequest,
  forward_auth: readForwardAuth,
  ext_authz: readExtAuthz,
}

/** Of a name that a client has no reason to send: else a proxy that forgot to set it would let clients choose it. */
const ORIGINAL = ['host', 'x-original-method', 'x-original-url', 'x-original-request-id']

/** nginx: `X-Original-URL $scheme://$http_host$request_uri`; the question itself is a GET without a body. */
function readAuthRequest({ method, rawHeaders }: HttpQuestion): Asked | string {
  if (method !== 'GET') return 'auth-request is asked by GET'
  const { values, rest } = takeOut(ORIGINAL, rawHeaders)
  const [, asked, url, id] = values
  if (!asked || !url) return 'not exactly one X-Original-Method and X-Original-URL'
  const [, host, rawTarget] = /^https:\/\/([^/?#]+)(\/.*)$/.exec(url) ?? []
  if (host === undefined || rawTarget === undefined) return 'X-Original-URL is not https://host/path'
  return { method: asked, rawTarget, rawHeaders: ['Host', host, ...rest], id: id || null }
}

const FORWARDED = ['host', 'x-forwarded-method', 'x-forwarded-proto', 'x-forwarded-host', 'x-forwarded-uri']
/** A client that came without TLS has shown its token to everyone on the way. */
const NOT_HTTPS = 'not exactly one X-Forwarded-Proto, of https'

/** Traefik and Caddy. Both write these themselves, whatever a client sent. */
function readForwardAuth({ method, rawHeaders }: HttpQuestion): Asked | string {
  if (method !== 'GET') return 'forward-auth is asked by GET'
  const { values, rest } = takeOut(FORWARDED, rawHeaders)
  const [, asked, proto, host, rawTarget] = values
  if (proto !== 'https') return NOT_HTTPS
  if (!asked || !host || !rawTarget) return 'not exactly one X-Forwarded-Method, -Host and -Uri'
  return { method: asked, rawTarget, rawHeaders: ['Host', host, ...rest], id: null }
}

const EXT_AUTHZ_NAMES = ['host', 'x-forwarded-proto']

/** Envoy's HTTP service with `path_prefix: /ext-authz`: the question has the request's own method, host and path. */
function readExtAuthz({ method, url, rawHeaders }: HttpQuestion): Asked | string {
  const { values, rest } = takeOut(EXT_AUTHZ_NAMES, rawHeaders)
  const [host, proto] = values
  if (!host) return 'not exactly one Host'
  if (proto !== 'https') return NOT_HTTPS
  const rawTarget = url.slice(EXT_AUTHZ.length)
  return { method, rawTarget, rawHeaders: ['Host', host, ...rest], id: null }
}

/** Values of names, and the headers without them: null where a name stands more than once, undefined where it stands nowhere. */
type TakenOut = { readonly values: readonly (string | null | undefined)[]; readonly rest: readonly string[] }

/** Another spelling that a backend would fold into the same name counts as one more. */
function takeOut(names: readonly string[], rawHeaders: readonly string[]): TakenOut {
  const values: (string | null | undefined)[] = names.map(() => undefined)
  const rest: string[] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? ''
    const value = rawHeaders[i + 1] ?? ''
    const index = names.indexOf(normalName(name))
    if (index < 0) rest.push(name, value)
    else values[index] = values[index] === undefined ? value : null
  }
  return { values, rest }
}
