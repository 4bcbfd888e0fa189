// What a client sends behind a request for one of our documents is read within bounds, as behind a refusal.
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { HOST, startLab } from '../support/lab.js'

t.test('an endless body behind a document ends the connection', async (t) => {
  const lab = await startLab({ store: 'memory' })
  t.teardown(() => lab.stop())
  const client = await lab.open()
  client.socket.on('error', () => undefined)
  client.send(`GET /.well-known/oauth-protected-resource HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 999999999999\r\n\r\n`)
  t.equal((await client.response()).status, 200)
  const chunk = Buffer.alloc(64 * 1024)
  const deadline = Date.now() + 5000
  while (!client.socket.destroyed && Date.now() < deadline) {
    if (!client.socket.write(chunk)) await sleep(5)
  }
  t.ok(client.socket.destroyed, 'closed long before it was all read')
  client.close()
})
