// Judges a value of routes.yaml by its schema, and says what is wrong in our own words. Never repeats the value: it may be a secret.

import type { z } from 'zod'
import type { Findings } from './problems.js'
import { keyOf, type Place, under } from './source.js'

type Issue = z.core.$ZodIssue
type RawIssue = z.core.$ZodRawIssue

/** The parsed value; null when it is wrong, and that was reported. */
export function parse<T>(
  schema: z.ZodType<T>,
  value: unknown,
  { place, findings }: { place: Place; findings: Findings },
): T | null {
  const result = schema.safeParse(value, { error: sentenceOf })
  if (result.success) return result.data
  for (const { path, message, key } of result.error.issues.flatMap(leaves)) {
    const at = under(place, ...path)
    if (key !== undefined) findings.problem(keyOf(at, key), message)
    else findings.problem(at, isMissing(value, path) ? `is required: ${message}` : message)
  }
  return null
}

function isMissing(value: unknown, path: readonly PropertyKey[]): boolean {
  let inner = value
  for (const key of path) inner = typeof inner === 'object' && inner !== null ? Reflect.get(inner, key) : undefined
  return inner === undefined
}

const EXPECTED: Readonly<Record<string, string>> = {
  number: 'a whole number',
  int: 'a whole number',
  boolean: 'on or off',
  array: 'a list',
  object: 'a map of settings',
  record: 'a map of names',
}

function sentenceOf(issue: RawIssue): string | undefined {
  switch (issue.code) {
    case 'invalid_type':
      if (issue.expected !== 'string') return `expected ${EXPECTED[issue.expected] ?? issue.expected}`
      return typeof issue.input === 'number' || typeof issue.input === 'boolean' ? 'expected text, in quotes' : 'expected text'
    case 'invalid_value':
      return `expected ${[...new Set(issue.values.map((value) => (value === false ? 'off' : value)))].join(', ')}`
    case 'too_small':
      return issue.origin === 'array' ? 'expected at least one' : `expected at least ${issue.minimum}`
    case 'too_big':
      return issue.origin === 'array' ? `expected a list of ${issue.maximum} or fewer` : `expected at most ${issue.maximum}`
    default:
      return undefined
  }
}

type Leaf = { readonly path: readonly PropertyKey[]; readonly message: string; readonly code: string; readonly key?: string }

const NO_MESSAGE = 'Invalid input'

function leaves(issue: Issue): readonly Leaf[] {
  const { path, code } = issue
  if (code === 'unrecognized_keys')
    return issue.keys.map((key) => ({ path, code, key, message: 'unknown setting; docs/settings.md lists all there are' }))
  if (code === 'invalid_key') {
    return [{ path: path.slice(0, -1), code, key: String(path.at(-1)), message: issue.issues[0]?.message ?? NO_MESSAGE }]
  }
  if (code !== 'invalid_union' || issue.message !== NO_MESSAGE) return [{ path, code, message: issue.message }]
  const branches = issue.errors.map((branch) => branch.flatMap(leaves))
  // The branch whose form was met, and only something about it is wrong, is the one that was meant.
  const meant = branches.find((branch) => branch.every((leaf) => leaf.path.length > 0 || !ABOUT_FORM.includes(leaf.code)))
  if (meant !== undefined) return meant.map((leaf) => ({ ...leaf, path: [...path, ...leaf.path] }))
  return [{ path, code, message: joined(branches.flatMap((branch) => branch.slice(0, 1)).map(({ message }) => message)) }]
}

const ABOUT_FORM = ['invalid_type', 'invalid_value', 'invalid_format', 'invalid_union', 'custom']

/** `expected off or a duration`; what another message says as well is said once. */
function joined(messages: readonly string[]): string {
  const told = messages.map((message) => message.replace(/^expected /, ''))
  const news = told.filter((text, i) => !told.some((other, j) => j !== i && other.includes(text) && (other !== text || j < i)))
  return `expected ${news.join(' or ')}`
}
