// What kits/ promises of itself: short files, a page for each, and vectors of which each bad one has one thing wrong.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import t from 'tap'
import type { Vector } from '../../scripts/vectors/vector.js'
import { file, named, ROOT } from './programs.js'

const KITS = join(ROOT, 'kits')
const folders = readdirSync(KITS).filter((name) => statSync(join(KITS, name)).isDirectory())
const read = (...path: string[]): string => readFileSync(join(KITS, ...path), 'utf8')
/** The file that checks; a language whose library has no client for keys has one beside it. */
const CODE = /^holdfast\w*\.(js|py|go|java|php)$/i

t.test('every kit is short, and has its page', async (t) => {
  const page = read('README.md')
  for (const folder of folders) {
    t.ok(page.includes(`(${folder}/README.md)`), `kits/README.md leads to ${folder}`)
    t.ok(read(folder, 'README.md').length > 0, `kits/${folder}/README.md`)
    const sources = readdirSync(join(KITS, folder), { recursive: true, encoding: 'utf8' }).filter((name) =>
      CODE.test(basename(name)),
    )
    t.ok(sources.length > 0, `kits/${folder} has code`)
    for (const name of sources) t.ok(read(folder, name).split('\n').length <= 100, `kits/${folder}/${name} has under 100 lines`)
  }
})

/** What may differ between two vectors: one thing each. The length and type of a body go with the body. */
const parts = ({ options, request, repeat }: Vector): Record<string, unknown> => ({
  options,
  method: request.method,
  target: request.target,
  assertion: request.headers.filter(([name]) => !/^(host|content-)/i.test(name)),
  body: request.body,
  repeat: repeat ?? false,
})

t.test('a bad vector is a good one with one thing changed', async (t) => {
  const good = file.vectors.filter(({ wrong }) => wrong === null)
  t.ok(good.length >= 10 && file.vectors.length - good.length >= 40, 'enough of both')
  t.equal(new Set(file.vectors.map(({ name }) => name)).size, file.vectors.length, 'no name twice')
  for (const vector of file.vectors) {
    if (vector.wrong === null) continue
    const before = parts(named(vector.name.slice(0, -`, but ${vector.wrong}`.length)))
    const changed = Object.entries(parts(vector)).filter(
      ([part, value]) => JSON.stringify(before[part]) !== JSON.stringify(value),
    )
    t.equal(changed.length, 1, `${vector.name}: ${changed.map(([part]) => part).join(', ')}`)
  }
})
