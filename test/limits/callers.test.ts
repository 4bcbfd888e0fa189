// Whom a rate is charged to: names are of the issuer that gave them.
import t, { type Test } from 'tap'
import { type Draft, makeDraft } from '../support/draft.js'
import { HOST, type Lab, startLab } from '../support/lab.js'

const BOTH = 'issuers: [https://as.example.com, https://legacy.example.com]'

async function start(t: Test, by: 'client' | 'subject'): Promise<Lab> {
  const lab = await startLab({
    store: 'memory',
    yaml: (parts) => ({
      ...parts,
      issuers: `${parts.issuers}
  - { issuer: https://legacy.example.com, audience: https://api.example.com, jwks_file: issuer.jwks, algorithms: [ES256], typ: JWT }`,
      tiers: `${parts.tiers}\n  rated: { extends: bound_read, rate_limit: { rate: 2/m, by: ${by} } }\n`,
      routes: `\n  - { path: /rated, methods: [GET], tier: rated, upstream: cases, ${BOTH} }\n`,
    }),
  })
  t.teardown(() => lab.stop())
  return lab
}

const of = (claims: Record<string, unknown>): Draft => {
  const draft = makeDraft({ host: HOST, path: '/rated' })
  Object.assign(draft.token.claims, claims)
  return draft
}

for (const by of ['client', 'subject'] as const) {
  t.test(`by ${by}: one of the same name at another issuer is somebody else`, async (t) => {
    const lab = await start(t, by)
    const other = { iss: 'https://legacy.example.com' }
    for (const status of [200, 200, 429]) t.equal((await lab.send(of(other))).status, status)
    for (const status of [200, 200, 429]) t.equal((await lab.send(of({}))).status, status)
  })
}

t.test('by client: tokens without client_id do not share one rate', async (t) => {
  const lab = await start(t, 'client')
  const one = { iss: 'https://legacy.example.com', client_id: undefined, sub: 'one' }
  for (const status of [200, 200, 429]) t.equal((await lab.send(of(one))).status, status)
  t.equal((await lab.send(of({ ...one, sub: 'two' }))).status, 200)
})
