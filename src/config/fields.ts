// The forms of values in routes.yaml that are not scalars of the checks: text, paths, numbers, URLs, header names. `title` is what
// docs/settings.md calls the type.

import { isIP } from 'node:net'
import { z } from 'zod'
import { duration, size } from '../verify/scalars.js'

export const text = z.string().min(1, 'must not be empty').meta({ title: 'text' })

/** A file, relative to the file that names it. */
export const path = z.string().min(1, 'must not be empty').meta({ title: 'path' })

/** A whole number; digits as text too, which is what `${PORT}` gives. */
export const count = (least: number, most: number) => {
  const number = z.int().min(least).max(most)
  const digits = z
    .string()
    .regex(/^\d{1,10}$/)
    .transform(Number)
    .pipe(number)
  return z.union([number, digits], `expected a whole number from ${least} to ${most}`).meta({ title: 'number' })
}

export const port = count(0, 65535)

/** From 0 to 1; as text too, which is what `${SHARE}` gives. */
export const share = z
  .union(
    [
      z.number().min(0).max(1),
      z
        .string()
        .regex(/^(?:0|1|0?\.\d{1,9})$/)
        .transform(Number),
    ],
    'expected a number from 0 to 1, such as 0.1',
  )
  .meta({ title: 'number' })

/** A duration longer than nothing. */
export const time = duration.refine((seconds) => seconds > 0, 'must be longer than nothing')

/** What timers of Node can wait for: one that is set for longer fires at once. */
const isWaitable = (seconds: number): boolean => seconds <= 24 * 86_400
const TOO_LONG = 'must be at most 24d: no timer waits longer'

/** A time after which something ends. */
export const timeout = time.refine(isWaitable, TOO_LONG)
/** A time that may be nothing. */
export const pause = duration.refine(isWaitable, TOO_LONG)

/** A time between looks at files; more often, and looking would be all there is to do. */
export const watchInterval = timeout.refine((seconds) => seconds >= 0.1, 'must be 100ms or longer')

/** A size larger than nothing. */
export const bytes = size.refine((value) => value > 0, 'must be larger than nothing')

/** One value or a list of them; parsed to a list. */
export const oneOrMore = <T extends z.ZodType<unknown, string>>(item: T) =>
  z.union([item.transform((value) => [value]), z.array(item).min(1, 'expected at least one')])

/** Names of tiers and upstreams: they stand in logs, metrics and the assertion. */
export const NAME = /^[A-Za-z][A-Za-z0-9_.-]{0,63}$/
export const name = z.string().regex(NAME, 'expected a name: letters, digits, `_`, `.` and `-`, beginning with a letter')

/** What a TLS client of ours trusts and shows; the other side is always verified. */
export const clientTls = z.strictObject({
  ca: path.describe('A private CA, PEM; left out: the system’s.').optional(),
  cert: path.describe('Our client certificate, PEM; left out: none.').optional(),
  key: path.describe('Its private key, PEM.').optional(),
})

/** Not all of them: whoever that names is nobody in particular. */
function isRange(text: string): boolean {
  const [address = '', prefix, ...more] = text.split('/')
  const bits = isIP(address) === 4 ? 32 : 128
  const isPrefix = prefix === undefined || (/^[1-9]\d{0,2}$/.test(prefix) && Number(prefix) <= bits)
  return isIP(address) !== 0 && !address.includes('%') && isPrefix && more.length === 0
}

/** An address, or all that begin with so many of its bits. */
export const range = z
  .string()
  .refine(isRange, 'expected an address or a range, such as 10.0.0.0/8')
  .meta({ title: 'address or range' })

/** RFC 9110 §5.1. */
export const headerName = z
  .string()
  .regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/, 'expected the name of a header, such as X-Remote-User')
  .meta({ title: 'header name' })

/** Is this host name or address one that only this machine can reach? */
export const isLoopback = (host: string): boolean => /^(localhost|\[?::1\]?|127\.\d{1,3}\.\d{1,3}\.\d{1,3})$/i.test(host)

const WEB_URL = /^https?:\/\/[^/?#@\s\\]+(?:[/?][^#\s\\]*)?$/

/** An http or https URL without user, password and fragment. */
export const webUrl = z
  .string()
  .regex(WEB_URL, 'expected a URL such as https://service.internal:8443/base')
  .refine((value) => URL.canParse(value), 'expected a URL such as https://service.internal:8443/base')
  .meta({ title: 'URL' })

/** Where keys come from: https, http only to loopback (contract §2, "Issuer keys"). */
export const isFetchable = (url: string): boolean => {
  if (!WEB_URL.test(url) || !URL.canParse(url)) return false
  const { protocol, hostname } = new URL(url)
  return protocol === 'https:' || isLoopback(hostname)
}

export const fetchUrl = z.string().refine(isFetchable, 'expected an https URL (http only to loopback)').meta({ title: 'URL' })
