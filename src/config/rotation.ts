// Is a change of assertion keys one that no backend notices? A key must be published before it signs, for as long as backends keep what
// they fetched, and after it signed, for as long as its assertions live (docs/operations.md, "Rotating keys").

import { createPublicKey } from 'node:crypto'
import type { Seconds } from '../verify/scalars.js'
import type { Config } from './config.js'
import type { Findings } from './problems.js'
import { type Place, under } from './source.js'

/** How long a key should be published before it signs: backends may keep our keys for 5 minutes (edge), and this twice. */
export const PUBLISHED_FIRST: Seconds = 600

/** Where `holdfast keys new` says in a key file when it was made: text before a PEM block is nobody's but the reader's (RFC 7468 §2). */
const MADE = /^Made: (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)$/m

/** A private key in PEM, with the time at which it is made. */
export const withDate = (pem: string, made: Date): string => `Made: ${made.toISOString().replace(/\.\d+/, '')}\n${pem}`

/** Epoch seconds; null where the file does not say. */
export function madeAt(pem: string): Seconds | null {
  const ms = Date.parse(MADE.exec(pem)?.[1] ?? '')
  return Number.isNaN(ms) ? null : ms / 1000
}

const isIn = (pem: string, others: readonly string[]): boolean => {
  const key = createPublicKey(pem)
  return others.some((other) => createPublicKey(other).equals(key))
}

type Rotation = { readonly main: Place; readonly running: Config | null; readonly now: Seconds }

/** Warns of what backends would notice, with what is running where there is something. */
export function warnOfRotation({ assertion }: Config, { main, running, now }: Rotation, findings: Findings): void {
  const place = under(main, 'assertion')
  const first = main.source.document.hasIn(['assertion', 'keys']) ? under(place, 'keys', 0) : under(place, 'key')
  const [key, ...others] = assertion.keys
  if (key === undefined) return
  const before = running?.assertion.keys ?? null
  const [signed] = before ?? []
  if (before === null) {
    const age = now - (madeAt(key) ?? Number.NEGATIVE_INFINITY)
    if (others.length > 0 && age < PUBLISHED_FIRST) findings.warning(first, `signs, though it was made a moment ago: ${ADVICE}`)
    return
  }
  if (!isIn(key, before)) findings.warning(first, `signs from now on, and was never published before: ${ADVICE}`)
  if (signed !== undefined && !isIn(signed, assertion.keys))
    findings.warning(
      first,
      'the key that signed until now is gone: it stays published for its `ttl` here, but not where other replicas still sign with it, nor after a restart; keep it in `keys` for a while',
    )
}

const ADVICE =
  'backends that keep the keys they fetched may refuse it; add a key behind the first, and put it first 10 minutes later (`holdfast keys`)'
