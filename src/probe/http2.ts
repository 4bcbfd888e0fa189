// How does a request go over HTTP/2 (RFC 9113)? Right ones through node:http2; wrong ones with their header block written by hand.

import type { Printed } from './draft.js'
import type { Answer, Route } from './http1.js'

export async function exchangeOverHttp2(_route: Route, _printed: Printed): Promise<Answer> {
  throw new Error('HTTP/2 is not served yet')
}
