// A policy decision point that no one here wrote, and whose policies are code: Cerbos. Skipped where there is no `cerbos` to run: it is built
// with `go install github.com/cerbos/cerbos/cmd/cerbos@v0.50.0` (or later), and found on the PATH or by HOLDFAST_TEST_CERBOS.
import { spawn, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type Draft, makeDraft } from '../support/draft.js'
import { waitFor } from '../support/fleet.js'
import { HOST, startLab } from '../support/lab.js'
import { freePort } from '../support/redis.js'

const program = process.env.HOLDFAST_TEST_CERBOS ?? 'cerbos'
const isThere = spawnSync(program, ['--version']).status === 0

const policy = (resource: string, rules: readonly string[]): string => `apiVersion: api.cerbos.dev/v1
resourcePolicy:
  version: default
  resource: ${resource}
  rules:
${rules.join('\n')}
`
const permits = (action: string, condition: string): string => `    - actions: ['${action}']
      effect: EFFECT_ALLOW
      roles: [user]
      condition: { match: { expr: '${condition}' } }`

/** A user of the right issuer reads cases that are not sealed, and what is in their archive if it is theirs. */
const POLICIES = {
  'case.yaml': policy('case', [
    permits('case.read', 'R.id != "sealed" && P.attr.issuer == "https://as.example.com"'),
    permits('file.read', 'R.id != "sealed"'),
  ]),
  'file.yaml': policy('file', [permits('file.read', 'true')]),
  'archive.yaml': policy('archive', [permits('file.read', 'P.id == "user-1"')]),
}

const ROUTE = 'methods: [GET], tier: bound_read, upstream: cases, issuers: [https://as.example.com]'
const ROUTES = `
  - { path: '/cases/:id', ${ROUTE}, decision: { pdp: cerbos, action: case.read, resource: { type: case, id: path.id } } }
  - { path: '/cases/:id/files/:file', ${ROUTE}, decision: { pdp: cerbos, action: file.read,
      resources: [{ type: case, id: path.id }, { type: file, id: path.file }, { type: archive, id: main }] } }
`

/** Returns its URL. */
async function startCerbos(t: Test): Promise<string> {
  const [http, grpc] = [await freePort(), await freePort()]
  const folder = t.testdir({
    policies: POLICIES,
    'cerbos.yaml': `server: { httpListenAddr: '127.0.0.1:${http}', grpcListenAddr: '127.0.0.1:${grpc}' }
storage: { driver: disk, disk: { directory: policies } }
telemetry: { disabled: true }
`,
  })
  const server = spawn(program, ['server', '--config', join(folder, 'cerbos.yaml')], { cwd: folder, stdio: 'ignore' })
  t.teardown(() => void server.kill())
  const url = `http://127.0.0.1:${http}`
  await waitFor('Cerbos', () =>
    fetch(`${url}/_cerbos/health`).then(
      ({ ok }) => ok,
      () => false,
    ),
  )
  return url
}

t.test(
  'Cerbos decides',
  { skip: isThere ? false : 'cerbos is not installed: put it on the PATH to have this run' },
  async (t) => {
    const url = await startCerbos(t)
    for (const discovery of ['off', 'on']) {
      await t.test(`discovery: ${discovery}`, async (t) => {
        const pdps = `{ cerbos: { url: '${url}', discovery: ${discovery}, timeout: 20s } }`
        const lab = await startLab({ store: 'memory', yaml: (parts) => ({ ...parts, pdps, routes: ROUTES }) })
        t.teardown(() => lab.stop())
        const send = async (path: string, change: (draft: Draft) => void = () => undefined): Promise<string> => {
          const draft = makeDraft({ host: HOST, path })
          change(draft)
          const { status, body } = await lab.send(draft)
          return status === 200 ? 'granted' : JSON.parse(body).reason
        }
        const bySubject = (sub: string) => (draft: Draft) => {
          draft.token.claims.sub = sub
        }
        t.equal(await send('/cases/7'), 'granted')
        t.equal(await send('/cases/sealed'), 'decision_denied')
        t.equal(await send('/cases/7', bySubject('client-1')), 'decision_denied', 'a client that acts for itself is no user')
        t.equal(await send('/cases/7/files/8'), 'granted')
        t.equal(await send('/cases/sealed/files/8'), 'decision_denied', 'the first of three')
        t.equal(await send('/cases/7/files/8', bySubject('user-2')), 'decision_denied', 'the last of three')
      })
    }
  },
)
