// The page's own origin: five files, and the few words that the page must be told. Whoever changes the page changes what may be done
// with its key, so everything a browser can be told about what a page may load, run and talk to is said here.

import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { fileURLToPath } from 'node:url'

export type PageSettings = {
  readonly port: number
  /** The authorization server; plain http on loopback alone. */
  readonly issuer: string
  /** The origin of the gateway. */
  readonly gateway: string
  readonly clientId: string
  readonly redirectUri: string
  /** `aud` of the tokens (RFC 8707). */
  readonly resource: string
  readonly scopes: readonly string[]
}

type Served = { readonly type: string; readonly body: string | Buffer }

/** Starts it on loopback. */
export async function startPage(settings: PageSettings): Promise<Server> {
  const files = filesOf(settings)
  const headers = headersOf(settings)
  const server = createServer(({ method = '', url = '' }, response) => {
    // The query is the authorization server's answer; the page reads it, nobody else.
    const file = files.get(url.split('?')[0] ?? '')
    const status = file === undefined ? 404 : method === 'GET' || method === 'HEAD' ? 200 : 405
    const { type, body } = status === 200 && file ? file : { type: 'text/plain', body: `${status}\n` }
    response.writeHead(status, { ...headers, 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) })
    response.end(method === 'HEAD' ? undefined : body)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(settings.port, '127.0.0.1', resolve)
  })
  return server
}

function filesOf({ port: _, ...told }: PageSettings): ReadonlyMap<string, Served> {
  const page = (name: string) => readFileSync(new URL(`../../../examples/browser/${name}`, import.meta.url))
  const library = readFileSync(fileURLToPath(import.meta.resolve('oauth4webapi')))
  return new Map<string, Served>([
    ['/', { type: 'text/html; charset=utf-8', body: page('index.html') }],
    ['/page.js', { type: 'text/javascript; charset=utf-8', body: page('page.js') }],
    ['/page.css', { type: 'text/css; charset=utf-8', body: page('page.css') }],
    // Runs in browsers as it is.
    ['/oauth4webapi.js', { type: 'text/javascript; charset=utf-8', body: library }],
    ['/settings.json', { type: 'application/json', body: JSON.stringify(told) }],
  ])
}

const headersOf = ({ issuer, gateway }: PageSettings): Readonly<Record<string, string>> => ({
  'Content-Security-Policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    'img-src data:',
    `connect-src 'self' ${issuer} ${gateway}`,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    // Text never becomes markup or code, not even by mistake.
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; '),
  // The code of an authorization response is in the address for a moment (RFC 9700 §4.2.4).
  'Referrer-Policy': 'no-referrer',
  'Cache-Control': 'no-store',
  // No window in which a script in here could sign in anew, for a key of its own, and read the code; frames are shut out above.
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'X-Content-Type-Options': 'nosniff',
})
