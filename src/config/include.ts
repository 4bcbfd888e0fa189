// `include: [routes.d/*.yaml]`: which files are meant? A `*` stands for any characters of a file's name, never for a folder.

import { basename, dirname, isAbsolute, join, resolve } from 'node:path'
import { interpolate } from './interpolate.js'
import type { Loading } from './loading.js'
import { codeOf, type Located, readSource, type Source } from './source.js'

/** Reads and interpolates every file that is meant, in the order of their names, each once. */
export function readIncludes(patterns: readonly Located<string>[], loading: Loading): readonly Source[] {
  const sources = new Map<string, Source>()
  for (const pattern of patterns) {
    for (const file of filesOf(pattern, loading)) {
      if (sources.has(resolve(file))) continue
      const source = readSource(file, loading.disk)
      if (typeof source === 'string') loading.findings.problem(pattern.place, `${file} ${source}`)
      else sources.set(resolve(file), source)
    }
  }
  for (const source of sources.values()) interpolate(source, loading)
  return [...sources.values()]
}

function filesOf({ value, place }: Located<string>, { findings, disk }: Loading): readonly string[] {
  const path = isAbsolute(value) ? value : join(dirname(place.source.file), value)
  const [folder, name] = [dirname(path), basename(path)]
  if (folder.includes('*')) {
    findings.problem(place, 'a * stands in the name of a file, not of a folder')
    return []
  }
  if (!name.includes('*')) return [path]
  try {
    const files = disk.list(folder).filter((file) => isNamed(file, name))
    if (files.length === 0) findings.warning(place, 'no file fits: its routes would be missing')
    return files.toSorted().map((file) => join(folder, file))
  } catch (error) {
    findings.problem(place, `${folder} cannot be read (${codeOf(error)}): make the folder, or leave the pattern out`)
    return []
  }
}

/** Files that begin with a dot are editors' and mounts' own. */
function isNamed(file: string, pattern: string): boolean {
  const [first = '', ...others] = pattern.split('*')
  const last = others.pop() ?? ''
  if (file.startsWith('.') || !file.startsWith(first) || !file.endsWith(last)) return false
  // The first place that fits each part leaves most for the others, so nothing is tried twice; a regular expression would.
  let at = first.length
  for (const part of others) {
    const found = file.indexOf(part, at)
    if (found < 0) return false
    at = found + part.length
  }
  return at <= file.length - last.length
}
