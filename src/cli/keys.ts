// `holdfast keys`: makes, lists, puts to use and retires the keys that sign assertions, one safe step at a time (docs/operations.md,
// "Rotating keys"). It changes files alone; the gateway takes them as it takes any change.

import { generateKeyPairSync } from 'node:crypto'
import { chownSync, statSync, writeFileSync } from 'node:fs'
import { dirname, relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { type KeyList, type ListedKey, readKeyList, replaceText, writtenPath } from '../config/key-list.js'
import { formatProblem, type Problem } from '../config/problems.js'
import { withDate } from '../config/rotation.js'
import { codeOf } from '../config/source.js'
import type { Seconds } from '../verify/scalars.js'
import type { Command, Io } from './command.js'
import { table } from './table.js'

const HELP = `holdfast keys list              [--config routes.yaml]
holdfast keys new    FILE       [--config routes.yaml]
holdfast keys use    FILE       [--config routes.yaml] [--force]
holdfast keys retire FILE       [--config routes.yaml] [--force]

The keys of \`assertion.keys\`: the first signs, all are published. A rotation is \`new\`, wait, \`use\`, wait, \`retire\`; with several
replicas each step is made at all of them before the next.

  list      each key: what it is for now, its kid, when it was made, its file, and when the next step is safe
  new       makes a key (EC P-256, readable to whom the current one is) and lists it last: it is published
  use       lists a key first: it signs; refused until routes.yaml has not been changed for 10 minutes, so that backends have fetched it
  retire    takes a key that does not sign off the list; refused while an assertion of it can live. The file stays
  --config  the configuration (default: routes.yaml)
  --force   though it is not safe yet, such as when a key was stolen
  --help    this text

Exit code: 0 done, 1 not done, for what is said, 2 wrong usage.
`

export const keys: Command = {
  name: 'keys',
  summary: 'rotate the keys that sign assertions',
  help: HELP,
  run: async (args, io) => {
    const wanted = readArguments(args)
    if (typeof wanted === 'string') {
      io.err(`holdfast keys: ${wanted}`)
      io.err('try: holdfast keys --help')
      return 2
    }
    const config = resolve(io.cwd, wanted.config)
    const list = readKeyList(config, io.env)
    if (!('print' in list)) return sayProblems(list, io)
    const change = STEPS[wanted.step]({
      list,
      config,
      file: resolve(io.cwd, wanted.file),
      force: wanted.force,
      now: Date.now() / 1000,
      io,
    })
    if (change === null) return 0
    if (typeof change === 'string') {
      io.err(`holdfast keys: ${change}`)
      return 1
    }
    return write(list.print(change.written), change.done, { config, written: change.written, io })
  },
}

type Step = 'list' | 'new' | 'use' | 'retire'
type Wanted = { readonly step: Step; readonly file: string; readonly config: string; readonly force: boolean }

/** A string: what is wrong. */
function readArguments(args: readonly string[]): Wanted | string {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { config: { type: 'string' }, force: { type: 'boolean' } },
    })
    const [step = '', file, ...more] = positionals
    const { config = 'routes.yaml', force = false } = values
    if (!Object.hasOwn(STEPS, step)) return 'expected list, new, use or retire'
    if (more.length > 0 || (step === 'list') !== (file === undefined))
      return `${step} expects ${step === 'list' ? 'no' : 'one'} file`
    return { step: step as Step, file: file ?? '', config, force }
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

type Place = {
  readonly list: KeyList
  readonly config: string
  readonly file: string
  readonly force: boolean
  readonly now: Seconds
  readonly io: Io
}

/** The list as it is to be written, and what is then said. */
type Change = { readonly written: readonly string[]; readonly done: readonly string[] }

/** null: there is nothing to write; a string: why not. */
const STEPS: Readonly<Record<Step, (place: Place) => Change | string | null>> = {
  list({ list, config, io }) {
    const rows = list.keys.map(({ state, kid, made, path }) => [
      state,
      kid,
      when(made),
      relative(dirname(config), path),
      next(state, list),
    ])
    for (const line of table([['state', 'kid', 'made', 'file', 'next step'], ...rows])) io.out(line)
    return null
  },

  new({ list, config, file, now }) {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const name = relative(dirname(config), file)
    try {
      const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
      writeKey(file, withDate(pem, new Date(now * 1000)), list.keys[0])
    } catch (error) {
      return `${name} can't be made (${codeOf(error)}): name another file, in a folder that is there`
    }
    return {
      written: [...list.keys.map(({ written }) => written), writtenPath(name)],
      done: [`${name} is made, and published when the gateway takes this list; it does not sign yet`],
    }
  },

  use({ list, file, force, now }) {
    const key = find(list, file)
    if (key === undefined) return NOT_LISTED
    if (key.state === 'current') return 'this key signs already'
    if (key.state === 'next' && now < list.mayBeUsed && !force)
      return `backends may not have fetched this key: routes.yaml was changed a moment ago; wait until ${when(list.mayBeUsed)}`
    const others = list.keys.filter((one) => one !== key)
    return {
      written: [key, ...others].map(({ written }) => written),
      done: ['this key signs when the gateway takes this list; the one before it stays published'],
    }
  },

  retire({ list, file, force, now }) {
    const key = find(list, file)
    if (key === undefined) return NOT_LISTED
    if (key.state === 'current') return 'this key signs: put another one to use first'
    if (now < list.mayBeRetired && !force)
      return `an assertion of this key can live: routes.yaml was changed a moment ago; wait until ${when(list.mayBeRetired)}`
    const others = list.keys.filter((one) => one !== key)
    return {
      written: others.map(({ written }) => written),
      done: ['this key is published no longer when the gateway takes this list; delete its file then'],
    }
  },
}

const NOT_LISTED = 'this file is not in `assertion.keys`'

const find = ({ keys }: KeyList, file: string): ListedKey | undefined => keys.find(({ path }) => path === file)

function next(state: ListedKey['state'], { mayBeUsed, mayBeRetired, keys }: KeyList): string {
  if (state === 'current') return keys.length === 1 ? 'new' : ''
  return state === 'next' ? `use, from ${when(mayBeUsed)}` : `retire, from ${when(mayBeRetired)}`
}

/** Readable to whom the current key is, and never to more. */
function writeKey(file: string, pem: string, current: ListedKey | undefined): void {
  const { mode = 0o600, uid, gid } = current === undefined ? {} : statSync(current.path)
  writeFileSync(file, pem, { flag: 'wx', mode: mode & 0o660 })
  if (uid === undefined || gid === undefined) return
  try {
    chownSync(file, uid, gid)
  } catch {
    // Only root gives files away; who is not runs this as the user of the gateway, or sees `holdfast check` fail.
  }
}

function write(
  text: string,
  done: readonly string[],
  { config, written, io }: { config: string; written: readonly string[]; io: Io },
): number {
  try {
    const problems = replaceText(config, text, io.env)
    if (problems.length > 0) return sayProblems(problems, io)
    for (const line of done) io.out(line)
    io.out(`assertion: { keys: [${written.join(', ')}] }`)
    return 0
  } catch (error) {
    io.err(`holdfast keys: ${config} can't be written (${codeOf(error)}): change it where it comes from, to`)
    io.err(`  keys: [${written.join(', ')}]`)
    return 1
  }
}

function sayProblems(problems: readonly Problem[], io: Io): number {
  for (const problem of problems) io.err(formatProblem(problem))
  return 1
}

const when = (time: Seconds): string => new Date(Math.ceil(time) * 1000).toISOString().replace(/\.\d+/, '')
