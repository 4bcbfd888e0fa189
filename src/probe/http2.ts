// How does a request go over HTTP/2 (RFC 9113)? Each on a connection of its own; its fields exactly as they are given, so that a
// wrong request is sent in the same way as a right one.

import { type ClientHttp2Session, type ClientHttp2Stream, connect, type IncomingHttpHeaders } from 'node:http2'
import type { Identity, Printed } from './draft.js'
import { ANSWER_TIMEOUT_MS, type Answer, openTls, type Route } from './http1.js'
import { type Field, withFields } from './http2-frames.js'

export type RawRequest = {
  readonly fields: readonly Field[]
  /** Null: the fields end the request. */
  readonly data: Buffer | null
}

const BODY_LIMIT = 64 * 1024
const NO_ANSWER = { status: 0, headers: [], body: '' } as const

export const exchangeOverHttp2 = (route: Route, printed: Printed): Promise<Answer> =>
  exchangeRawHttp2(route, printed.identity, { fields: fieldsOf(printed), data: printed.body })

/** RFC 9113 §8.3.1: where Host, which is said in `:authority`, and the request line go. Other names are put in lower case. */
export function fieldsOf({ method, path, host, lines, body }: Printed): readonly Field[] {
  const fields = lines.map(([name, value]) => [name.toLowerCase(), value] as const)
  const hasLength = fields.some(([name]) => name === 'content-length')
  return [
    [':method', method],
    [':scheme', 'https'],
    [':authority', host],
    [':path', path],
    ...fields,
    ...(body === null || hasLength ? [] : [['content-length', String(body.length)] as const]),
  ]
}

/** Fields and data as they are. RST_STREAM and GOAWAY, which refuse a malformed request, are `closed`. */
export async function exchangeRawHttp2(route: Route, identity: Identity, request: RawRequest): Promise<Answer> {
  const socket = await openTls(route, identity, ['h2']).catch(() => null)
  if (socket === null) return { ...NO_ANSWER, lost: 'refused' }
  if (socket.alpnProtocol !== 'h2') {
    socket.destroy()
    return { ...NO_ANSWER, lost: 'refused' }
  }
  const createConnection = () => withFields(socket, request.fields)
  const session = connect('https://probe.invalid', { createConnection, settings: { enablePush: false } })
  try {
    return await answerOf(session, request)
  } finally {
    session.destroy()
    socket.destroy()
  }
}

function answerOf(session: ClientHttp2Session, { fields, data }: RawRequest): Promise<Answer> {
  return new Promise((resolve) => {
    const give = (answer: Answer): void => {
      clearTimeout(timer)
      resolve(answer)
    }
    const timer = setTimeout(() => give({ ...NO_ANSWER, lost: 'timed out' }), ANSWER_TIMEOUT_MS)
    const lose = (): void => give({ ...NO_ANSWER, lost: 'closed' })
    session.on('error', lose).on('close', lose)
    // What is said here is replaced in `withFields`; but whether the answer may have a body, node:http2 knows from it.
    const method = fields.find(([name]) => name === ':method')?.[1] === 'HEAD' ? 'HEAD' : 'POST'
    const stream = session.request({ ':method': method, ':path': '/' }, { endStream: data === null })
    readAnswer(stream, give, lose)
    if (data !== null) stream.end(data)
  })
}

function readAnswer(stream: ClientHttp2Stream, give: (answer: Answer) => void, lose: () => void): void {
  let head: Pick<Answer, 'status' | 'headers'> | null = null
  let body = ''
  const finish = (): void => (head === null ? lose() : give({ ...head, body, lost: null }))
  // Node gives the fields as they came as a third argument, which its types do not tell of.
  stream.on('response', (headers: IncomingHttpHeaders, _flags: number, raw?: readonly string[]) => {
    head = { status: Number(headers[':status'] ?? 0), headers: raw === undefined ? listOf(headers) : pairsOf(raw) }
  })
  stream.setEncoding('latin1')
  stream.on('data', (text: string) => {
    body = (body + text).slice(0, BODY_LIMIT)
    if (body.length === BODY_LIMIT) finish()
  })
  stream.on('end', finish).on('error', finish).on('close', finish)
}

const isField = ([name]: Field): boolean => !name.startsWith(':')

const pairsOf = (raw: readonly string[]): readonly Field[] =>
  raw.flatMap((name, i) => (i % 2 === 0 ? [[name.toLowerCase(), raw[i + 1] ?? ''] as const] : [])).filter(isField)

const listOf = (headers: IncomingHttpHeaders): readonly Field[] =>
  Object.entries(headers)
    .flatMap(([name, value]) => [value ?? []].flat().map((one) => [name, String(one)] as const))
    .filter(isField)
