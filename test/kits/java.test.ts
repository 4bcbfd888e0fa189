// The Java kit: a filter of javax in Jetty 9, compiled for Java 8, and the same filter of jakarta in Tomcat 10, with Spring Security.
// Maven fetches the libraries once; compiled once for every change of a source.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { ROOT, testKit } from './harness.js'

const CACHE = join(ROOT, 'node_modules', '.cache', 'holdfast', 'kits-java')
const KIT = join(ROOT, 'kits', 'java')
const TESTS = join(ROOT, 'test', 'kits', 'java')
const POM = join(TESTS, 'pom.xml')

const isHere = (program: string): boolean => spawnSync(program, ['-version'], { stdio: 'ignore' }).error === undefined

/** A folder of the cache, named after the contents of `sources` and filled by `fill`, which says whether it could be. */
function cached(name: string, sources: readonly string[], fill: (folder: string) => boolean): string | null {
  const hash = createHash('sha256')
  for (const source of sources) hash.update(readFileSync(source))
  const folder = join(CACHE, `${name}-${hash.digest('hex').slice(0, 16)}`)
  if (existsSync(folder)) return folder
  mkdirSync(CACHE, { recursive: true })
  for (const old of readdirSync(CACHE)) if (old.startsWith(`${name}-`)) rmSync(join(CACHE, old), { recursive: true })
  const being = `${folder}.${process.pid}`
  mkdirSync(being)
  if (!fill(being)) return null
  renameSync(being, folder)
  return folder
}

const fetchJars = (folder: string): boolean =>
  spawnSync('mvn', ['-q', '-B', '-f', POM, 'dependency:copy-dependencies', `-DoutputDirectory=${folder}`], { timeout: 90_000 })
    .status === 0

const sourcesIn = (folder: string): string[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.java'))
    .map((name) => join(folder, name))

/** Compiles for a release of Java, from copies in which `javax.servlet` is the package that is wanted. */
function compile(name: string, release: number, servlet: string, jars: string, sources: readonly string[]): string {
  const folder = cached(name, [POM, ...sources], (into) => {
    const copies = sources.map((source) => join(into, basename(source)))
    for (const [i, copy] of copies.entries()) {
      writeFileSync(copy, readFileSync(sources[i] ?? '', 'utf8').replaceAll('import javax.servlet', `import ${servlet}`))
    }
    const args = ['--release', `${release}`, '-Xlint:-options', '-cp', join(jars, '*'), '-d', into, ...copies]
    const { status, stderr } = spawnSync('javac', args, { encoding: 'utf8' })
    if (status !== 0) throw new Error(stderr)
    return true
  })
  return folder ?? ''
}

type Built = { readonly missing: string | null; readonly servlet: readonly string[]; readonly spring: readonly string[] }

function build(): Built {
  const without = (missing: string): Built => ({ missing, servlet: [], spring: [] })
  if (!isHere('javac')) return without('javac')
  if (!isHere('mvn')) return without('mvn, which fetches nimbus-jose-jwt,')
  const jars = cached('jars', [POM], fetchJars)
  if (jars === null) return without("what test/kits/java/pom.xml names (mvn couldn't fetch it)")
  const kit = [...sourcesIn(KIT), join(TESTS, 'Settings.java')]
  const servlet = compile('servlet', 8, 'javax.servlet', jars, [...kit, ...sourcesIn(join(TESTS, 'servlet'))])
  const spring = compile('spring', 17, 'jakarta.servlet', jars, [
    ...kit,
    ...sourcesIn(join(KIT, 'spring')),
    ...sourcesIn(join(TESTS, 'spring')),
  ])
  const java = (classes: string): string[] => ['java', '-cp', `${classes}:${join(jars, '*')}`]
  return { missing: null, servlet: java(servlet), spring: java(spring) }
}

const { missing, servlet, spring } = build()

testKit({
  name: 'the Java kit',
  missing,
  runner: [...servlet, 'Run'],
  backends: { 'a servlet filter': [...servlet, 'Backend'], 'Spring Security': [...spring, 'SpringBackend'] },
})
