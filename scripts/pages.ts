// The pages of docs/ that code is the truth of, and the vectors of kits/.
import { clientsJsonSchema, routesJsonSchema, settingsMarkdown } from '../src/config/print.js'
import { METRICS, type MetricRow } from '../src/metrics/catalogue.js'
import { REASONS, type ReasonRow } from '../src/verify/reasons.js'
import { removedHeadersMarkdown } from '../src/verify/reserved-headers.js'
import { VECTORS, vectorsJson } from './vectors/vectors.js'

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

const WORKERS: Readonly<Record<MetricRow['workers'], string>> = {
  sum: 'added up',
  min: 'the least',
  max: 'the largest',
  first: 'any one',
}

const metricsMarkdown = (): string =>
  [
    '# Metrics',
    '',
    "`/metrics` on the admin listener, in Prometheus' text format; with several workers whichever is asked answers for all. A histogram also has",
    '`_bucket{le}`, `_sum` and `_count`. Values of labels are words of routes.yaml or of a fixed set, never what a client says, but for `client_id`.',
    'Beside these there are `process_*` and `nodejs_*` of prom-client: memory, event loop, collections. Printed from `src/metrics/catalogue.ts`;',
    'a dashboard and alerts are in `deploy/`.',
    '',
    '| metric | type | labels | workers | what it says |',
    '| --- | --- | --- | --- | --- |',
    ...Object.entries(METRICS).map(([name, { type, labels, workers, help }]) => {
      const words = labels.map((label) => `\`${label}\``).join(', ')
      return `| \`${name}\` | ${type} | ${words} | ${WORKERS[workers]} | ${help} |`
    }),
    '',
  ].join('\n')

/** Every generated page, by its path from the root of the project. */
export const generatedPages = (): Readonly<Record<string, string>> => ({
  'docs/reasons.md': reasonsMarkdown(),
  'docs/metrics.md': metricsMarkdown(),
  'docs/settings.md': settingsMarkdown(),
  'docs/removed-headers.md': removedHeadersMarkdown(),
  'docs/routes.schema.json': `${JSON.stringify(routesJsonSchema(), null, 2)}\n`,
  'docs/clients.schema.json': `${JSON.stringify(clientsJsonSchema(), null, 2)}\n`,
  [VECTORS]: vectorsJson(),
})
