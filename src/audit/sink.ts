// Where audit lines go: a file, or standard output. The system calls that line-file.ts needs, each with what it leaves behind when
// it fails. Does not queue, does not try again.

import * as fs from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'

const open = promisify(fs.open)
const close = promisify(fs.close)
const write = promisify(fs.write)
const read = promisify(fs.read)
const fstat = promisify(fs.fstat)
const ftruncate = promisify(fs.ftruncate)
const stat = promisify(fs.stat)
const fdatasync = promisify(fs.fdatasync)
const fsync = promisify(fs.fsync)

export type Sink = {
  readonly fd: number
  /** null: not ours to close. */
  readonly path: string | null
  /** Lines can be taken back and synced; not so in a pipe or a terminal. */
  readonly isFile: boolean
  /** It ended within a line when it was opened: the process before us died while it wrote. */
  readonly torn: boolean
}

export const STDOUT: Sink = { fd: 1, path: null, isFile: false, torn: false }
export const NEWLINE = 0x0a

/** Opens for appending, mode 0600 when new. Rejects with a message for the operator. */
export async function openSink(path: string): Promise<Sink> {
  try {
    const fd = await open(path, 'a+', 0o600)
    const stats = await fstat(fd)
    const isFile = stats.isFile()
    if (isFile) await syncDirectory(dirname(path))
    return { fd, path, isFile, torn: isFile && stats.size > 0 && !(await endsWithNewline(fd, stats.size)) }
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : 'unknown error'
    const advice = code === 'ENOENT' ? 'create its directory' : 'let the user that the gateway runs as write there'
    throw new Error(`the audit log ${path} can't be opened (${code}): ${advice}, or name another audit.file`)
  }
}

/** Is another file, or none, where this one was: a rotation has renamed it, or somebody deleted it. False where that can't be told. */
export async function isMoved({ fd, path }: Sink): Promise<boolean> {
  if (path === null) return false
  try {
    const ours = await fstat(fd)
    const { dev, ino } = await stat(path)
    return ours.dev !== dev || ours.ino !== ino
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'ENOENT'
  }
}

/** A new file is only there after a crash when its directory is synced too. */
async function syncDirectory(path: string): Promise<void> {
  const fd = await open(path, 'r')
  await fsync(fd).finally(() => close(fd))
}

async function endsWithNewline(fd: number, size: number): Promise<boolean> {
  const { buffer } = await read(fd, Buffer.alloc(1), 0, 1, size - 1)
  return buffer[0] === NEWLINE
}

/** How far a write has come (bytes), and how long a pipe that does not block may stay full (milliseconds). */
export type Writing = { readonly progress: { written: number }; readonly patience: number }

/** Writes all bytes, or rejects with `progress` at those that were. */
export async function writeAll({ fd }: Sink, bytes: Buffer, { progress, patience }: Writing): Promise<void> {
  const deadline = performance.now() + patience
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

export const syncSink = ({ fd }: Sink): Promise<void> => fdatasync(fd)

/**
 * Cuts the last `written` bytes off again; false when that can't be done. By the size of now: whoever rotates logs may have
 * emptied the file meanwhile.
 */
export async function takeBack({ fd, isFile }: Sink, written: number): Promise<boolean> {
  if (!isFile) return false
  try {
    const { size } = await fstat(fd)
    await ftruncate(fd, Math.max(0, size - written))
    return true
  } catch {
    return false
  }
}

export async function closeSink({ fd, path }: Sink): Promise<void> {
  if (path !== null) await close(fd).catch(() => undefined)
}
