// How values are written in routes.yaml: durations, sizes, rates, dates, on/off. Each parses to the unit used inside
// (seconds, bytes) and refuses everything else with a sentence that shows the right form.

import { z } from 'zod'

/** Seconds since the epoch, or a length of time in seconds; fractions are allowed (RFC 7519 NumericDate). */
export type Seconds = number
export type Bytes = number

const UNITS = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86400 } as const
const SIZES = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 } as const
const PER = { s: 1, m: 60, h: 3600 } as const

function scalar<T>(pattern: RegExp, message: string, parse: (...parts: string[]) => T | null) {
  return z
    .string(message)
    .regex(pattern, message)
    .transform((text, context): T => {
      const value = parse(...(pattern.exec(text)?.slice(1) ?? []))
      if (value !== null) return value
      context.addIssue({ code: 'custom', message })
      return z.NEVER
    })
}

/** `200ms 30s 5m 1h 1d` -> seconds. */
export const duration = scalar(
  /^(\d{1,9})(ms|s|m|h|d)$/,
  'expected a duration such as 200ms, 30s, 5m, 1h or 1d',
  (count, unit) => Number(count) * UNITS[unit as keyof typeof UNITS],
)

/** `512B 64KiB 1MiB 1GiB` -> bytes. */
export const size = scalar(
  /^(\d{1,12})(B|KiB|MiB|GiB)$/,
  'expected a size such as 512B, 64KiB, 1MiB or 1GiB',
  (count, unit) => Number(count) * SIZES[unit as keyof typeof SIZES],
)

export type Rate = { readonly requests: number; readonly seconds: Seconds }

/** `100/s 600/m 1000/h` -> requests in seconds. */
export const rate = scalar(
  /^([1-9]\d{0,8})\/(s|m|h)$/,
  'expected a rate such as 100/s or 600/m',
  (count, unit): Rate => ({
    requests: Number(count),
    seconds: PER[unit as keyof typeof PER],
  }),
)

/** `2027-03-31` -> the first second after that day, UTC: what holds "until the end of the date" holds while now < this. */
export const endOfDate = scalar(/^(\d{4}-\d{2}-\d{2})$/, 'expected a date such as 2027-03-31', (text) => {
  const start = Date.parse(`${text}T00:00:00Z`)
  return Number.isNaN(start) || new Date(start).toISOString().slice(0, 10) !== text ? null : start / 1000 + 86400
})

/** `on` or `off`; YAML 1.1 tools write them `true` and `false`. Parsed to a boolean. */
export const onOff = z
  .union([z.literal(['on', 'off']), z.boolean()], 'expected on or off')
  .transform((value) => value === true || value === 'on')

/** `off`, or what `schema` accepts; `false` means `off`. Parsed to null when off. */
export const orOff = <T extends z.ZodType>(schema: T) => z.union([z.literal(['off', false]).transform(() => null), schema])
