// `npm run demo`, as a process: the walk comes out as expected, nothing is left behind, and a taken port is named.
import { spawn } from 'node:child_process'
import { mkdirSync, readdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const DEMO = fileURLToPath(new URL('../../examples/demo/demo.js', import.meta.url))
// Above the range that systems give to outgoing connections by default (Linux: up to 60999), so that the ports are free.
const OFFSET = 53_000
const temporary = join(t.testdir({}), 'tmp')
mkdirSync(temporary)

type Ended = { code: number | null; out: string; err: string }

/** Runs the demo; `meanwhile` sees what it has printed, and may send it a signal. */
const demo = (
  args: readonly string[],
  meanwhile?: (out: string, kill: (signal: NodeJS.Signals) => void) => void,
): Promise<Ended> =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, [DEMO, ...args], { env: { ...process.env, TMPDIR: temporary } })
    let out = ''
    let err = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text
      meanwhile?.(out, (signal) => child.kill(signal))
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      err += text
    })
    child.once('close', (code) => resolve({ code, out, err }))
  })

t.test('grants and refuses every line as expected, and exits 0 with --once', async (t) => {
  const { code, out, err } = await demo(['--once', '--port-offset', String(OFFSET)])
  t.equal(code, 0, out + err)
  t.match(out, /All \d+ came out as expected\./)
  t.notMatch(out, /NOT OK/)
  t.match(out, /"typ": "holdfast\+jwt"/)
  t.match(out, /"event_type":"authorization_decision"/)
  t.notMatch(out + err, /oidc-provider/, 'no notices of other programs')
  t.same(readdirSync(temporary), [], 'nothing is left behind')
})

t.test('stays up until SIGINT, and leaves nothing behind', async (t) => {
  let curl: Promise<string> | null = null
  let page: Promise<string> | null = null
  const { code, out } = await demo(['--port-offset', String(OFFSET)], (printed, kill) => {
    if (curl || !printed.includes('Ctrl-C ends everything')) return
    curl = fetch(`http://127.0.0.1:${8080 + OFFSET}/cases/42`).then((response) => response.text())
    page = fetch(`http://localhost:${9500 + OFFSET}`).then((response) => response.text())
    Promise.allSettled([curl, page]).then(() => kill('SIGINT'))
  })
  t.equal(code, 0, out)
  t.match(await curl, /"case":"42"/, 'a command to paste works')
  t.match(out, `In a browser: http://localhost:${9500 + OFFSET} `)
  t.match(await page, /page\.js/)
  t.same(readdirSync(temporary), [])
})

t.test('names the port that is in use, and what to do', async (t) => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(9400 + OFFSET, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const { code, err } = await demo(['--once', '--port-offset', String(OFFSET)])
  t.equal(code, 1)
  t.equal(
    err,
    `port ${9400 + OFFSET} (authorization server) is in use\nEnd what uses it, or move every port: npm run demo -- --port-offset 1000\n`,
  )
})

t.test('refuses wrong usage', async (t) => {
  t.match(await demo(['--port-offset', 'x']), { code: 2, err: /--port-offset N/ })
  t.match(await demo(['--help']), { code: 0, out: /--once/ })
  t.match(await demo(['--twice']), { code: 2, err: /twice/ })
})
