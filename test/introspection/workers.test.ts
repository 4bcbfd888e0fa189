// `holdfast serve` with two workers: each keeps answers of its own, and the stated delay holds at both.
import { randomUUID } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { makeAssertionKey } from '../support/certificates.js'
import { printDraft } from '../support/draft.js'
import { HOST, makePlace, serve, waitFor } from '../support/fleet.js'
import { json, opaqueDraft, startIntrospectionServer } from '../support/introspection.js'

const DELAY_MS = 3000

t.test('two workers: a question from each for one token, and a revoked one is refused by both within the delay', async (t) => {
  const place = await makePlace(t)
  writeFileSync(join(place.folder, 'introspection.key'), makeAssertionKey())
  const server = await startIntrospectionServer()
  t.teardown(() => server.stop())
  const auth = `endpoint: '${server.endpoint}', client_id: holdfast, private_key_jwt: { key: introspection.key }`
  const introspection = `introspection: { ${auth}, cache: ${DELAY_MS}ms, negative_cache: 1h, timeout: 20s }`
  const gateway = await serve(t, place, { workers: 2, keys: `jwks_file: issuer.jwks, ${introspection}` })
  const token = randomUUID()
  const send = async () => {
    const sentAt = performance.now()
    const { status, body, header } = await gateway.send(printDraft({ ...opaqueDraft(token, '/pay'), host: HOST }))
    return { sentAt, status, body, requestId: header('x-request-id') }
  }
  const served = new Set<number>()
  await waitFor('both workers', async () => {
    const { status, requestId } = await send()
    t.equal(status, 200)
    served.add(await gateway.workerOf(requestId))
    return served.size === 2
  })
  t.ok(server.asked.every(({ form }) => form.get('client_assertion') !== null))
  server.answer = () => json({ active: false })
  const revokedAt = performance.now()
  const refusing = new Set<number>()
  await waitFor('both to refuse', async () => {
    const { sentAt, status, body, requestId } = await send()
    if (status === 200) {
      if (sentAt - revokedAt > DELAY_MS) t.fail(`granted ${Math.round(sentAt - revokedAt)} ms after it was revoked`)
      return false
    }
    t.equal(JSON.parse(body).reason, 'token_inactive')
    refusing.add(await gateway.workerOf(requestId))
    return refusing.size === 2
  })
  const metrics = await (await fetch(`http://127.0.0.1:${gateway.admin}/metrics`)).text()
  const told = [...metrics.matchAll(/^holdfast_introspection_questions_total\{.*\} (\d+)$/gm)].map(([, count]) => Number(count))
  t.equal(
    told.reduce((sum, one) => sum + one, 0),
    server.asked.length,
    'of both together',
  )
})
