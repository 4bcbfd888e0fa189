// `envoy.service.auth.v3.Authorization/Check`: the question of each stream, and its answer (contract §10).

import type { Http2ServerRequest, Http2ServerResponse, Http2Session } from 'node:http2'
import type { Message } from '@bufbuild/protobuf'
import { Code, ConnectError, createContextKey, createContextValues, type HandlerContext } from '@connectrpc/connect'
import { connectNodeAdapter } from '@connectrpc/connect-node'
import type { Connection } from '../edge/server.js'
import { refusal } from '../verify/challenge.js'
import { sha256 } from '../verify/hashes.js'
import type { Bytes } from '../verify/scalars.js'
import { deny } from '../verify/verdict.js'
import type { Question } from './answer.js'
import type { Asked } from './asked.js'
import {
  APPEND,
  type CheckRequest,
  type CheckResponse,
  checkMethod,
  type HeaderOption,
  type HttpRequest,
  OVERWRITE,
} from './envoy-protocol.js'

type Handler = (request: Http2ServerRequest, response: Http2ServerResponse) => void
type Ask = (question: Question) => Promise<void>

const method = checkMethod()
const connectionKey = createContextKey<Connection | undefined>(undefined)

/** Makes what answers messages of so many bytes. */
export function createCheckHandler(
  ask: Ask,
  connectionOf: (session: Http2Session) => Connection | undefined,
): (largest: Bytes) => Handler {
  const handlerFor = (largest: Bytes): Handler =>
    connectNodeAdapter({
      connect: false,
      grpcWeb: false,
      acceptCompression: [],
      readMaxBytes: largest,
      contextValues: (request) => {
        const session = 'stream' in request ? request.stream.session : undefined
        return createContextValues().set(connectionKey, session && connectionOf(session))
      },
      routes: (router) => {
        router.rpc(method, (message: Message, { values }: Pick<HandlerContext, 'values'>) =>
          check(message as CheckRequest, values.get(connectionKey), ask),
        )
      },
    })
  let known = { largest: -1, handler: (() => undefined) as Handler }
  return (largest) => {
    if (known.largest !== largest) known = { largest, handler: handlerFor(largest) }
    return known.handler
  }
}

async function check(message: CheckRequest, connection: Connection | undefined, ask: Ask): Promise<CheckResponse> {
  // Its session ended while the message was read.
  if (connection === undefined) throw new ConnectError('gone', Code.Unavailable)
  const http = message.attributes?.request?.http
  const rawHeaders = http === undefined ? [] : headersOf(http)
  let response: CheckResponse | null = null
  await ask({
    connection,
    message: { method: http?.method ?? '', httpVersion: '2.0', rawTarget: http?.path ?? '', rawHeaders },
    read: () => {
      const asked = http === undefined ? 'no HTTP request' : readAsked(http, rawHeaders)
      return typeof asked === 'string' ? deny('request_malformed', asked) : asked
    },
    holdBody: async (maxBody) => {
      const bytes = http === undefined ? null : bodyOf(http, rawHeaders)
      if (bytes === null) return deny('body_unavailable')
      if (bytes.length > maxBody) return deny('body_too_large')
      return { bytes, digest: bytes.length === 0 ? null : sha256(bytes) }
    },
    permit(permit, own) {
      const okResponse = {
        headers: optionsOf(permit.set),
        headersToRemove: permit.remove(),
        responseHeadersToAdd: optionsOf(own),
      }
      response = { status: { code: 0 }, okResponse }
    },
    refuse(denial, context) {
      const { status, headers, body } = refusal(denial, context)
      const deniedResponse = { status: { code: status }, headers: optionsOf(headers), body }
      response = { status: { code: status === 401 ? Code.Unauthenticated : Code.PermissionDenied }, deniedResponse }
    },
  })
  if (response === null) throw new ConnectError('no answer', Code.Internal)
  return response
}

/** Envoy's own, which it takes from clients: the question has a body, and whether that is cut off. */
const PARTIAL_BODY = 'x-envoy-auth-partial-body'

function readAsked({ id, method, path, host, scheme }: HttpRequest, rawHeaders: readonly string[]): Asked | string {
  if (scheme !== 'https') return 'the scheme is not https'
  if (host === '' || method === '' || path === '') return 'no method, host or path'
  return { method, rawTarget: path, rawHeaders: ['Host', host, ...rawHeaders], id: id === '' ? null : id }
}

/** Line by line where Envoy is told to (`encode_raw_headers`), else those of one name in one. Pseudo-headers are told apart. */
function headersOf({ headers, headerMap }: HttpRequest): readonly string[] {
  const raw = headerMap?.headers ?? []
  const lines = raw.length > 0 ? raw : headers
  return lines
    .filter(({ key }) => !key.startsWith(':') && key !== 'host')
    .flatMap(({ key, value, rawValue }) => [key, rawValue?.length ? Buffer.from(rawValue).toString('latin1') : value])
}

const valuesOf = (rawHeaders: readonly string[], name: string): readonly string[] =>
  rawHeaders.filter((_, index) => index % 2 === 1 && rawHeaders[index - 1]?.toLowerCase() === name)

/** The whole of it; null: it is not there, or not whole. A mark without bytes is a client's: Envoy sets it where it has some. */
function bodyOf({ body, rawBody }: HttpRequest, rawHeaders: readonly string[]): Uint8Array | null {
  const bytes = rawBody.length > 0 ? rawBody : Buffer.from(body)
  const marks = valuesOf(rawHeaders, PARTIAL_BODY)
  if (bytes.length > 0) return marks.length === 1 && marks[0] === 'false' ? bytes : null
  // Not without a length: Envoy tells of no Transfer-Encoding, and HTTP/2 needs neither.
  const lengths = valuesOf(rawHeaders, 'content-length')
  return lengths.length === 1 && lengths[0] === '0' ? bytes : null
}

/** The first of a name replaces what stands there, the others stand beside it: a client is to see all challenges. */
function optionsOf(headers: readonly string[]): readonly HeaderOption[] {
  const options: HeaderOption[] = []
  const names = new Set<string>()
  for (let i = 0; i < headers.length; i += 2) {
    const [key = '', value = ''] = [headers[i], headers[i + 1]]
    // Envoy's to say, of the body that it sends.
    if (key === 'Content-Length') continue
    options.push({ header: { key, value }, appendAction: names.has(key) ? APPEND : OVERWRITE })
    names.add(key)
  }
  return options
}
