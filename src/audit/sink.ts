// Where audit lines go: a file, or standard output. The system calls that line-file.ts needs, each with what it leaves behind when
// it fails. Does not queue, does not try again.

import * as fs from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { Bytes } from '../verify/scalars.js'
import { hashOfLine } from './chain.js'

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
  /** Hash of its last whole line when it was opened; null: there was none. */
  readonly last: string | null
  /** Bytes that were in it when it was opened. */
  readonly size: Bytes
}

export const STDOUT: Sink = { fd: 1, path: null, isFile: false, torn: false, last: null, size: 0 }
export const NEWLINE = 0x0a

/** Opens for appending, mode 0600 when new. Rejects with a message for the operator. */
export async function openSink(path: string): Promise<Sink> {
  try {
    const fd = await open(path, 'a+', 0o600)
    const stats = await fstat(fd)
    const isFile = stats.isFile()
    if (!isFile) return { fd, path, isFile, torn: false, last: null, size: 0 }
    await syncDirectory(dirname(path))
    return { fd, path, isFile, size: stats.size, ...(await readEnd(fd, stats.size)) }
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

/** Read backwards, in pieces of so many bytes, until the last whole line is there. */
const PIECE = 64 * 1024

async function readEnd(fd: number, size: Bytes): Promise<Pick<Sink, 'torn' | 'last'>> {
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

export const sizeOf = async ({ fd }: Sink): Promise<Bytes> => (await fstat(fd)).size

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
