// `holdfast client` as a person meets it: wrong usage, a file with problems, a start, a request, an end.
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { client } from '../../src/cli/client.js'
import { newCa, startGateway } from '../client/gateway.js'

const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url))
const ca = await newCa()
const gateway = await startGateway({ ...(await ca.issue('localhost')), ca: ca.cert })
t.teardown(() => gateway.close())

const directory = t.testdir({ 'ca.crt': ca.cert })
const file = join(directory, 'client.yaml')
const write = (port: number, token = 'token_file: token.jwt') => {
  writeFileSync(join(directory, 'token.jwt'), 'the-token')
  writeFileSync(
    join(directory, 'key.pem'),
    '-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n',
  )
  writeFileSync(file, `listen: { port: ${port} }\ngateway: ${gateway.origin}\ntls: { ca: ca.crt }\nkey: key.pem\n${token}\n`)
}

const run = async (...args: string[]) => {
  const said: { out: string[]; err: string[] } = { out: [], err: [] }
  const io = {
    out: (line: string) => void said.out.push(line),
    err: (line: string) => void said.err.push(line),
    env: {},
    cwd: directory,
  }
  return { code: await client.run(args, io), ...said }
}

t.test('refuses wrong usage', async (t) => {
  for (const args of [[], ['a', 'b'], ['--port']]) {
    t.match(await run(...args), { code: 2, err: ['holdfast client: expected one FILE', 'try: holdfast client --help'] })
  }
})

t.test('reports the problems of its file, relative to where it was called', async (t) => {
  write(0, 'colour: red')
  const { code, err } = await run('client.yaml')
  t.equal(code, 1)
  t.match(err, [/client\.yaml:1:1 token: say where/, /client\.yaml:5:1 colour: unknown setting/])
})

t.test('says what to do about a port that is in use', async (t) => {
  const taken = createServer()
  const port = await new Promise<number>((resolve) => {
    taken.listen(0, '127.0.0.1', () => resolve((taken.address() as { port: number }).port))
  })
  t.teardown(() => taken.close())
  write(port)
  const { code, err } = await run('client.yaml')
  t.equal(code, 1)
  t.match(err, [`holdfast client: cannot start: port ${port} is in use; change listen.port in FILE`])
})

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  t.test(`runs until ${signal} and exits 0`, async (t) => {
    write(0)
    const child = spawn(process.execPath, [MAIN, 'client', file], { stdio: ['ignore', 'pipe', 'inherit'] })
    t.teardown(() => child.kill('SIGKILL'))
    const line = await new Promise<string>((resolve) => child.stdout.once('data', (data: Buffer) => resolve(data.toString())))
    const address = /passes (\S+) on to (\S+);/.exec(line)
    t.equal(address?.[2], gateway.origin)

    const response = await fetch(`${address?.[1]}/cases/42`)
    t.equal(response.status, 200)
    t.type(gateway.seen.at(-1)?.proof, 'object')

    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
    child.kill(signal)
    t.equal(await ended, 0)
  })
}
