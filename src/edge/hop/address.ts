// Who is the client, by the word of the hop? Of a list to which each proxy on the way adds, only the last entry is the hop's own: what
// stands before it may be the client's invention (RFC 7239 §8.1). Strict: what is no address is none, and is not guessed at.

import { isIP } from 'node:net'
import { plainAddress } from '../peer.js'

export type Address = { readonly address: string; readonly port: number }

/** By the lines of `X-Forwarded-For`, in order; null: there is none that can be read. */
export const readForwardedFor = (lines: readonly string[]): Address | null => readNode(lastEntry(lines))

/** The same of `Forwarded` (RFC 7239 §4). A quoted value that holds a comma makes it unreadable: no address needs one. */
export function readForwarded(lines: readonly string[]): Address | null {
  const element = lastEntry(lines)
  if (!ELEMENT.test(element)) return null
  const [pair, ...others] = [...element.matchAll(PAIR)].filter(([, name]) => name?.toLowerCase() === 'for')
  return pair === undefined || others.length > 0 ? null : readNode(pair[2] ?? pair[3] ?? '')
}

const lastEntry = (lines: readonly string[]): string => lines.at(-1)?.split(',').at(-1)?.trim() ?? ''

const TOKEN = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+"
const PAIR = new RegExp(`(${TOKEN})=(?:(${TOKEN})|"([^"\\\\]*)")`, 'g')
const ELEMENT = new RegExp(`^${PAIR.source}(?:;${PAIR.source})*$`)

const WITH_PORT = /^(?:(\d[\d.]*)|\[([0-9A-Fa-f:.]+)\])(?::(\d{1,5}))?$/

/** `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:4711`. */
function readNode(text: string): Address | null {
  if (isIP(text) === 6 && !text.includes('%')) return { address: plainAddress(text), port: 0 }
  const [, v4, v6, port = '0'] = WITH_PORT.exec(text) ?? []
  const address = v4 ?? v6
  if (address === undefined || isIP(address) !== (v4 === undefined ? 6 : 4) || Number(port) > 65535) return null
  return { address: plainAddress(address), port: Number(port) }
}
