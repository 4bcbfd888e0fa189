// Behind a TCP balancer that says whose connection it brings (contract §10): who may say it, what is believed, and what limits count.

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { makeDraft, printDraft } from '../support/draft.js'
import { makePlace, OPEN, serve } from '../support/fleet.js'
import { exchangeOn, type Reply } from '../support/http.js'
import { HOST, type Lab, startLab } from '../support/lab.js'
import { openRaw, type RawClient } from '../support/raw.js'
import { freePort } from '../support/redis.js'

const V1 = 'PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\n'
const V2 = Buffer.from('0d0a0d0a000d0a515549540a 21 11 000c c6336407 0a000001 1267 01bb'.replaceAll(' ', ''), 'hex')
const LOCAL = Buffer.from('0d0a0d0a000d0a515549540a20000000', 'hex')

const startBehind = (from: string, more: Record<string, string> = {}): Promise<Lab> =>
  startLab({
    store: 'memory',
    yaml: (defaults) => ({
      ...defaults,
      listen: `{ host: 127.0.0.1, tls: { key: server.key, cert: server.crt }, proxy_protocol: { from: [${from}] } }`,
      ...more,
    }),
  })

/** A balancer that sends this first: a connection on which nothing of its client went yet. */
async function bring(port: number, ...header: readonly (string | Buffer)[]): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  socket.setNoDelay(true)
  await once(socket, 'connect')
  for (const part of header) {
    socket.write(part)
    // So that they come as segments of their own, as far as the kernel likes.
    await new Promise((resolve) => setImmediate(resolve))
  }
  return socket
}

const client = async (port: number, ...header: readonly (string | Buffer)[]): Promise<RawClient> =>
  openRaw(port, { socket: await bring(port, ...header), servername: HOST })

const ask = async (port: number, ...header: readonly (string | Buffer)[]): Promise<Reply> =>
  exchangeOn(await client(port, ...header), printDraft(makeDraft({ host: HOST, path: '/read/1' })))

t.test('the client is whom the balancer names, in version 1 and 2, at once or byte by byte', async (t) => {
  const lab = await startBehind("127.0.0.0/8, '2001:db8::/32'")
  t.teardown(() => lab.stop())
  for (const [header, address] of [
    [[V1], '192.0.2.1'],
    [[V2], '198.51.100.7'],
    [[...V1], '192.0.2.1'],
    [[...V2].map((byte) => Buffer.from([byte])), '198.51.100.7'],
    [['PROXY TCP6 2001:db8::7 ::1 1 443\r\n'], '2001:db8::7'],
    [['PROXY TCP6 ::ffff:192.0.2.9 ::1 1 443\r\n'], '192.0.2.9'],
    // For itself: then it is the client.
    [['PROXY UNKNOWN\r\n'], '127.0.0.1'],
    [[LOCAL], '127.0.0.1'],
  ] as const) {
    const reply = await ask(lab.port, ...header)
    t.equal(reply.status, 200, address)
    t.match(await lab.refusal(reply.header('x-request-id') ?? ''), { client_address: address })
    t.equal(lab.calls.at(-1)?.headers['x-forwarded-for'], address)
  }
})

t.test('the header and the first bytes of TLS may come as one', async (t) => {
  const lab = await startBehind('127.0.0.1')
  t.teardown(() => lab.stop())
  const balancer = createServer((near) => {
    near.once('data', (first) => {
      const far = connect(lab.port, '127.0.0.1', () => {
        far.write(Buffer.concat([V2, first]))
        near.pipe(far).pipe(near)
      })
      for (const socket of [near, far]) socket.on('error', () => undefined)
    })
  }).listen(0, '127.0.0.1')
  await once(balancer, 'listening')
  t.teardown(() => balancer.close())
  const open = await openRaw((balancer.address() as AddressInfo).port, { servername: HOST })
  t.equal((await exchangeOn(open, printDraft(makeDraft({ host: HOST, path: '/read/1' })))).status, 200)
  t.equal(lab.calls[0]?.headers['x-forwarded-for'], '198.51.100.7')
})

