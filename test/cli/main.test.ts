// `holdfast`: command, standard output, standard error, exit code.
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { runCli } from '../../src/cli/main.js'
import { serve } from '../../src/serve.js'

const cwd = t.testdir({})
const COMMANDS = ['serve', 'check', 'explain', 'certs', 'clients', 'client']

async function run(...argv: readonly string[]) {
  const out: string[] = []
  const err: string[] = []
  const io = { out: (line: string) => void out.push(line), err: (line: string) => void err.push(line), env: {}, cwd }
  return { code: await runCli(argv, io, async () => serve), out, err }
}

t.test('holdfast --help lists every command', async (t) => {
  const { code, out, err } = await run('--help')
  t.equal(code, 0)
  t.same(err, [])
  for (const name of COMMANDS) t.match(out.join('\n'), new RegExp(`^  ${name} +\\S.+$`, 'm'))
  t.same(await run('-h'), { code, out, err })
  t.same(await run('help'), { code, out, err })
  t.same(await run(), { code: 2, out, err }, 'the same without a command, which is wrong usage')
})

t.test('holdfast COMMAND --help tells all of one', async (t) => {
  for (const name of COMMANDS) {
    const { code, out, err } = await run(name, '--help')
    t.equal(code, 0)
    t.same(err, [])
    t.match(out[0], new RegExp(`^holdfast ${name}\\b`), name)
    t.same(await run(name, '-h'), { code, out, err })
  }
})

t.test('wrong usage is exit code 2, with a way on', async (t) => {
  t.same(await run('sevre'), { code: 2, out: [], err: ['holdfast: there is no command "sevre"', 'try: holdfast --help'] })
  for (const argv of [
    ['serve', 'a.yaml', 'b.yaml'],
    ['serve', '--nonsense'],
    ['check', 'a', 'b'],
    ['check', '--nonsense'],
    ['explain'],
    ['explain', '--nonsense'],
    ['certs'],
    ['client'],
    ['clients'],
    ['clients', 'show'],
    ['clients', 'list', 'partner-1'],
    ['clients', 'check', '--nonsense'],
  ]) {
    const { code, err } = await run(...argv)
    t.equal(code, 2, argv.join(' '))
    t.match(err.at(-1), /^try: holdfast \w+ --help$/)
  }
})

t.test('a file that is not there is said so, exit code 1', async (t) => {
  for (const name of ['serve', 'check']) {
    const { code, err } = await run(name, 'nowhere.yaml')
    t.equal(code, 1, name)
    t.match(err[0], /nowhere\.yaml/)
  }
})

t.test('as a process', async (t) => {
  const main = join(import.meta.dirname, '..', '..', 'src', 'main.js')
  const start = (...args: string[]) =>
    new Promise<{ code: unknown; out: string; err: string }>((resolve) => {
      execFile(process.execPath, [main, ...args], { cwd }, (error, out, err) => resolve({ code: error?.code ?? 0, out, err }))
    })
  t.match(await start('--version'), { code: 0, out: /^\d+\.\d+\.\d+\n$/, err: '' })
  t.match(await start('nonsense'), { code: 2, out: '', err: /try: holdfast --help\n$/ })
})

t.test('wherever the gateway is started, node gets the same flags', async (t) => {
  const root = join(import.meta.dirname, '..', '..', '..')
  const read = (name: string) => readFileSync(join(root, name), 'utf8')
  const flags = /^#!\/usr\/bin\/env -S node (.+)$/m.exec(read('src/main.ts'))?.[1] ?? ''
  t.match(flags, /^--\S/)
  t.match(read('package.json'), `node ${flags} dist/src/main.js serve`)
  t.match(read('Dockerfile'), `ENTRYPOINT ["node", "${flags}", `)
  t.match(read('deploy/systemd/holdfast.service'), `ExecStart=/usr/bin/node ${flags} /opt/holdfast/dist/src/main.js serve `)
})
