// Does a file still hold what was read from it? Told by its inode, size and times, symlinks followed, without reading it: so a write, a
// file that was renamed over it and a mount whose `..data` leads elsewhere all show, on local disks and over the network. What looks
// the same is taken for the same, unless it was written twice within one tick of the file system's clock.

import { type BigIntStats, promises, statSync } from 'node:fs'
import { codeOf } from './source.js'

/** How files and folders looked, by their paths; for what could not be looked at, why. */
export type Stamps = ReadonlyMap<string, string>

const printed = ({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string => `${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`

/** To be taken before a file is read: what is written later then shows. */
export function stampOf(path: string): string {
  try {
    return printed(statSync(path, { bigint: true }))
  } catch (error) {
    return codeOf(error)
  }
}

/** How they look now. One after another, because a mount that hangs must not take all threads that Node has for files. */
export async function lookAgain(paths: Iterable<string>): Promise<Stamps> {
  const now = new Map<string, string>()
  for (const path of paths) now.set(path, await promises.stat(path, { bigint: true }).then(printed, codeOf))
  return now
}

export const areSame = (some: Stamps, others: Stamps): boolean =>
  some.size === others.size && [...some].every(([path, stamp]) => others.get(path) === stamp)