t.test('who does not say it, or says nonsense, gets no handshake', async (t) => {
  const lab = await startBehind('127.0.0.1')
  t.teardown(() => lab.stop())
  await t.rejects(openRaw(lab.port, { servername: HOST }), 'TLS without a header')
  for (const header of [
    'PROXY TCP4 999.0.2.1 10.0.0.1 1 443\r\n',
    'GET / HTTP/1.1\r\n\r\n',
    V2.subarray(1),
    V1.replace('\r\n', '\n\n'),
  ])
    await t.rejects(ask(lab.port, header), JSON.stringify(String(header)))
  t.equal((await ask(lab.port, V1)).status, 200)
  await t.rejects(ask(lab.port, V1, V1), 'a second header is none of TLS')
})

t.test('half a header is waited for as long as a handshake', async (t) => {
  const lab = await startBehind('127.0.0.1', { limits: '{ handshake: 1s }' })
  t.teardown(() => lab.stop())
  const silent = await bring(lab.port, 'PROXY TCP4 192.0')
  await once(silent, 'close')
  t.match((await lab.admin('/metrics')).body, /^holdfast_tls_handshakes_total\{[^}]*failed[^}]*\} 1$/m)
})

t.test('whoever is no balancer is not believed, and needs not say anything', async (t) => {
  const lab = await startBehind('10.0.0.0/8')
  t.teardown(() => lab.stop())
  t.equal((await lab.send(makeDraft({ host: HOST, path: '/read/1' }))).status, 200)
  t.equal(lab.calls[0]?.headers['x-forwarded-for'], '127.0.0.1')
  for (const header of [V1, V2]) await t.rejects(ask(lab.port, header))
  await lab.reload((defaults) => ({
    ...defaults,
    listen: '{ host: 127.0.0.1, tls: { key: server.key, cert: server.crt }, proxy_protocol: { from: [127.0.0.1] } }',
  }))
  t.equal((await ask(lab.port, V1)).status, 200, 'a reload names others')
})

t.test('limits by address count clients, and not the balancer', async (t) => {
  const lab = await startBehind('127.0.0.1', { limits: '{ connections_per_address: 2 }' })
  t.teardown(() => lab.stop())
  const named = (last: number) => client(lab.port, V1.replace('192.0.2.1', `192.0.2.${last}`))
  const open = await Promise.all([1, 1, 2, 2, 3].map(named))
  await t.rejects(named(1), 'the third of one client')
  t.equal((await exchangeOn(await named(4), printDraft(makeDraft({ host: HOST, path: '/read/1' })))).status, 200)
  for (const one of open) one.close()
  // As soon as it is seen that they are gone.
  let again: RawClient | null = null
  for (let i = 0; i < 400 && again === null; i++) {
    again = await named(1).catch(() => null)
    await sleep(25)
  }
  t.ok(again)
  again?.close()
})

t.test('a rate limit by address is the client’s', async (t) => {
  const lab = await startBehind('127.0.0.1', {
    tiers: '{ public: { rate_limit: { rate: 1/m, by: address } } }',
    routes: '[{ path: /public, methods: [GET], tier: public, upstream: cases }]',
  })
  t.teardown(() => lab.stop())
  const get = `GET /public HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`
  const as = async (address: string) => (await exchangeOn(await client(lab.port, V1.replace('192.0.2.1', address)), get)).status
  t.strictSame([await as('192.0.2.1'), await as('192.0.2.1'), await as('192.0.2.2')], [200, 429, 200])
})

t.test('workers read what their primary accepted', async (t) => {
  const place = await makePlace(t)
  const listen = (port: number) =>
    `{ host: 127.0.0.1, port: ${port}, tls: { key: server.key, cert: server.crt }, proxy_protocol: { from: [127.0.0.1] } }`
  const port = await freePort()
  const gateway = await serve(t, place, { workers: 2, port, listen: listen(port) })
  const served = new Set<number>()
  for (let i = 0; i < 8; i++) {
    const reply = await exchangeOn(await client(port, V2), OPEN)
    t.equal(reply.status, 200)
    served.add(await gateway.workerOf(reply.header('x-request-id')))
  }
  t.equal(served.size, 2)
})
