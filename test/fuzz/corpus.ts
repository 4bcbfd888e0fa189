// The inputs that fuzzing begins with, as data: test/fuzz/corpus/NAME.txt holds entries between lines of ten dashes, NAME.words.txt
// one word a line. In both `\r`, `\n`, `\t`, `\\` and `\xNN` stand for bytes, so that a file can hold what an editor would not keep.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '..', '..', '..')
const CORPUS = join(ROOT, 'test/fuzz/corpus')
const CASES = join(ROOT, 'test/config/cases')

const ESCAPES: Readonly<Record<string, string>> = { r: '\r', n: '\n', t: '\t', '\\': '\\' }

const toBytes = (text: string): Buffer =>
  Buffer.from(
    text.replace(/\\(?:x([0-9a-f]{2})|([rnt\\]))/g, (_, hex: string | undefined, letter: string) =>
      hex === undefined ? (ESCAPES[letter] ?? '') : String.fromCharCode(Number.parseInt(hex, 16)),
    ),
    'latin1',
  )

const read = (name: string): string => readFileSync(join(CORPUS, name), 'latin1')

/** The entries of NAME.txt; each ends before the line feed that its last line has. */
export const readEntries = (name: string): readonly Buffer[] =>
  read(`${name}.txt`)
    .split(/^-{10}\n/m)
    .map((entry) => toBytes(entry.replace(/\n$/, '')))

/** The words of NAME.words.txt; none where there is no such file. */
export const readWords = (name: string): readonly Buffer[] =>
  existsSync(join(CORPUS, `${name}.words.txt`))
    ? read(`${name}.words.txt`)
        .split('\n')
        .filter((line) => line !== '')
        .map(toBytes)
    : []

/** Every routes.yaml of the tests of configuration. */
export const readConfigurations = (): readonly Buffer[] =>
  readdirSync(CASES).map((name) => Buffer.from(readFileSync(join(CASES, name), 'utf8').split(/^-{10}/m, 1)[0] ?? ''))
