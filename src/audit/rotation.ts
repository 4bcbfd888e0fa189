// Where does a file go that is large enough? Aside, under a name with the time; the oldest of those are deleted (contract §7).

import * as fs from 'node:fs/promises'
import { basename, dirname, extname, join } from 'node:path'

/** `audit.1.jsonl` -> `audit.1.20261123T151400.123Z.jsonl`, so that names sort by time. */
export function asideName(path: string, time: Date): string {
  const ext = extname(path)
  const stamp = time.toISOString().replace(/[-:]/g, '')
  return `${path.slice(0, path.length - ext.length)}.${stamp}${ext}`
}

/** The files that stand aside for one at `path`, the newest first. */
export async function asideOf(path: string): Promise<readonly string[]> {
  const ext = extname(path)
  const stem = basename(path, ext)
  const names = await fs.readdir(dirname(path))
  const isAside = (name: string): boolean =>
    name.startsWith(`${stem}.`) &&
    name.endsWith(ext) &&
    /^\d{8}T\d{6}\.\d{3}Z$/.test(name.slice(stem.length + 1, name.length - ext.length))
  return names
    .filter(isAside)
    .sort()
    .reverse()
    .map((name) => join(dirname(path), name))
}

/** Renames the file and deletes all but the newest `keep` of its kind. What went wrong, for the operator; null: nothing. */
export async function moveAside(path: string, keep: number): Promise<string | null> {
  try {
    await fs.rename(path, asideName(path, new Date()))
    const old = (await asideOf(path)).slice(keep)
    await Promise.all(old.map((name) => fs.rm(name)))
    return null
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : 'unknown error'
    return `${path} can't be rotated (${code}): let the user that the gateway runs as write in its directory`
  }
}
