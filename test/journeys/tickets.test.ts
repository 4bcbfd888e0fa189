// TLS sessions that are taken up again: by whichever worker, until the key of their tickets changes, and never where certificates are
// judged (RFC 8446 §2.2, §4.6.1; RFC 5077).
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ConnectionOptions } from 'node:tls'
import t from 'tap'
import { makeCa, makeServer } from '../support/certs.js'
import { makeDraft, printDraft } from '../support/draft.js'
import { type Fleet, HOST, makePlace, OPEN, serve, waitFor } from '../support/fleet.js'
import { certificateBound } from '../support/kinds.js'

const VERSIONS = ['TLSv1.3', 'TLSv1.2'] as const
type Version = (typeof VERSIONS)[number]

/** A session that the gateway gives; with TLS 1.3 its tickets come before the answer. */
async function sessionOf(gateway: Fleet, options: ConnectionOptions): Promise<Buffer> {
  const client = await gateway.open(options)
  let session: Buffer | undefined
  client.socket.on('session', (one) => {
    session = one
  })
  client.send(OPEN)
  await client.response()
  session ??= client.socket.getSession()
  client.close()
  if (session === undefined) throw new Error('it gave no session')
  return session
}

type Visit = {
  readonly resumed: boolean
  readonly status: number
  readonly reason: unknown
  readonly requestId: string | undefined
}

async function visit(gateway: Fleet, bytes: string | Buffer, options: ConnectionOptions): Promise<Visit> {
  const client = await gateway.open(options)
  client.send(bytes)
  const { status, body, header } = await client.response()
  const resumed = client.socket.isSessionReused()
  client.close()
  return {
    resumed,
    status,
    reason: status === 200 ? null : JSON.parse(body.toString()).reason,
    requestId: header('x-request-id'),
  }
}

/** So many visits, one after another. */
async function visits(gateway: Fleet, count: number, options: ConnectionOptions): Promise<readonly Visit[]> {
  const all: Visit[] = []
  for (let i = 0; i < count; i++) all.push(await visit(gateway, OPEN, options))
  return all
}

const summary = (all: readonly Visit[]) => ({
  resumed: all.filter(({ resumed }) => resumed).length,
  served: all.filter(({ status }) => status === 200).length,
})

t.test('a session of one worker is taken up by each of them, by one that was started later too', async (t) => {
  const place = await makePlace(t)
  const gateway = await serve(t, place, { workers: 2 })
  const sessions = new Map<Version, Buffer>()
  const workers = new Set<number>()
  for (const maxVersion of VERSIONS) {
    const session = await sessionOf(gateway, { maxVersion })
    sessions.set(maxVersion, session)
    const all = await visits(gateway, 12, { maxVersion, session })
    t.same(summary(all), { resumed: 12, served: 12 }, maxVersion)
    for (const { requestId } of all) workers.add(await gateway.workerOf(requestId))
  }
  t.equal(workers.size, 2, 'both served')

  gateway.killOne()
  await gateway.until(/in place of one that ended/)
  for (const [maxVersion, session] of sessions)
    t.same(summary(await visits(gateway, 12, { maxVersion, session })), { resumed: 12, served: 12 }, `${maxVersion}, later`)

  const text = readFileSync(gateway.file, 'utf8')
  writeFileSync(gateway.file, text.replace('path: /pay', 'path: /other'))
  gateway.child.kill('SIGHUP')
  await gateway.until(/"reloaded"/)
  for (const [maxVersion, session] of sessions)
    t.same(summary(await visits(gateway, 6, { maxVersion, session })), { resumed: 6, served: 6 }, `${maxVersion}, other routes`)

  const ca = await makeCa('Test CA')
  const server = await makeServer(ca, [HOST])
  writeFileSync(join(place.folder, 'server.key'), server.key)
  writeFileSync(join(place.folder, 'server.crt'), server.cert)
  gateway.child.kill('SIGHUP')
  await gateway.until(/"reloaded"/, 2)
  for (const [maxVersion, session] of sessions) {
    const options = { maxVersion, ca: ca.cert }
    const changed = await visits(gateway, 6, { ...options, session })
    t.same(summary(changed), { resumed: 0, served: 6 }, `${maxVersion}, another certificate`)
    const fresh = await sessionOf(gateway, options)
    t.same(summary(await visits(gateway, 6, { ...options, session: fresh })), { resumed: 6, served: 6 }, `${maxVersion}, anew`)
  }
})

