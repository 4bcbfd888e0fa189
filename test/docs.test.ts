// Docs say what the code does: generated pages are current, every reason has a row, and what the README shows works.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { generatedPages } from '../scripts/pages.js'
import { certs } from '../src/cli/certs.js'
import { loadConfig } from '../src/config/load.js'
import { client } from '../src/config/schema-clients.js'
import { REASONS } from '../src/verify/reasons.js'

const ROOT = join(import.meta.dirname, '..', '..')
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8')
const tests = readdirSync(join(ROOT, 'test'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.test.ts'))
  .map((name) => ({ name, text: read(join('test', name)) }))

/** What is in the place of another setting that is shown, or a text of many lines. */
const NOT_SHOWN: readonly string[] = ['issuer', 'jwks_file', 'software_statement']

t.test('generated pages are current', async (t) => {
  for (const [path, text] of Object.entries(generatedPages())) t.equal(read(path), text, `${path}: run npm run docs`)
})

t.test('every reason is provoked by a test that names it', async (t) => {
  for (const reason of Object.keys(REASONS)) {
    const row = new RegExp(`reason: '${reason}'|denies ${reason}`)
    t.ok(
      tests.some(({ text }) => row.test(text)),
      `${reason} needs a row: \`reason: '${reason}'\`, or a test titled "denies ${reason}: ..."`,
    )
  }
})

t.test('no test names a reason that does not exist', async (t) => {
  for (const { name, text } of tests) {
    for (const [, reason] of text.matchAll(/\breason: '([a-z_]+)'/g)) t.ok(reason && reason in REASONS, `${name}: ${reason}`)
  }
})

t.test('the ten lines of the README are enough, and docs/browser.md adds to them', async (t) => {
  const yamlOf = (page: string): string => /```yaml\n([\s\S]*?)```/.exec(read(page))?.[1] ?? ''
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-readme-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const silent = { out: () => undefined, err: () => undefined, env: {}, cwd: folder }
  t.equal(await certs.run(['certs'], silent), 0, 'holdfast certs certs')
  for (const yaml of [yamlOf('README.md'), yamlOf('README.md') + yamlOf('docs/browser.md')]) {
    writeFileSync(join(folder, 'routes.yaml'), yaml)
    t.same(loadConfig(join(folder, 'routes.yaml'), {}).problems, [])
  }
})

t.test('the registry of docs/clients.md is whole, and nothing of it is wrong', async (t) => {
  const [routes = '', clients = ''] = [...read('docs/clients.md').matchAll(/```yaml\n([\s\S]*?)```/g)].map(
    ([, yaml]) => yaml ?? '',
  )
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-clients-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const silent = { out: () => undefined, err: () => undefined, env: {}, cwd: folder }
  t.equal(await certs.run(['certs'], silent), 0, 'holdfast certs certs')
  writeFileSync(join(folder, 'routes.yaml'), routes)
  writeFileSync(join(folder, 'clients.yaml'), clients)
  const { config, problems } = loadConfig(join(folder, 'routes.yaml'), { NONCE_SECRET: 'n'.repeat(32) })
  t.same(problems, [])
  t.same(
    config?.clients?.map(({ client_id, status }) => [client_id, status]),
    [
      ['partner-1', 'active'],
      ['acme-export', 'active'],
      ['partner-2', 'draft'],
    ],
  )
  // A reader takes it as it stands: what is left out of it, he takes for not there.
  const shown = new Set(clients.match(/\b[a-z_]+(?=:)/g))
  for (const setting of Object.keys(client.shape)) if (!NOT_SHOWN.includes(setting)) t.ok(shown.has(setting), setting)
})

t.test('links of the README lead somewhere', async (t) => {
  for (const [, path] of read('README.md').matchAll(/\]\(((?!https:)[^)#]+)\)/g)) {
    t.ok(path && readdirSync(join(ROOT, path, '..')).includes(path.replace(/\/$/, '').split('/').at(-1) ?? ''), String(path))
  }
})
