// The five tiers are those of contract §3, cell by cell.

import t from 'tap'
import { disk } from '../../src/config/disk.js'
import { createFindings } from '../../src/config/problems.js'
import { BUILT_IN_TIERS, READ_WITHOUT_TOKEN, resolveTiers } from '../../src/config/tiers.js'
import { TIER_SETTINGS } from '../../src/verify/policy.js'

/** Contract §3, as written there. */
const CONTRACT = `
token                | none               | required  | required  | required  | required
binding              | -                  | none      | none      | any       | any
token_algorithms     | -                  | PS256 ES256 EdDSA RS256 | PS256 ES256 EdDSA | PS256 ES256 EdDSA | PS256 ES256 EdDSA
proof_algorithms     | -                  | PS256 ES256 EdDSA | PS256 ES256 EdDSA | PS256 ES256 EdDSA | PS256 ES256 EdDSA
token_max_ttl        | -                  | 3600      | 600       | 300       | 300
introspect           | -                  | off       | off       | off       | off
proof_max_age        | -                  | 60        | 60        | 60        | 60
clock_skew           | -                  | 10        | 10        | 10        | 10
nonce                | -                  | off       | off       | off       | required
step_up              | -                  | off       | off       | required  | off
auth_max_age         | -                  | off       | off       | 900       | off
body_digest          | false              | false     | false     | true      | true
max_body             | 1048576            | 1048576   | 1048576   | 1048576   | 1048576
replay_outage        | -                  | closed    | closed    | closed    | closed
audit                | denials            | denials   | all       | durable   | durable
rate_limit           | 100/1 by address   | off       | off       | off       | off
client               | -                  | any       | registered | registered | registered
client_profile       | -                  | off       | off       | client_auth | client_auth par request_object
client_evidence      | -                  | declared  | declared  | declared  | declared
report_only_until    | -                  | off       | off       | off       | off
`

const NAMES = ['public', 'low_user', 'sensitive_read', 'sensitive_write', 'high_value']

const problems = createFindings('routes.yaml')
const tiers = resolveTiers(new Map(), { findings: problems, env: {}, running: null, isCheck: false, disk }, true)

function written(value: unknown): string {
  if (value === null) return 'off'
  if (Array.isArray(value)) return value.join(' ')
  if (typeof value !== 'object') return String(value)
  const { rate, by } = value as { rate: { requests: number; seconds: number }; by: string }
  return `${rate.requests}/${rate.seconds} by ${by}`
}

const rows = CONTRACT.trim()
  .split('\n')
  .map((line) => line.split('|').map((cell) => cell.trim()))

for (const [setting = '', ...cells] of rows) {
  for (const [i, cell] of cells.entries()) {
    if (cell === '-') continue
    const settings: Readonly<Record<string, unknown>> = tiers.get(NAMES[i] ?? '') ?? {}
    t.equal(written(settings[setting]), cell, `${NAMES[i]}: ${setting}`)
  }
}

t.strictSame([...tiers.keys()], NAMES)
t.strictSame(
  rows.map(([setting]) => setting).sort(),
  Object.keys(TIER_SETTINGS).sort(),
  'no setting that the contract does not name, and none forgotten',
)
t.strictSame(
  rows.filter(([, first]) => first !== '-').map(([setting]) => setting),
  READ_WITHOUT_TOKEN,
  'what is read on a tier without token',
)
for (const name of NAMES) {
  t.strictSame(
    Object.keys(BUILT_IN_TIERS[name] ?? {}),
    rows.map(([setting]) => setting),
    `${name} is written in the contract’s order`,
  )
}
t.strictSame(problems.problems(), [])

t.test('without a registry no tier asks for a registered client', async (t) => {
  const loading = { findings: problems, env: {}, running: null, isCheck: false, disk }
  for (const [name, settings] of resolveTiers(new Map(), loading))
    t.match(settings, { client: 'any', client_profile: null }, name)
})
