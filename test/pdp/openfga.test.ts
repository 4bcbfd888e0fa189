// A policy decision point that no one here wrote: OpenFGA, with the scenario for API gateways that the AuthZEN working group publishes for
// interoperability tests (five people, five operations, what each may do). Skipped where there is no `openfga` to run: it is built with
// `go install github.com/openfga/openfga/cmd/openfga@v1.22.1`, and found on the PATH or by HOLDFAST_TEST_OPENFGA.
import { spawn, spawnSync } from 'node:child_process'
import { decodeJwt } from 'jose'
import t from 'tap'
import { makeDraft } from '../support/draft.js'
import { waitFor } from '../support/fleet.js'
import { HOST, startLab } from '../support/lab.js'
import { freePort } from '../support/redis.js'

const program = process.env.HOLDFAST_TEST_OPENFGA ?? 'openfga'
const isThere = spawnSync(program, ['version']).status === 0

/** By the `sub` that the scenario gives them. */
const PEOPLE = {
  rick: ['CiRmZDA2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs', 'admin'],
  morty: ['CiRmZDE2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs', 'editor'],
  summer: ['CiRmZDI2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs', 'editor'],
  beth: ['CiRmZDM2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs', 'viewer'],
  jerry: ['CiRmZDQ2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs', 'viewer'],
} as const

/** The route as the scenario has it, a path of it, and who may. */
const OPERATIONS = [
  ['GET', '/users/{userId}', '/users/7', ['admin', 'editor', 'viewer']],
  ['GET', '/todos', '/todos', ['admin', 'editor', 'viewer']],
  ['POST', '/todos', '/todos', ['admin', 'editor']],
  ['PUT', '/todos/{todoId}', '/todos/7', ['admin', 'editor']],
  ['DELETE', '/todos/{todoId}', '/todos/7', ['admin', 'editor']],
] as const

const METHODS = ['GET', 'POST', 'PUT', 'DELETE']
const members = { directly_related_user_types: [{ type: 'role', relation: 'member' }] }
const MODEL = {
  schema_version: '1.1',
  type_definitions: [
    { type: 'identity' },
    {
      type: 'role',
      relations: { member: { this: {} } },
      metadata: { relations: { member: { directly_related_user_types: [{ type: 'identity' }] } } },
    },
    {
      type: 'route',
      relations: Object.fromEntries(METHODS.map((method) => [method, { this: {} }])),
      metadata: { relations: Object.fromEntries(METHODS.map((method) => [method, members])) },
    },
  ],
}
const TUPLES = [
  ...Object.values(PEOPLE).map(([sub, role]) => ({ user: `identity:${sub}`, relation: 'member', object: `role:${role}` })),
  ...OPERATIONS.flatMap(([method, route, , roles]) =>
    roles.map((role) => ({ user: `role:${role}#member`, relation: method, object: `route:${route}` })),
  ),
]

const ISSUER = 'issuers: [https://as.example.com]'
const routeOf = (methods: string, template: string): string =>
  `  - { path: '${template.replace(/\{(\w+)\}/, ':$1')}', methods: [${methods}], tier: bound_read, upstream: cases, ${ISSUER},
      decision: { pdp: openfga, resource: { type: route, id: '${template}' } } }\n`

