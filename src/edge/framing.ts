// Is it beyond doubt where this request begins and ends, and whom it is for? Node's parser refuses most of what is doubtful; what
// it lets pass, in one version or another, is refused here (RFC 9112 §6.1, §6.3, §3.2; contract §4 `request_malformed`).
// After such a refusal the connection closes. Does not check: what the target and Host say.

import type { IncomingMessage } from 'node:http'
import type { Reason } from '../verify/reasons.js'

/** The parts of a request that frame it. */
export type Framed = Pick<IncomingMessage, 'httpVersion' | 'method' | 'rawHeaders' | 'headers'>

/** Why a gateway must not pass this request on, or null. */
export function framingProblem({ httpVersion, method, rawHeaders, headers }: Framed): Reason | null {
  // Node takes HTTP/0.9 and a request line with HTTP/2.0 for requests of its own.
  if (httpVersion !== '1.1' && httpVersion !== '1.0') return 'request_malformed'
  let hosts = 0
  let lengths = 0
  let codings = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    switch (rawHeaders[i]?.toLowerCase()) {
      case 'host':
        hosts += 1
        break
      case 'content-length':
        lengths += 1
        // Digits alone, and few enough of them to be a number that we count to.
        if (!/^\d{1,15}$/.test(rawHeaders[i + 1] ?? '')) return 'request_malformed'
        break
      case 'transfer-encoding':
        codings += 1
        // Node takes `gzip, chunked`, `, chunked` and, in some versions, an empty line here: codings that no one here decodes.
        if (rawHeaders[i + 1]?.toLowerCase() !== 'chunked') return 'request_malformed'
        break
    }
  }
  if (hosts !== 1 || lengths > 1 || codings + lengths > 1) return 'request_malformed'
  if (codings > 0 && httpVersion === '1.0') return 'request_malformed'
  // Node ends such a request at its head, and so would have its body for another protocol, or for the next request.
  const hasBody = codings > 0 || Number(headers['content-length'] ?? 0) > 0
  return hasBody && leavesHttp(method, headers) ? 'request_malformed' : null
}

/** CONNECT, and every request that asks for another protocol on this connection; read loosely, so as to miss none of Node's. */
const leavesHttp = (method: Framed['method'], { upgrade, connection }: Framed['headers']): boolean =>
  method === 'CONNECT' || (upgrade !== undefined && /upgrade/i.test(connection ?? ''))
