// Is this text one JSON object, in UTF-8, that says everything once? RFC 7519 §4 and RFC 7515 §4 let a reader refuse repeated
// members; readers that take the first and readers that take the last would otherwise see two different tokens.

import type { Seconds } from './scalars.js'
import type { JsonObject } from './types.js'

// `ignoreBOM` keeps a byte order mark in the text, where JSON.parse refuses it.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Parses strict UTF-8 JSON; null when it is not an object, or names a member twice at any depth. Never throws. */
export function readJsonObject(bytes: Uint8Array): JsonObject | null {
  try {
    const text = utf8.decode(bytes)
    const value: unknown = JSON.parse(text)
    return isJsonObject(value) && !hasRepeatedMember(text) ? value : null
  } catch {
    return null
  }
}

export const isJsonObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** A string that says something. */
export const isText = (value: unknown): value is string => typeof value === 'string' && value !== ''

/** A NumericDate (RFC 7519 §2): finite, fractions allowed. */
export const isTime = (value: unknown): value is Seconds => typeof value === 'number' && Number.isFinite(value)

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const OPEN_OBJECT = 0x7b
const OPEN_ARRAY = 0x5b
const CLOSE_OBJECT = 0x7d
const CLOSE_ARRAY = 0x5d

/** Walks a text that JSON.parse has accepted; iterative, because nesting is the sender's choice. */
function hasRepeatedMember(text: string): boolean {
  const open: (Set<string> | null)[] = []
  let names: Set<string> | null = null
  let atName = false
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === QUOTE) {
      const end = endOfString(text, i)
      if (atName && names !== null) {
        const raw = text.slice(i, end + 1)
        const name = raw.includes('\\') ? String(JSON.parse(raw)) : raw.slice(1, -1)
        if (names.has(name)) return true
        names.add(name)
        atName = false
      }
      i = end
    } else if (code === OPEN_OBJECT || code === OPEN_ARRAY) {
      open.push(names)
      names = code === OPEN_OBJECT ? new Set() : null
      atName = code === OPEN_OBJECT
    } else if (code === CLOSE_OBJECT || code === CLOSE_ARRAY) {
      names = open.pop() ?? null
      atName = false
    } else if (code === COMMA) {
      atName = names !== null
    }
  }
  return false
}

function endOfString(text: string, start: number): number {
  let i = start + 1
  while (text.charCodeAt(i) !== QUOTE) i += text.charCodeAt(i) === BACKSLASH ? 2 : 1
  return i
}
