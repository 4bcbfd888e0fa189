// Does an upstream ever reach another resource than the one whose route was judged? The real gateway in front of three real path parsers
// (Node, nginx, Python) and one that knows no case: whatever the path, what the upstream resolves belongs to the route that judged it
// (the assertion's `route`), and a public route never reaches a protected place.
//
// Known and accepted, because no upstream here reads them so:
// - Windows file systems drop trailing dots and spaces and know `::$DATA`: `/public/admin.` is a name of its own to the gateway. Behind
//   such a server, do not nest a protected route below a public `/*`.
// - Servlet containers drop `;params`: on a route with `matrix_params: true` the upstream is said to take them, so a protected route does not
//   belong below it. Everywhere else `;` is refused.
// - Servers that decode twice: `%252e` stays what it is, here and in each upstream of this test (RFC 3986 §2.4).
// - nginx merging slashes, and Node and Python removing dot segments, cannot matter: such paths are refused before they are forwarded.
import fc from 'fast-check'
import t from 'tap'
import { makeDraft } from '../support/draft.js'
import { signJwt } from '../support/jwt.js'
import { type Lab, startLab } from '../support/lab.js'
import { openRaw, type RawClient, type RawResponse } from '../support/raw.js'
import { CORPUS, targets } from './paths.js'
import { PLACES } from './places.js'
import { holds, makeTally } from './seeded.js'
import { NGINX, type PathReader, PYTHON, readAnswer, startNginx, startNode, startPython } from './upstreams.js'

type Reader = { readonly name: string; readonly upstream: PathReader; readonly fold: boolean }

const ISSUER = 'https://as.example.com'
const hostOf = ({ name }: Reader): string => `${name}.example.com`

const started: Reader[] = [
  { name: 'node', upstream: await startNode(), fold: false },
  { name: 'folding', upstream: await startNode({ fold: true }), fold: true },
]
if (NGINX !== null) {
  const locations = PLACES.map(({ route, location }): [string, string] => [route, location])
  started.push({ name: 'nginx', upstream: await startNginx(NGINX, [...locations, ['elsewhere', '/']]), fold: false })
}
if (PYTHON !== null) started.push({ name: 'python', upstream: await startPython(PYTHON), fold: false })

const lab = await startLab({
  store: 'memory',
  yaml: (parts) => ({
    ...parts,
    public_origins: `[${started.map((reader) => `https://${hostOf(reader)}`).join(', ')}]`,
    limits: '{ target_bytes: 8KiB }',
    tiers: '{ public: { rate_limit: off }, low_user: { audit: denials } }',
    upstreams: `{ ${started.map(({ name, upstream, fold }) => `${name}: { url: 'http://127.0.0.1:${upstream.port}', case_insensitive: ${fold} }`).join(', ')} }`,
    routes: `\n${started.map(routesOf).join('')}`,
  }),
})

function routesOf(reader: Reader): string {
  return PLACES.map(({ route, tier, more }) => {
    const own = tier === 'public' ? '' : `, issuers: [${ISSUER}]`
    return `  - { path: '${route}', methods: [GET], tier: ${tier}, upstream: ${reader.name}, origins: [https://${hostOf(reader)}]${own}${more === undefined ? '' : `, ${more}`} }\n`
  }).join('')
}

const clients = new Map<string, RawClient>()
const hangUp = (): void => {
  for (const client of clients.values()) client.close()
  clients.clear()
}
// A run of generated paths that its time limit cuts short leaves a question open, whose answer is not the next one's.
t.beforeEach(hangUp)
t.teardown(async () => {
  hangUp()
  await lab.stop()
  for (const { upstream } of started) await upstream.stop()
})

/** Good on every protected route, so that only the path decides. */
const token = (() => {
  const { token } = makeDraft({ host: 'api.example.com', path: '/' })
  const { cnf: _, ...claims } = token.claims
  return signJwt(token.header, claims, token.key.privateKey)
})()

