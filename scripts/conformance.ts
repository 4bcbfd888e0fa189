// `npm run conformance`, after `npm test`: prints docs/conformance.md from the rows of test/conformance/ and the results of that run, and
// refuses while a test that a row names did not run or did not pass. With --check nothing is written: exits 1 when the page is stale, too.
//
// Skipped tests. A test that says SKIP in the run (a real nginx that this machine has not got) is no failure: the page then says
// `skipped: why` of its rows, or `passed` where the machine that printed it could run them; --check takes either for these rows, and for
// no others. So a page that says `skipped` is stale on a machine that ran the test, and never the other way round. A test that has
// subtests and is skipped as a whole has no results of these: rows name the test itself.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { ROWS, TOPICS } from '../test/conformance/rows.js'
import { judge, type Outcome, printPage, readTap, resultsOf, withoutResults } from './conformance-page.js'

const PAGE = 'docs/conformance.md'

const files = new Map<string, ReadonlyMap<string, Outcome> | null>()
function outcomes(file: string): ReadonlyMap<string, Outcome> | null {
  const path = resultsOf(file)
  const known = files.get(path)
  if (known !== undefined) return known
  const read = existsSync(path) ? readTap(readFileSync(path, 'utf8')) : null
  files.set(path, read)
  return read
}

function problemsOf(isCheck: boolean): readonly string[] {
  if (!existsSync('.tap/test-results')) return ['there are no results of a test run here: run npm test first']
  const judged = ROWS.map((row) => judge(row, outcomes))
  const problems = [...new Set(judged.flatMap((one) => one.problems))]
  if (problems.length > 0) return problems
  const page = printPage(judged, TOPICS)
  const written = existsSync(PAGE) ? readFileSync(PAGE, 'utf8') : ''
  const skipped = new Set(judged.filter(({ result }) => result?.startsWith('skipped: ')).map(({ row }) => row.id))
  if (withoutResults(page, skipped) === withoutResults(written, skipped)) return []
  if (isCheck) return [`${PAGE} is stale: run npm run conformance`]
  writeFileSync(PAGE, page)
  process.stdout.write(`${PAGE} written\n`)
  return []
}

const problems = problemsOf(process.argv.includes('--check'))
for (const line of problems) process.stderr.write(`${line}\n`)
process.exitCode = problems.length === 0 ? 0 : 1
