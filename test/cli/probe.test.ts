// `holdfast probe` as a person or a pipeline meets it: wrong usage, who is asked, whom it refuses to attack, what it writes, how it
// ends. Nothing may be sent before all of that is settled; the server's own process counts.
import { subscribe } from 'node:diagnostics_channel'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { runCli } from '../../src/cli/main.js'
import { openCredentials } from '../../src/client/credentials.js'
import { readSettings } from '../../src/client/settings.js'
import type { Report } from '../../src/probe/attack.js'
import { CATALOGUE } from '../../src/probe/catalogue.js'
import { watchAddress } from '../../src/probe/place.js'
import { runProbe } from '../../src/probe/run.js'
import { dpopClient, makePlace, makeToken } from '../probe/place.js'
import { startWeakServer } from '../probe/weak-server.js'
import { makeCertificates } from '../support/certificates.js'
import { makeKey } from '../support/jwt.js'

const PATH = '/v1/payments'
const ONE = ['--only', 'proof-typ-jwt', '--rate', '1000']

/** Every connection and request that reaches a server of this process. */
const seen = { connections: 0, requests: [] as number[] }
subscribe('net.server.socket', () => {
  seen.connections++
})
subscribe('http.server.request.start', () => {
  seen.requests.push(Date.now())
})

const certificates = await makeCertificates('localhost')
const {
  'ca.crt': ca = '',
  'server.crt': cert = '',
  'server.key': serverKey = '',
  'client-ca.crt': clientCa = '',
} = certificates.files
const issuer = makeKey('ES256')
const key = makeKey('ES256')
const place = makePlace()
place.write('ca.crt', ca)
place.write('other-ca.crt', clientCa)
const server = await startWeakServer({ tls: { cert, key: serverKey, ca: clientCa }, issuer, path: PATH })
const { origin, port } = server
const url = origin + PATH
const token = makeToken({ issuer, origin, cnf: { jkt: key.jkt } })
const client = dpopClient(place, origin, { key, token })
const from = [url, '--token-from', client]
t.teardown(async () => {
  await server.close()
  place.remove()
})

type Person = { readonly answer: string; readonly columns?: number }
type Ran = {
  readonly code: number
  readonly out: readonly string[]
  readonly err: readonly string[]
  readonly asked: readonly string[]
  readonly progress: readonly (string | null)[]
  readonly connections: number
  readonly requests: number
}

/** `holdfast probe ARGS`; without a person nobody can be asked. */
async function run(args: readonly string[], person?: Person): Promise<Ran> {
  const [out, err, asked, progress]: [string[], string[], string[], (string | null)[]] = [[], [], [], []]
  const before = { connections: seen.connections, requests: seen.requests.length }
  const terminal = person && {
    ask: async (question: string) => {
      asked.push(question)
      return person.answer
    },
    progress: (line: string | null) => void progress.push(line),
    columns: person.columns ?? 100,
  }
  const io = {
    out: (line: string) => void out.push(line),
    err: (line: string) => void err.push(line),
    env: {},
    cwd: place.folder,
    ...(terminal === undefined ? {} : { terminal }),
  }
  const code = await runCli(['probe', ...args], io, async () => ({ name: 'serve', summary: '', help: '', run: async () => 0 }))
  const sent = { connections: seen.connections - before.connections, requests: seen.requests.length - before.requests }
  return { code, out, err, asked, progress, ...sent }
}

const refusedUnsent = (t: Test, ran: Ran, sentence: RegExp, code = 2): void => {
  t.equal(ran.code, code)
  t.match(ran.err.join('\n'), sentence)
  t.same([ran.out, ran.connections, ran.requests], [[], 0, 0], 'and nothing was sent')
}

t.test('--help tells all', async (t) => {
  const { code, out, err, connections } = await run(['--help'])
  t.equal(code, 0)
  t.same([err, connections], [[], 0])
  const help = out.join('\n')
  t.match(help, /^holdfast probe URL --token-from CONFIG/)
  t.match(help, /Exit code: 0 .* 1 .* 2 /)
  const OPTIONS = [
    'token-from',
    'second',
    'wrong-token',
    'method',
    'data',
    'header',
    'granted',
    'echo',
    'http',
    'only',
    'skip',
    'rate',
  ]
  const MORE = ['flood', 'patient', 'address', 'yes', 'json', 'junit', 'html', 'verbose', 'fail-on', 'list']
  for (const option of [...OPTIONS, ...MORE]) t.match(help, new RegExp(`--${option}\\b`), option)
})