/** On one connection for each upstream, as long as the gateway keeps it. */
async function ask(reader: Reader, target: string, { port }: Lab = lab): Promise<RawResponse> {
  const host = hostOf(reader)
  const named = target.replaceAll('api.example.com', host).replaceAll('API.EXAMPLE.COM', host.toUpperCase())
  const client = clients.get(host) ?? (await openRaw(port, { servername: host }))
  clients.set(host, client)
  client.send(`GET ${named} HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${token}\r\n\r\n`)
  const response = await client.response()
  if (response.header('connection')?.toLowerCase() === 'close') {
    clients.delete(host)
    client.close()
  }
  return response
}

const claimsOf = (assertion: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(assertion.split('.')[1] ?? '', 'base64url').toString())

const tally = makeTally()
const forwardedBy = ({ name }: Reader): string => `${name}: forwarded`

/** What is wrong with how this target was treated; null: nothing. */
async function problemOf(reader: Reader, target: string): Promise<string | null> {
  const { status, body } = await ask(reader, target)
  const reached = status === 200 ? readAnswer(body.toString()) : null
  tally.count(reached === null ? `${reader.name}: ${status}` : forwardedBy(reader))
  if (reached === null) return status >= 400 && status < 500 ? null : `${reader.name} answered ${status}`
  const { route, target: asserted } = claimsOf(reached.assertion)
  if (asserted !== reached.target) return `the assertion says ${asserted}, ${reader.name} got ${reached.target}`
  const place = reached.location === '' ? PLACES.find(({ is }) => is.test(reached.path))?.route : reached.location
  if (place === route) return null
  return `judged by ${route}, but ${reader.name} reads ${reached.path} (${place ?? 'no place'})`
}

/** What the gateway refuses for one upstream it refuses for all (they have the same routes), so the others are asked for the rest alone. */
async function problemsOf(target: string): Promise<readonly string[]> {
  const [first, ...others] = started
  if (first === undefined) throw new Error('there is no upstream')
  const before = tally.of(forwardedBy(first))
  const own = await problemOf(first, target)
  const isForwarded = tally.of(forwardedBy(first)) > before
  const theirs = isForwarded ? await Promise.all(others.map((reader) => problemOf(reader, target))) : []
  return [own, ...theirs].filter((problem) => problem !== null)
}

t.test('reaches what was judged: paths that have broken gateways', async (t) => {
  for (const target of CORPUS) {
    const problems = await problemsOf(target)
    if (problems.length > 0) t.fail(`${JSON.stringify(target.slice(0, 200))}: ${problems.join('; ')}`)
  }
  for (const reader of started) t.ok(tally.of(forwardedBy(reader)) > 50, `${reader.name}: many of them were forwarded`)
  t.ok(tally.of('node: 400') > 100, 'many of them were refused')
})

t.test('reaches what was judged: generated paths', async (t) => {
  await holds(
    t,
    { runs: 1500, patience: 4_000 },
    fc.asyncProperty(targets, async (target) => {
      const problems = await problemsOf(target)
      if (problems.length > 0) throw new Error(`${JSON.stringify(target)}: ${problems.join('; ')}`)
    }),
  )
  tally.report(t)
})

t.test('every place is reached, by its own route alone', async (t) => {
  for (const reader of started) {
    for (const { route } of PLACES) {
      const { status, body } = await ask(reader, route.replace(':name', 'x').replace('*', 'x'))
      t.equal(status, 200, `${reader.name} ${route}`)
      t.equal(claimsOf(readAnswer(body.toString()).assertion).route, route)
    }
  }
})

t.test(
  'nginx is among the upstreams',
  { skip: NGINX === null && 'nginx is not here: apt-get install nginx-light' },
  async (t) => {
    t.ok(started.some(({ name }) => name === 'nginx'))
  },
)

t.test('Python is among the upstreams', { skip: PYTHON === null && 'python3 is not here' }, async (t) => {
  t.ok(started.some(({ name }) => name === 'python'))
})
