// Holds a kit of kits/ to what every kit must do: the vectors, a change of any byte, new keys, and a real backend behind the real
// gateway. A kit brings two programs of its language, which live in test/kits/LANGUAGE/ and are no part of the kit:
//
// - `runner` reads lines of JSON from stdin. The first is `{ "issuer", "jwks_url" }`. Then either `{ "now": SECONDS }`, which sets the
//   kit's clock, or `{ "options", "request", "repeat"? }` as in kits/vectors.json; for each of these it puts the request to the kit
//   and prints one line: a JSON array of what was answered, `[200]`, `[401]`, with `repeat` both answers: `[200,401]`. One instance
//   of the kit serves all lines with the same options, so that there is one fetch of the keys; with `single_use` every line has its own.
// - `backend` gets `{ "issuer", "jwks_url", "options" }` as its last argument, listens on a free port of 127.0.0.1, prints
//   `listening PORT`, and answers what the kit lets through with 200 and
//   `{ "sub", "tier", "bytes": LENGTH OF THE BODY AS THE HANDLER READ IT, "assertion": THE HEADER }`; it runs until it is killed.
import t, { type Test } from 'tap'
import { HEADER, type Vector, type VectorOptions } from '../../scripts/vectors/vector.js'
import { makeDraft } from '../support/draft.js'
import { HOST, startLab } from '../support/lab.js'
import { file, named, publish, run, start, startBackend } from './programs.js'

export { ROOT } from './programs.js'

export type Kit = {
  readonly name: string
  /** What is not on this machine, or null: then the tests run. */
  readonly missing: string | null
  /** Program and arguments, run in the project's root. */
  readonly runner: readonly string[]
  /** One for each way in which the kit is used, by its name. */
  readonly backends: Readonly<Record<string, readonly string[]>>
  /** What it does not offer, which its README says. */
  readonly without?: readonly ('single use' | 'a clock for its keys' | 'one fetch for all')[]
}

const vectorsFor = ({ without = [] }: Kit): Vector[] =>
  file.vectors.filter(({ options }) => !(options.single_use && without.includes('single use')))

export function testKit(kit: Kit): void {
  const options = kit.missing === null ? {} : { skip: `${kit.missing} is not here` }
  t.test(`${kit.name}: passes every vector`, options, async (t) => {
    const keys = await publish(file.jwks)
    t.teardown(keys.stop)
    const vectors = vectorsFor(kit)
    const answers = await run(kit.runner, keys.url, [{ now: file.now }, ...vectors])
    t.equal(answers.length, vectors.length, 'answers')
    for (const [i, { name, wrong, repeat }] of vectors.entries()) {
      t.same(answers[i], wrong === null ? [200] : repeat ? [200, 401] : [401], name)
    }
    t.ok(
      keys.fetches() < 20,
      `the keys were fetched ${keys.fetches()} times: what a stranger sends must not be a way to have them fetched`,
    )
  })

  t.test(`${kit.name}: refuses a change of any byte`, options, async (t) => {
    const keys = await publish(file.jwks)
    t.teardown(keys.stop)
    const good = vectorsFor(kit).filter(({ wrong }) => wrong === null)
    const changed = good.flatMap((vector) => [...mutations(vector)])
    const answers = await run(kit.runner, keys.url, [{ now: file.now }, ...changed])
    t.equal(answers.length, changed.length, 'answers')
    t.same(
      changed.filter((_, i) => JSON.stringify(answers[i]) !== '[401]').map(({ name }) => name),
      [],
    )
  })

  const kept = kit.without?.includes('a clock for its keys') ? { skip: 'keys are kept by a clock that is not its own' } : options
  t.test(`${kit.name}: fetches keys that it does not know, and not too often`, kept, async (t) => {
    const [current] = file.jwks.keys
    const keys = await publish({ keys: current === undefined ? [] : [current] })
    t.teardown(keys.stop)
    const [byCurrent, byNext] = [named('a bearer token'), named('the other published key')]
    const stranger = named('a token bound by DPoP, but `kid` is of no published key')
    const any = byCurrent.options
    const runner = start(kit.runner, keys.url)
    t.teardown(runner.stop)
    const ask = async (vector: Vector): Promise<unknown> => runner.ask({ ...vector, options: any })
    await runner.tell({ now: file.now })
    t.same(await ask(byCurrent), [200])
    t.same(await ask(byNext), [401], 'not published yet')
    keys.set(file.jwks)
    await runner.tell({ now: file.now + 29 })
    t.same(await ask(byNext), [401], 'published, but the last fetch is less than 30 s ago')
    const before = keys.fetches()
    await runner.tell({ now: file.now + 65 })
    t.same(await ask(byNext), [200], 'fetched again')
    for (let i = 0; i < 5; i++) t.same(await ask(stranger), [401])
    t.equal(keys.fetches(), before + 1, 'one fetch, whatever strangers send')
  })

  for (const [name, command] of Object.entries(kit.backends)) {
    t.test(`${kit.name}: ${name} behind the gateway`, options, async (t) => behindTheGateway(t, kit, command))
  }
}

