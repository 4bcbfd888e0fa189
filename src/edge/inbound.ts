// What arrived? The only reader of request headers on the way to a decision. From the raw list, because Node keeps the first of
// two Authorization lines and joins two DPoP lines: here every line is seen (RFC 9449 §4.3 (1), contract §4 "Host").
// From here on a request is plain data.

import type { Bytes, Seconds } from '../verify/scalars.js'
import { normalOrigin, readTarget } from '../verify/target.js'
import type { InboundRequest, Peer } from '../verify/types.js'
import { Denial, deny } from '../verify/verdict.js'

/** The head of a request, before any of it is believed. */
export type Head = {
  readonly requestId: string
  readonly receivedAt: Seconds
  readonly method: string
  readonly httpVersion: string
  /** Request target, byte for byte. */
  readonly rawTarget: string
  readonly rawHeaders: readonly string[]
  readonly peer: Peer
  /** SNI in lower case; null where none was sent. */
  readonly servername: string | null
  /** Leading segments that a hop took off the path; empty: none. */
  readonly removedPrefix: string
}

/** What the head says, line by line, with repeats. */
export type HeadLines = {
  readonly host: readonly string[]
  readonly authorization: readonly string[]
  readonly dpop: readonly string[]
  readonly expect: readonly string[]
  /** A UUID, or null. */
  readonly interactionId: string | null
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** One pass over the header lines. */
export function readLines(rawHeaders: readonly string[]): HeadLines {
  const lines: Record<'host' | 'authorization' | 'dpop' | 'expect', string[]> = {
    host: [],
    authorization: [],
    dpop: [],
    expect: [],
  }
  let interactionId: string | null = null
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const value = rawHeaders[i + 1] ?? ''
    switch (rawHeaders[i]?.toLowerCase()) {
      case 'host':
        lines.host.push(value)
        break
      case 'authorization':
        lines.authorization.push(value)
        break
      case 'dpop':
        lines.dpop.push(value)
        break
      case 'expect':
        lines.expect.push(value)
        break
      case 'x-fapi-interaction-id':
        interactionId = UUID.test(value) ? value : null
        break
    }
  }
  return { ...lines, interactionId }
}

/** The limits that a head is judged by. */
export type HeadLimits = { readonly header_count: number; readonly target_bytes: Bytes }

/**
 * What must be refused before anything is looked up: too many lines, too long a target, an expectation that is not
 * 100-continue, bytes that credentials never have.
 */
export function judgeHead(head: Head, lines: HeadLines, limits: HeadLimits): Denial | null {
  if (head.rawHeaders.length / 2 > limits.header_count) return deny('headers_too_large', 'too many lines')
  if (head.rawTarget.length > limits.target_bytes) return deny('target_too_long')
  // HTTP/1.0 knows no expectations (RFC 9110 §10.1.1).
  const unmet = lines.expect.some((value) => value.toLowerCase() !== '100-continue')
  if (unmet && head.httpVersion !== '1.0') return deny('expectation_failed')
  if (!lines.authorization.every(isAscii) || !lines.dpop.every(isAscii))
    return deny('request_malformed', 'credentials are not ASCII')
  return null
}

/** In UTF-8 everything else takes more bytes than characters. */
const isAscii = (text: string): boolean => Buffer.byteLength(text, 'utf8') === text.length

/**
 * Which of `origins` is meant: by Host, never by a forwarded header's word, and by SNI where one was sent (RFC 9110 §7.4).
 * Returns the origin in normal form.
 */
export function readOrigin(head: Head, lines: HeadLines, origins: readonly string[]): string | Denial {
  const [host] = lines.host
  if (host === undefined || lines.host.length > 1) return deny('request_malformed', 'not one Host')
  const origin = originOf(host, origins)
  if (origin instanceof Denial) return origin
  return head.servername === null || head.servername === hostName(origin)
    ? origin
    : deny('host_unknown', 'SNI names another host')
}

function originOf(host: string, origins: readonly string[]): string | Denial {
  const named = `https://${host}`
  // Nearly every client writes it as it is configured, and that is its normal form.
  if (origins.includes(named)) return named
  const origin = normalOrigin(named)
  // A Host with a path, a user or a space is no Host at all.
  if (origin === null || !/^[^/?#@\s]+$/.test(host)) return deny('request_malformed', 'Host is malformed')
  return origins.includes(origin) ? origin : deny('host_unknown')
}

/** `https://api.example.com:8443` -> `api.example.com:8443`, as challenges and audit events name it. */
export const hostOf = (origin: string): string => origin.slice('https://'.length)

const hostName = (origin: string): string => hostOf(origin).replace(/:\d+$/, '')

/** The request as plain data, or why it is none. */
export function readInbound(head: Head, lines: HeadLines, origin: string): InboundRequest | Denial {
  const path = originForm(head.rawTarget, origin)
  if (path instanceof Denial) return path
  const target = readTarget(path, origin, head.removedPrefix)
  if (target === null) return deny('target_malformed')
  return {
    requestId: head.requestId,
    receivedAt: head.receivedAt,
    method: head.method,
    target,
    host: hostOf(origin),
    authorization: lines.authorization,
    dpop: lines.dpop,
    peer: head.peer,
    rawHeaders: head.rawHeaders,
    interactionId: lines.interactionId,
  }
}

const ABSOLUTE = /^([a-z][a-z0-9+.-]*:\/\/[^/?#]*)(.*)$/is

/** Path and query of an absolute-form target, whose origin must be Host's: a user or another origin there is a trick. */
function originForm(rawTarget: string, origin: string): string | Denial {
  if (rawTarget.startsWith('/')) return rawTarget
  const [, named, rest] = ABSOLUTE.exec(rawTarget) ?? []
  if (named === undefined || rest === undefined) return deny('target_malformed')
  if (normalOrigin(named) !== origin) return deny('request_malformed', 'the target names another origin than Host')
  return rest.startsWith('/') ? rest : `/${rest}`
}
