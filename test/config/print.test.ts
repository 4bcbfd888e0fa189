// What is printed from the schema says all that the schema knows.

import { readFileSync } from 'node:fs'
import t from 'tap'
import { parse } from 'yaml'
import { z } from 'zod'
import { routesJsonSchema, settingsMarkdown } from '../../src/config/print.js'
import { routesFile } from '../../src/config/schema.js'
import { ROUTE_RULES, TIER_SETTINGS } from '../../src/verify/policy.js'

const markdown = settingsMarkdown()

t.test('settings.md has a row for every setting, each with a description', async (t) => {
  const names = [...markdown.matchAll(/^\| `([^`]+)` \| [^|]+ \| [^|]* \| ([^|]*) \|$/gm)]
  const described = new Map(names.map(([, name = '', description = '']) => [name, description.trim()]))
  for (const setting of Object.keys(TIER_SETTINGS)) t.ok(described.has(`tiers.NAME.${setting}`), setting)
  for (const rule of Object.keys(ROUTE_RULES)) t.ok(described.has(`routes[].${rule}`), rule)
  for (const part of Object.keys(routesFile.shape)) t.match(markdown, `## ${part}\n`)
  t.strictSame(
    [...described].filter(([, description]) => description === '').map(([name]) => name),
    [],
  )
  t.match(markdown, '| `limits.header_bytes` | size | `32KiB` |')
  t.match(markdown, '| `listen.tls` | `off` or map | required |')
  t.match(markdown, '| `upstreams.NAME.timeouts.body` | `off` or duration | `30s` |')
  t.match(markdown, '| `routes[].tenant.claim` | text | required |')
  t.match(markdown, /\| `nonce` \| - \| off \| off \| off \| required \|/)
  t.match(markdown, /\| `rate_limit` \| rate: 100\/s, by: address \| off /)
})

t.test('the JSON Schema describes routes.yaml', async (t) => {
  const schema = routesJsonSchema() as {
    properties: Record<string, object>
    required: readonly string[]
    additionalProperties: boolean
  }
  t.strictSame(Object.keys(schema.properties), Object.keys(routesFile.shape))
  t.strictSame([...schema.required].sort(), ['assertion', 'listen', 'public_origins', 'upstreams', 'version'])
  t.equal(schema.additionalProperties, false)
  const sample: unknown = parse(readFileSync('routes.yaml', 'utf8'))
  t.ok(routesFile.safeParse(sample).success, 'the sample fits the schema it is printed from')
})

t.test('a reference may stand where a pattern is', async (t) => {
  const text = JSON.stringify(routesJsonSchema())
  const patterns = [...text.matchAll(/"pattern":("(?:[^"\\]|\\.)*")/g)].map(([, pattern = '""']) => String(JSON.parse(pattern)))
  t.ok(patterns.length > 20)
  for (const pattern of patterns) t.match(`x$\{NAME}`, new RegExp(pattern))
  t.ok(z.toJSONSchema(routesFile, { io: 'input', unrepresentable: 'any' }))
})
