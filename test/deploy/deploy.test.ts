// The dashboard and the alerts of deploy/ speak of metrics, labels and values that this gateway really has, and every alert leads to a
// section of the runbooks.
import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { METRICS } from '../../src/metrics/catalogue.js'
import { createMetrics } from '../../src/metrics/registry.js'
import { PHASES } from '../../src/times.js'
import { REASONS } from '../../src/verify/reasons.js'
import { readPromql } from '../support/promql.js'
import { READINGS } from '../support/readings.js'

const ROOT = join(import.meta.dirname, '..', '..', '..')
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8')

/** Labels that Prometheus gives its targets. */
const OF_TARGETS = ['job', 'instance']

/** Labels whose values are of a fixed set. */
const VALUES: Readonly<Record<string, readonly string[]>> = {
  reason: ['', ...Object.keys(REASONS)],
  decision: ['permit', 'deny', 'would_deny'],
  phase: Object.keys(PHASES),
  part: Object.keys(READINGS.degraded),
  cache: Object.keys(READINGS.caches),
  signs: ['true', 'false'],
  answer: ['1xx', '2xx', '3xx', '4xx', '5xx', 'gone', ...Object.keys(REASONS)],
}
const RESULTS: Readonly<Record<string, readonly string[]>> = {
  holdfast_tls_handshakes_total: ['full', 'resumed', 'failed'],
  holdfast_trace_spans_total: ['made', 'sent', 'failed'],
}

/** Names that a scrape has, with their labels: ours as the catalogue says (metrics.test.ts holds it to the output), others as they are. */
async function told(): Promise<ReadonlyMap<string, readonly string[]>> {
  const names = new Map<string, readonly string[]>()
  for (const { name, type, values } of await createMetrics(() => READINGS).asJson()) {
    const own = name in METRICS ? METRICS[name as keyof typeof METRICS].labels : Object.keys(values[0]?.labels ?? {})
    if (String(type) !== 'histogram') names.set(name, own)
    else {
      names.set(`${name}_bucket`, [...own, 'le'])
      names.set(`${name}_sum`, own).set(`${name}_count`, own)
    }
  }
  return names
}
const NAMES = await told()

function judge(t: Test, expression: string): void {
  const { selectors, grouping } = readPromql(expression)
  t.not(selectors.length, 0, expression)
  const labels = new Set(OF_TARGETS)
  for (const { metric, matchers } of selectors) {
    const own = NAMES.get(metric)
    if (own === undefined) {
      t.fail(`there is no ${metric}: ${expression}`)
      continue
    }
    for (const label of own) labels.add(label)
    for (const { label, value, isPattern } of matchers) {
      t.ok(own.includes(label) || OF_TARGETS.includes(label), `${metric} has no label ${label}`)
      const set = label === 'result' ? RESULTS[metric] : VALUES[label]
      for (const one of isPattern ? value.split('|') : [value])
        t.ok(set === undefined || value.includes('$') || set.includes(one), `${metric}: ${label} is never ${one}`)
    }
  }
  for (const label of grouping) t.ok(labels.has(label), `nothing in ${expression} has a label ${label}`)
}

t.test('the scanner reads what it must, and nothing else', async (t) => {
  t.strictSame(
    readPromql(
      'sum by (a, le) (rate(x_total{b="c{}",d=~"e|f"}[5m] offset 1h)) / on (job) group_left () y > 2e3 and z - time() < 6 * 3600',
    ),
    {
      selectors: [
        {
          metric: 'x_total',
          matchers: [
            { label: 'b', value: 'c{}', isPattern: false },
            { label: 'd', value: 'e|f', isPattern: true },
          ],
        },
        { metric: 'y', matchers: [] },
        { metric: 'z', matchers: [] },
      ],
      grouping: ['a', 'le', 'job'],
    },
  )
  for (const broken of ['x{', 'x{a}', 'x{a>"b"}', '{a="b"}', 'x # y', 'sum by (a']) t.throws(() => readPromql(broken), broken)
})

type Rule = {
  readonly alert: string
  readonly expr: string
  readonly labels: { readonly severity: string }
  readonly annotations: { readonly summary: string; readonly description: string; readonly runbook_url: string }
}
type RuleFile = { readonly groups: readonly { readonly rules: readonly Rule[] }[] }

const rules = (parse(read('deploy/prometheus/alerts.yaml')) as RuleFile).groups.flatMap((group) => group.rules)

