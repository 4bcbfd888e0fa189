// Puts `${NAME}` (environment) and `${file:PATH}` (a mounted secret) into scalars, after YAML was parsed: so a secret can't change
// the structure of the file, and what it holds is not looked at again. `$${` is a literal `${`.

import { dirname, resolve } from 'node:path'
import { isMap, isScalar, isSeq } from 'yaml'
import type { Disk } from './disk.js'
import type { Loading } from './loading.js'
import { codeOf, type Place, type Source, under } from './source.js'

export type Environment = Readonly<Record<string, string | undefined>>

const REFERENCE = /\$\$\{|\$\{([^}]*)(\}?)/g
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/
const FILE = 'file:'

/** Replaces in place; what is missing is a problem with its line. Keys are left as they are. */
export function interpolate(source: Source, { env, disk, findings }: Loading): void {
  const walk = (node: unknown, place: Place): void => {
    if (isMap(node)) for (const { key, value } of node.items) walk(value, under(place, isScalar(key) ? String(key.value) : '?'))
    else if (isSeq(node)) for (const [i, item] of node.items.entries()) walk(item, under(place, i))
    else if (isScalar(node) && typeof node.value === 'string' && node.value.includes('${')) {
      node.value = node.value.replace(REFERENCE, (whole, name: string | undefined, end: string) => {
        if (name === undefined) return '${'
        const found = end === '' ? problem(NO_NAME) : lookUp(name, source, { env, disk })
        if (typeof found === 'string') return found
        findings.unreadable(place, found.problem)
        return whole
      })
    }
  }
  walk(source.document.contents, { source, path: [] })
}

type Missing = { readonly problem: string }
const problem = (text: string): Missing => ({ problem: text })
// biome-ignore lint/suspicious/noTemplateCurlyInString: the notation itself
const NO_NAME = 'expected ${NAME} or ${file:PATH}; write $${ for a literal ${'

function lookUp(name: string, source: Source, { env, disk }: Pick<Loading, 'env' | 'disk'>): string | Missing {
  if (name.startsWith(FILE)) return readSecret(resolve(dirname(source.file), name.slice(FILE.length)), name, disk)
  if (!NAME.test(name)) return problem(NO_NAME)
  const value = Object.hasOwn(env, name) ? env[name] : undefined
  return value ?? problem(`the environment has no ${name}: set it`)
}

function readSecret(path: string, name: string, disk: Disk): string | Missing {
  try {
    return disk.read(path).replace(/\r?\n$/, '')
  } catch (error) {
    return problem(`\${${name}} cannot be read (${codeOf(error)}): mount the secret there, readable for the gateway`)
  }
}
