// What a million entries take: memory in each process, and time in each request. Limits are wide, because machines are busy; what was
// measured is printed.
import t from 'tap'
import { createList } from '../../src/revocations/list.js'
import { revokedBy } from '../../src/verify/revocations.js'
import type { AccessToken } from '../../src/verify/types.js'
import { issuer, NOW } from '../support/granted.js'
import { sha256 } from '../support/jwt.js'
import { entryName, listOf, termsOf } from '../support/revocations.js'

const MILLION = 1_000_000

/** A token whose every identifier is looked up, and none is revoked. */
const token = (i: number): AccessToken => ({
  header: {},
  claims: { sid: `session-${i}` },
  issuer,
  clientId: `client-${i}`,
  subject: `user-${i}`,
  scope: [],
  audience: [],
  jti: `token-${i}`,
  iat: NOW - 60,
  exp: NOW + 240,
  ath: 'ath',
  confirmation: { jkt: sha256(`free-${i}`), x5tS256: sha256(`free-certificate-${i}`) },
})
const inbound = { peer: { address: '192.0.2.1', port: 1, certificate: null } }

t.test('a million revoked keys of one incident', async (t) => {
  const terms = JSON.stringify(termsOf())
  const before = process.memoryUsage()
  const list = createList()
  for (let i = 0; i < MILLION; i++) list.set(entryName('jkt', sha256(`key-${i}`)), terms)
  const after = process.memoryUsage()
  t.equal(list.size, MILLION)
  t.equal(list.counts().jkt, MILLION)
  const perEntry = (after.heapUsed - before.heapUsed) / MILLION
  t.comment(`${perEntry.toFixed(0)} bytes an entry`)
  t.ok(perEntry < 400, `${perEntry} bytes`)

  const senders = Array.from({ length: 1000 }, (_, i) => ({ token: token(i), inbound }))
  const rounds = 200
  const time = (of: typeof list): number => {
    const start = process.cpuUsage()
    for (let round = 0; round < rounds; round++)
      for (const sender of senders) if (revokedBy(sender, NOW, of) !== null) throw new Error('none is')
    const { user, system } = process.cpuUsage(start)
    return (user + system) / (rounds * senders.length)
  }
  const small = listOf(['jkt', 'one'])
  time(small)
  const [withOne, withMillion] = [time(small), time(list)]
  t.comment(`${withMillion.toFixed(2)} us a request, ${withOne.toFixed(2)} us with one entry`)
  t.ok(withMillion < 10, `${withMillion} us: a request of all costs some 250`)
})

t.test('names survive what others choose', async (t) => {
  for (const value of ['', 'a b', '"]', 'jkt', 'ä', '\u0000', 'x'.repeat(10_000), '__proto__', 'constructor']) {
    const list = listOf(['subject', value])
    t.equal(list.termsOf('subject', issuer.issuer, value)?.effect, 'refuse', JSON.stringify(value.slice(0, 20)))
    t.equal(list.termsOf('subject', issuer.issuer, `${value}x`), undefined)
    t.same(
      [...list.entries()].map(([name]) => name),
      [entryName('subject', value)],
    )
    list.delete(entryName('subject', value))
    t.equal(list.size, 0)
  }
})
