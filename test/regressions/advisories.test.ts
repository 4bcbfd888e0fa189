// Has every advisory its test? A title that names it, in this folder.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { GATEWAYS, OWN_STACK, PEERS, PROOFS } from './advisories.js'

// The sources, because compiled files of tests that are gone may lie beside us.
const FOLDER = join(import.meta.dirname, '..', '..', '..', 'test', 'regressions')
const TITLE = /\bt\.test\(\s*'([^']+)'/g

const titles = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.test.ts'))
  .flatMap((name) => [...readFileSync(join(FOLDER, name), 'utf8').matchAll(TITLE)])
  .map(([, title = '']) => title)

t.test('every advisory stands in the title of a test, before its colon', async (t) => {
  const named = titles.map((title) => title.slice(0, title.indexOf(': ')))
  for (const id of [...OWN_STACK, ...PROOFS, ...GATEWAYS, ...PEERS]) {
    // `CVE-2026-3380` would else be found in `CVE-2026-33805`.
    const whole = new RegExp(`(?:^|[ ,])${id.replace(/[.*+?^$()|[\]\\]/g, '\\$&')}(?:$|[ ,])`)
    t.ok(
      named.some((title) => whole.test(title)),
      id,
    )
  }
})