for (const workers of [1, 2]) {
  t.test(`tickets end with the secret they were made with, and nobody is turned away: ${workers} process(es)`, async (t) => {
    const place = await makePlace(t)
    const gateway = await serve(t, place, { workers, timing: { rotation: 1 } })
    for (const maxVersion of workers === 1 ? (['TLSv1.3'] as const) : VERSIONS) {
      let first: Buffer | undefined
      await waitFor('a session that is taken up', async () => {
        first = await sessionOf(gateway, { maxVersion })
        return (await visit(gateway, OPEN, { maxVersion, session: first })).resumed
      })
      if (first === undefined) throw new Error('there is no session')
      const session = first
      await waitFor('the end of its ticket', async () => {
        const { resumed, served } = summary(await visits(gateway, 4, { maxVersion, session }))
        t.equal(served, 4, 'served all the same')
        return resumed === 0
      })
      t.same(summary(await visits(gateway, 4, { maxVersion, session })), { resumed: 0, served: 4 }, `${maxVersion}: for good`)
    }
  })
}

t.test('pki: nothing is taken up, in either version, by any worker', async (t) => {
  const place = await makePlace(t)
  const tls = 'client_certificates: pki, client_ca: client-ca.crt'
  const gateway = await serve(t, place, { workers: 2, tls })
  for (const maxVersion of VERSIONS) {
    for (const certified of [place.certificates.clients.client, {}]) {
      const session = await sessionOf(gateway, { maxVersion, ...certified })
      const all = await visits(gateway, 4, { maxVersion, session, ...certified })
      t.same(summary(all), { resumed: 0, served: 4 }, maxVersion)
    }
  }
})

t.test('pop_only: a session has the certificate it was made with, at every worker, and no other', async (t) => {
  const place = await makePlace(t)
  const gateway = await serve(t, place, { workers: 2, tls: 'client_certificates: pop_only' })
  const { client, other } = place.certificates.clients
  const bound = ({ x5tS256 }: typeof client) => printDraft(certificateBound(makeDraft({ host: HOST, path: '/mtls' }), x5tS256))
  for (const maxVersion of VERSIONS) {
    const session = await sessionOf(gateway, { maxVersion, cert: client.cert, key: client.key })
    const bare = await sessionOf(gateway, { maxVersion })
    for (let i = 0; i < 4; i++) {
      // The client has nothing but the session; whoever resumes has shown that it knows its secret.
      t.match(await visit(gateway, bound(client), { maxVersion, session }), { resumed: true, status: 200 }, maxVersion)
      const theft = await visit(gateway, bound(other), { maxVersion, session, cert: other.cert, key: other.key })
      t.match(theft, { resumed: true, reason: 'certificate_mismatch' }, `${maxVersion}: the certificate of now does not count`)
      const without = await visit(gateway, bound(client), { maxVersion, session: bare, cert: client.cert, key: client.key })
      t.match(without, { resumed: true, reason: 'certificate_missing' }, `${maxVersion}: it had none`)
    }
  }

  // The listener that gave the session judges certificates from now on.
  const sessions = await Promise.all(
    VERSIONS.map(async (maxVersion) => ({ maxVersion, session: await sessionOf(gateway, { maxVersion, ...client }) })),
  )
  const text = readFileSync(gateway.file, 'utf8')
  writeFileSync(gateway.file, text.replace('client_certificates: pop_only', 'client_certificates: pki, client_ca: client-ca.crt'))
  gateway.child.kill('SIGHUP')
  await gateway.until(/"reloaded"/)
  for (const options of sessions) {
    for (let i = 0; i < 4; i++)
      t.match(await visit(gateway, bound(client), options), { resumed: false, reason: 'certificate_missing' }, options.maxVersion)
  }
})
