// How is a request shown to an auditor? Enough to repeat it, nothing that could be used: tokens and signatures are cut short,
// proofs are decoded.

import type { Printed } from './draft.js'
import type { Answer } from './http1.js'

const KEPT_BODY_CHARACTERS = 200

/** The request as text, a line per header. */
export function show({ method, path, host, lines, body, identity }: Printed): string {
  const shown = lines.map(([name, value]) => `${printable(name)}: ${showValue(name, value)}`)
  const connection =
    identity === 'own' ? [] : [identity === 'none' ? '(without client certificate)' : '(with another client certificate)']
  const content = body === null || body.length === 0 ? [] : [`(body of ${body.length} bytes)`]
  return [...connection, `${method} ${printable(shorten(path, 300))}`, `Host: ${printable(host)}`, ...shown, ...content].join(
    '\n',
  )
}

function showValue(name: string, value: string): string {
  const lower = name.toLowerCase()
  if (lower === 'dpop') return decoded(value) ?? printable(shorten(value, 120))
  if (lower !== 'authorization') return printable(shorten(value, 200))
  const [scheme = '', ...rest] = value.split(' ')
  const token = rest.join(' ')
  return `${printable(shorten(scheme, 20))} ${token.length > 24 ? `${printable(token.slice(0, 8))}... (${token.length} characters)` : printable(token)}`
}

/** `{header}.{claims}.signature`, or null when it is not that. */
export function decoded(proof: string): string | null {
  const parts = proof.split('.')
  if (parts.length !== 3) return null
  const [header = '', claims = '', signature = ''] = parts
  try {
    const text = (part: string): string => JSON.stringify(JSON.parse(Buffer.from(part, 'base64url').toString('utf8')))
    return shorten(`${text(header)}.${text(claims)}.(signature of ${signature.length} characters)`, 1200)
  } catch {
    return null
  }
}

/** `401 DPoP error="invalid_token"`, or what became of the connection. */
export function showAnswer({ status, headers, body, lost }: Answer): string {
  if (status === 0) return lost === 'timed out' ? 'no answer in time' : 'the connection was closed without an answer'
  const challenges = headers.filter(([name]) => name === 'www-authenticate').map(([, value]) => printable(shorten(value, 200)))
  const type = headers.find(([name]) => name === 'content-type')?.[1] ?? ''
  const shownBody = challenges.length === 0 && /json|text/.test(type) ? printable(shorten(body.trim(), KEPT_BODY_CHARACTERS)) : ''
  return [String(status), ...challenges, shownBody].filter((part) => part !== '').join(' ')
}

const shorten = (text: string, length: number): string =>
  text.length <= length ? text : `${text.slice(0, length - 3)}... (${text.length} characters)`

/** Control characters and bytes over 126 as \xNN: what a terminal, an XML parser and a page take as it is. */
export const printable = (text: string): string =>
  text.replace(/[^\x20-\x7e]/g, (character) => `\\x${(character.codePointAt(0) ?? 0).toString(16).padStart(2, '0')}`)
