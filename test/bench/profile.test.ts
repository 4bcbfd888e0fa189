// A CPU profile by areas: what is idle or before the load does not count.
import t from 'tap'
import { byArea } from '../../bench/scenarios/profile.js'

const frame = (id: number, functionName: string, url: string) => ({ id, callFrame: { functionName, url } })
const nodes = [
  frame(1, '(idle)', ''),
  frame(2, 'writev', ''),
  frame(3, 'signOneShot', 'node:internal/crypto/sig'),
  frame(4, 'responseHeaders', 'file:///app/dist/src/upstream/headers.js'),
  frame(5, 'writeH1', '/app/node_modules/undici/lib/dispatcher/client-h1.js'),
  frame(6, 'parserOnIncoming', 'node:_http_server'),
  frame(7, '(garbage collector)', ''),
]

const samples = [4, 1, 2, 3, 4, 5, 6, 7, 2]
const timeDeltas = [1000, 500, 20, 30, 10, 8, 6, 4, 2]
t.same(byArea({ nodes, samples, timeDeltas }, 1000, 2), {
  write: 11,
  sign: 15,
  own: 5,
  undici: 4,
  node: 3,
  gc: 2,
  busy: 40,
})
