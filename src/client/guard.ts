// Which requests on loopback are passed on? Those of programs on this machine that name it by a loopback address. Not: web
// pages (DNS rebinding, cross-site requests), forward-proxy use, and paths that two parsers could read in two ways.

import { isLoopback } from './settings.js'

export type Caller = {
  readonly method: string
  /** The request target, as it came. */
  readonly url: string
  readonly host: string | undefined
  readonly origin: string | undefined
  readonly fetchSite: string | undefined
  readonly hasBody: boolean
}

// RFC 3986 §3.3 pchar and `/`. What is left out, `new URL()` would rewrite, and `htu` would be of another path than was sent.
const PATH = /^\/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*$/
const QUERY = /^(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9A-Fa-f]{2}|["[\]{}|^`])*$/
const AMBIGUOUS = /\/\/|%2f|%5c|%00|(?:^|\/)(?:\.|%2e){1,2}(?:\/|$)/i

/** Null: pass it on. Else the status and a sentence for the caller. */
export function refusal(caller: Caller, port: number): { readonly status: number; readonly sentence: string } | null {
  if (!isOwnHost(caller.host, port)) {
    return { status: 421, sentence: `Name this listener by its own address: http://127.0.0.1:${port}/` }
  }
  const site = caller.fetchSite
  if ((site !== undefined && site !== 'none' && site !== 'same-origin') || !isOwnOrigin(caller.origin, port)) {
    return { status: 403, sentence: 'Requests of web pages of other origins are not passed on.' }
  }
  const [path = '', ...query] = caller.url.split('?')
  if (!PATH.test(path) || AMBIGUOUS.test(path) || !QUERY.test(query.join('?'))) {
    return { status: 400, sentence: 'The request target must be a path in canonical form (RFC 3986 §6.2.2).' }
  }
  if (caller.hasBody && (caller.method === 'GET' || caller.method === 'HEAD')) {
    return { status: 400, sentence: 'GET and HEAD requests with a body are not passed on.' }
  }
  return null
}

/** A name that an attacker's DNS could point here is refused, whatever address it came to. */
function isOwnHost(host: string | undefined, port: number): boolean {
  const [, name, given = '80'] = /^(\[[\d:a-f]+\]|[\w.-]+)(?::(\d{1,5}))?$/i.exec(host ?? '') ?? []
  return name !== undefined && Number(given) === port && isLoopback(name.toLowerCase().replace(/^\[|\]$/g, ''))
}

const isOwnOrigin = (origin: string | undefined, port: number): boolean =>
  origin === undefined || (origin.startsWith('http://') && isOwnHost(origin.slice('http://'.length), port))
