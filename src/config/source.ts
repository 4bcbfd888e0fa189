// Where in which file does a setting stand? A YAML file with its positions, and the places problems are reported at.

import { isMap, isNode, isScalar, parseDocument } from 'yaml'
import type { Disk } from './disk.js'

export type Source = {
  /** As it was named: shown in problems, and what relative paths inside start from. */
  readonly file: string
  readonly text: string
  readonly document: ReturnType<typeof parseDocument>
}

/** A setting of a file; `isKey`: its name is meant, not its value. */
export type Place = { readonly source: Source; readonly path: readonly PropertyKey[]; readonly isKey?: true }

/** A value and where it was written. */
export type Located<T> = { readonly value: T; readonly place: Place }

/** The place of a setting inside another one. */
export const under = ({ source, path }: Place, ...inner: readonly PropertyKey[]): Place => ({ source, path: [...path, ...inner] })

/** Does it stand in the file? What it has as a default does not. */
export const isWritten = ({ source, path }: Place): boolean => source.document.hasIn(path)

/** The name of a setting, where the name is what is wrong. */
export const keyOf = (place: Place, key: string): Place => ({ ...under(place, key), isKey: true })

/** Reads and parses a YAML file; a sentence when it can't be read. Syntax errors are left in `document.errors`. */
export function readSource(file: string, disk: Disk): Source | string {
  try {
    const text = disk.read(file)
    return { file, text, document: parseDocument(text, { prettyErrors: false, logLevel: 'error' }) }
  } catch (error) {
    return `cannot be read (${codeOf(error)}): give the path of a readable YAML file`
  }
}

/** The code of a system error; of any other, what kind it is. */
export function codeOf(error: unknown): string {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code
  return error instanceof Error ? error.name : 'unknown error'
}

/** Line and column, from 1, of a place; of a setting that is not there, those of what it should stand in. */
export function positionOf({ source, path, isKey }: Place): { readonly line: number; readonly column: number } {
  return positionAt(source, (isKey ? keyOffset(source, path) : null) ?? valueOffset(source, path))
}

/** Line and column, from 1, of an offset. yaml's own counter loses lines behind a syntax error. */
export function positionAt({ text }: Source, offset: number): { readonly line: number; readonly column: number } {
  const before = text.slice(0, offset)
  const start = before.lastIndexOf('\n') + 1
  return { line: before.split('\n').length, column: before.length - start + 1 }
}

function valueOffset({ document }: Source, path: readonly PropertyKey[]): number {
  for (let length = path.length; length > 0; length--) {
    const node = document.getIn(path.slice(0, length), true)
    if (isNode(node) && node.range) return node.range[0]
  }
  return document.contents?.range?.[0] ?? 0
}

function keyOffset({ document }: Source, path: readonly PropertyKey[]): number | null {
  const map = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true)
  if (!isMap(map)) return null
  const pair = map.items.find(({ key }) => isScalar(key) && String(key.value) === String(path.at(-1)))
  return isNode(pair?.key) ? (pair.key.range?.[0] ?? null) : null
}
