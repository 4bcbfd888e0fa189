// A key server that takes the question and never answers holds nobody for longer than 5 s, whatever the garbage collector does meanwhile:
// Node lets go of a timer signal that only `AbortSignal.any` refers to (contract §2 "Issuer keys").
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { fetchKeySet } from '../../src/keys/fetch.js'
import { source, startKeyServer } from '../keys/key-server.js'

t.test('a silent key server is given up after 5 s', async (t) => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const server = await startKeyServer(() => undefined)
  const collecting = setInterval(collect, 100)
  // Ends the question from outside, so that a failure is one and does not hang.
  const stop = new AbortController()
  const tooLate = setTimeout(() => stop.abort(new Error('still waiting after 8 s')), 8000)
  t.teardown(() => {
    clearInterval(collecting)
    clearTimeout(tooLate)
    return server.close()
  })
  const issuer = source('https://as.example.com', { from: 'uri', uri: `${server.origin}/jwks` })
  await t.rejects(fetchKeySet(issuer, stop.signal), /no answer within 5 s/)
})