/** What is wrong, and what is said of it. */
const WRONG: readonly (readonly [args: readonly string[], sentence: RegExp])[] = [
  [[], /expected a URL/],
  [[url], /expected --token-from CONFIG/],
  [[...from, 'https://localhost/'], /expected one URL/],
  [[...from, '--nonsense'], /Unknown option '--nonsense'/],
  [[...from, '--rate'], /'--rate <value>' argument missing/],
  [[...from, '--yes=really'], /'--yes' does not take an argument/],
  [[...from, '--method', 'GE T'], /--method is not a method/],
  [[...from, '--method', ''], /--method is not a method/],
  [[...from, '--header', 'no colon'], /--header is not of the form 'Name: value'/],
  [[...from, '--header', 'a b: c'], /--header is not of the form/],
  [[...from, '--header', 'X: a\r\nY: b'], /--header is not of the form/],
  [[...from, '--granted', '99'], /--granted is a number from 200 to 599/],
  [[...from, '--granted', 'yes'], /--granted is a number/],
  [[...from, '--http', '3'], /--http is one of 1\.1, 2/],
  [[...from, '--rate', '0'], /--rate is a number from 1 to 1000/],
  [[...from, '--rate', '1e2'], /--rate is a number/],
  [[...from, '--rate', ''], /--rate is a number/],
  [[...from, '--flood', ''], /--flood is a number from 0 to 100000/],
  [[...from, '--flood', '-1'], /--flood/],
  [[...from, '--address', 'localhost'], /--address is not an IP address/],
  [[...from, '--fail-on', 'none'], /--fail-on is one of critical, high, medium, low/],
  [[...from, '--json', '-', '--junit', '-'], /only one report can be standard output/],
  [[...from, '--only', 'prove'], /no attack has the id or topic "prove"/],
  [[...from, '--only', 'proof,'], /no attack has the id or topic ""/],
  [[...from, '--skip', 'toString'], /no attack has the id or topic "toString"/],
  [[...from, '--only', 'proof', '--skip', 'proof'], /--only and --skip leave no attack/],
  [['--list', 'a', 'b'], /expected one URL/],
]

t.test('wrong usage is exit code 2, a sentence, and nothing sent', async (t) => {
  for (const [args, sentence] of WRONG) {
    t.test(`refuses ${args.slice(args[0] === url ? 3 : 0).join(' ') || 'too little'}`, async (t) => {
      const ran = await run(['--yes', ...args])
      refusedUnsent(t, ran, sentence)
      t.match(ran.err[0], /^holdfast probe: /)
      t.match(ran.err.at(-1), /^try: holdfast probe --(?:help|list)$/)
    })
  }
})

t.test('refuses what is no place to attack', async (t) => {
  for (const [given, sentence] of [
    ['nowhere', /"nowhere" is no URL/],
    [url.replace('https:', 'http:'), /only https URLs/],
    [`${url}#x`, /a user name or a fragment/],
    [url.replace('//', '//me@'), /a user name or a fragment/],
  ] as const)
    refusedUnsent(t, await run([given, '--token-from', client, '--yes']), sentence)
})

t.test("refuses another origin than that of CONFIG's gateway", async (t) => {
  for (const other of [
    `https://127.0.0.1:${port}${PATH}`,
    `https://localhost:${port + 1}${PATH}`,
    `https://LOCALHOST.:${port}${PATH}`,
  ]) {
    refusedUnsent(
      t,
      await run([other, '--token-from', client, '--yes']),
      /a token is only sent to the gateway that its file names/,
    )
  }
  const elsewhere = dpopClient(place, 'https://api.example.com', { key, token, name: 'elsewhere' })
  refusedUnsent(
    t,
    await run([...from, '--second', elsewhere, '--yes']),
    /elsewhere\.yaml: gateway is https:\/\/api\.example\.com/,
  )
})

