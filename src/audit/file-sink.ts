// A sink that is a file, or standard output: the system calls, each with what it leaves behind when it fails. Does not queue, does not
// try again.

import * as fs from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { Bytes } from '../verify/scalars.js'
import { hashOfLine } from './chain.js'
import type { Appended, Appending, Sink } from './sink.js'

const open = promisify(fs.open)
const close = promisify(fs.close)
const write = promisify(fs.write)
const read = promisify(fs.read)
const fstat = promisify(fs.fstat)
const ftruncate = promisify(fs.ftruncate)
const stat = promisify(fs.stat)
const fdatasync = promisify(fs.fdatasync)
const fsync = promisify(fs.fsync)

/** A file as it was found when it was opened. */
type Found = {
  readonly fd: number
  /** null: not ours to close. */
  readonly path: string | null
  /** Lines can be taken back and synced; not so in a pipe or a terminal. */
  readonly isFile: boolean
  readonly torn: boolean
  readonly last: string | null
  readonly size: Bytes
}

const NEWLINE = 0x0a
/** How long a pipe that does not block may stay full (milliseconds). */
const PATIENCE_MS = 5000

class FileSink implements Sink {
  readonly name = 'the disk'
  readonly #fd: number
  readonly path: string | null
  readonly #isFile: boolean
  readonly torn: boolean
  readonly size: Bytes
  readonly #last: string | null
  /** A write is in the kernel's hands: to close what it writes to could give its number to another file. */
  #isBusy = false

  constructor({ fd, path, isFile, torn, last, size }: Found) {
    this.#fd = fd
    this.path = path
    this.#isFile = isFile
    this.torn = torn
    this.size = size
    this.#last = last
  }

  async last(): Promise<string | null> {
    return this.#last
  }

  async append(lines: readonly string[], { isTorn, isAwaited }: Appending): Promise<Appended> {
    const bytes = Buffer.from((isTorn ? '\n' : '') + lines.join(''))
    const progress = { written: 0 }
    this.#isBusy = true
    try {
      await writeAll(this.#fd, bytes, progress)
      const isSynced = this.#isFile && isAwaited
      if (isSynced) await fdatasync(this.#fd)
      return { problem: null, lines: lines.length, bytes: bytes.length, isTorn: false, isSynced }
    } catch (error) {
      const problem = error instanceof Error ? error.message : 'unknown error'
      const { written } = progress
      if (written === 0 || (await this.#takeBack(written))) return { problem, lines: 0, bytes: 0, isTorn, isSynced: false }
      const whole = countNewlines(bytes.subarray(isTorn ? 1 : 0, written))
      return { problem, lines: whole, bytes: written, isTorn: bytes[written - 1] !== NEWLINE, isSynced: false }
    } finally {
      this.#isBusy = false
    }
  }

  /**
   * Cuts the last `written` bytes off again; false when that can't be done. By the size of now: whoever rotates logs may have
   * emptied the file meanwhile.
   */
  async #takeBack(written: Bytes): Promise<boolean> {
    if (!this.#isFile) return false
    try {
      const { size } = await fstat(this.#fd)
      await ftruncate(this.#fd, Math.max(0, size - written))
      return true
    } catch {
      return false
    }
  }

  async isMoved(): Promise<boolean> {
    if (this.path === null) return false
    try {
      const ours = await fstat(this.#fd)
      const { dev, ino } = await stat(this.path)
      return ours.dev !== dev || ours.ino !== ino
    } catch (error) {
      return error instanceof Error && 'code' in error && error.code === 'ENOENT'
    }
  }

  async length(): Promise<Bytes> {
    return (await fstat(this.#fd)).size
  }

  async close(): Promise<void> {
    if (this.path !== null && !this.#isBusy) await close(this.#fd).catch(() => undefined)
  }
}

export const openStdout = (): Sink => new FileSink({ fd: 1, path: null, isFile: false, torn: false, last: null, size: 0 })

/** Opens for appending, mode 0600 when new. Rejects with a message for the operator. */
export async function openFile(path: string): Promise<Sink> {
  try {
    const fd = await open(path, 'a+', 0o600)
    const stats = await fstat(fd)
    const isFile = stats.isFile()
    if (!isFile) return new FileSink({ fd, path, isFile, torn: false, last: null, size: 0 })
    await syncDirectory(dirname(path))
    return new FileSink({ fd, path, isFile, size: stats.size, ...(await readEnd(fd, stats.size)) })
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : 'unknown error'
    const advice = code === 'ENOENT' ? 'create its directory' : 'let the user that the gateway runs as write there'
    throw new Error(`the audit log ${path} can't be opened (${code}): ${advice}, or name another audit.file`)
  }
}

/** A new file is only there after a crash when its directory is synced too. */
async function syncDirectory(path: string): Promise<void> {
  const fd = await open(path, 'r')
  await fsync(fd).finally(() => close(fd))
}

/** Read backwards, in pieces of so many bytes, until the last whole line is there. */
const PIECE = 64 * 1024

async function readEnd(fd: number, size: Bytes): Promise<Pick<Found, 'torn' | 'last'>> {
  let end = Buffer.alloc(0)
  for (let from = size; from > 0; ) {
    const length = Math.min(PIECE, from)
    from -= length
    const { buffer } = await read(fd, Buffer.alloc(length), 0, length, from)
    end = Buffer.concat([buffer, end])
    const last = end.lastIndexOf(NEWLINE)
    const before = last > 0 ? end.lastIndexOf(NEWLINE, last - 1) : -1
    if (last >= 0 && (before >= 0 || from === 0))
      return { torn: last < end.length - 1, last: hashOfLine(end.subarray(before + 1, last + 1)) }
  }
  return { torn: size > 0, last: null }
}

/** Writes all bytes, or rejects with `progress` at those that were. */
async function writeAll(fd: number, bytes: Buffer, progress: { written: Bytes }): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS
  while (progress.written < bytes.length) {
    try {
      const { bytesWritten } = await write(fd, bytes, progress.written, bytes.length - progress.written)
      progress.written += bytesWritten
    } catch (error) {
      // EAGAIN: the reader of the pipe is slow, not gone.
      const isBusy = error instanceof Error && 'code' in error && error.code === 'EAGAIN'
      if (!isBusy || performance.now() > deadline) throw error
      await sleep(10)
    }
  }
}

function countNewlines(bytes: Uint8Array): number {
  let count = 0
  for (const byte of bytes) if (byte === NEWLINE) count += 1
  return count
}