/** The anchors that GitHub gives the headings of a page. */
const anchorsOf = (page: string): readonly string[] =>
  [...page.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  )

t.test('alerts speak of what there is', async (t) => {
  t.ok(rules.length > 10)
  t.equal(new Set(rules.map(({ alert }) => alert)).size, rules.length, 'each has a name of its own')
  for (const { alert, expr, labels, annotations } of rules) {
    judge(t, expr)
    t.match(alert, /^Holdfast[A-Z]/)
    t.match(labels.severity, /^(critical|warning)$/)
    t.ok(annotations.summary && annotations.description, alert)
  }
})

t.test('every alert leads to a runbook that exists', async (t) => {
  for (const { alert, annotations } of rules) {
    const [page = '', anchor = ''] = annotations.runbook_url.split('#')
    t.ok(anchorsOf(read(page)).includes(anchor), `${alert}: ${annotations.runbook_url}`)
  }
})

t.test('every gate that closes, every part and every end has an alert', async (t) => {
  const all = rules.map(({ expr }) => expr).join('\n')
  const needed = [
    'replay_unavailable',
    'revocations_unavailable',
    'keys_unavailable',
    'introspection_unavailable',
    'decision_unavailable',
    'audit_unavailable',
    'overloaded',
    'gateway_fault',
    'proof_replayed',
  ]
  for (const reason of needed) t.match(all, reason)
  for (const part of Object.keys(READINGS.degraded)) t.match(all, `part="${part}"`)
  t.match(all, 'holdfast_expiry_timestamp_seconds')
})

type Panel = {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly targets?: readonly { readonly expr: string; readonly refId: string }[]
}
type Dashboard = {
  readonly uid: string
  readonly panels: readonly Panel[]
  readonly templating: { readonly list: readonly { readonly name: string; readonly query?: unknown }[] }
}

t.test('the dashboard speaks of what there is', async (t) => {
  const { panels, templating } = JSON.parse(read('deploy/grafana/holdfast.json')) as Dashboard
  const charts = panels.filter(({ type }) => type !== 'row')
  t.ok(charts.length > 10)
  t.equal(new Set(panels.map(({ id }) => id)).size, panels.length)
  for (const { title, targets = [] } of charts) {
    t.not(targets.length, 0, title)
    for (const { expr } of targets) judge(t, expr.replaceAll('$__rate_interval', '5m').replaceAll('$__range', '1h'))
  }
  const variables = templating.list.map(({ name }) => name)
  const used = new Set([...JSON.stringify(panels).matchAll(/\$\{?([a-z]\w*)/g)].map(([, name = '']) => name))
  t.strictSame(
    [...used].filter((name) => !variables.includes(name)),
    [],
    'variables that are used are declared',
  )
  const metrics = charts.flatMap(({ targets = [] }) =>
    targets.flatMap(({ expr }) => readPromql(expr.replaceAll('$__rate_interval', '5m').replaceAll('$__range', '1h')).selectors),
  )
  const seen = new Set(metrics.map(({ metric }) => metric.replace(/_(bucket|sum|count)$/, '')))
  t.strictSame(
    Object.keys(METRICS).filter((name) => !seen.has(name)),
    [],
    'every metric has its place on it',
  )
})

t.test('panels do not lie on each other', async (t) => {
  const { panels } = JSON.parse(read('deploy/grafana/holdfast.json')) as Dashboard
  for (const [i, { title, gridPos: a }] of panels.entries()) {
    t.ok(a.x + a.w <= 24, title)
    for (const { title: other, gridPos: b } of panels.slice(i + 1)) {
      const apart = a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y || b.y + b.h <= a.y
      t.ok(apart, `${title} and ${other}`)
    }
  }
})

const promtool = process.env.PROMTOOL ?? 'promtool'
const isThere = spawnSync(promtool, ['--version']).status === 0

t.test(
  'promtool: rules are well-formed and fire when they should',
  { skip: isThere ? false : 'promtool is not on this machine' },
  async (t) => {
    const cwd = join(ROOT, 'deploy/prometheus')
    t.match(execFileSync(promtool, ['check', 'rules', 'alerts.yaml'], { cwd, encoding: 'utf8' }), /SUCCESS/)
    t.match(execFileSync(promtool, ['test', 'rules', 'alerts.test.yaml'], { cwd, encoding: 'utf8' }), /SUCCESS/)
  },
)
