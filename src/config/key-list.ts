// The assertion keys that a routes.yaml lists, each with its state, and the same file with another list: for `holdfast keys`. Nothing
// but the list is changed: comments, references to the environment and everything else stay as they were written.

import { createPublicKey } from 'node:crypto'
import { closeSync, fchownSync, fsyncSync, openSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { isMap, isNode, isScalar, isSeq, type Node } from 'yaml'
import { publicMembers, thumbprint } from '../verify/hashes.js'
import type { Seconds } from '../verify/scalars.js'
import type { JsonObject } from '../verify/types.js'
import { disk } from './disk.js'
import { type Environment, interpolate } from './interpolate.js'
import { loadConfig } from './load.js'
import { createFindings, type Problem } from './problems.js'
import { madeAt, PUBLISHED_FIRST } from './rotation.js'
import { readSource } from './source.js'

export type ListedKey = {
  /** As routes.yaml has it, quotes and all. */
  readonly written: string
  /** Absolute. */
  readonly path: string
  /** RFC 7638 thumbprint. */
  readonly kid: string
  /** As the file says, else when it was last written. */
  readonly made: Seconds
  /** `current` signs; the others are published: `previous` is older than it, `next` is not. */
  readonly state: 'current' | 'next' | 'previous'
}

export type KeyList = {
  readonly keys: readonly ListedKey[]
  /** From when on a key that is listed now may sign, as far as this file can tell: nothing was changed in it for long enough. */
  readonly mayBeUsed: Seconds
  /** From when on no assertion of a key can live that is not the first now. */
  readonly mayBeRetired: Seconds
  /** The whole file, with these keys as they are to be written. */
  readonly print: (written: readonly string[]) => string
}

/** Reads the list; or all that is wrong with the file. */
export function readKeyList(file: string, env: Environment): KeyList | readonly Problem[] {
  const { config, problems } = loadConfig(file, env)
  const source = readSource(file, disk)
  if (config === null || typeof source === 'string') return problems
  const { text, document } = source
  interpolate(source, { env, disk, findings: createFindings(file), running: null, isCheck: false })
  const assertion = document.get('assertion', true)
  const pair = isMap(assertion)
    ? assertion.items.find(({ key }) => isScalar(key) && (key.value === 'keys' || key.value === 'key'))
    : undefined
  const items = isSeq(pair?.value) ? pair.value.items : [pair?.value]
  if (!isNode(pair?.key) || !isNode(pair.value) || !items.every(isWritten)) {
    const message = 'the keys are not written out there: list the files in `assertion.keys`'
    return [{ file, line: 1, column: 1, path: 'assertion', message }]
  }
  const from = rangeOf(pair.key)[0]
  const to = rangeOf(pair.value)[1]
  const read = items.map((item, i) => {
    const path = resolve(dirname(file), String(item.value))
    const pem = config.assertion.keys[i] ?? ''
    const jwk = createPublicKey(pem).export({ format: 'jwk' }) as JsonObject
    const made = madeAt(pem) ?? Math.floor(statSync(path).mtimeMs / 1000)
    return { written: text.slice(...rangeOf(item)), path, kid: thumbprint(publicMembers(jwk) ?? {}), made }
  })
  const current = read[0]?.made ?? 0
  const changed = Math.ceil(statSync(file).mtimeMs / 1000)
  return {
    keys: read.map((key, i) => ({ ...key, state: i === 0 ? 'current' : key.made >= current ? 'next' : 'previous' })),
    mayBeUsed: changed + PUBLISHED_FIRST,
    // Until two looks have found it the same, the gateway goes on with the old list.
    mayBeRetired: changed + 2 * (config.watch ?? 0) + config.assertion.ttl,
    // A list in block form ends behind its last line.
    print: (written) =>
      `${text.slice(0, from)}keys: [${written.join(', ')}]${text.slice(0, to).endsWith('\n') ? '\n' : ''}${text.slice(to)}`,
  }
}

type Written = Node & { readonly value: unknown }
const isWritten = (node: unknown): node is Written => isScalar(node) && typeof node.value === 'string'

/** yaml gives every node that it parsed its place. */
const rangeOf = ({ range }: Node): [start: number, end: number] => [range?.[0] ?? 0, range?.[1] ?? 0]

/** How a path is written in a list of YAML. */
export const writtenPath = (path: string): string => (/^[\w./-]+$/.test(path) ? path : JSON.stringify(path))

/** Writes another text in place of the file, all of it or nothing; returns its problems instead where it has any. Throws what node:fs throws. */
export function replaceText(file: string, text: string, env: Environment): readonly Problem[] {
  const read = (path: string): string => (path === file ? text : disk.read(path))
  const { problems } = loadConfig(file, env, null, { ...disk, read })
  if (problems.length > 0) return problems
  const target = realpathSync(file)
  const temporary = `${target}.new`
  const { mode, uid, gid } = statSync(target)
  const descriptor = openSync(temporary, 'wx', mode & 0o777)
  try {
    // Whoever could read it must be able to read it still; only root can give it to someone else.
    if (uid !== process.getuid?.() || gid !== process.getgid?.()) fchownSync(descriptor, uid, gid)
    writeFileSync(descriptor, text)
    fsyncSync(descriptor)
    renameSync(temporary, target)
  } catch (error) {
    rmSync(temporary)
    throw error
  } finally {
    closeSync(descriptor)
  }
  return []
}
