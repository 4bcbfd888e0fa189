// Where do the texts of a configuration come from? From the disk; or as they were once read from it, so that every worker, one that is
// started later too, has exactly the configuration its primary judged, whatever was written over the files since.

import { readdirSync, readFileSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import { type Stamps, stampOf } from './stamps.js'

/** Both throw what node:fs throws. */
export type Disk = {
  /** The UTF-8 text of a file. */
  read(path: string): string
  /** The names in a folder. */
  list(folder: string): readonly string[]
}

/** What was read: plain data, which may hold private keys and secrets. */
export type Texts = {
  readonly files: Readonly<Record<string, string>>
  readonly folders: Readonly<Record<string, readonly string[]>>
}

export const disk: Disk = {
  read: (path) => readFileSync(path, 'utf8'),
  list: (folder) => readdirSync(folder),
}

/** What was read, and how all that was asked for looked before, whether or not it could be read. */
export type Recording = { readonly disk: Disk; readonly texts: Texts; readonly stamps: Stamps }

/** The disk, and what was read from it; each file is read once, so that the parts of a configuration fit each other. */
export function recordingDisk(from: Disk = disk): Recording {
  const files: Record<string, string> = {}
  const folders: Record<string, readonly string[]> = {}
  const stamps = new Map<string, string>()
  const stamp = (path: string): void => {
    if (!stamps.has(path)) stamps.set(path, stampOf(path))
  }
  const read = (path: string): string => {
    stamp(path)
    files[path] ??= from.read(path)
    return files[path]
  }
  const list = (folder: string): readonly string[] => {
    stamp(folder)
    folders[folder] ??= from.list(folder)
    return folders[folder]
  }
  return { disk: { read, list }, texts: { files, folders }, stamps }
}

/** Do they make the same configuration? Of folders only the files count that were read. */
export const areSameTexts = ({ files }: Texts, { files: others }: Texts): boolean => isDeepStrictEqual(files, others)

/** A disk that holds what was read before, and nothing else. */
export const recordedDisk = ({ files, folders }: Texts): Disk => ({
  read: (path) => known(files, path),
  list: (folder) => known(folders, folder),
})

function known<T>(texts: Readonly<Record<string, T>>, path: string): T {
  const text = texts[path]
  if (text === undefined) throw new Error('was not read before')
  return text
}
