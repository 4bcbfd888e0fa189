// Where sealed lines go: what line-file.ts asks of a file, of standard output and of a Redis stream alike.

import type { RedisSettings } from '../config/config.js'
import type { Bytes } from '../verify/scalars.js'

export type Sink = {
  /** What an operator calls it, in "... has not answered for 800 ms". */
  readonly name: string
  /** Where its file is; null: there is none that could be renamed. */
  readonly path: string | null
  /** It ended within a line when it was opened: the process before us died while it wrote. */
  readonly torn: boolean
  /** Bytes that were in it when it was opened; of a stream, 0. */
  readonly size: Bytes
  /** Hash of its last whole line when it was opened; null: there was none. Waits until that can be known. */
  last(trouble: Trouble): Promise<string | null>
  /** Appends all, or says why not; what can't be taken back then is told. Never rejects, and is not called again before it is done. */
  append(lines: readonly string[], how: Appending): Promise<Appended>
  /** Is another file, or none, where this one was: a rotation has renamed it, or somebody deleted it. False where that can't be told. */
  isMoved(): Promise<boolean>
  /** Bytes in the file. */
  length(): Promise<Bytes>
  /** Credentials of its Redis, where it has one, from its next connection on. */
  renew?(redis: RedisSettings): void
  /** What hangs in it is left to itself. */
  close(): Promise<void>
}

export type Appending = {
  /** What is there ends within a line. */
  readonly isTorn: boolean
  /** Somebody waits until the lines can't be lost. */
  readonly isAwaited: boolean
  readonly trouble: Trouble
}

/** Called with what is wrong while it is tried on, so that nobody need wait for that. */
export type Trouble = (problem: string) => void

export type Appended = {
  /** Why not all are there; null: they are. */
  readonly problem: string | null
  /** So many lines, from the first, are there to stay, */
  readonly lines: number
  /** with so many bytes, */
  readonly bytes: Bytes
  /** and a part of the next one. */
  readonly isTorn: boolean
  /** They were synced to a disk. */
  readonly isSynced: boolean
}
