// Files are called as the person who asked called them.

import { isAbsolute, relative } from 'node:path'
import type { Problem } from '../config/problems.js'

/** A problem with its file relative to `cwd`, where the file that was asked for was. */
export const namedAs = (asked: string, cwd: string, problem: Problem): Problem => ({
  ...problem,
  file: isAbsolute(asked) ? problem.file : relative(cwd, problem.file),
})
