// What machines renew on the operator's side is taken without a restart: the admin listener's certificate, and what the gateway shows to
// Redis. A renewal must not keep other changes out.

import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'node:tls'
import t from 'tap'
import { makeCa, makeServer } from '../support/certs.js'
import { makeDraft, printDraft } from '../support/draft.js'
import { HOST, makePlace, serve, waitFor } from '../support/fleet.js'
import { startRedis } from '../support/redis.js'

const paid = () => printDraft(makeDraft({ host: HOST, path: '/pay' }))

t.test("the admin listener's certificate", async (t) => {
  const place = await makePlace(t)
  const write = (name: string, text: string): void => writeFileSync(join(place.folder, name), text)
  const ca = await makeCa('CA of the operator')
  const [first, second] = [await makeServer(ca), await makeServer(ca)]
  write('admin.key', first.key)
  write('admin.crt', first.cert)
  const gateway = await serve(t, place, { watch: '100ms', admin: 'tls: { key: admin.key, cert: admin.crt }' })
  const shown = (): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connect({ port: gateway.admin, host: '127.0.0.1', ca: ca.cert, servername: 'localhost' }, () => {
        resolve(createHash('sha256').update(socket.getPeerCertificate().raw).digest('base64url'))
        socket.destroy()
      }).on('error', reject)
    })
  t.equal(await shown(), first.x5tS256)
  write('admin.key', second.key)
  write('admin.crt', second.cert)
  await waitFor('the new one', async () => (await shown()) === second.x5tS256)
  const text = readFileSync(gateway.file, 'utf8')
  writeFileSync(gateway.file, text.replace(/tls: \{ key: admin\.key[^}]*\}/, ''))
  await gateway.until(/admin: cannot change while the gateway runs/)
  t.equal(await shown(), second.x5tS256, 'but not whether it has one')
})

t.test('the password of Redis, while Redis already wants the new one', async (t) => {
  const place = await makePlace(t)
  const redis = await startRedis({ settings: ['--requirepass', 'old-password'], password: 'old-password' })
  t.teardown(() => redis.stop())
  writeFileSync(join(place.folder, 'redis.password'), 'old-password\n')
  const gateway = await serve(
    t,
    { ...place, redis },
    { workers: 2, watch: '100ms', redis: `password: "$\{file:redis.password}"` },
  )
  const statuses = async (): Promise<readonly number[]> => {
    const replies = await Promise.all(Array.from({ length: 6 }, () => gateway.send(paid())))
    return [...new Set(replies.map(({ status }) => status))].sort()
  }
  await waitFor('all is well', async () => (await statuses()).join() === '200')
  await redis.call('CONFIG', 'SET', 'requirepass', 'new-password')
  t.same(await statuses(), [200], 'connections that are there stay')
  const cut = () => redis.call('CLIENT', 'KILL', 'TYPE', 'normal').catch(() => undefined)
  redis.usePassword('new-password')
  await cut()
  await waitFor('nobody comes in by the old one', async () => (await statuses()).join() === '503')
  writeFileSync(join(place.folder, 'redis.password'), 'new-password\n')
  await gateway.until(/"reloaded"/)
  await waitFor('all is well', async () => (await statuses()).join() === '200')
})
