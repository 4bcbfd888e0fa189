// Golden cases: each file in cases/ is a routes.yaml, a line of ten dashes, then what loading it says: lines of problems and warnings,
// or a JSON excerpt of the Config. `---------- NAME` begins another file beside it.

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t from 'tap'
import { checkConfig } from '../../src/config/load.js'
import { formatProblem } from '../../src/config/problems.js'
import { writeMaterial } from './material.js'

const CASES = join(process.cwd(), 'test/config/cases')
const ENV = { PORT: '8500', NONCE_SECRET: 'n'.repeat(40), STORE: 'redis', TRICK: `$\{NONCE_SECRET}` }

const folder = mkdtempSync(join(tmpdir(), 'holdfast-config-'))
t.teardown(() => rmSync(folder, { recursive: true }))
await writeMaterial(folder)

for (const file of readdirSync(CASES).sort()) {
  const [yaml = '', ...parts] = readFileSync(join(CASES, file), 'utf8').split(/^-{10}/m)
  const expected = parts.pop()?.trim() ?? ''
  rmSync(join(folder, 'routes.d'), { recursive: true, force: true })
  for (const part of parts) {
    const end = part.indexOf('\n')
    const path = join(folder, part.slice(0, end).trim())
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, part.slice(end + 1))
  }
  writeFileSync(join(folder, 'routes.yaml'), yaml)
  const { config, problems, warnings } = checkConfig(join(folder, 'routes.yaml'), ENV)
  const said = [
    ...problems.map(formatProblem),
    ...warnings.map(({ path, ...warning }) => formatProblem({ ...warning, path: `warning ${path}` })),
  ].map((line) => line.replaceAll(`${folder}/`, ''))
  const title = file.replace('.yaml', '').replaceAll('-', ' ')
  if (expected.startsWith('{')) {
    t.strictSame(problems.map(formatProblem), [], `${title}: no problems`)
    t.hasStrict(JSON.parse(JSON.stringify(config)), JSON.parse(expected), title)
  } else {
    t.equal(said.join('\n'), expected, title)
    t.equal(config === null, problems.length > 0, `${title}: a Config, or problems`)
  }
}