t.test('refuses files that are not there before anything is sent', async (t) => {
  refusedUnsent(t, await run([url, '--token-from', 'none.yaml', '--yes']), /none\.yaml/)
  refusedUnsent(t, await run([...from, '--second', 'none.yaml', '--yes']), /none\.yaml/)
  refusedUnsent(t, await run([...from, '--wrong-token', 'none.jwt', '--yes']), /--wrong-token none\.jwt: cannot be read/)
  refusedUnsent(t, await run([...from, '--data', '@none.json', '--yes']), /--data none\.json: cannot be read/)
  refusedUnsent(t, await run([...from, '--html', 'none/page.html', '--yes']), /--html none\/page\.html: there is no such folder/)
  refusedUnsent(t, await run([...from, '--json', '.', '--yes']), /--json \.: is a folder/)
  const broken = place.write('broken.yaml', `gateway: ${origin}\ncolour: red\n`)
  refusedUnsent(t, await run([url, '--token-from', broken, '--yes']), /broken\.yaml:2:1 colour: unknown setting/)
})

t.test('--list prints every attack once', async (t) => {
  const { code, out, connections } = await run(['--list'])
  t.same([code, connections], [0, 0])
  const ids = out.flatMap((line) => /^ {2}([a-z]\S*) +(?:critical|high|medium|low)\b/.exec(line)?.[1] ?? [])
  t.same(ids.toSorted(), CATALOGUE.map(({ id }) => id).toSorted())
  t.equal(new Set(ids).size, ids.length, 'ids are unique')
  const time = await run(['--list', '--only', 'time', '--skip', 'time-old-600'], { answer: '', columns: 60 })
  t.equal(time.out.at(-1), `${CATALOGUE.filter(({ topic }) => topic === 'time').length - 1} attacks in 1 topic`)
  t.ok(
    time.out.every((line) => line.length <= 60),
    'as wide as the terminal',
  )
})

t.test('asks before anything is sent', async (t) => {
  for (const answer of ['', 'y', 'yes', 'localhost.evil.example', `localhost:${port}`]) {
    const ran = await run([...from, ...ONE], { answer })
    refusedUnsent(t, ran, /not confirmed: nothing was sent/)
    t.equal(ran.asked.length, 1)
    t.match(ran.err.join('\n'), new RegExp(`${origin} at (?:127\\.0\\.0\\.1|::1)\\.`), 'whom it would attack, and where')
  }
  refusedUnsent(t, await run([...from, ...ONE]), /nobody is there to confirm it; say --yes .*nothing was sent/)
  const ran = await run([...from, ...ONE, '--address', '127.0.0.1'], { answer: ' LocalHost ' })
  t.equal(ran.code, 0)
  t.ok(ran.requests > 2)
  t.match(ran.progress[0], /^1\/1 typ is JWT/)
  t.equal(ran.progress.at(-1), null, 'the line of progress is taken away')
  t.same((await run([...from, ...ONE, '--yes'], { answer: '' })).asked, [], '--yes: does not ask')
})

t.test('refuses an --address that the host has not', async (t) => {
  refusedUnsent(
    t,
    await run([...from, '--address', '192.0.2.1', '--yes']),
    /localhost is at .*127\.0\.0\.1.*, not at 192\.0\.2\.1: nothing was sent/,
  )
  t.equal((await run([...from, ...ONE, '--address', '127.0.0.1', '--yes'])).code, 0)
})

t.test('stops when the host is somewhere else', async (t) => {
  let addresses = ['127.0.0.1', '::1']
  let asked = 0
  const lookUp = async (hostname: string) => {
    t.equal(hostname, 'api.example.com')
    asked++
    return addresses
  }
  const eager = watchAddress('api.example.com', '127.0.0.1', { lookUp, everyMs: 0 })
  await eager()
  addresses = ['192.0.2.1', '127.0.0.1']
  await eager()
  addresses = ['192.0.2.1']
  await t.rejects(eager(), { name: 'ProbeError', message: /^api\.example\.com is no longer at 127\.0\.0\.1: stopped/ })
  t.equal(asked, 3)
  const rarely = watchAddress('api.example.com', '127.0.0.1', { lookUp, everyMs: 60_000 })
  await rarely()
  t.equal(asked, 3, 'and asks no more often than it was told')
})

