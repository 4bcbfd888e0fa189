// The pages of docs/ that code is the truth of.
import { routesJsonSchema, settingsMarkdown } from '../src/config/print.js'
import { REASONS, type ReasonRow } from '../src/verify/reasons.js'
import { removedHeadersMarkdown } from '../src/verify/reserved-headers.js'

const reasonsMarkdown = (): string =>
  [
    '# Reasons',
    '',
    'Every refusal has one of these reasons. The title is all that a client is told; what exactly was wrong stands in the audit',
    'event (`detail`). Printed from `src/verify/reasons.ts`.',
    '',
    '| reason | status | OAuth error | title | specification |',
    '| --- | ---: | --- | --- | --- |',
    ...Object.entries(REASONS).map(([reason, row]: [string, ReasonRow]) => {
      const error = row.error === null ? '(challenge without error)' : (row.error ?? '-')
      return `| \`${reason}\` | ${row.status} | ${error} | ${row.title} | ${row.spec} |`
    }),
    '',
  ].join('\n')

/** Every generated page, by its path from the root of the project. */
export const generatedPages = (): Readonly<Record<string, string>> => ({
  'docs/reasons.md': reasonsMarkdown(),
  'docs/settings.md': settingsMarkdown(),
  'docs/removed-headers.md': removedHeadersMarkdown(),
  'docs/routes.schema.json': `${JSON.stringify(routesJsonSchema(), null, 2)}\n`,
})
