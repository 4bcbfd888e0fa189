// Spoils bytes: flips, insertions, deletions, repetitions, splices with other inputs, words of a dictionary. Knows no format.
import type { Random } from './random.js'

export type Mutator = {
  readonly random: Random
  /** What the format gives a meaning to. */
  readonly words: readonly Buffer[]
  /** Inputs to splice with. */
  readonly others: readonly Buffer[]
  /** The most bytes an input may have. */
  readonly most: number
}

type Change = (bytes: Buffer, mutator: Mutator) => Buffer

/** One change, or a few. */
export function mutate(input: Buffer, mutator: Mutator): Buffer {
  const { random, most } = mutator
  let bytes: Buffer = Buffer.from(input)
  do bytes = random.pick(CHANGES)(bytes, mutator).subarray(0, most)
  while (random.chance(0.45))
  return bytes
}

/** Bytes at which formats begin to mean something else. */
const EDGES = [0x00, 0x01, 0x09, 0x0a, 0x0d, 0x20, 0x22, 0x2c, 0x2e, 0x2f, 0x3a, 0x3b, 0x3d, 0x5c, 0x7f, 0x80, 0xc0, 0xff]
const NUMBERS = [
  '0',
  '-1',
  '00',
  '1e400',
  '-0',
  '0x10',
  '127',
  '128',
  '255',
  '65536',
  '2147483648',
  '9007199254740993',
  '18446744073709551616',
]

/** A range within `bytes`; short ones are likelier, for most of what matters is a few bytes long. */
function range({ length }: Buffer, random: Random): readonly [start: number, end: number] {
  const start = random.below(length + 1)
  const size = random.chance(0.7) ? 1 + random.below(8) : random.below(length + 1)
  return [start, Math.min(length, start + size)]
}

const put = (bytes: Buffer, [start, end]: readonly [number, number], part: Uint8Array): Buffer =>
  Buffer.concat([bytes.subarray(0, start), part, bytes.subarray(end)])

const setByte = (bytes: Buffer, random: Random, value: (old: number) => number): Buffer => {
  const at = random.below(bytes.length)
  if (bytes.length > 0) bytes[at] = value(bytes[at] ?? 0)
  return bytes
}

function spot(bytes: Buffer, random: Random): readonly [number, number] {
  const at = random.below(bytes.length + 1)
  return [at, at]
}

/** Where the decimal numbers of a text stand. */
function numberIn(bytes: Buffer, random: Random): readonly [number, number] | null {
  const found = [...bytes.toString('latin1').matchAll(/\d+/g)]
  if (found.length === 0) return null
  const { index, 0: digits } = random.pick(found)
  return [index, index + digits.length]
}

const CHANGES: readonly Change[] = [
  (bytes, { random }) => setByte(bytes, random, (old) => old ^ (1 << random.below(8))),
  (bytes, { random }) => setByte(bytes, random, () => random.below(256)),
  (bytes, { random }) => setByte(bytes, random, () => random.pick(EDGES)),
  // The other case of a letter.
  (bytes, { random }) => setByte(bytes, random, (old) => old ^ 0x20),
  (bytes, { random }) => put(bytes, spot(bytes, random), Buffer.from([random.pick(EDGES)])),
  (bytes, { random }) =>
    put(bytes, spot(bytes, random), Buffer.from(Array.from({ length: 1 + random.below(8) }, () => random.below(256)))),
  (bytes, { random }) => put(bytes, range(bytes, random), Buffer.alloc(0)),
  (bytes, { random }) => {
    const at = range(bytes, random)
    return put(bytes, [at[1], at[1]], bytes.subarray(...at))
  },
  // So many that what is quadratic shows.
  (bytes, { random, most }) => {
    const at = range(bytes, random)
    const part = bytes.subarray(...at)
    const times = random.chance(0.1) ? Math.floor(most / Math.max(1, part.length)) : 2 + random.below(40)
    return part.length === 0 ? bytes : put(bytes, [at[1], at[1]], Buffer.alloc(Math.min(most, part.length * times), part))
  },
  (bytes, { random }) => put(bytes, spot(bytes, random), bytes.subarray(...range(bytes, random))),
  (bytes, { random, others }) => {
    const other = random.pick(others)
    return put(bytes, range(bytes, random), other.subarray(...range(other, random)))
  },
  (bytes, { random, others }) => {
    const other = random.pick(others)
    return Buffer.concat([bytes.subarray(0, random.below(bytes.length + 1)), other.subarray(random.below(other.length + 1))])
  },
  (bytes, { random }) => bytes.subarray(0, random.below(bytes.length + 1)),
  (bytes, { random, words }) => (words.length === 0 ? bytes : put(bytes, spot(bytes, random), random.pick(words))),
  (bytes, { random, words }) => (words.length === 0 ? bytes : put(bytes, range(bytes, random), random.pick(words))),
  (bytes, { random }) => {
    const at = numberIn(bytes, random)
    return at === null ? bytes : put(bytes, at, Buffer.from(random.pick(NUMBERS)))
  },
]
