// What is wrong with a configuration, and where: all of it at once, in the form that compilers use.

import { type Place, positionAt, positionOf, type Source } from './source.js'

export type Problem = {
  readonly file: string
  /** From 1. */
  readonly line: number
  readonly column: number
  /** The setting, its parts joined by dots; empty: the file as a whole. */
  readonly path: string
  /** A sentence that says what to do. Never the value of a setting, which may be a secret. */
  readonly message: string
}

/** `FILE:LINE:COL path: sentence`. */
export const formatProblem = ({ file, line, column, path, message }: Problem): string =>
  visible(`${file}:${line}:${column} ${path === '' ? '' : `${path}: `}${message}`)

/** One line without controls: names of settings are the file's own, and may hold line feeds and escapes of terminals. */
const visible = (text: string): string =>
  text.replace(/\p{Cc}/gu, (control) => `\\x${control.charCodeAt(0).toString(16).padStart(2, '0')}`)

/** What was found so far. */
export type Findings = {
  problem(place: Place, message: string): void
  /** A problem after which nothing else is said of this place: its value was never there to be judged. */
  unreadable(place: Place, message: string): void
  /** For what has no place in a parsed file. */
  problemAt(file: string, message: string): void
  /** A syntax error, by its offset in the file (characters). */
  problemIn(source: Source, offset: number, message: string): void
  warning(place: Place, message: string): void
  /** Sorted by file, in the order in which files were named first, then by line; nothing twice. */
  problems(): readonly Problem[]
  warnings(): readonly Problem[]
}

/** `main` is the file that comes first. */
export function createFindings(main: string): Findings {
  const problems: Problem[] = []
  const warnings: Problem[] = []
  const mute = new Set<string>()
  const at = (place: Place, message: string): Problem => ({
    file: place.source.file,
    ...positionOf(place),
    path: place.path.map(String).join('.'),
    message,
  })
  return {
    problem: (place, message) => {
      const problem = at(place, message)
      if (!mute.has(nameOf(problem))) problems.push(problem)
    },
    unreadable: (place, message) => {
      const problem = at(place, message)
      problems.push(problem)
      mute.add(nameOf(problem))
    },
    problemAt: (file, message) => void problems.push({ file, line: 1, column: 1, path: '', message }),
    problemIn: (source, offset, message) =>
      void problems.push({ file: source.file, ...positionAt(source, offset), path: '', message }),
    warning: (place, message) => void warnings.push(at(place, message)),
    problems: () => sorted(problems, main),
    warnings: () => sorted(warnings, main),
  }
}

const nameOf = ({ file, path }: Problem): string => `${file} ${path}`

function sorted(found: readonly Problem[], main: string): readonly Problem[] {
  const once = new Map(found.map((problem) => [formatProblem(problem), problem]))
  const byFile = (a: string, b: string): number => {
    if (a === b) return 0
    if (a === main || b === main) return a === main ? -1 : 1
    return a < b ? -1 : 1
  }
  return [...once.values()].sort((a, b) => byFile(a.file, b.file) || a.line - b.line || a.column - b.column)
}
