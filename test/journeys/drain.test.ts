// SIGTERM while hundreds of connections are busy: whatever was asked on a connection that was taken is answered (contract §9).
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { startCallers } from '../support/crowd.js'
import { type Fleet, HOST, makePlace, OPEN, type Place, serve, waitFor } from '../support/fleet.js'

/** Lines of its audit files that say of a request that it was granted. */
const granted = ({ folder }: Place, { port }: Fleet, workers: number): number =>
  [...Array(workers).keys()]
    .flatMap((worker) => readFileSync(join(folder, `audit-${port}${worker === 0 ? '' : `.${worker}`}.jsonl`), 'utf8').split('\n'))
    .filter((line) => line.includes('"permit"')).length

const acceptOf = ({ headers }: IncomingMessage): string => {
  const text = `${headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`
  return `Sec-WebSocket-Accept: ${createHash('sha1').update(text).digest('base64')}`
}

for (const workers of [1, 2]) {
  t.test(`SIGTERM under load: nothing that was accepted is lost, with ${workers} worker(s)`, async (t) => {
    const place = await makePlace(t, (send) => void setTimeout(send, Math.random() * 30))
    const gateway = await serve(t, place, { workers, more: 'drain_delay: 1s\n', drain: '30s' })
    const callers = startCallers({
      open: () => gateway.open(),
      request: () => OPEN,
      kinds: { 'asks on and on': 80, pauses: 60, pipelines: 20, 'writes in parts': 40, arrives: 4 },
    })
    await waitFor('all of them', () => callers.tally.answered > 2_000)
    gateway.child.kill('SIGTERM')
    await waitFor('unready', async () => (await fetch(`http://127.0.0.1:${gateway.admin}/readyz`)).status === 503)
    const before = callers.tally.answered
    await sleep(500)
    t.ok(callers.tally.answered > before, 'it goes on for drain_delay')
    await callers.done
    t.equal(await gateway.ended, 0)
    const { answered, statuses, lost, ...rest } = callers.tally
    t.comment(JSON.stringify({ answered, lost: lost.length, ...rest }))
    t.same(lost, [])
    t.same([...statuses.keys()], [200])
    t.equal(granted(place, gateway, workers), answered, 'and each is in the audit log')
  })
}

t.test('SIGTERM: what can end in time does, what can not is told or cut at the deadline', async (t) => {
  const place = await makePlace(t)
  /** Answers that have begun, by their path. */
  const begun = new Map<string, ServerResponse>()
  place.upstream
    .removeAllListeners('request')
    .on('request', (request: IncomingMessage, response: ServerResponse) => {
      const path = request.url ?? ''
      request.resume().on('end', () => {
        if (path === '/upload') return void response.end('taken')
        const type = path === '/events' ? 'text/event-stream' : 'application/octet-stream'
        response.writeHead(200, { 'Content-Type': type }).write('data: 1\n\n')
        begun.set(path, response)
      })
    })
    .on('upgrade', (request: IncomingMessage, socket: Duplex) => {
      socket.on('error', () => undefined)
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n${acceptOf(request)}\r\n\r\n`,
      )
    })
  const route = (path: string, more = '') => `  - { path: ${path}, methods: [GET, POST], tier: open, upstream: u${more} }\n`
  const more =
    ['/download', '/upload', '/events', '/endless'].map((path) => route(path)).join('') + route('/ws', ', websocket: true')
  const gateway = await serve(t, place, { more, drain: '4s' })
  const ask = async (path: string, lines = '', method = 'GET') => {
    const client = await gateway.open()
    client.send(`${method} ${path} HTTP/1.1\r\nHost: ${HOST}\r\n${lines}\r\n`)
    return client
  }
  const download = await ask('/download')
  const events = await ask('/events')
  const endless = await ask('/endless')
  const upload = await ask('/upload', 'Content-Length: 8\r\nExpect: 100-continue\r\n', 'POST')
  t.equal((await upload.response()).status, 100)
  upload.send('half')
  const key = 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'
  const socket = await ask('/ws', `Upgrade: websocket\r\nConnection: Upgrade\r\n${key}`)
  t.equal((await socket.response()).status, 101)
  await waitFor('all of them', () => begun.size === 3)

  const began = Date.now()
  gateway.child.kill('SIGTERM')
  t.equal(Buffer.from(await socket.ended(20_000), 'latin1').toString('hex'), '880203e9', 'close 1001 (RFC 6455 §7.4.1)')
  t.equal(gateway.child.exitCode, null)
  begun.get('/events')?.write('data: 2\n\n')
  begun.get('/download')?.end('the rest')
  upload.send('half')
  t.match((await download.response()).body.toString(), /the rest$/)
  t.equal((await upload.response()).body.toString(), 'taken')

  t.equal((await events.response()).body.toString(), 'data: 1\n\ndata: 2\n\n', 'whole, as far as it came')
  t.ok(Date.now() - began >= 3_900, 'at the deadline, and not before')
  await t.rejects(endless.response(), 'cut, and to be seen as cut')
  t.equal(await gateway.ended, 0)
  t.match(gateway.said(), /1 request\(s\) were cut off after 4 s/)
  const audited = readFileSync(join(place.folder, `audit-${gateway.port}.jsonl`), 'utf8')
  for (const path of ['/download', '/upload', '/events', '/endless', '/ws']) t.match(audited, `"path":"${path}"`)
})
