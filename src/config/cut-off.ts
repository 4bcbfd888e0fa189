// Was a file cut off, by a full disk or a copy that was broken off? Half of a routes.yaml can be whole YAML, and a route that lost its last
// lines (`scopes`, `clients`, `tenant`) would let more through than before. What ends within a line of what serves now was not meant so.
// Does not see: a cut just behind a line feed, which looks like lines that someone took out.

import type { Texts } from './disk.js'
import type { Problem } from './problems.js'

/** The beginning of the text that was there, without its last line feed. */
const isCutOff = (before: string, now: string): boolean =>
  before.endsWith('\n') && !now.endsWith('\n') && now.length < before.trimEnd().length && before.startsWith(now)

/** Each file that was cut off, at its end. */
export const findCutOff = (before: Texts, now: Texts): readonly Problem[] =>
  Object.entries(now.files)
    .filter(([file, text]) => isCutOff(before.files[file] ?? '', text))
    .map(([file, text]) => ({
      file,
      line: text.split('\n').length,
      column: text.length - text.lastIndexOf('\n'),
      path: '',
      message: 'ends within a line of what serves now, so it was cut off: write all of it, or end it with a line feed',
    }))