async function behindTheGateway(t: Test, { without = [] }: Kit, command: readonly string[]): Promise<void> {
  const keys = await publish({ keys: [] })
  t.teardown(keys.stop)
  const demands: VectorOptions = {
    audience: 'payments',
    tiers: ['bound_read', 'paying'],
    bindings: ['dpop'],
    body_digest: true,
    single_use: !without.includes('single use'),
  }
  const backend = await startBackend(command, { issuer: file.issuer, jwks_url: keys.url, options: demands })
  t.teardown(backend.stop)
  const lab = await startLab({
    store: 'memory',
    yaml: ({ tiers, upstreams, routes, ...rest }) => ({
      ...rest,
      tiers: `${tiers}  paying: { extends: sensitive_write, binding: any, step_up: off, auth_max_age: off }\n`,
      upstreams: `{ payments: { url: 'http://127.0.0.1:${backend.port}', audience: payments } }`,
      routes: `
  - { path: '/payments/:id', methods: [GET], tier: bound_read, upstream: payments, issuers: [https://as.example.com], scopes: [payments] }
  - { path: /pay, methods: [POST], tier: paying, upstream: payments, issuers: [https://as.example.com], scopes: [payments] }
  - { path: /open, methods: [GET], tier: public, upstream: payments }
`,
    }),
  })
  t.teardown(() => lab.stop())
  keys.set(JSON.parse((await lab.admin('/.well-known/jwks.json')).body))

  const first = await Promise.all(Array.from({ length: 10 }, () => lab.send(makeDraft({ host: HOST, path: '/payments/6' }))))
  t.same([...new Set(first.map(({ status }) => status))], [200], 'ten at once, when no key is known')
  if (!without.includes('one fetch for all')) t.equal(keys.fetches(), 1, 'and the keys are fetched once')

  const read = await lab.send(makeDraft({ host: HOST, path: '/payments/7?with=a%20b&with=c+d' }))
  t.equal(read.status, 200, read.text)
  t.match(JSON.parse(read.body), { sub: 'user-1', tier: 'bound_read', bytes: 0 })

  const body = Buffer.alloc(100_000, 'x')
  const paid = await lab.send({ ...makeDraft({ host: HOST, path: '/pay', method: 'POST' }), body })
  t.equal(paid.status, 200, paid.text)
  t.match(JSON.parse(paid.body), { sub: 'user-1', tier: 'paying', bytes: body.length })

  // A backend that answers 401 does not believe its own gateway, which no client can mend (contract §6).
  t.equal((await lab.send(makeDraft({ host: HOST, path: '/open' }))).status, 502, 'through the gateway, in too low a tier')

  const direct = async (method: string, path: string, assertion: string | null, sent: Buffer | null = null) => {
    const headers = { ...(assertion === null ? {} : { [HEADER]: assertion }), 'Content-Type': 'text/plain' }
    const reply = await fetch(`http://127.0.0.1:${backend.port}${path}`, { method, headers, body: sent })
    return { status: reply.status, body: await reply.text() }
  }
  const { assertion } = JSON.parse(read.body)
  const bare = await direct('GET', '/payments/7', null)
  t.equal(bare.status, 401, 'past the gateway')
  t.notMatch(bare.body, /iss|aud|jwt|assertion|stack|at /i, 'and nothing is said about why')
  const again = await direct('GET', '/payments/7?with=a%20b&with=c+d', assertion)
  if (demands.single_use) t.same(again, bare, 'an assertion that was used already')
  else t.equal(again.status, 200, 'an assertion until it ends')
  t.same(await direct('GET', '/payments/8', assertion), bare, 'for another request')
  t.same(await direct('POST', '/pay', JSON.parse(paid.body).assertion, Buffer.from('y')), bare, 'with another body')
  t.same(await direct('POST', '/pay', null, body), bare, 'with a body, past the gateway')
}

/** Each letter of the assertion as another one, that differs in the lowest bit: where that bit is of no byte, the bytes are the same. */
function* mutations(vector: Vector): Generator<Vector> {
  const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const { headers } = vector.request
  const at = headers.findIndex(([name]) => name.toLowerCase() === HEADER.toLowerCase())
  const [name = '', assertion = ''] = headers[at] ?? []
  for (let i = 0; i < assertion.length; i++) {
    const other = ALPHABET[ALPHABET.indexOf(assertion.charAt(i)) ^ 1] ?? 'A'
    const changed: [string, string] = [name, assertion.slice(0, i) + other + assertion.slice(i + 1)]
    yield { ...vector, name: `${vector.name}, byte ${i}`, request: { ...vector.request, headers: headers.with(at, changed) } }
  }
}
