// A hop that is heard, and one that no longer is.
import t from 'tap'
import { createHop } from '../../../src/edge/hop/hop.js'
import { Denial } from '../../../src/verify/verdict.js'
import { openTestEdge } from '../../support/edge.js'

t.test('denies hop_untrusted: its certificate has ended, or is not good yet, on a connection that stayed', async (t) => {
  const edge = await openTestEdge()
  t.teardown(edge.close)
  const behind = {
    hop: { ca: '', names: ['hop'] },
    certificate: 'none',
    address: 'none',
    host: 'same',
    removed_prefix: '',
  } as const
  const hop = createHop({ ...edge.listener, behind })
  const certificate = {
    x5tS256: '',
    der: new Uint8Array(),
    invalid: null,
    notBefore: 1000,
    notAfter: 2000,
    judged: true,
    subject: '',
  }
  const connection = { peer: { address: '192.0.2.1', port: 1, certificate }, servername: null, stranger: null }
  const at = (receivedAt: number) => hop?.clientOf(connection, { rawHeaders: [], receivedAt })
  t.same(at(1000), {
    head: { peer: { address: '', port: 0, certificate: null }, servername: null, removedPrefix: '' },
    host: null,
  })
  t.same(at(2000), at(1000))
  for (const now of [999, 2001]) {
    const denial = at(now)
    t.match(denial, { reason: 'hop_untrusted', detail: 'dates' })
    t.ok(denial instanceof Denial)
  }
})
