// One address floods the listener with nine hundred connections: with first flights of handshakes that cost it nothing, or with silence.
// Whoever comes from elsewhere is let in meanwhile, and when the flood is over all is as before (contract §9).
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { connect } from 'node:tls'
import t from 'tap'
import { type Fleet, HOST, makePlace, OPEN, serve } from '../support/fleet.js'
import { startOthers } from '../support/load.js'
import type { Plan } from './fairness-clients.js'

/** What a TLS client says first. */
async function clientHello(): Promise<Buffer> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', servername: HOST })
  client.on('error', () => undefined)
  const [socket] = await once(server, 'connection')
  const [hello] = await once(socket, 'data')
  client.destroy()
  server.close()
  return hello
}

/** Milliseconds from nothing to an answer: the median of so many newcomers, one after another. */
async function arrive(gateway: Fleet, count = 15): Promise<number> {
  const times: number[] = []
  for (let i = 0; i < count; i++) {
    const began = performance.now()
    const { status } = await gateway.send(OPEN)
    if (status !== 200) throw new Error(`${status}`)
    times.push(performance.now() - began)
  }
  return times.sort((a, b) => a - b)[count >> 1] ?? Number.NaN
}

/** Milliseconds that a newcomer may take, and what it may be of the time alone where the machine is busy otherwise. */
const MOST_MS = 1_000
const MOST_TIMES = 20

const FLOODS: Readonly<Record<string, (hello: Buffer) => object>> = {
  'greets and goes': (hello) => ({ does: 'greets', hello }),
  'connects and says nothing': () => ({ does: 'waits' }),
}

for (const workers of [1, 2]) {
  t.test(`newcomers are let in while nine hundred connections of one address flood ${workers} worker(s)`, async (t) => {
    const place = await makePlace(t)
    const gateway = await serve(t, place, { workers, limits: 'connections_per_address: 5000' })
    const hello = await clientHello()
    await arrive(gateway)
    const alone = await arrive(gateway)
    for (const [kind, plan] of Object.entries(FLOODS)) {
      const others = await startOthers(join(import.meta.dirname, 'fairness-clients.js'), {
        ...plan(hello),
        connections: 900,
        port: gateway.port,
        host: HOST,
        address: '127.0.0.2',
      } as Plan)
      let meanwhile: number
      try {
        meanwhile = await arrive(gateway)
        others.check()
      } finally {
        await others.stop()
      }
      const limit = Math.max(MOST_MS, MOST_TIMES * alone)
      t.ok(meanwhile <= limit, `who ${kind}: ${meanwhile.toFixed(0)} ms; alone ${alone.toFixed(0)} ms`)
      const began = performance.now()
      await arrive(gateway, 5)
      const over = performance.now() - began
      t.ok(over <= 5 * limit, `five of them ${over.toFixed(0)} ms after it was over`)
    }
  })
}
