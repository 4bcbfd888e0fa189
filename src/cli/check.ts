// `holdfast check`: every problem of a configuration at once, and warnings about weak choices (contract §1).

import { resolve } from 'node:path'
import { checkConfig } from '../config/load.js'
import { formatProblem, type Problem } from '../config/problems.js'
import type { Command, Io } from './command.js'
import { namedAs } from './named.js'

const HELP = `holdfast check [routes.yaml]

Finds every problem of a configuration at once: the file, what it includes, and the keys and certificates that it names.

  routes.yaml   the configuration (default: routes.yaml)
  --help        this text

Problems are lines FILE:LINE:COL path: sentence, warnings FILE:LINE:COL warning path: sentence, both on stderr; the last line, on
stdout, counts them. Warnings are about choices that work but are weak.
Exit code: 0 no problems, 1 problems, 2 wrong usage.
`

export const check: Command = {
  name: 'check',
  summary: 'find every problem of routes.yaml, and weak choices in it',
  help: HELP,
  run: async (args, io) => {
    const [file = 'routes.yaml', ...rest] = args
    if (rest.length > 0 || file.startsWith('-')) {
      io.err('holdfast check: expected at most one file')
      io.err('try: holdfast check --help')
      return 2
    }
    const { config, problems, warnings } = checkConfig(resolve(io.cwd, file), io.env)
    const named = (problem: Problem): Problem => namedAs(file, io.cwd, problem)
    say(problems.map(named), warnings.map(named), io)
    const found = [
      ...(config === null ? [] : [counted(config.routes.length, 'route')]),
      problems.length === 0 ? 'no problems' : counted(problems.length, 'problem'),
      ...(warnings.length === 0 ? [] : [counted(warnings.length, 'warning')]),
    ]
    io.out(`${file}: ${found.join(', ')}`)
    return problems.length === 0 ? 0 : 1
  },
}

function say(problems: readonly Problem[], warnings: readonly Problem[], io: Io): void {
  for (const problem of problems) io.err(formatProblem(problem))
  for (const { path, ...warning } of warnings) io.err(formatProblem({ ...warning, path: `warning ${path}` }))
}

const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`