t.test('sends nothing more once the host is somewhere else', async (t) => {
  const own = readSettings(client)
  if ('problems' in own) throw new Error(own.problems.join())
  const credentials = openCredentials(own)
  t.teardown(() => credentials.close())
  const route = { address: '127.0.0.1', port, hostname: 'localhost', ca, own: null }
  const right = { origin, host: `localhost:${port}`, method: 'GET', path: PATH, body: null, headers: [] }
  const given = { grantedStatuses: new Set<number>(), issuerKeys: [], wrongTokens: new Map(), echoes: false, isPatient: false }
  const settings = { route, ...right, ...given, credentials, second: null, protocol: 'http/1.1' as const, rate: 1000, flood: 0 }
  const made: string[] = []
  let addresses = ['127.0.0.1']
  const attacks = CATALOGUE.slice(0, 3).map((attack) => ({
    ...attack,
    run: async () => {
      made.push(attack.id)
      addresses = ['192.0.2.1']
      return { verdict: 'held' as const, sent: '', came: '' }
    },
  }))
  const stillThere = watchAddress('localhost', '127.0.0.1', { lookUp: async () => addresses, everyMs: 0 })
  await t.rejects(runProbe({ settings, attacks, report: () => undefined, stillThere }), /no longer at 127\.0\.0\.1: stopped/)
  t.same(made, [attacks[0]?.id])
})

t.test('says why it could not begin, exit code 1', async (t) => {
  const closed = await new Promise<number>((resolve) => {
    const taken = createServer().listen(0, '127.0.0.1', () => {
      const { port } = taken.address() as { port: number }
      taken.close(() => resolve(port))
    })
  })
  const nobody = dpopClient(place, `https://localhost:${closed}`, { key, token, name: 'nobody' })
  const unreachable = await run([`https://localhost:${closed}/`, '--token-from', nobody, '--yes'])
  refusedUnsent(t, unreachable, /^holdfast probe: no connection to localhost at .*ECONNREFUSED.*Is it up/, 1)

  const stranger = place.write('stranger.yaml', readFileSync(client, 'utf8').replace('ca.crt', 'other-ca.crt'))
  const untrusted = await run([url, '--token-from', stranger, '--yes'])
  t.equal(untrusted.code, 1)
  t.match(untrusted.err.join('\n'), /^holdfast probe: no connection to localhost at .*certificate.*is its CA in tls\.ca/)
  t.equal(untrusted.requests, 0, 'no token goes to a server that is not who it says')

  const old = makeToken({ issuer, origin, cnf: { jkt: key.jkt }, claims: { exp: Math.floor(Date.now() / 1000) - 60 } })
  const refused = await run([url, '--token-from', dpopClient(place, origin, { key, token: old, name: 'old' }), '--yes'])
  t.equal(refused.code, 1)
  t.match(refused.err.join('\n'), /^holdfast probe: the right request is not granted, .*401 DPoP error="invalid_token"/)
  t.notMatch(refused.err.join('\n'), old, 'and does not show the token')
})

