// What Envoy says and wants to hear: `envoy.service.auth.v3.Authorization`, those fields that we read or write, with the names and
// numbers that are published (envoyproxy/envoy, api/envoy/service/auth/v3/external_auth.proto and what that imports). Others are
// skipped, by protobuf's own rules. On the wire only the service's name is spelled out, so all messages stand in its package; a map
// is a list of entries there, and an enum its number.

import {
  createFileRegistry,
  type DescMethod,
  type DescMethodUnary,
  fromJson,
  type JsonValue,
  type Message,
} from '@bufbuild/protobuf'
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'

const PACKAGE = 'envoy.service.auth.v3'

type Field = readonly [number: number, type: string, repeated?: 'repeated']

const MESSAGES: Readonly<Record<string, Readonly<Record<string, Field>>>> = {
  CheckRequest: { attributes: [1, 'AttributeContext'] },
  AttributeContext: { request: [4, 'Request'] },
  Request: { http: [2, 'HttpRequest'] },
  HttpRequest: {
    id: [1, 'string'],
    method: [2, 'string'],
    headers: [3, 'Entry', 'repeated'],
    path: [4, 'string'],
    host: [5, 'string'],
    scheme: [6, 'string'],
    body: [11, 'string'],
    raw_body: [12, 'bytes'],
    header_map: [13, 'HeaderMap'],
  },
  Entry: { key: [1, 'string'], value: [2, 'string'] },
  HeaderMap: { headers: [1, 'HeaderValue', 'repeated'] },
  HeaderValue: { key: [1, 'string'], value: [2, 'string'], raw_value: [3, 'bytes'] },
  HeaderValueOption: { header: [1, 'HeaderValue'], append_action: [3, 'int32'] },
  CheckResponse: { status: [1, 'Status'], denied_response: [2, 'DeniedHttpResponse'], ok_response: [3, 'OkHttpResponse'] },
  Status: { code: [1, 'int32'] },
  DeniedHttpResponse: { status: [1, 'HttpStatus'], headers: [2, 'HeaderValueOption', 'repeated'], body: [3, 'string'] },
  HttpStatus: { code: [1, 'int32'] },
  OkHttpResponse: {
    headers: [2, 'HeaderValueOption', 'repeated'],
    headers_to_remove: [5, 'string', 'repeated'],
    response_headers_to_add: [6, 'HeaderValueOption', 'repeated'],
  },
}

function printField([name, [number, type, repeated]]: [string, Field]): JsonValue {
  const kind = Object.hasOwn(MESSAGES, type)
    ? { type: 'TYPE_MESSAGE', typeName: `.${PACKAGE}.${type}` }
    : { type: `TYPE_${type.toUpperCase()}` }
  return { name, number, label: repeated === undefined ? 'LABEL_OPTIONAL' : 'LABEL_REPEATED', ...kind }
}

const FILE = {
  name: 'external_auth.proto',
  package: PACKAGE,
  syntax: 'proto3',
  messageType: Object.entries(MESSAGES).map(([name, fields]) => ({ name, field: Object.entries(fields).map(printField) })),
  service: [
    {
      name: 'Authorization',
      method: [{ name: 'Check', inputType: `.${PACKAGE}.CheckRequest`, outputType: `.${PACKAGE}.CheckResponse` }],
    },
  ],
}

const isUnary = (method: DescMethod | undefined): method is DescMethodUnary => method?.methodKind === 'unary'

/** Its one method, made from the above. */
export function checkMethod(): DescMethodUnary {
  const service = createFileRegistry(fromJson(FileDescriptorSetSchema, { file: [FILE] })).getService(`${PACKAGE}.Authorization`)
  const method = service?.method.check
  if (!isUnary(method)) throw new Error('the messages above do not make a service')
  return method
}

type Value = { readonly key: string; readonly value: string; readonly rawValue?: Uint8Array }

/** A scalar that was not sent is empty. */
export type HttpRequest = {
  /** Of this request, made by Envoy. */
  readonly id: string
  readonly method: string
  readonly headers: readonly Value[]
  /** With the query. */
  readonly path: string
  readonly host: string
  readonly scheme: string
  readonly body: string
  readonly rawBody: Uint8Array
  readonly headerMap?: { readonly headers: readonly Value[] }
}

/** As it is read. */
export type CheckRequest = Message & { readonly attributes?: { readonly request?: { readonly http?: HttpRequest } } }

/** `HeaderAppendAction`: beside what stands there, or in its place. */
export const APPEND = 0
export const OVERWRITE = 2

export type HeaderOption = { readonly header: Value; readonly appendAction: number }

/** As it is written. */
export type CheckResponse = {
  readonly status: { readonly code: number }
  readonly deniedResponse?: {
    readonly status: { readonly code: number }
    readonly headers: readonly HeaderOption[]
    readonly body: string
  }
  readonly okResponse?: {
    readonly headers: readonly HeaderOption[]
    readonly headersToRemove: readonly string[]
    readonly responseHeadersToAdd: readonly HeaderOption[]
  }
}
