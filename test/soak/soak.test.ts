// The soak for a few seconds, so that it is known to work, and to see what it is there to see.
import t from 'tap'
import { soak } from './soak.js'

t.test('all is well after some seconds of everything at once', async (t) => {
  const report = await soak(t, { seconds: 10, workers: 2, connections: 16, pause: 1, tell: () => undefined })
  t.same(report.problems, [])
  t.ok(report.troubles.size >= 8, 'every trouble was made')
  t.ok(report.durable > 0 && report.forwarded > report.durable)
  for (const [kind, ends] of report.ledger.kinds) t.comment(kind, Object.fromEntries(ends))
})