t.test(
  'OpenFGA decides',
  { skip: isThere ? false : 'openfga is not installed: put it on the PATH to have this run' },
  async (t) => {
    const [port, grpc] = [await freePort(), await freePort()]
    const server = spawn(
      program,
      [
        'run',
        '--experimentals=authzen',
        `--http-addr=127.0.0.1:${port}`,
        `--grpc-addr=127.0.0.1:${grpc}`,
        '--playground-enabled=false',
        '--metrics-enabled=false',
        '--authn-method=preshared',
        '--authn-preshared-keys=s3cret',
      ],
      { stdio: 'ignore' },
    )
    t.teardown(() => void server.kill())
    const base = `http://127.0.0.1:${port}`
    const post = async (path: string, body: unknown): Promise<Record<string, string>> => {
      const headers = { authorization: 'Bearer s3cret', 'content-type': 'application/json' }
      const reply = await fetch(`${base}${path}`, { method: 'POST', headers, body: JSON.stringify(body) })
      if (!reply.ok) throw new Error(`${path} answered ${reply.status}: ${await reply.text()}`)
      return (await reply.json()) as Record<string, string>
    }
    await waitFor('OpenFGA', () =>
      fetch(`${base}/healthz`).then(
        ({ ok }) => ok,
        () => false,
      ),
    )
    const { id: store } = await post('/stores', { name: 'holdfast' })
    await post(`/stores/${store}/authorization-models`, MODEL)
    await post(`/stores/${store}/write`, { writes: { tuple_keys: TUPLES } })

    const batch = `  - { path: '/batch/:first/:second', methods: [GET], tier: bound_read, upstream: cases, ${ISSUER},
      decision: { pdp: openfga, resources: [{ type: route, id: /todos }, { type: route, id: '/users/{userId}' }] } }
  - { path: '/one/:id', methods: [GET], tier: bound_read, upstream: cases, ${ISSUER}, decision: { pdp: openfga, resource: { type: route, id: path.id } } }
  - { path: /unknown, methods: [GET], tier: bound_read, upstream: cases, ${ISSUER}, decision: { pdp: openfga, action: nobody, resource: { type: route, id: x } } }
  - { path: /wrong, methods: [GET], tier: bound_read, upstream: cases, ${ISSUER}, decision: { pdp: wrong } }\n`
    // Its metadata is at /.well-known/authzen-configuration/STORE, where §9.2 has it not: so without discovery.
    const at = `url: '${base}/stores/${store}', discovery: off, timeout: 20s, subject: { user: identity }`
    const lab = await startLab({
      store: 'memory',
      yaml: (parts) => ({
        ...parts,
        pdps: `{ openfga: { ${at}, authorization: Bearer s3cret }, wrong: { ${at}, authorization: Bearer wrong } }`,
        routes: `\n${routeOf('GET', '/users/{userId}')}${routeOf('GET, POST', '/todos')}${routeOf('PUT, DELETE', '/todos/{todoId}')}${batch}`,
      }),
    })
    t.teardown(() => lab.stop())
    const send = (sub: string, path: string, method = 'GET') => {
      const draft = makeDraft({ host: HOST, path, method })
      draft.token.claims.sub = sub
      return lab.send(draft)
    }
    const reasonOf = (body: string): unknown => JSON.parse(body).reason

    for (const [person, [sub, role]] of Object.entries(PEOPLE)) {
      for (const [method, route, path, roles] of OPERATIONS) {
        const may = roles.some((one) => one === role)
        await t.test(`${person} ${may ? 'may' : 'may not'} ${method} ${route}`, async (t) => {
          const reply = await send(sub, path, method)
          t.equal(reply.status, may ? 200 : 403, reply.body)
          if (!may) return void t.equal(reasonOf(reply.body), 'decision_denied')
          const { decision } = decodeJwt(String(lab.calls.at(-1)?.headers['holdfast-assertion']))
          t.match(decision, { id: /^[0-9a-f-]{36}$/ })
        })
      }
    }

    await t.test('several resources at once', async (t) => {
      t.equal((await send(PEOPLE.beth[0], '/batch/1/2')).status, 200)
      t.equal(reasonOf((await send('nobody', '/batch/1/2')).body), 'decision_denied')
    })

    await t.test('what it does not take, and whom it does not know, is no permit', async (t) => {
      t.equal(
        reasonOf((await send(PEOPLE.rick[0], '/unknown')).body),
        'decision_unavailable',
        'an action that is not in its model',
      )
      t.equal(reasonOf((await send(PEOPLE.rick[0], '/one/a%3Ab')).body), 'decision_unavailable', 'an id that it does not take')
      t.equal(reasonOf((await send(PEOPLE.rick[0], '/one/other')).body), 'decision_denied', 'a resource that it does not know')
      const reply = await send(PEOPLE.rick[0], '/wrong')
      t.equal(reply.status, 503, 'a credential that it does not take')
      t.equal(reply.header('www-authenticate'), undefined)
    })
  },
)
