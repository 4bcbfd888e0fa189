// docs/settings.md and the JSON Schemas beside it, printed from the schema that judges routes.yaml, so that they cannot say anything else.

import { z } from 'zod'
import { CHECKS } from '../verify/policy.js'
import { duration, endOfDate, rate, size } from '../verify/scalars.js'
import { routesFile } from './schema.js'
import { clientsFile } from './schema-clients.js'
import { BUILT_IN_TIERS, READ_WITHOUT_TOKEN } from './tiers.js'

type Json = z.core.JSONSchema.JSONSchema

const toJson = (schema: z.ZodType): Json =>
  z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any', override: admitReferences })

const REFERENCE = '\\$\\{'

/** A value may also be `${NAME}`, which no pattern of a value fits. */
function admitReferences({ jsonSchema }: { readonly jsonSchema: Json }): void {
  if (jsonSchema.pattern !== undefined && !jsonSchema.pattern.endsWith(REFERENCE))
    jsonSchema.pattern = `(?:${jsonSchema.pattern})|${REFERENCE}`
}

/** The JSON Schema of routes.yaml, from which editors complete it. */
export function routesJsonSchema(): object {
  return { ...toJson(routesFile), title: 'routes.yaml of Holdfast' }
}

/** The same of clients.yaml, which routes.yaml may name in `clients`. */
export function clientsJsonSchema(): object {
  return { ...toJson(clientsFile), title: 'clients.yaml of Holdfast' }
}

const SCALARS: ReadonlyMap<string | undefined, string> = new Map([
  [toJson(duration).pattern, 'duration'],
  [toJson(size).pattern, 'size'],
  [toJson(rate).pattern, 'rate'],
  [toJson(endOfDate).pattern, 'date'],
])

type Row = { readonly name: string; readonly type: string; readonly fallback: string; readonly description: string }

/** One row for each setting; lists and maps show what is in them as `[]` and `NAME`. */
function rows(schema: Json, prefix: string): readonly Row[] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, value]) => {
    if (typeof value === 'boolean') return []
    const name = `${prefix}${key}`
    const row = {
      name,
      type: typeOf(value),
      fallback: fallbackOf(value, schema.required?.includes(key) ?? false),
      description: value.description ?? '',
    }
    return [row, ...inner(value, name)]
  })
}

function inner(schema: Json, name: string): readonly Row[] {
  const { items, additionalProperties, anyOf } = schema
  if (schema.properties !== undefined) return rows(schema, `${name}.`)
  if (isSchema(items) && items.properties !== undefined) return rows(items, `${name}[].`)
  if (isSchema(additionalProperties) && additionalProperties.properties !== undefined)
    return rows(additionalProperties, `${name}.NAME.`)
  const single = anyOf?.find((one): one is Json => isSchema(one) && one.properties !== undefined)
  const list = anyOf?.find((one): one is Json => isSchema(one) && isSchema(one.items) && one.items.properties !== undefined)
  if (single === undefined && list !== undefined) return inner(list, name)
  // A rate with `by` is told in one sentence.
  return single === undefined || name.endsWith('rate_limit') ? [] : rows(single, `${name}.`)
}

const isSchema = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)

function typeOf(schema: Json): string {
  const scalar = SCALARS.get(schema.pattern)
  if (scalar !== undefined) return scalar
  if (schema.title !== undefined) return schema.title
  if (schema.const !== undefined) return `\`${schema.const}\``
  if (schema.enum !== undefined) return words(schema.enum)
  if (schema.anyOf !== undefined)
    return joined(
      schema.anyOf
        .filter(isSchema)
        .filter((one) => one.const !== false)
        .map(typeOf),
    )
  if (schema.type === 'array') return `list of ${isSchema(schema.items) ? typeOf(schema.items) : 'values'}`
  if (schema.type === 'object') return isSchema(schema.additionalProperties) ? 'map by name' : 'map'
  return schema.type === 'string' ? 'text' : schema.type === 'boolean' ? '`true`, `false`' : String(schema.type ?? 'value')
}

const words = (values: readonly unknown[]): string =>
  values
    .filter((value) => value !== false)
    .map((value) => `\`${value}\``)
    .join(', ')

const ON_OFF = '`on`, `off` or `true`, `false`'
const joined = (types: readonly string[]): string => {
  const text = [...new Set(types)].join(' or ')
  return text === ON_OFF ? '`on`, `off`' : text
}

function fallbackOf(schema: Json, isRequired: boolean): string {
  if (isRequired) return 'required'
  if (schema.default === undefined) return ''
  if (schema.default === false) return '`off`'
  const text = JSON.stringify(schema.default)
  return text === '{}' || text === '[]' ? '' : `\`${text.replaceAll('"', '')}\``
}

const table = (head: readonly string[], lines: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...lines]
    .map((cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`)
    .join('\n')

const settingsTable = (all: readonly Row[]): string =>
  table(
    ['setting', 'type', 'default', 'what it is'],
    all.map(({ name, type, fallback, description }) => [`\`${name}\``, type, fallback, description]),
  )

function tierTable(): string {
  const tiers = Object.keys(BUILT_IN_TIERS)
  const settings = Object.keys(BUILT_IN_TIERS.public ?? {})
  const cell = (tier: string, setting: string): string => {
    const settings = BUILT_IN_TIERS[tier] ?? {}
    if (settings.token === 'none' && !READ_WITHOUT_TOKEN.includes(setting)) return '-'
    const value = settings[setting]
    if (Array.isArray(value)) return value.join(' ')
    return isSchema(value)
      ? Object.entries(value)
          .map(([key, text]) => `${key}: ${text}`)
          .join(', ')
      : String(value)
  }
  return table(
    ['setting', ...tiers],
    settings.map((setting) => [`\`${setting}\``, ...tiers.map((tier) => cell(tier, setting))]),
  )
}

/** Which check reads a setting, and for the sake of what. */
function specTable(): string {
  const readBy = CHECKS.flatMap(({ name, spec, settings, rules }) =>
    [...Object.keys(settings), ...Object.keys(rules)].map((setting) => [`\`${setting}\``, name, spec]),
  )
  return table(['setting', 'check', 'specification'], readBy)
}

/** The text of docs/settings.md. */
export function settingsMarkdown(): string {
  const schema = toJson(routesFile)
  const sections = Object.entries(schema.properties ?? {}).map(([key, value]) => {
    const all = rows({ type: 'object', properties: { [key]: value }, required: schema.required ?? [] }, '')
    const tiers = key === 'tiers' ? `\n\nThe built-in tiers:\n\n${tierTable()}\n\nWhat reads them:\n\n${specTable()}` : ''
    return `## ${key}\n\n${settingsTable(all)}${tiers}\n`
  })
  return `# Settings

Printed from the schema of \`src/config/\` by \`npm run docs\`; \`holdfast check\` judges routes.yaml by the same.

Durations are written \`200ms 30s 5m 1h 1d\`, sizes \`512B 64KiB 1MiB 1GiB\`, rates \`100/s 600/m\`, dates \`2027-03-31\`. Paths are relative to
the file that names them. \`\${NAME}\` (environment) and \`\${file:PATH}\` (a mounted secret, final newline dropped) are replaced inside values,
which stand in quotes then; \`$\${\` is a literal. Unknown settings are errors. An empty default means: none, or as the last column says.

${sections.join('\n')}`
}
