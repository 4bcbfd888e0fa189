// The rows of the conformance page are whole: none is missing or twice, and what they name is there. Whether the named tests passed is
// for scripts/conformance.ts to say, from their results.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { judge, type Outcome, prefixOf, readTap, withoutResults } from '../../scripts/conformance-page.js'
import { ROWS, TOPICS } from './rows.js'

const ROOT = join(import.meta.dirname, '..', '..', '..')

t.test('every number of every topic is there once and in order', async (t) => {
  for (const { prefix, first, count } of TOPICS) {
    const expected = Array.from({ length: count }, (_, i) => `${prefix}-${String(i + first).padStart(2, '0')}`)
    const found = ROWS.filter((row) => prefixOf(row) === prefix).map(({ id }) => id)
    t.strictSame(found, expected, prefix)
  }
  const known = new Set(TOPICS.map(({ prefix }) => prefix))
  t.strictSame(
    ROWS.map(prefixOf).filter((prefix) => !known.has(prefix)),
    [],
    'no row belongs to no topic',
  )
})

t.test('every row says what must hold, and either what proves it or why nothing does', async (t) => {
  for (const row of ROWS) {
    t.match(row.requirement, /^[^\n]{15,}\.$/, `${row.id} has a sentence`)
    t.match(row.spec, /^\S[^\n]*\S$/, `${row.id} names its specification`)
    if ('not' in row) t.match(row.not, /^[^\n]{15,}\.$/, `${row.id} says why it has no test`)
    else t.ok(row.tests.length > 0, `${row.id} names a test`)
  }
})

t.test('every named test stands in its file', async (t) => {
  const sources = new Map<string, string>()
  for (const row of ROWS) {
    for (const { file, title } of 'tests' in row ? row.tests : []) {
      if (!/^test\/.+\.test\.ts$/.test(file) || !existsSync(join(ROOT, file))) {
        t.fail(`${row.id}: there is no ${file}`)
        continue
      }
      const source = sources.get(file) ?? readFileSync(join(ROOT, file), 'utf8')
      sources.set(file, source)
      if (!standsIn(source, title)) t.fail(`${row.id}: ${file} has no test "${title}"`)
    }
  }
  t.ok(sources.size > 10, 'rows name tests of many files')
})

/**
 * A title is written out, or made by a template, or by a table whose template is the title alone (`t.test(name, ...)`): then it is the
 * table that holds it. A template says no more than what its title looks like; that such a test ran is known from the results.
 */
function standsIn(source: string, title: string): boolean {
  const written = source.replace(/\\(['"`\\])/g, '$1')
  if (["'", '"', '`'].some((quote) => written.includes(`${quote}${title}${quote}`))) return true
  return [...source.matchAll(/\btest\(\s*`((?:\\.|[^`\\])*)`/g)].some(([, template = '']) => {
    const parts = template.split(/\$\{(?:[^{}]|\{[^{}]*\})*\}/).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    return parts.length > 1 && new RegExp(`^${parts.join('.+')}$`).test(title)
  })
}

const TAP = `TAP version 14
# Subtest: a table
    # Subtest: denies one: jkt\\#S384
        ok 1 - should be equal
        not ok 2 - should be equal
          ---
          diff: |
            ok 9 - a line of a diff
          ...
        1..2
    not ok 1 - denies one: jkt\\#S384 # time=1.5ms
    ok 2 - denies two: a \\\\ b # time=2ms
    ok 3 - twice # time=2ms
    not ok 4 - twice # time=2ms
not ok 1 - a table # time=9ms
ok 2 - meets nginx # SKIP nginx is not installed # time=1ms
ok 3 - later # TODO
`

t.test('results are read as TAP 14 has them', async (t) => {
  const outcomes = readTap(TAP)
  t.equal(outcomes.get('denies one: jkt#S384'), 'failed')
  t.equal(outcomes.get('denies two: a \\ b'), 'passed')
  t.equal(outcomes.get('twice'), 'failed', 'the worst of two counts')
  t.strictSame(outcomes.get('meets nginx'), { skipped: 'nginx is not installed' })
  t.equal(outcomes.get('later'), 'failed', 'a test that is to be written proves nothing')
  t.notOk(outcomes.has('a line of a diff'))
})

t.test('a row is judged by all of its tests', async (t) => {
  const outcomes = new Map<string, Outcome>([
    ['good', 'passed'],
    ['bad', 'failed'],
    ['away', { skipped: 'no nginx' }],
  ])
  const judged = (...titles: string[]) => {
    const tests = titles.map((title) => ({ file: 'test/a.test.ts', title }))
    return judge({ id: 'PD-01', requirement: 'r', spec: 's', tests }, (file) => (file === 'test/a.test.ts' ? outcomes : null))
  }
  t.equal(judged('good').result, 'passed')
  t.equal(judged('good', 'away').result, 'skipped: no nginx')
  t.match(judged('good', 'bad'), { result: null, problems: [/^PD-01: "bad" of test\/a.test.ts failed: /] })
  const elsewhere = { id: 'PD-01', requirement: 'r', spec: 's', tests: [{ file: 'test/b.test.ts', title: 'good' }] }
  t.match(
    judge(elsewhere, () => null),
    { result: null, problems: [/^test\/b.test.ts left no results: /] },
  )
  t.match(judged('none', 'away'), { result: null, problems: [/^PD-01: "none" of test\/a.test.ts did not run: /] })
})

t.test('what this machine skipped is not compared, and all else is', async (t) => {
  const page = (one: string, two: string) => `| PD-01 | a \\| b | s | p | ${one} |\n| PD-02 | r | s | p | ${two} |\n`
  const skipped = new Set(['PD-01'])
  const equal = (a: string, b: string) => withoutResults(a, skipped) === withoutResults(b, skipped)
  t.ok(equal(page('skipped: no \\| nginx', 'passed'), page('passed', 'passed')))
  t.notOk(equal(page('passed', 'skipped: x'), page('passed', 'passed')))
  t.notOk(equal(page('failed', 'passed'), page('passed', 'passed')))
})
