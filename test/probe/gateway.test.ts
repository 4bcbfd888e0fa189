// Does anything get through this gateway? The demo's gateway as a process of its own, attacked from the command line with each kind
// of binding; and one whose backend echoes what it gets, for headers.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { placesAt } from '../../examples/demo/places.js'
import { setStage } from '../../examples/demo/stage.js'
import type { Report } from '../../src/probe/attack.js'
import type { BenchSettings } from '../../src/probe/bench.js'
import { CATALOGUE } from '../../src/probe/catalogue.js'
import { runProbe } from '../../src/probe/run.js'
import { clientKey, issuerKey } from '../support/draft.js'
import { signJwt } from '../support/jwt.js'
import { HOST, startLab } from '../support/lab.js'
import { found, probeReport } from './place.js'

/** Away from the demo's own ports, so that both can run. */
const PORT_OFFSET = 20_000

const held = ({ findings }: Report): number => findings.filter(({ outcome }) => outcome.verdict === 'held').length
const unclear = ({ findings }: Report) =>
  findings.filter(({ outcome }) => outcome.verdict === 'unclear').map(({ attack, outcome }) => [attack.id, outcome.came])

t.test("nothing gets through the demo's gateway", async (t) => {
  const places = placesAt(PORT_OFFSET)
  const stage = await setStage(places, () => undefined)
  t.teardown(() => stage.close())
  const place = { folder: stage.directory, write: () => '', remove: () => undefined }
  const second = 'mtls.yaml'
  writeFileSync(
    join(stage.directory, second),
    `gateway: ${places.gateway}
tls: { ca: certs/ca.crt, cert: certs/client.crt, key: certs/client.key }
dpop: off
issuer: ${places.issuer}
client_id: partner-2
auth: tls_client_auth
scope: case.read case.write payments
resource: ${places.gateway}
`,
  )
  const fast = ['--rate', '1000']

  t.test('with DPoP', async (t) => {
    const { report, code } = await probeReport(
      place,
      `${places.gateway}/cases/42`,
      '--token-from',
      'client.yaml',
      ...fast,
      '--flood',
      '100',
    )
    t.same(found(report), [])
    t.same(unclear(report), [])
    t.equal(code, 0)
    t.ok(held(report) >= 120, `${held(report)} attacks held`)
    t.ok(report.seconds < 60, `in ${report.seconds} s`)
  })

  t.test('with DPoP and nonces, on payments', async (t) => {
    const what = ['--method', 'POST', '--data', '{}', '--header', 'Content-Type: application/json']
    const { report } = await probeReport(
      place,
      `${places.gateway}/payments/initiate`,
      '--token-from',
      'client.yaml',
      ...what,
      ...fast,
      '--flood',
      '50',
      '--only',
      'time,replay,downgrade',
    )
    t.same(found(report), [])
    t.same(unclear(report), [])
    t.ok(report.findings.some(({ attack, outcome }) => attack.id === 'time-nonce-made-up' && outcome.verdict === 'held'))
  })

  t.test('with a certificate', async (t) => {
    const { report } = await probeReport(
      place,
      `${places.gateway}/cases/42`,
      '--token-from',
      second,
      '--second',
      'client.yaml',
      ...fast,
      '--only',
      'certificate,downgrade',
    )
    t.same(found(report), [])
    t.same(unclear(report), [])
    t.ok(report.findings.some(({ attack, outcome }) => attack.id === 'certificate-same-key' && outcome.verdict === 'held'))
  })
})

t.test('no spoofed header reaches a backend that echoes them', async (t) => {
  const lab = await startLab({ store: 'memory' })
  t.teardown(() => lab.stop())
  const iat = Math.floor(Date.now() / 1000)
  const claims = {
    iss: 'https://as.example.com',
    aud: 'https://api.example.com',
    sub: 'user-1',
    client_id: 'client-1',
    jti: 'probe',
    iat,
    exp: iat + 240,
  }
  const scope = { scope: 'case.read case.write', cnf: { jkt: clientKey.jkt } }
  const text = signJwt({ typ: 'at+jwt', alg: 'ES256', kid: 'issuer-1' }, { ...claims, ...scope }, issuerKey.privateKey)
  const settings: BenchSettings = {
    route: { address: '127.0.0.1', port: lab.port, hostname: HOST, ca: lab.certificates.files['ca.crt'] ?? null, own: null },
    origin: `https://${HOST}`,
    host: HOST,
    method: 'GET',
    path: '/read/1',
    body: null,
    headers: [],
    credentials: {
      key: { alg: 'ES256', kid: null, publicJwk: clientKey.jwk as never, privateKey: clientKey.privateKey, sign: async () => '' },
      tokens: { current: async () => ({ text, scheme: 'DPoP' }), forget: () => undefined },
      tokensFor: null,
    },
    second: null,
    protocol: 'http/1.1',
    grantedStatuses: new Set(),
    echoes: true,
    issuerKeys: [],
    wrongTokens: new Map(),
    rate: 1000,
    flood: 0,
    isPatient: false,
  }
  const attacks = CATALOGUE.filter(({ topic }) => topic === 'header')
  const report = await runProbe({ settings, attacks, report: () => undefined, stillThere: async () => undefined })
  t.same(found(report), [])
  t.ok(held(report) >= 40, `${held(report)} attacks held`)
})
