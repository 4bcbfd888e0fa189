// With several workers the primary listens when all of them have begun, but the first of them said on /readyz that it was ready: for as long as
// the last one took, a balancer that believed it sent clients to a port where nobody listened.
import t from 'tap'
import { HOST, makePlace, OPEN, serve, waitFor } from '../support/fleet.js'
import { exchange } from '../support/http.js'

t.test('whoever is told that it is ready can connect', { timeout: 120_000 }, async (t) => {
  const place = await makePlace(t)
  const gateway = await serve(t, place, { workers: 3 }, true)
  const statuses = new Set<number>()
  await waitFor(
    () => `it is ready: ${gateway.said()}`,
    async () => {
      const answer = await fetch(`http://127.0.0.1:${gateway.admin}/readyz`).catch(() => null)
      if (answer !== null) statuses.add(answer.status)
      return answer?.status === 200
    },
  )
  t.match(await exchange(OPEN, { port: gateway.port, servername: HOST, ca: place.ca }), { status: 200 })
  t.ok(
    [...statuses].every((status) => status === 200 || status === 503),
    [...statuses].join(),
  )
})
