// Somebody's pages, for a browser to open: empty ones, whose scripts are what a test evaluates there.
import { createServer, type RequestListener } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'

export type Pages = { readonly port: number; readonly close: () => void }

/** `/to/PATH` is redirected to that of `api`, an origin; all else is a page. Without `tls` by plain HTTP. */
export async function startPages(api: string, tls?: { readonly key: string; readonly cert: string }): Promise<Pages> {
  const answer: RequestListener = ({ url = '' }, response) => {
    const [, path] = url.split('/to/')
    if (path === undefined) {
      response.setHeader('Content-Type', 'text/html').end('<!doctype html><title>A page</title>')
      return
    }
    // As open as can be: the last word is with whom it redirects to.
    response.writeHead(302, { 'Access-Control-Allow-Origin': '*', Location: `${api}/${path}` }).end()
  }
  const server = tls === undefined ? createServer(answer) : createTlsServer(tls, answer)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      server.close()
      server.closeAllConnections()
    },
  }
}