t.test('writes its reports, and shows no token in any of them', async (t) => {
  const files = {
    json: join(place.folder, 'probe.json'),
    junit: join(place.folder, 'probe.xml'),
    html: join(place.folder, 'probe.html'),
  }
  const TOKENS = 'binding-ath-token,downgrade-query,downgrade-cookie,downgrade-in-x-access-token,downgrade-bearer,token-wrong'
  const wrong = place.write('opaque.txt', 'an-opaque-reference-token-of-another-service\n')
  const options = ['--json', 'probe.json', '--junit', 'probe.xml', '--html', 'probe.html', '--wrong-token', wrong]
  const { code, out, err } = await run([...from, '--only', TOKENS, '--rate', '1000', '--yes', '--verbose', ...options])
  t.equal(code, 0, err.join('\n'))
  t.equal(out.at(-1), 'Nothing got through: 6 attacks held.')
  t.equal(out.filter((line) => line.startsWith('held ')).length, 6, '--verbose: each in a line')
  const texts = Object.fromEntries(Object.entries(files).map(([name, file]) => [name, readFileSync(file, 'utf8')]))
  t.match(JSON.parse(texts.json ?? ''), { format: 1, url, method: 'GET', binding: 'DPoP', tool: { version: /^\d+\.\d+\.\d+/ } })
  t.match(texts.junit, /^<\?xml version="1\.0" encoding="UTF-8"\?>\n<testsuites name="holdfast probe" tests="6"/)
  t.match(texts.html, /^<!doctype html>/)
  for (const [name, text] of [...Object.entries(texts), ['table', out.join('\n')]] as const) {
    for (const secret of [token.slice(0, 40), 'an-opaque-reference-token'])
      t.notOk(text.includes(secret), `no token in the ${name}`)
  }
  t.ok(texts.json?.includes(`${token.slice(0, 8)}... (${token.length} characters)`), 'but how it begins')

  for (const [option, first] of [
    ['--json', '{'],
    ['--junit', '<?xml'],
    ['--html', '<!doctype html>'],
  ] as const) {
    const { out, err } = await run([...from, ...ONE, '--yes', option, '-'])
    t.ok(out.join('\n').startsWith(first), `${option} - is standard output`)
    t.equal(err.at(-1), 'Nothing got through: 1 attack held.', 'and the table goes to the other')
  }
})

t.test('the exit code says whether something is as bad as --fail-on', async (t) => {
  const codes = async (id: string): Promise<readonly number[]> => {
    const args = [...from, '--only', id, '--rate', '1000', '--yes']
    const given = [[], ...['critical', 'high', 'medium', 'low'].map((severity) => ['--fail-on', severity])]
    const all: number[] = []
    for (const more of given) all.push((await run([...args, ...more])).code)
    return all
  }
  t.teardown(() => {
    server.weakness = null
  })
  t.same(await codes('target-htu-case'), [0, 0, 0, 0, 0], 'nothing got through')
  server.weakness = 'compares htu without case'
  t.same(await codes('target-htu-case'), [1, 0, 1, 1, 1], 'high')
  server.weakness = 'tells what it got'
  t.same(await codes('challenge-echo-htu'), [1, 0, 0, 1, 1], 'medium, an answer that is wrong')
  server.weakness = 'takes a private jwk'
  t.same(await codes('algorithm-jwk-d-empty'), [1, 0, 0, 1, 1], 'medium')
  server.weakness = 'lets bound tokens pass as Bearer'
  t.same(await codes('downgrade-bearer'), [1, 1, 1, 1, 1], 'critical')
  const { out } = await run([...from, '--only', 'downgrade-bearer', '--yes'])
  t.equal(out.at(-1), '1 of 1 got through: 1 critical.')
})

t.test('what proves nothing is no success', async (t) => {
  const { code, out } = await run([...from, '--only', 'certificate', '--yes', '--rate', '1000'])
  t.equal(code, 1)
  t.match(out.at(-1), /^Nothing is proven: \d+ skipped\.$/)
})

t.test('never more than --rate requests a second', async (t) => {
  const RATE = 25
  const first = seen.requests.length
  const started = Date.now()
  const args = [
    ...from,
    '--only',
    'proof-typ-jwt,proof-no-typ,proof-no-ath,proof-no-jti,replay-parallel',
    '--yes',
    '--rate',
    String(RATE),
  ]
  const { out, requests } = await run([...args, '--json', '-'])
  const report = JSON.parse(out.join('\n')) as Report
  t.equal(requests, report.requests, 'the report says how many there were')
  t.ok(requests >= 26, `${requests} requests`)
  t.ok(Date.now() - started >= ((requests - 1) / RATE) * 1000 - 50, 'they took their time')
  const times = seen.requests.slice(first)
  for (const [i, time] of times.entries()) {
    const inOneSecond = times.slice(i).filter((other) => other < time + 1000).length
    t.ok(inOneSecond <= RATE + 2, `${inOneSecond} in the second from request ${i}`)
  }
})
